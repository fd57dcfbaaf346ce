"""What tests of Full-Duplex-Bench share: samples of tone, made by hand, a detector of such tones, and their scores."""

import json

import numpy as np

from omni.audio.files import write_wav
from omni.evaluate.fdb.layout import TASKS, Word, find_samples, write_words
from omni.evaluate.fdb.made import Made
from omni.evaluate.fdb.run import run
from omni.evaluate.fdb.score import score

RATE = 16_000
SPAN = {"pause.json": [{"text": "[PAUSE]", "timestamp": [1.0, 2.0]}],
        "turn_taking.json": [{"text": "[TURN-TAKING]", "timestamp": [2.0, 2.5]}],
        "interrupt.json": [{"context": "tell me a story", "interrupt": "stop", "timestamp": [1.5, 2.0]}],
        "metadata.json": {"context_text": "hello", "current_turn_text": "uh huh", "timestamps": [1.0, 1.5]}}
OUTPUTS = ("output.wav", "output.json")


def tone(seconds: float, *bursts: tuple[float, float], rate: int = RATE, channels: int = 1) -> np.ndarray:
    """Silence with bursts of tone from start to end, float32 (channels, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    on = sum(((start <= time) & (time < end) for start, end in bursts), np.zeros(len(time), bool))
    return np.tile((0.3 * np.sin(2 * np.pi * 440 * time) * on).astype(np.float32), (channels, 1))


def detect(samples: np.ndarray) -> list[tuple[float, float]]:
    """Bursts of tone, to 10 ms; any array is taken for 16 kHz, as the real detector does."""
    frames = samples[:len(samples) // 160 * 160].reshape(-1, 160)
    loud = np.concatenate(([False], np.sqrt(np.mean(frames ** 2, axis=1)) > 0.05, [False]))
    edges = np.flatnonzero(loud[1:] != loud[:-1]) / 100
    return [(float(start), float(end)) for start, end in edges.reshape(-1, 2)]


def words_at(*spans: tuple[float, float | None]) -> list[Word]:
    return [Word(f"w{i}", start, end) for i, (start, end) in enumerate(spans)]


def even(start: float, count: int, each: float = 0.25) -> list[Word]:
    """Words without a gap."""
    return words_at(*((start + i * each, start + (i + 1) * each) for i in range(count)))


class Bench:
    """A root that gets samples one by one."""

    def __init__(self, root):
        self.root = root
        self.tasks = {task.name: task for task in TASKS}

    def add(self, name: str, sample: str = "1", seconds: float = 4.0, rate: int = RATE, channels: int = 1,
            bursts: tuple = ((0.2, 1.0),)):
        task = self.tasks[name]
        folder = self.root / ("v1_5" if task.kind == "overlap" else "v1_0") / name / sample
        folder.mkdir(parents=True)
        for prefix in task.prefixes:
            write_wav(folder / f"{prefix}input.wav", tone(seconds, *bursts, rate=rate, channels=channels), rate)
        if task.annotation:
            (folder / task.annotation).write_text(json.dumps(SPAN[task.annotation]))
        return folder

    def answer(self, name: str, sample: str, words: list[Word], sound: tuple = (), out_rate: int = RATE, **add):
        """A sample with an output of 4 s."""
        folder = self.add(name, sample, **add)
        write_wav(folder / "output.wav", tone(4.0, *sound, rate=out_rate), out_rate)
        write_words(folder / "output.json", words, 2.0 if name == "synthetic_user_interruption" else None)
        return folder

    def samples(self):
        return find_samples(self.root)

    def run(self, make_outputs, model: str = "some", **options) -> int:
        samples = self.samples()
        return run(samples, make_outputs, Made(samples, model), **options)

    def score(self, human=None) -> dict:
        """(task, metric) to metric, and task to missing IDs."""
        found = {}
        for s in score(self.samples(), detect, human):
            found[s.task] = s.missing
            found.update({(s.task, m.name): m for m in s.metrics})
        return found
