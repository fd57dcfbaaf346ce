"""What happened in a conversation, on its own clock: floor, words, captions. Made block by block, read at any time."""

from dataclasses import dataclass, field

from omni.base.events import BlockResult, EndReason, SessionEvent, SpeechHeard, SpeechStarted
from omni.base.timebase import Timebase
from omni.session.playback import LEAST_CUT_MS


@dataclass(slots=True)
class Piece:
    """A text piece that began to sound. `end` is None while it sounds; `cut` if it was broken off."""

    text: str
    start: int
    end: int | None = None
    cut: bool = False


@dataclass(slots=True)
class Reply:
    """The agent had the floor from `start` to `end` (first samples of the output blocks that follow the decisions).

    Attributes:
        silent_at: one past the last sample of a cut reply's ramp; equals `end` for one that finished.
        reason: why it ended; None while it goes on, and where a server does not tell.
        pieces: what of it began to sound.
        unheard: pieces decided on that never began to sound.
    """

    start: int
    end: int | None = None
    silent_at: int | None = None
    reason: EndReason | None = None
    unheard: int = 0
    pieces: list[Piece] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Caption:
    """Text understood of the room, known at sample `at`."""

    text: str
    at: int


class Record:
    """Gathers block results.

    Attributes:
        replies: the agent's turns in order.
        captions: what it understood of the room, in order.
        num_blocks: blocks so far.
    """

    def __init__(self, timebase: Timebase):
        self.timebase = timebase
        self.replies: list[Reply] = []
        self.captions: list[Caption] = []
        self.num_blocks = 0
        self._pieces: dict[int, Piece] = {}     # those that sound now, by running number

    def add(self, result: BlockResult) -> None:
        """Take in one block, in order."""
        assert result.block == self.num_blocks, "a block is missing"
        self.num_blocks += 1
        at = self.timebase.block_at(result.block + 1)
        if result.started:
            self.replies.append(Reply(at))
        for begun in result.begun:
            piece = self._pieces[begun.index] = Piece(begun.text, begun.at)
            self.replies[-1].pieces.append(piece)
        for ended in result.ended:
            piece = self._pieces.pop(ended.index)
            piece.end, piece.cut = ended.at, ended.cut
        if result.stopped:
            reply = self.replies[-1]
            reply.end, reply.reason, reply.unheard = at, result.stopped, result.unheard
            reply.silent_at = at + result.tail
        if result.caption:
            self.captions.append(Caption(result.caption, at))

    def holds_floor(self, at: int) -> bool:
        """Whether the agent has the floor at a sample."""
        return any(r.start <= at and (r.end is None or at < r.end) for r in self.replies)

    def heard(self, until: int) -> list[Piece]:
        """Pieces that were heard before sample `until`, their spans clipped to it.

        A piece is heard if it began before `until` and either sounded to its end, or was broken off (by a cut, or by
        `until`) after it had sounded for 80 ms: the rule by which a live session counts.
        """
        clipped = [_clip(p, until) for r in self.replies for p in r.pieces if p.start < until]
        return [p for p in clipped if self._was_heard(p)]

    def heard_text(self, until: int) -> str:
        """The heard pieces as one text."""
        return "".join(p.text for p in self.heard(until)).strip()

    def caption_text(self) -> str:
        """All that was understood of the room."""
        return "".join(c.text for c in self.captions).strip()

    def words(self, until: int) -> list[Piece]:
        """Heard pieces joined into words: a piece with a leading space begins a word, one without continues it.

        A pause (a piece of punctuation) is written with its word and adds nothing to its length.
        """
        return [word for reply in self.replies for word in self.words_of(reply, until)]

    def words_of(self, reply: Reply, until: int) -> list[Piece]:
        """The words of one reply, as in `words`."""
        words: list[Piece] = []
        for piece in (_clip(p, until) for p in reply.pieces if p.start < until):
            if not self._was_heard(piece):
                continue
            if words and not piece.text.startswith(" "):
                last = words[-1]
                last.text += piece.text
                if any(c.isalnum() for c in piece.text):
                    last.end, last.cut = piece.end, piece.cut
            else:
                words.append(Piece(piece.text.strip(), piece.start, piece.end, piece.cut))
        return words

    def events(self, num_samples: int) -> list[dict]:
        """What happened in the first `num_samples`, in order of time; instants in seconds.

        The texts of the `agent_text` events, joined, are `heard_text(num_samples)`; `agent_cut` is a piece that was
        broken off too early to be heard. Captions of the last block are known when it has ended and are put at the end
        of the recording at the latest.
        """
        seconds = self.timebase.to_seconds
        timed: list[tuple[int, int, dict]] = []
        for reply in self.replies:
            if reply.start < num_samples:
                timed.append((reply.start, 1, {"type": "start_speak"}))
            if reply.end is not None and reply.end < num_samples:
                unheard = reply.unheard + sum(not self._was_heard(p) for p in reply.pieces)
                timed.append((reply.end, 3, {"type": "end_speak", "reason": reply.reason, "unheard": unheard,
                                             "silent": seconds(reply.silent_at)}))
            for piece in (_clip(p, num_samples) for p in reply.pieces if p.start < num_samples):
                if not self._was_heard(piece):
                    timed.append((piece.start, 2, {"type": "agent_cut", "text": piece.text,
                                                   "from": seconds(piece.start), "to": seconds(piece.end)}))
        for piece in self.heard(num_samples):
            timed.append((piece.start, 2, {"type": "agent_text", "text": piece.text, "from": seconds(piece.start),
                                           "to": seconds(piece.end), "cut": piece.cut}))
        for caption in self.captions:
            timed.append((min(caption.at, num_samples), 0, {"type": "user_text", "text": caption.text}))
        timed.sort(key=lambda entry: entry[:2])
        return [{"at": seconds(at), **event} for at, _, event in timed]

    def summary(self, num_samples: int) -> dict:
        """The last line of a trace."""
        return {"at": self.timebase.to_seconds(num_samples), "type": "summary",
                "agent_text": self.heard_text(num_samples), "user_text": self.caption_text(), "blocks": self.num_blocks}

    def _was_heard(self, piece: Piece) -> bool:
        return not piece.cut or piece.end - piece.start >= self.timebase.from_ms(LEAST_CUT_MS)


class ServerHeard:
    """What a server knows was heard of each of its replies, gathered from its events."""

    def __init__(self):
        self._epochs: list[int] = []
        self._texts: dict[int, str] = {}

    def note(self, event: SessionEvent) -> None:
        """An event of the session, in order; those that tell nothing of this are ignored."""
        if isinstance(event, SpeechStarted):
            self._epochs.append(event.epoch)
        elif isinstance(event, SpeechHeard):
            self._texts[event.epoch] = event.text

    def texts(self) -> tuple[str, ...]:
        """One a reply, in their order; empty if it has told nothing at all."""
        return tuple(self._texts.get(epoch, "") for epoch in self._epochs) if self._texts else ()


def _clip(piece: Piece, until: int) -> Piece:
    """The piece as far as it sounds before `until`."""
    if piece.end is not None and piece.end <= until:
        return Piece(piece.text, piece.start, piece.end, piece.cut)
    return Piece(piece.text, piece.start, until, cut=True)
