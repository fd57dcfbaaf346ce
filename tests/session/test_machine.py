import numpy as np
import pytest
from fakes import FakeEngine

from omni.base.events import (
    AgentText,
    AudioReady,
    BlockPlayed,
    MuteChanged,
    SessionClosed,
    SessionStarted,
    SpeechEnded,
    SpeechHeard,
    SpeechStarted,
    UserText,
)
from omni.base.timebase import TINY
from omni.session.machine import Machine, SessionOptions

SIZE = TINY.block_samples
PERIOD = 80_000_000
S = 1_000_000_000


class Drive:
    """A machine and an engine, ticked by hand; `late` holds a result back for so many deadlines."""

    def __init__(self, engine: FakeEngine | None = None, **options):
        self.engine = engine or FakeEngine(speak_from=2, speak_until=6)
        self.slot = self.engine.open()
        self.machine = Machine(TINY, "s", SessionOptions(**options))
        self.now = 0
        self.machine.start(0, 1_000)
        self.events = self.machine.events()

    def tick(self, late: int = 0) -> None:
        self.now += PERIOD
        result = self._step()
        for _ in range(late):
            self.now += PERIOD
            self.machine.miss_block(self.now)
        self._give(result)
        for _ in range(late):
            self._give(self._step())

    def _step(self):
        return self.engine.step({self.slot: self.machine.take_block(self.now)})[self.slot]

    def _give(self, result) -> None:
        self.machine.give_block(result, 30_000, self.now + 30_000_000)
        self.events += self.machine.events()

    def of(self, kind) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def test_started_first_and_audio_without_gaps():
    drive = Drive()
    for _ in range(10):
        drive.tick()
    assert drive.events[0] == SessionStarted("s", 4_600, {})
    assert [audio.at for audio in drive.of(AudioReady)] == [SIZE * i for i in range(1, 11)]


def test_floor_comes_before_its_audio_and_words_with_it():
    """The block that carries a piece's beginning carries its text; floor events precede the audio of their epoch."""
    drive = Drive()
    for _ in range(10):
        drive.tick()
    assert drive.of(SpeechStarted) == [SpeechStarted(1, 3 * SIZE)]
    assert drive.of(SpeechEnded) == [SpeechEnded(1, 7 * SIZE, "finished", 0)]
    assert drive.of(AgentText) == [AgentText(" word0", 3 * SIZE, 4 * SIZE, 1),
                                   AgentText(" word1", 5 * SIZE, 6 * SIZE, 1)]
    kinds = [type(e) for e in drive.events if isinstance(e, (SpeechStarted, AgentText, AudioReady))]
    assert kinds[2:5] == [SpeechStarted, AgentText, AudioReady]


