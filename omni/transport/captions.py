"""What was said, as lines of a terminal: both sides, and who has the floor. Text comes out, nothing else happens.

A line is committed when it is complete: the user's after a second in which nothing was understood, the agent's when it
is known what of it was heard. On a terminal a last line shows what is being said now.
"""

from collections.abc import Callable

from omni.base.events import (
    AgentText,
    BlockPlayed,
    Notice,
    Refused,
    SessionClosed,
    SessionEvent,
    SessionStarted,
    SpeechEnded,
    SpeechHeard,
    SpeechStarted,
    UserText,
)

PAUSE_BLOCKS = 12       # about a second without a caption ends the user's line


class Captions:
    """Feed events, get text.

    Args:
        write: takes text for the terminal, control characters included if `live`.
        live: it is a terminal: keep a line that is rewritten.
        columns: width of the terminal.
    """

    def __init__(self, write: Callable[[str], object], *, live: bool = False, columns: int = 80):
        self._write = write
        self._live = live
        self._columns = max(20, columns)
        self._user = ""
        self._agent = ""
        self._quiet_blocks = 0
        self._speaking = False
        self._interrupted = False
        self._late_blocks = 0
        self._shown = ""

    def feed(self, event: SessionEvent) -> None:
        """Show what an event changes."""
        match event:
            case SessionStarted():
                self._commit("--", "connected; speak whenever you like, Ctrl-C ends the conversation")
            case UserText():
                self._user += event.text
                self._quiet_blocks = 0
            case AgentText():
                self._agent += event.text
            case SpeechStarted():
                self._end_user()
                self._speaking, self._interrupted = True, False
            case SpeechEnded():
                self._speaking, self._interrupted = False, event.reason == "interrupted"
            case SpeechHeard() if event.final:
                self._end_agent(event.text)
            case BlockPlayed():
                self._late_blocks = event.late_blocks
                self._quiet_blocks += 1
                if self._quiet_blocks >= PAUSE_BLOCKS:
                    self._end_user()
            case Notice() | Refused():
                self._commit("--", event.message)
            case SessionClosed():
                self._end_user()
                self._commit("--", f"the conversation has ended: {event.detail or event.reason.replace('_', ' ')}")
                return
        self._show()

    def clear(self) -> None:
        """Take the live line away, before something else is printed."""
        if self._live and self._shown:
            self._write("\r\x1b[K")
            self._shown = ""

    def _end_user(self) -> None:
        if self._user.strip():
            self._commit("you", self._user.strip())
        self._user = ""

    def _end_agent(self, heard: str) -> None:
        if heard or self._agent.strip():
            self._commit("omni", f"{heard} --" if self._interrupted else heard)
        self._agent = ""
        self._interrupted = False

    def _commit(self, who: str, text: str) -> None:
        self.clear()
        self._write(f"{who:>4}  {text}\n")

    def _show(self) -> None:
        if not self._live:
            return
        floor = "speaking " if self._speaking else "listening"
        late = f" late {self._late_blocks}" if self._late_blocks else ""
        now = self._agent.strip() if self._speaking else self._user.strip()
        room = self._columns - len(floor) - len(late) - 6
        line = f"[{floor}{late}] {now[-room:] if room > 0 else ''}"
        if line != self._shown:
            self._write(f"\r\x1b[K{line}")
            self._shown = line
