"""Microphone and speaker of this machine, through PortAudio (sounddevice), each on the clock and rate it has.

    microphone ─► callback thread ─► bounded queue ─► event loop ─► Resampler ─► heard(samples, at)
    speaker    ◄─ callback thread ◄─ Resampler ◄── OutgoingAudio (20 ms frames) ◄── play(block)

The callbacks never wait for the event loop: a full queue loses the oldest capture, an empty one plays silence.
sounddevice is imported when a device is looked for, not before: it needs the PortAudio library, which a server has not.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.audio.resampling import Resampler
from omni.audio.ring import Ring
from omni.base.errors import OmniError
from omni.base.events import AudioReady
from omni.base.timebase import Timebase
from omni.transport.outgoing import FRAME_MS, OutgoingAudio

CAPTURE_QUEUE_FRAMES = 100      # 2 s: an event loop that sleeps longer has lost that speech
LATENCY_S = 0.04                # asked of the device; it answers with what it can do
HEADPHONES = "There is no echo canceller in the terminal: wear headphones, or the agent hears itself from your speaker."


class DeviceError(OmniError):
    """A sound device cannot be used; the message says which and what to do."""

    code = "audio_device"


@dataclass(slots=True)
class CardCounters:
    """What went wrong so far.

    Attributes:
        capture_lost: samples at the device's rate that the event loop was too late for.
        overflows, underflows: times the device itself reported them.
    """

    capture_lost: int = 0
    overflows: int = 0
    underflows: int = 0


def load_backend() -> Any:
    """The sounddevice module.

    Raises:
        DeviceError: PortAudio is not installed.
    """
    try:
        import sounddevice
    except OSError:
        raise DeviceError("the PortAudio library is not installed (Debian, Ubuntu: apt install libportaudio2; "
                          "Fedora: dnf install portaudio)") from None
    return sounddevice


def list_devices(backend: Any = None) -> str:
    """A table of the sound devices, for people.

    Raises:
        DeviceError: PortAudio is not installed, or there is no device.
    """
    backend = backend or load_backend()
    devices = list(backend.query_devices())
    if not devices:
        raise DeviceError("this machine has no sound devices")
    default_in, default_out = backend.default.device[0], backend.default.device[1]
    lines = []
    for index, device in enumerate(devices):
        ways = [name for name, channels in (("microphone", device["max_input_channels"]),
                                            ("speaker", device["max_output_channels"])) if channels]
        mark = "*" if index in (default_in, default_out) else " "
        lines.append(f"{mark} {index:3}  {device['name']}  ({', '.join(ways)}; {device['default_samplerate']:.0f} Hz)")
    return "\n".join([*lines, "* default; choose others with --input and --output, by number or part of the name"])


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of one device: what to open it with.

    Attributes:
        device: number or part of the name; None for the default.
        rate_hz: the model's rate if the device takes it, else its own default.
        channels: 1 if the device takes it, else 2.
    """

    device: int | str | None
    rate_hz: int
    channels: int


def find(kind: str, device: int | str | None, model_rate_hz: int, backend: Any = None) -> Way:
    """How the device can be opened.

    Args:
        kind: "input" or "output".

    Raises:
        DeviceError: there is no such device, or it can be opened in no way we know.
    """
    backend = backend or load_backend()
    name = "microphone" if kind == "input" else "speaker"
    try:
        info = backend.query_devices(device, kind)
    except (backend.PortAudioError, ValueError):
        wanted = f"no {name} matches {device!r}" if device is not None else f"no {name} was found"
        raise DeviceError(f"{wanted}; `omni talk --list-devices` shows what there is") from None
    check = backend.check_input_settings if kind == "input" else backend.check_output_settings
    failure: Exception | None = None
    for rate_hz in dict.fromkeys((model_rate_hz, round(info["default_samplerate"]))):
        for channels in (1, 2):
            try:
                check(device=device, channels=channels, dtype="float32", samplerate=rate_hz)
                return Way(device, rate_hz, channels)
            except (backend.PortAudioError, ValueError) as error:
                failure = error
    raise DeviceError(f"the {name} {info['name']!r} cannot be opened ({_reason(failure)}): is it in use, or not "
                      "permitted to this program?")