def test_words_move_with_late_audio():
    """A block that sounds later than the model meant takes its words along."""
    drive = Drive()
    drive.tick()
    drive.tick()
    drive.tick()            # block 2 speaks in output block 3
    drive.tick()
    drive.tick(late=1)      # block 4 and its word sound in output block 6 instead of 5
    drive.tick()
    texts = drive.of(AgentText)
    assert [text.start // SIZE for text in texts] == [3, 6]
    audio = {event.at // SIZE: float(np.abs(event.samples).max()) for event in drive.of(AudioReady)}
    assert audio[5] == 0.0 and audio[6] > 0.2
    assert drive.of(BlockPlayed)[-1].late_blocks == 1


def test_lateness_keeps_every_sample_of_speech():
    """Speech comes out whole and in order, one block a deadline, however late the engine is."""
    on_time, late = Drive(FakeEngine(speak_until=20)), Drive(FakeEngine(speak_until=20))
    for _ in range(40):
        on_time.tick()
    for i in range(28):
        late.tick(late=(i * 7 % 5) if i in (11, 14, 18) else 0)

    def speech(drive):
        return [e.samples for e in drive.of(AudioReady) if np.abs(e.samples).max() > 0.1]

    assert len(speech(late)) == 10
    assert all(np.array_equal(a, b) for a, b in zip(speech(on_time), speech(late), strict=True))
    positions = [e.at for e in late.of(AudioReady)]
    assert positions == [SIZE * (i + 1) for i in range(len(positions))]


def test_skipped_room_is_not_heard_and_time_goes_on():
    drive = Drive(FakeEngine(keep=True))
    samples = np.repeat(np.arange(1, 11, dtype=np.float32) / 100, SIZE)
    drive.machine.receive_audio(samples, None, 0)
    drive.machine.receive_audio(np.zeros(SIZE, np.float32), None, 0)
    drive.tick()
    drive.now += PERIOD
    result = drive._step()
    for _ in range(6):
        drive.machine.miss_block(drive.now)
    drive.machine.skip_blocks(2, drive.now)
    drive._give(result)
    for _ in range(4):
        drive._give(drive._step())
    heard = [round(float(block[0]) * 100) for block in drive.engine.heard[0]]
    assert heard == [1, 2, 5, 6, 7, 8]
    assert [event.block for event in drive.of(BlockPlayed)] == list(range(8))


def test_mute_gives_zeros_and_time_goes_on():
    """What is said while muted is never heard, not even after unmuting."""
    drive = Drive(FakeEngine(keep=True), stamped=True)
    for i in range(9):
        if i == 3:
            drive.machine.mute(drive.now, "m1")
        if i == 6:
            drive.machine.unmute(drive.now)
        drive.machine.receive_audio(np.full(SIZE, (i + 1) / 100, np.float32), i * SIZE, drive.now)
        drive.tick()
    # Reading lies 40 ms behind: each block holds halves of two.
    tails = [round(float(block[-1]) * 100) for block in drive.engine.heard[0]]
    assert tails == [1, 2, 3, 0, 0, 0, 7, 8, 9]
    heads = [round(float(block[0]) * 100) for block in drive.engine.heard[0]]
    assert heads == [0, 1, 2, 0, 0, 0, 0, 7, 8]
    assert drive.of(MuteChanged) == [MuteChanged(True, "m1"), MuteChanged(False, None)]


def test_interrupted_reply_and_what_was_heard_of_it():
    """Words that the transport threw away at the cut are not heard; the epoch has grown."""
    drive = Drive(FakeEngine(speak_from=2, interrupt_at=5))
    for _ in range(8):
        drive.tick()
    started, ended = drive.of(SpeechStarted)[0], drive.of(SpeechEnded)[0]
    assert (started.epoch, ended.epoch, ended.reason) == (1, 2, "interrupted")
    cut_at = ended.at
    drive.machine.discard(cut_at - SIZE, cut_at)        # the last block before the cut never left
    drive.machine.report_played(cut_at - SIZE, drive.now)
    drive.machine.report_played(cut_at + SIZE, drive.now)
    heard = [event for event in drive.machine.events() if isinstance(event, SpeechHeard)]
    # word0 lies in blocks 0 and 1 of the reply, word1 in 2 and 3, word2 in 4, which was discarded.
    assert heard[-1] == SpeechHeard(1, "word0 word1", False, True)


def test_each_dropped_block_is_lost_where_it_lay():
    """Several blocks dropped one by one, as a slow WebSocket does: once all of them were taken for the last one, and
    the words of the earlier ones counted as heard."""
    drive = Drive(FakeEngine(speak_from=2, interrupt_at=7))
    for _ in range(10):
        drive.tick()
    cut_at = drive.of(SpeechEnded)[0].at
    for back in (4, 3, 2, 1):
        drive.machine.discard(cut_at - back * SIZE, cut_at - (back - 1) * SIZE)
    drive.machine.report_played(cut_at + SIZE, drive.now)
    heard = [event for event in drive.machine.events() if isinstance(event, SpeechHeard)]
    assert heard[-1] == SpeechHeard(1, "word0", False, True)


def test_unplayed_tail_reaches_the_model():
    """What was thrown away of the newest block did not sound: the own stream must not have it."""
    drive = Drive()
    for _ in range(4):
        drive.tick()
    end = drive.of(AudioReady)[-1].at + SIZE
    drive.machine.discard(end - 320, end)
    assert drive.machine.take_block(drive.now).unplayed == 320
    assert drive.machine.take_block(drive.now).unplayed == 0


def test_captions_lie_where_they_were_heard():
    drive = Drive(FakeEngine())
    drive.machine.receive_audio(np.full(30 * SIZE, 0.1, np.float32), None, 0)
    for _ in range(8):
        drive.tick()
    assert drive.of(UserText)[-1] == UserText("a", 5 * SIZE, 6 * SIZE)


def test_block_record_puts_both_sides_on_one_clock():
    """Room and output of one record sounded at the same time."""
    drive = Drive()
    drive.machine.receive_audio(np.full(20 * SIZE, 0.25, np.float32), None, 0)
    for _ in range(6):
        drive.tick()
    records = drive.of(BlockPlayed)
    assert [record.block for record in records] == list(range(6))
    assert all(abs(record.user_level - 0.25) < 1e-6 for record in records[1:])
    assert [record.agent_level > 0.1 for record in records] == [False, False, False, True, True, True]
    assert records[3].compute_us == 30_000 and records[3].speaking and not records[2].speaking


def test_limits_are_timers():
    machine = Machine(TINY, "s", SessionOptions(idle_s=5, length_s=12))
    machine.start(0, 0)
    assert machine.get_timer() == 5 * S
    machine.receive_audio(np.zeros(10, np.float32), None, 4 * S)
    machine.handle_timer(5 * S)
    assert machine.closed is None and machine.get_timer() == 9 * S
    machine.report_played(0, 8 * S)
    assert machine.get_timer() == 12 * S
    machine.handle_timer(12 * S)
    assert machine.closed.reason == "expired" and "12 s" in machine.closed.detail and machine.get_timer() is None


def test_idle_session_expires():
    machine = Machine(TINY, "s", SessionOptions(idle_s=5))
    machine.start(0, 0)
    machine.handle_timer(5 * S)
    assert machine.closed.reason == "expired" and "5 s" in machine.closed.detail


def test_nothing_follows_closed():
    """After the end every call is harmless: the engine may still bring a result."""
    drive = Drive()
    drive.tick()
    block = drive.machine.take_block(drive.now)
    drive.machine.close("close_requested")
    drive.machine.close("expired")
    events = drive.machine.events()
    assert [e for e in events if isinstance(e, SessionClosed)] == [SessionClosed("close_requested", "")]
    drive.machine.give_block(drive.engine.step({drive.slot: block})[drive.slot], 1, drive.now)
    drive.machine.receive_audio(np.zeros(10, np.float32), None, drive.now)
    drive.machine.report_played(5, drive.now)
    drive.machine.mute(drive.now)
    drive.machine.miss_block(drive.now)
    drive.machine.take_block(drive.now)
    assert drive.machine.events() == []


def test_lost_engine_ends_the_session():
    machine = Machine(TINY, "s")
    machine.start(0, 0)
    machine.engine_lost("the engine failed")
    assert machine.events()[-1] == SessionClosed("connection_lost", "engine_lost: the engine failed")


def test_timestamps_must_match_the_policy():
    with pytest.raises(ValueError, match="stamped"):
        Machine(TINY, "s", SessionOptions(stamped=True)).receive_audio(np.zeros(10, np.float32), None, 0)
