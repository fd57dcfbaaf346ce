from omni.base.events import (
    AgentText,
    BlockPlayed,
    Notice,
    SessionClosed,
    SessionStarted,
    SpeechEnded,
    SpeechHeard,
    SpeechStarted,
    UserText,
)
from omni.transport.captions import PAUSE_BLOCKS, Captions


def _show(*events, **options) -> str:
    text: list[str] = []
    captions = Captions(text.append, **options)
    for event in events:
        captions.feed(event)
    return "".join(text)


def _quiet(blocks: int) -> list[BlockPlayed]:
    return [BlockPlayed(i, False, 0.0, 0.0, 0, 1_000) for i in range(blocks)]


def test_lines_of_both_sides():
    """Deltas become one line a turn; the agent's line holds what was heard."""
    out = _show(SessionStarted("s", 0), UserText("hel", 0, 1), UserText("lo", 1, 2), SpeechStarted(1, 3),
                AgentText(" Good", 3, 4, 1), AgentText(" day", 4, 5, 1), SpeechEnded(1, 5, "finished"),
                SpeechHeard(1, "Good", False, False), SpeechHeard(1, "Good day", False, True))
    assert out.splitlines()[1:] == [" you  hello", "omni  Good day"]


def test_interrupted_reply_shows_what_was_heard():
    out = _show(SpeechStarted(1, 0), AgentText(" Once upon a time", 0, 9, 1), SpeechEnded(2, 5, "interrupted", 1),
                SpeechHeard(1, "Once upon", False, True))
    assert out == "omni  Once upon --\n"


def test_pause_ends_the_users_line():
    assert _show(UserText("yes", 0, 1), *_quiet(PAUSE_BLOCKS - 1)) == ""
    assert _show(UserText("yes", 0, 1), *_quiet(PAUSE_BLOCKS)) == " you  yes\n"


def test_live_line_fits_the_terminal():
    out = _show(SpeechStarted(1, 0), AgentText(" word" * 100, 0, 9, 1), live=True, columns=40)
    assert max(len(line) for line in out.replace("\x1b[K", "").split("\r")) < 40


def test_notices_and_the_end():
    out = _show(Notice("x", "the model follows no instructions"), SessionClosed("connection_lost", ""))
    assert out == "  --  the model follows no instructions\n  --  the conversation has ended: connection lost\n"
