"""Sound card and talk with a stand-in for sounddevice, whose callbacks the tests call."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeEngine
from virtual_time import VirtualThread, run_virtual

from omni.base.events import AudioReady, SessionStarted, SpeechHeard, SpeechStarted
from omni.base.timebase import TINY
from omni.engine.worker import EngineWorker
from omni.session.session import Session
from omni.transport import microphone
from omni.transport.microphone import DeviceError, SoundCard
from omni.transport.talk import converse

SIZE = TINY.block_samples


class FakeBackend:
    """What `SoundCard` uses of sounddevice. `rates` are those the devices take."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *, rates=(16_000,), default_hz=48_000, channels=1, microphones=1, refuse: str = ""):
        self.rates, self.default_hz, self.channels, self.refuse = rates, default_hz, channels, refuse
        self.microphones = microphones
        self.default = SimpleNamespace(device=[0, 0])
        self.streams: list = []
        self.InputStream = self.OutputStream = self._open

    def query_devices(self, device=None, kind=None):
        info = {"name": "card", "max_input_channels": 1, "max_output_channels": 2,
                "default_samplerate": self.default_hz}
        if kind is None:
            return [info] * self.microphones
        if kind == "input" and not self.microphones:
            raise self.PortAudioError("Error querying device -1")
        if isinstance(device, str) and device not in "card":
            raise ValueError("No input device matching")
        return info

    def check_input_settings(self, *, device, channels, dtype, samplerate):
        if samplerate not in self.rates or channels != self.channels:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    check_output_settings = check_input_settings

    def _open(self, **options):
        if self.refuse:
            raise self.PortAudioError(f"Error opening InputStream: {self.refuse} [PaErrorCode -9985]")
        stream = SimpleNamespace(**options | {"latency": 0.03}, start=lambda: None, close=lambda: None)
        self.streams.append(stream)
        return stream

    def record(self, samples: np.ndarray) -> None:
        self.streams[0].callback(np.repeat(samples[:, None], self.channels, axis=1), len(samples), None, None)

    def playback(self, frames: int) -> np.ndarray:
        out = np.full((frames, self.channels), np.nan, np.float32)
        self.streams[1].callback(out, frames, None, None)
        return out[:, 0]


def _card(backend, heard=lambda samples, at: None, **options) -> SoundCard:
    return SoundCard(TINY, heard=heard, discarded=lambda start, end: None, backend=backend, **options)


async def test_capture_is_stamped_and_whole():
    backend, got = FakeBackend(), []
    async with _card(backend, lambda samples, at: got.append((at, samples))):
        sound = np.arange(1, 3201, dtype=np.float32) / 4_000
        for i in range(10):
            backend.record(sound[i * 320:(i + 1) * 320])
        await asyncio.sleep(0)
    assert [at for at, _ in got] == [320 * i for i in range(10)]
    assert np.array_equal(np.concatenate([samples for _, samples in got]), sound)


async def test_slow_event_loop_loses_the_oldest_and_keeps_time():
    """A queue that is full loses its oldest frames; zeros stand in their place."""
    backend, got = FakeBackend(), []
    card = _card(backend, lambda samples, at: got.append((at, samples)))
    async with card:
        for i in range(microphone.CAPTURE_QUEUE_FRAMES + 5):
            backend.record(np.full(320, i + 1, np.float32))
        await asyncio.sleep(0)
    heard = np.concatenate([samples for _, samples in got])
    assert card.counters.capture_lost == 5 * 320
    assert not heard[:5 * 320].any() and heard[5 * 320] == 6 and len(heard) == 105 * 320


async def test_other_rates_are_resampled_both_ways():
    """A card that knows only 48 kHz stereo: a tone keeps its frequency, its length and its place."""
    backend, got = FakeBackend(rates=(48_000,), channels=2), []
    async with _card(backend, lambda samples, at: got.append((at, samples))) as card:
        tone = np.sin(2 * np.pi * 500 * np.arange(48_000) / 48_000).astype(np.float32)
        for i in range(0, 48_000, 960):
            backend.record(tone[i:i + 960])
        await asyncio.sleep(0)
        for i in range(8):
            tone_16k = np.sin(2 * np.pi * 500 * np.arange(i * SIZE, (i + 1) * SIZE) / 16_000).astype(np.float32)
            card.play(AudioReady(i * SIZE, tone_16k, 0))
            if i == 0:
                played = [backend.playback(960)]
            else:
                played += [backend.playback(1_000) for _ in range(3)]
    heard = np.concatenate([samples for _, samples in got])
    ends = [at + len(samples) for at, samples in got]
    assert [at for at, _ in got][1:] == ends[:-1]
    assert 15_900 < len(heard) <= 16_000
    expected = np.sin(2 * np.pi * 500 * np.arange(len(heard)) / 16_000)
    assert np.abs(heard - expected)[200:].max() < 0.01
    sound = np.concatenate(played)
    assert np.isfinite(sound).all() and np.abs(np.abs(np.fft.rfft(sound)).argmax() * 48_000 / len(sound) - 500) < 5


