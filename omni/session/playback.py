"""What was heard: which of the agent's words have really sounded at the other end.

Audio is sent ahead of its sounding, so at an interruption some of what was sent is never heard. The record keeps
every word with its span on the conversation's clock, learns from the client's reports how far playback is, and gives
the words that were played.

    sent      |====|====|====|====|
    played    |====|====|=|                 reported, or estimated: sent - half the round trip - jitter buffer
    words     |-a-||--b---||--c--|          "a b" was heard; c counts once its middle was played

The position never moves back and never passes what was sent. All instants are samples of the conversation's clock.
"""

from collections import deque
from dataclasses import dataclass, field

from omni.base.events import SpeechHeard
from omni.base.timebase import Timebase

SENT_LOG_BLOCKS = 64    # about 5 s: enough for any round trip that a conversation survives
MAX_WORDS = 4_096       # of one reply: over 20 minutes of speech
LEAST_CUT_MS = 80       # a word cut earlier than this after its beginning was not understood by anybody


@dataclass(slots=True)
class _Word:
    index: int
    text: str
    start: int
    end: int | None = None      # None while it sounds
    cut: bool = False


@dataclass(slots=True)
class _Reply:
    epoch: int
    words: list[_Word] = field(default_factory=list)
    end: int | None = None      # one past its last sample; None while it goes on
    told: tuple[str, bool] | None = None    # (text, estimated) of the last event


class Playback:
    """The record of one conversation; pure: `now_ns` comes in, events come out."""

    def __init__(self, timebase: Timebase, *, round_trip_ms: int = 40, jitter_buffer_ms: int = 60):
        """Args:
            timebase: grid of the conversation's clock.
            round_trip_ms: of the network, for the estimate; see `set_round_trip`.
            jitter_buffer_ms: what clients usually hold back before they play, for the estimate.
        """
        self.position = 0
        self.sent_until = 0
        self.reported = False
        self._timebase = timebase
        self._least_cut = timebase.from_ms(LEAST_CUT_MS)
        self._round_trip_ns = round_trip_ms * 1_000_000
        self._jitter_ns = jitter_buffer_ms * 1_000_000
        self._sent: deque[tuple[int, int, int]] = deque(maxlen=SENT_LOG_BLOCKS)     # (start, end, sent at ns)
        self._discarded: deque[tuple[int, int]] = deque(maxlen=SENT_LOG_BLOCKS)
        self._replies: deque[_Reply] = deque()

    # ---- what was said and sent

    def begin_reply(self, epoch: int) -> None:
        """The agent took the floor."""
        self._replies.append(_Reply(epoch))

    def begin_word(self, index: int, text: str, start: int) -> None:
        """A piece begins to sound at `start`; it belongs to the reply begun last."""
        if self._replies and len(self._replies[-1].words) < MAX_WORDS:
            self._replies[-1].words.append(_Word(index, text, start))

    def end_word(self, index: int, end: int, cut: bool = False) -> None:
        """The piece `index` sounds until `end`. A piece that is not known (its beginning was never sent) is ignored."""
        for word in reversed(self._replies[-1].words) if self._replies else ():
            if word.index == index:
                word.end, word.cut = end, cut
                return

    def end_reply(self, end: int, interrupted: bool) -> None:
        """The agent gave up the floor; `end` is one past the last sample of the reply. Words still open end there."""
        if not self._replies:
            return
        reply = self._replies[-1]
        reply.end = end
        for word in reply.words:
            if word.end is None:
                word.end, word.cut = max(end, word.start), interrupted

    def sent(self, start: int, num_samples: int, now_ns: int) -> None:
        """Samples [start, start + num_samples) have left for the client."""
        self.sent_until = max(self.sent_until, start + num_samples)
        self._sent.append((start, start + num_samples, now_ns))

    def discard(self, start: int, end: int) -> None:
        """Samples [start, end) were thrown away unheard after they had been counted as sent."""
        if end > start:
            self._discarded.append((start, end))

    # ---- how far playback is

    def set_round_trip(self, round_trip_ms: int) -> None:
        """What the transport measures, for the estimate."""
        self._round_trip_ns = round_trip_ms * 1_000_000

    def report(self, at: int) -> None:
        """The client has played everything before `at`. A report that goes back is ignored; guessing ends with it."""
        self.reported = True
        self.position = max(self.position, min(at, self.sent_until))

    def estimate(self, now_ns: int) -> None:
        """Move the position by the clock, if the client has never reported."""
        if self.reported:
            return
        leaving_ns = now_ns - self._round_trip_ns // 2 - self._jitter_ns    # what was sent then is played now
        for start, end, at_ns in reversed(self._sent):
            if at_ns <= leaving_ns:
                elapsed = (leaving_ns - at_ns) * self._timebase.sample_rate_hz // 1_000_000_000
                self.position = max(self.position, min(start + elapsed, end))
                return

    # ---- what was heard

    def heard(self) -> list[SpeechHeard]:
        """One event for each reply whose heard text has changed or that has been played to its end."""
        events = []
        for reply in list(self._replies):
            final = reply.end is not None and self._passed(reply.end)
            events += self._tell(reply, final)
            if final:
                self._replies.remove(reply)
        return events

    def close(self) -> list[SpeechHeard]:
        """The conversation is over: what has been heard until now is final."""
        events = [event for reply in self._replies for event in self._tell(reply, True)]
        self._replies.clear()
        return events

    def _tell(self, reply: _Reply, final: bool) -> list[SpeechHeard]:
        text = "".join(word.text for word in reply.words if self._was_heard(word)).strip()
        told = (text, not self.reported)
        if not final and (told == reply.told or not text):
            return []
        reply.told = told
        return [SpeechHeard(reply.epoch, text, not self.reported, final)]

    def _was_heard(self, word: _Word) -> bool:
        if word.end is None:    # it sounds: known to last at least as long as was sent of it
            return False
        if word.cut and word.end - word.start < self._least_cut:
            return False
        middle = (word.start + word.end) // 2
        return self.position > middle and not any(start <= middle < end for start, end in self._discarded)

    def _passed(self, end: int) -> bool:
        """Whether nothing before `end` is left to be played, what was discarded aside."""
        for start, stop in reversed(self._discarded):
            if start < end <= stop:
                end = start
        return self.position >= end
