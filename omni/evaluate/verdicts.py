"""Whether the agent did what a script expects of it. Judged on the record of a conversation, never while it runs."""

from dataclasses import dataclass

from omni.evaluate.record import Record, Reply
from omni.evaluate.scenario import Answers, Expectation, Heard, Holds, Kind, Right, Says, Silent, Yields, normal


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """Where a turn came to lie, in samples.

    Attributes:
        start, end: the whole recording.
        speech_start, speech_end: from its first to its last sound.
        kind, text, answer: as in `omni.evaluate.scenario.Turn`.
        decisive: one past the last sample of the earliest decisive word; None if that is not known.
        words: each word with its first sample and one past its last, where they are known.
    """

    name: str
    start: int
    end: int
    speech_start: int
    speech_end: int
    kind: Kind = "turn"
    text: str | None = None
    answer: tuple[str, ...] = ()
    decisive: int | None = None
    words: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One expectation and what became of it.

    Attributes:
        kind: name of the expectation.
        expected: it in words.
        held: whether the agent met it.
        detail: what happened instead, or the number behind it.
        start, end: samples it speaks of, for the picture.
        value_s: the measured time, where there is one.
    """

    kind: str
    expected: str
    held: bool
    detail: str
    start: int
    end: int
    value_s: float | None = None


def judge(expectations: tuple[Expectation, ...], record: Record, turns: dict[str, TurnSpan],
          num_samples: int, added: int = 0) -> list[Verdict]:
    """A verdict for each expectation, in their order. A turn that never came fails whatever speaks of it.

    Args:
        added: samples by which the agent would be heard later than the record says, for what virtual time does not
            know. They are in the times that are measured and in what is judged by them, and never in an agent's favour:

                user    [ turn ]                        [ turn ]
                agent            .....|answer   ======[=========.....|  silent
                                 added                           added

            The limit before which an answer is too early, whether the agent had the floor when a turn began, and
            silence, words and heard text are judged by the record as it is; `holds` waits longer by as much.
    """
    judgement = _Judge(record, turns, num_samples, added)
    return [judgement.judge(expectation) for expectation in expectations]


class _Judge:
    def __init__(self, record: Record, turns: dict[str, TurnSpan], num_samples: int, added: int):
        self._record, self._turns, self._num_samples, self._added = record, turns, num_samples, added
        self._rate_hz = record.timebase.sample_rate_hz
        self._ways = {"answers": self._answers, "right": self._right, "says": self._says, "heard": self._heard,
                      "yields": self._yields, "holds": self._holds, "silent": self._silent}

    def judge(self, expectation: Expectation) -> Verdict:
        for name in expectation.turns:
            if name not in self._turns:
                return Verdict(expectation.kind, f"{expectation.kind} ({name})", False,
                               f"the turn {name!r} never came", 0, self._num_samples)
        return self._ways[expectation.kind](getattr(expectation, expectation.kind))

    def _answers(self, body: Answers) -> Verdict:
        turn = self._turns[body.to]
        earliest, latest = turn.speech_end - self._samples(body.early_s), turn.speech_end + self._samples(body.within_s)
        first = next((r for r in self._record.replies
                      if r.start >= turn.speech_start and _sounds_at(r) is not None), None)
        expected = f"answers {body.to} within {body.within_s:g} s"
        at = _sounds_at(first) if first else None
        if at is None or at + self._added >= self._num_samples:
            return Verdict("answers", expected, False, "no answer", turn.speech_end, latest)
        heard_at = at + self._added
        after_s = self._seconds(heard_at - turn.speech_end)
        detail = f"after {after_s:.2f} s" if after_s >= 0 else f"{-after_s:.2f} s before the end"
        if self._added and at < earliest:
            detail += f", {self._seconds(turn.speech_end - at):.2f} s before it without the added delay"
        held = earliest <= at and heard_at <= latest
        return Verdict("answers", expected, held, detail, turn.speech_end, heard_at, after_s)

    def _right(self, body: Right) -> Verdict:
        turn = self._turns[body.to]
        end = min([t.speech_start for t in self._turns.values() if t.kind == "turn" and t.start > turn.start],
                  default=self._num_samples)
        words = [w.text for w in self._record.words(self._num_samples) if turn.speech_end <= w.start < end]
        said = normal(" ".join(words))
        missing = [phrase for phrase in turn.answer if not contains(said, phrase)]
        expected = f"answers {body.to} right: {', '.join(turn.answer)}"
        detail = "not said: " + ", ".join(missing) if missing else "all of it"
        return Verdict("right", expected, bool(turn.answer) and not missing, detail, turn.speech_end, end)

    def _heard(self, body: Heard) -> Verdict:
        replies = [r for i, r in enumerate(self._record.replies, 1) if body.reply in (None, i)]
        said = normal(" ".join(w.text for r in replies for w in self._record.words_of(r, self._num_samples)))
        which = f"reply {body.reply}" if body.reply else "all that is heard"
        return Verdict("heard", f"{which} is {body.text!r}", said == normal(body.text), f"it is {' '.join(said)!r}", 0,
                       self._num_samples)

    def _says(self, body: Says) -> Verdict:
        start = self._turns[body.after].speech_end if body.after else 0
        words = [w.text for w in self._record.words(self._num_samples) if w.start >= start]
        said = normal(" ".join(words))
        missing = [w for w in body.words if not contains(said, w)]
        wrong = [w for w in body.never if contains(said, w)]
        expected = " ".join(filter(None, ("says " + ", ".join(body.words) if body.words else "",
                                          "never says " + ", ".join(body.never) if body.never else "")))
        detail = "; ".join(filter(None, ("not said: " + ", ".join(missing) if missing else "",
                                         "said: " + ", ".join(wrong) if wrong else "")))
        return Verdict("says", expected, not missing and not wrong, detail or "all of it", start, self._num_samples)

    def _yields(self, body: Yields) -> Verdict:
        turn = self._turns[body.to]
        onset, limit = turn.speech_start, turn.speech_start + self._samples(body.within_s)
        expected = f"yields to {body.to} within {body.within_s:g} s"
        reply = self._reply_at(onset)
        if reply is None:
            return Verdict("yields", expected, False, "had not the floor", onset, limit)
        if reply.end is None or reply.silent_at + self._added > self._num_samples:
            return Verdict("yields", expected, False, "spoke on", onset, limit)
        silent_at = reply.silent_at + self._added
        after_s = self._seconds(silent_at - onset)
        if reply.reason == "finished":
            return Verdict("yields", expected, False, f"finished by itself after {after_s:.2f} s", onset, silent_at)
        return Verdict("yields", expected, silent_at <= limit, f"silent after {after_s:.2f} s", onset, silent_at,
                       after_s)

    def _holds(self, body: Holds) -> Verdict:
        turn = self._turns[body.through]
        onset, limit = turn.speech_start, min(turn.speech_end + self._samples(body.for_s), self._num_samples)
        until = min(limit + self._added, self._num_samples)
        expected = f"holds the floor through {body.through}"
        reply = self._reply_at(onset)
        if reply is None:
            return Verdict("holds", expected, False, "had not the floor", onset, until)
        if reply.end is None or reply.end >= limit:     # both would come later by what is added
            return Verdict("holds", expected, True, "spoke on", onset, until)
        if reply.reason == "finished":
            return Verdict("holds", expected, True, "came to its own end", onset, until)
        after_s = self._seconds(reply.silent_at + self._added - onset)
        return Verdict("holds", expected, False, f"was interrupted after {after_s:.2f} s", onset, until, after_s)

    def _silent(self, body: Silent) -> Verdict:
        start = self._turns[body.since].start if body.since else self._samples(body.from_s or 0.0)
        end = self._num_samples
        if body.until:
            end = self._turns[body.until].speech_end
        elif body.to_s is not None:
            end = min(end, self._samples(body.to_s))
        expected = f"stays silent from {self._seconds(start):.1f} to {self._seconds(end):.1f} s"
        reply = next((r for r in self._record.replies if r.start < end and (r.end is None or r.end > start)), None)
        if reply is None:
            return Verdict("silent", expected, True, "silent", start, end)
        return Verdict("silent", expected, False, f"had the floor at {self._seconds(max(reply.start, start)):.2f} s",
                       start, end)

    def _reply_at(self, at: int) -> Reply | None:
        return next((r for r in self._record.replies if r.start <= at and (r.end is None or at < r.end)), None)

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate_hz)

    def _seconds(self, samples: int) -> float:
        return round(samples / self._rate_hz, 4)


def contains(said: list[str], phrase: str) -> bool:
    """Whether the words of `phrase` are heard in this order and without others between them."""
    words = normal(phrase)
    return any(said[i:i + len(words)] == words for i in range(len(said) - len(words) + 1))


def _sounds_at(reply: Reply) -> int | None:
    """First sample of the reply's first word; None if it never came to one."""
    return next((p.start for p in reply.pieces if any(c.isalnum() for c in p.text)), None)