async def test_playback_position_is_behind_what_was_pulled():
    backend = FakeBackend()
    async with _card(backend) as card:
        card.play(AudioReady(SIZE, np.full(SIZE, 0.1, np.float32), 0))
        assert card.played_at == 0
        for _ in range(4):
            backend.playback(320)
        assert card.played_at == 2 * SIZE - int(0.03 * 16_000)


async def test_unplugged_device_is_told():
    backend = FakeBackend()
    async with _card(backend) as card:
        backend.streams[0].finished_callback()
        error = await asyncio.wait_for(card.failed, 1)
    assert "microphone has stopped" in str(error)


@pytest.mark.parametrize(("backend", "options", "words"), [
    (FakeBackend(microphones=0), {}, "no microphone was found"),
    (FakeBackend(), {"input_device": "nonsense"}, "no microphone matches 'nonsense'"),
    (FakeBackend(rates=()), {}, "cannot be opened (Invalid sample rate)"),
])
def test_errors_name_the_device_and_what_to_do(backend, options, words):
    with pytest.raises(DeviceError) as refused:
        _card(backend, **options)
    assert words in str(refused.value) and "\n" not in str(refused.value)


async def test_device_that_refuses_to_open():
    with pytest.raises(DeviceError, match=r"cannot be opened \(Device unavailable\)"):
        async with _card(FakeBackend(refuse="Device unavailable")):
            pass


def test_list_of_devices():
    text = microphone.list_devices(FakeBackend())
    assert text.splitlines()[0].split() == ["*", "0", "card", "(microphone,", "speaker;", "48000", "Hz)"]
    with pytest.raises(DeviceError, match="no sound devices"):
        microphone.list_devices(FakeBackend(microphones=0))


def test_missing_portaudio_breaks_nothing_but_talk(tmp_path):
    """Without the library everything imports, and `omni talk` says in one line what to install."""
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    script = ("import sys; sys.path.insert(0, sys.argv[1])\n"
              "import omni.cli, omni.transport.talk, omni.transport.microphone, omni.serve.app\n"
              "assert 'sounddevice' not in sys.modules\n"
              "sys.exit(omni.cli.main(['talk']))\n")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "PortAudio library is not installed" in done.stderr


def test_whole_conversation_through_a_card():
    """Microphone to engine and back to the speaker, playback reported: the words count as heard."""
    engine = FakeEngine(speak_from=5, speak_until=15, keep=True)
    backend = FakeBackend()
    events: list = []

    async def main(loop):
        async def card_clock():
            played = []
            for i in range(200):
                await asyncio.sleep(0.02)
                if backend.streams:
                    backend.record(np.full(320, 0.1 if 20 < i < 100 else 0.0, np.float32))
                    played.append(backend.playback(320))
            return np.concatenate(played)

        thread = VirtualThread(loop)
        async with EngineWorker(engine, clock_ns=loop.clock_ns, executor=thread) as worker:
            def make(sink):
                return Session(worker, sink, stamped=True, clock_ns=loop.clock_ns)
            talking = asyncio.create_task(converse(make, TINY, events.append, backend=backend))
            played = await card_clock()
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            return played
    played = run_virtual(main)
    assert np.count_nonzero(np.abs(played) > 1e-3) > 9.5 * SIZE
    assert np.count_nonzero(np.concatenate(engine.heard[0])) == 79 * 320
    assert isinstance(events[0], SessionStarted) and any(isinstance(event, SpeechStarted) for event in events)
    heard = [event for event in events if isinstance(event, SpeechHeard)]
    assert heard[-1].final and not heard[-1].estimated and heard[-1].text == "word0 word1 word2 word3 word4"
