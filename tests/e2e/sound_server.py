"""A private PulseAudio with two null sinks: a microphone into which recordings are played, a speaker that is recorded.

    play() ─► sink "mic" ─► its monitor is the default source ─► the program under test
    record() ◄─ monitor ◄─ sink "speaker", the default sink ◄──── the program under test
"""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np

RATE_HZ = 16_000
START_S = 20.0


class SoundServer:
    """Runs while the context lasts, in a folder of its own; nothing of the machine's own sound is touched.

    Attributes:
        env: the environment in which programs find it, by PulseAudio and by ALSA.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._socket = folder / "native"
        alsa = folder / "asound.conf"
        alsa.write_text("</usr/share/alsa/alsa.conf>\n"
                        "pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        self.env = os.environ | {
            "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder / "pulse"),
            "PULSE_SERVER": f"unix:{self._socket}", "ALSA_CONFIG_PATH": str(alsa)}
        self._processes = contextlib.ExitStack()

    def __enter__(self) -> "SoundServer":
        script = self._folder / "server.pa"
        script.write_text("\n".join([
            f"load-module module-native-protocol-unix socket={self._socket} auth-anonymous=1",
            f"load-module module-null-sink sink_name=mic rate={RATE_HZ} channels=1",
            "load-module module-null-sink sink_name=speaker rate=48000 channels=2",
            "set-default-sink speaker", "set-default-source mic.monitor"]) + "\n")
        environment = {name: value for name, value in self.env.items() if name != "PULSE_SERVER"}
        with open(self._folder / "pulseaudio.log", "w") as log:
            self._server = subprocess.Popen(
                ["pulseaudio", "-n", "-F", str(script), "--daemonize=no", "--system=false", "--exit-idle-time=-1",
                 "--use-pid-file=no", "--disable-shm=yes", "--high-priority=no", "--realtime=no"],
                env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while subprocess.run(["pactl", "info"], env=self.env, capture_output=True).returncode:
            assert self._server.poll() is None and time.monotonic() < deadline, \
                (self._folder / "pulseaudio.log").read_text()
            time.sleep(0.1)
        return self

    def __exit__(self, *_) -> None:
        self._processes.close()
        _end(self._server)

    def play(self, recording: Path) -> subprocess.Popen:
        """Play a recording into the microphone, from now on."""
        process = subprocess.Popen(["paplay", "--device=mic", str(recording)], env=self.env)
        self._processes.callback(_end, process)
        return process

    def record(self, sink: str = "speaker") -> "Recording":
        """Record the speaker, or what is played into the microphone ("mic"), from now on."""
        recording = Recording(self._folder / f"{sink}-{time.monotonic_ns()}.raw", sink, self.env)
        self._processes.callback(recording.stop)
        return recording


class Recording:
    """What a sink is given."""

    def __init__(self, path: Path, sink: str, env: dict[str, str]):
        self._path = path
        self._file = open(path, "wb")
        self._process = subprocess.Popen(
            ["parec", f"--device={sink}.monitor", "--format=s16le", "--channels=1", f"--rate={RATE_HZ}",
             "--latency-msec=20"], env=env, stdout=self._file)

    @property
    def samples(self) -> np.ndarray:
        """All so far: float32 at 16 kHz."""
        raw = self._path.read_bytes()
        return np.frombuffer(raw[:len(raw) // 2 * 2], "<i2").astype(np.float32) / 32_768

    def audible(self, level: float = 0.02) -> tuple[float, float] | None:
        """Seconds from the start to the first and the last 20 ms that are louder than `level` (root mean square)."""
        samples = self.samples
        frames = samples[:len(samples) // 320 * 320].reshape(-1, 320)
        loud = np.flatnonzero(np.sqrt(np.mean(frames**2, axis=1)) > level)
        return None if not len(loud) else (float(loud[0] * 0.02), float((loud[-1] + 1) * 0.02))

    def stop(self) -> None:
        """End it; what was recorded stays. Idempotent."""
        _end(self._process)
        self._file.close()


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