class SoundCard:
    """A microphone and a speaker, open while the context lasts.

    Attributes:
        counters: what went wrong.
        failed: becomes the error if a device stops by itself (unplugged).
    """

    def __init__(self, timebase: Timebase, *, heard: Callable[[np.ndarray, int], None],
                 discarded: Callable[[int, int], None], input_device: int | str | None = None,
                 output_device: int | str | None = None, backend: Any = None):
        """Args:
            heard: called on the event loop with float32 samples at the model's rate and the stamp of the first.
            discarded: called on the event loop as by `OutgoingAudio`.
            input_device, output_device: number or part of the name; None for the default.
            backend: the sounddevice module, or a stand-in.

        Raises:
            DeviceError: PortAudio or a device is missing.
        """
        self._backend = backend = backend or load_backend()
        self._in = find("input", input_device, timebase.sample_rate_hz, backend)
        self._out = find("output", output_device, timebase.sample_rate_hz, backend)
        self.counters = CardCounters()
        self._timebase = timebase
        self._heard = heard
        self._to_model = Resampler(self._in.rate_hz, timebase.sample_rate_hz)
        self._to_device = Resampler(timebase.sample_rate_hz, self._out.rate_hz)
        self._outgoing = OutgoingAudio(timebase, discarded)
        self._lock = threading.Lock()       # _outgoing is pushed on the event loop and pulled by the callback
        self._ready = Ring(self._out.rate_hz)
        self._played_at = 0
        self._output_latency = 0            # samples at the model's rate
        self._captured: deque[tuple[int, np.ndarray]] = deque(maxlen=CAPTURE_QUEUE_FRAMES)
        self._num_captured = 0              # at the device's rate, by the callback
        self._num_taken = 0                 # at the device's rate, by the event loop
        self._num_heard = 0                 # at the model's rate
        self._streams: list[Any] = []
        self._closing = False

    async def __aenter__(self) -> "SoundCard":
        """Open and start both devices.

        Raises:
            DeviceError: a device cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[DeviceError] = self._loop.create_future()
        try:
            self._open("input", self._in, self._on_input)
            output = self._open("output", self._out, self._on_output)
            self._output_latency = int(output.latency * self._timebase.sample_rate_hz)
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(self, *_) -> None:
        """Stop both devices; what was not played is lost."""
        self._close()

    @property
    def played_at(self) -> int:
        """One past the last sample of the conversation's clock that has left the speaker, by the device's word."""
        return max(0, self._played_at - self._output_latency)

    def play(self, block: AudioReady) -> None:
        """Hand over one block; of an older epoch nothing more is played than a ramp."""
        with self._lock:
            self._outgoing.push(block)

    def _open(self, kind: str, way: Way, callback: Callable) -> Any:
        make = self._backend.InputStream if kind == "input" else self._backend.OutputStream
        name = "microphone" if kind == "input" else "speaker"
        try:
            stream = make(samplerate=way.rate_hz, channels=way.channels, dtype="float32", device=way.device,
                          blocksize=way.rate_hz * FRAME_MS // 1000, latency=LATENCY_S, callback=callback,
                          finished_callback=lambda: self._finished(name))
            self._streams.append(stream)
            stream.start()
        except (self._backend.PortAudioError, ValueError) as error:
            raise DeviceError(f"the {name} cannot be opened ({_reason(error)}): is it in use, or not permitted to this "
                              "program?") from None
        return stream

    def _close(self) -> None:
        self._closing = True
        for stream in self._streams:
            stream.close()
        self._streams.clear()

    # ---- on PortAudio's threads

    def _on_input(self, indata: np.ndarray, frames: int, time: Any, status: Any) -> None:
        self.counters.overflows += bool(status)
        self._captured.append((self._num_captured, indata.mean(axis=1)))
        self._num_captured += frames
        self._call_soon(self._take_captured)

    def _on_output(self, outdata: np.ndarray, frames: int, time: Any, status: Any) -> None:
        self.counters.underflows += bool(status)
        while len(self._ready) < frames:
            with self._lock:
                frame = self._outgoing.pull()
            self._played_at = frame.at
            self._ready.write(self._to_device.process(frame.samples))
        outdata[:] = self._ready.read(frames)[:, None]

    def _finished(self, name: str) -> None:
        if not self._closing:
            self._call_soon(self._fail, DeviceError(f"the {name} has stopped: was it unplugged?"))

    def _call_soon(self, call: Callable, *args) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            pass    # the loop has ended: the stream is being closed

    # ---- on the event loop

    def _take_captured(self) -> None:
        while self._captured:
            at, samples = self._captured.popleft()
            if lost := at - self._num_taken:
                # Zeros in the place of what was lost keep everything after it where it was said.
                self.counters.capture_lost += lost
                samples = np.concatenate((np.zeros(lost, np.float32), samples))
            self._num_taken = at + len(samples) - max(0, lost)
            resampled = self._to_model.process(samples)
            if len(resampled):
                self._heard(resampled, self._num_heard)
                self._num_heard += len(resampled)

    def _fail(self, error: DeviceError) -> None:
        if not self.failed.done():
            self.failed.set_result(error)


def _reason(error: Exception | None) -> str:
    """PortAudio's message without its codes, e.g. "Invalid sample rate"."""
    text = str(error.args[0]) if error and error.args else str(error)
    return text.split("[")[0].split("Stream:")[-1].strip()
