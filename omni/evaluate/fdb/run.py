"""An agent over every recording of the benchmark, and the files it leaves beside them."""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from omni.audio.files import write_wav
from omni.audio.resampling import resample
from omni.engine.engine import Engine
from omni.evaluate.conversation import Conversation
from omni.evaluate.fdb.layout import RATE_HZ, Sample, Word, read_recording, write_words
from omni.evaluate.fdb.made import Made


@dataclass(frozen=True, slots=True)
class Answer:
    """What the agent did in one recording.

    Attributes:
        samples: float32 (samples,) at 16 kHz, on the recording's clock and of its length.
        words: as they sounded, in order of time; every end is known.
    """

    samples: np.ndarray
    words: Sequence[Word]


MakeOutputs = Callable[[Sequence[np.ndarray]], Sequence[Answer]]
"""Recordings, float32 (samples,) at 16 kHz each, to one answer for each."""


def run(samples: Sequence[Sample], make_outputs: MakeOutputs, made: Made, *, batch_size: int = 1,
        resume: bool = False) -> int:
    """Write output.wav (16 kHz, mono) and output.json of every sample, and clean_output.* where there is a
    clean_input.wav.

    Files are written after each batch and appear whole or not at all: who breaks off keeps what is done, and goes on
    with `resume`.

    Args:
        made: knows which outputs are this model's, and is told of each batch.
        batch_size: recordings handed to `make_outputs` at once; the last time there may be fewer.
        resume: leave out recordings that have both files from this very model.

    Returns:
        how many recordings were run.

    Raises:
        MediaError: a recording cannot be read, or its folder cannot be written to.
        ValueError: `make_outputs` does not give one answer, of the same length, for each recording.
    """
    jobs = [(sample, prefix) for sample in samples for prefix in sample.task.prefixes
            if not (resume and is_done(sample, prefix) and made.has(sample, prefix))]
    made.forget(jobs)
    with tqdm(total=len(jobs), desc="recordings", file=sys.stderr, disable=None) as bar:
        for first in range(0, len(jobs), batch_size):
            batch = jobs[first:first + batch_size]
            users = [_read(sample, prefix) for sample, prefix in batch]
            answers = make_outputs(users)
            if [len(a.samples) for a in answers] != [len(u) for u in users]:
                raise ValueError("one answer, as long as the recording, is wanted for each recording")
            for (sample, prefix), answer in zip(batch, answers, strict=True):
                _write(sample, prefix, answer)
                bar.update()
            made.add(batch)
    return len(jobs)


def is_done(sample: Sample, prefix: str = "") -> bool:
    """Whether a recording's answer is there."""
    return all(sample.file(f"{prefix}output.{kind}").is_file() for kind in ("wav", "json"))


def agent_outputs(engine: Engine, *, seed: int = 0) -> MakeOutputs:
    """The agent of an engine, without an echo, in virtual time.

    As many conversations run at once as the engine has slots; where one ends, the next begins. Each has the same seed,
    so that its place does not matter. Whether tokens are drawn or decided greedily is the model's temperature.
    """
    rate, size = engine.timebase.sample_rate_hz, engine.timebase.block_samples

    def make_outputs(users: Sequence[np.ndarray]) -> list[Answer]:
        waiting, answers = deque(enumerate(users)), [None] * len(users)
        running: dict[int, tuple[int, np.ndarray, Conversation]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < engine.capacity:
                    index, user = waiting.popleft()
                    talk = Conversation(engine, seed=seed)
                    running[talk.slot] = index, resample(user, RATE_HZ, rate), talk
                results = engine.step({slot: talk.hear(_block(heard, talk.now, size))
                                       for slot, (_, heard, talk) in running.items()})
                for slot, result in results.items():
                    index, heard, talk = running[slot]
                    talk.take(result)
                    if talk.now >= len(heard):
                        answers[index] = _answer(talk, len(heard), len(users[index]))
                        engine.close(slot)
                        del running[slot]
        finally:
            for slot in running:
                engine.close(slot)
        return answers

    return make_outputs


def _block(samples: np.ndarray, at: int, size: int) -> np.ndarray:
    block = samples[at:at + size]
    return np.pad(block, (0, size - len(block)))


def _answer(talk: Conversation, num_samples: int, length: int) -> Answer:
    """What was said in the first `num_samples` of the model's, as `length` samples at 16 kHz."""
    agent = resample(talk.output(num_samples), talk.timebase.sample_rate_hz, RATE_HZ)
    seconds = talk.timebase.to_seconds
    words = [Word(w.text, seconds(w.start), seconds(w.end)) for w in talk.record.words(num_samples)
             if any(c.isalnum() for c in w.text)]
    return Answer(np.pad(agent, (0, max(0, length - len(agent))))[:length], words)


def _read(sample: Sample, prefix: str) -> np.ndarray:
    user, rate = read_recording(sample.file(f"{prefix}input.wav"))
    return resample(user, rate, RATE_HZ)


def _write(sample: Sample, prefix: str, answer: Answer) -> None:
    write_wav(sample.file(f"{prefix}output.wav"), answer.samples, RATE_HZ)
    since_s = sample.spans[0][1] if sample.task.kind == "interruption" else None
    write_words(sample.file(f"{prefix}output.json"), answer.words, since_s)
