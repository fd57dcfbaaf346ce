"""`omni talk` on virtual sound devices: speech goes into the microphone, an answer comes out of the speaker."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import need
from reacting import ReactingEngine
from sound_server import SoundServer

from omni.base.config import build, data_path
from omni.engine.worker import EngineWorker
from omni.serve.command import serving
from omni.serve.config import ServeConfig

pytestmark = [pytest.mark.sound, pytest.mark.realtime]

RECORDINGS = data_path("configs", "evaluate", "recordings")
WITH_STAND_IN = """
import omni.cli
import sys
from unittest import mock
from reacting import ReactingEngine
with mock.patch("omni.model.weights.load_model"), \\
        mock.patch("omni.engine.engine.Engine", lambda model, **options: ReactingEngine()):
    sys.exit(omni.cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    need("pulseaudio")
    need("portaudio")
    with SoundServer(tmp_path_factory.mktemp("sound")) as server:
        yield server


class Talk:
    """A running `omni talk`, its output gathered line by line."""

    def __init__(self, sound: SoundServer, command: list[str]):
        here = str(Path(__file__).parent)
        env = sound.env | {"PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def said(self, who: str) -> list[str]:
        """Committed lines of one side."""
        return [line[4:].strip() for line in self.lines if line[:4].strip() == who]

    def wait_for(self, who: str, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while not self.said(who):
            assert self.process.poll() is None and time.monotonic() < deadline, "\n".join(self.lines)
            time.sleep(0.02)
        return self.said(who)[0]

    def end(self) -> int:
        """Ctrl-C; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("Ctrl-C did not end it") from None
        self._reader.join(5)
        self.process.stdout.close()
        return code


def _hold(sound: SoundServer, command: list[str], recording: str, seconds: float) -> tuple[Talk, float]:
    """Start talking, play a recording, wait, press Ctrl-C. Gives the talk, and seconds from the end of the speech at
    the microphone to the first sound from the speaker."""
    talk = Talk(sound, command)
    try:
        talk.wait_for("--", 60)
        speaker, microphone = sound.record(), sound.record("mic")
        time.sleep(0.5)
        assert speaker.audible() is None, "it speaks without being asked"
        playing = sound.play(RECORDINGS / recording)
        assert playing.wait(30) == 0
        deadline = time.monotonic() + seconds
        while speaker.audible() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)
        answer, question = speaker.audible(), microphone.audible()
        speaker.stop()
        microphone.stop()
    finally:
        code = talk.end()
    text = "\n".join(talk.lines)
    assert code == 0 and "Traceback" not in text and "ended" in talk.lines[-1], text
    assert answer is not None, f"no answer within {seconds:g} s\n{text}"
    return talk, answer[0] - question[1]


def test_answers_from_this_process(sound):
    """Microphone to speaker with a stand-in for the model; Ctrl-C ends it and the line shows what was heard."""
    talk, _ = _hold(sound, [sys.executable, "-c", WITH_STAND_IN, "talk"], "order_cappuccino.flac", 10)
    assert talk.said("omni")[-1].startswith("Once there was")
    assert any("headphones" in line for line in talk.lines)


async def test_answers_from_a_server(sound):
    """The same through a server: `--server URL`."""
    async with EngineWorker(ReactingEngine()) as worker:
        serve = serving(build(ServeConfig, {"port": 0}), worker)
        async with serve:
            command = [sys.executable, "-m", "omni", "talk", "--server", f"http://127.0.0.1:{serve.port}"]
            talk, _ = await asyncio.to_thread(_hold, sound, command, "order_cappuccino.flac", 10)
    assert talk.said("omni")[-1].startswith("Once there was")


def test_shipped_model_answers(sound):
    """A spoken order into the microphone, a spoken answer out of the speaker, by the model that comes with omni."""
    import omni

    if not (Path(omni.__file__).parent / "weights" / "tiny" / "config.yaml").exists():
        pytest.skip("no weights are shipped")
    talk, delay_s = _hold(sound, [sys.executable, "-m", "omni", "talk"], "order_cappuccino.flac", 10)
    print(f"end of speech at the microphone -> first sound at the speaker: {delay_s * 1000:.0f} ms")
    assert talk.said("omni") and talk.said("omni")[-1].strip("- ")


def test_list_of_devices(sound):
    done = subprocess.run([sys.executable, "-m", "omni", "talk", "--list-devices"], env=sound.env,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "default" in done.stdout and "microphone" in done.stdout, done.stderr


@pytest.mark.parametrize(("flags", "words"), [
    (["--input", "no-such-thing"], "no microphone matches 'no-such-thing'"),
    (["--server", "http://127.0.0.1:1"], "cannot be reached"),
])
def test_errors_are_one_line(sound, flags, words):
    done = subprocess.run([sys.executable, "-m", "omni", "talk", *flags], env=sound.env, capture_output=True,
                          text=True, timeout=60)
    errors = [line for line in done.stderr.splitlines() if line.startswith("omni talk:")]
    assert done.returncode == 2 and len(errors) == 1 and words in errors[0], done.stderr
    assert "Traceback" not in done.stderr


def test_recorder_hears_what_is_played(sound):
    """The yardstick itself: a tone played into the speaker's sink is recorded, silence is not."""
    speaker = sound.record()
    time.sleep(0.5)
    assert speaker.audible() is None
    tone = (np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000) * 16_000).astype("<i2").tobytes()
    subprocess.run(["pacat", "--device=speaker", "--format=s16le", "--rate=16000", "--channels=1"], input=tone,
                   env=sound.env, check=True)
    time.sleep(0.5)
    speaker.stop()
    began_s, ended_s = speaker.audible()
    assert 0.4 < ended_s - began_s < 0.6
