"""`omni converse`: one full-duplex pass over a recording, as fast as the machine allows and without a clock."""

import contextlib
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from omni.audio.files import read_audio, read_mono, replacing, write_wav
from omni.audio.mixing import Echo
from omni.audio.resampling import resample
from omni.base.errors import ConfigError, MediaError
from omni.base.timebase import Timebase
from omni.engine.engine import Engine
from omni.evaluate.conversation import Conversation, run_pass

_LONG_BLOCKS = 250      # 20 s: below that a progress bar only flickers
_MAX_ECHO_DELAY_MS = 5_000


@dataclass(frozen=True, slots=True)
class Timings:
    """What a pass cost.

    Attributes:
        blocks: how many were run.
        block_ms: length of one.
        p50_ms, p95_ms, max_ms: compute per block.
        audio_s, compute_s: length of the recording; sum of the compute.
        real_time_factor: compute_s / audio_s; below 1 is faster than real time.
        threads: torch's threads within an operation.
        device: where the model ran.
    """

    blocks: int
    block_ms: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    audio_s: float
    compute_s: float
    real_time_factor: float
    threads: int
    device: str

    def __str__(self) -> str:
        return (f"{self.blocks} blocks of {self.block_ms} ms; compute per block p50 {self.p50_ms:.1f} ms, "
                f"p95 {self.p95_ms:.1f} ms, max {self.max_ms:.1f} ms; real-time factor {self.real_time_factor:.3f}")


def converse(engine: Engine, samples: np.ndarray, rate: int, out: Path, *, events: Path | None = None,
             stereo: bool = False, echo: Echo | None = None, seed: int = 0,
             title: str = "") -> tuple[Conversation, int]:
    """Run the pass and write its files; each appears whole or not at all.

    Args:
        samples: float32 (channels, samples) at `rate`, any of both; the channels are averaged.
        out: gets exactly the recording's rate and length, on its time: mono, or with `stereo` user left, agent right.
        events: gets one JSON object a line, in order of time, the last one a `summary`.
        title: names the progress bar of a long recording; empty for none.

    Returns:
        the finished conversation, and the recording's length in samples of the model.

    Raises:
        MediaError: a file cannot be written.
    """
    user = samples.mean(axis=0, dtype=np.float32)
    heard = resample(user, rate, engine.timebase.sample_rate_hz)
    long = title and len(heard) > _LONG_BLOCKS * engine.timebase.block_samples
    conversation = run_pass(engine, heard, seed=seed, echo=echo, progress=lambda blocks: tqdm(
        blocks, desc=title, unit="block", file=sys.stderr, disable=None if long else True, leave=False))
    agent = resample(conversation.output(len(heard)), engine.timebase.sample_rate_hz, rate)
    agent = np.pad(agent, (0, max(0, len(user) - len(agent))))[:len(user)]
    with contextlib.ExitStack() as files:
        if events is not None:
            write_lines(files.enter_context(replacing(events)), trace_of(conversation, len(heard)))
        write_wav(out, np.stack((user, agent)) if stereo else agent, rate)
    return conversation, len(heard)


def trace_of(conversation: Conversation, num_samples: int) -> list[dict]:
    """The events of a conversation and its summary."""
    return [*conversation.record.events(num_samples), conversation.record.summary(num_samples)]


def write_lines(path: Path, objects: list[dict]) -> None:
    """One JSON object a line, UTF-8."""
    path.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects), encoding="utf-8")


def measure(conversation: Conversation, num_samples: int, threads: int, device: str) -> Timings:
    """The timings of a finished pass over `num_samples`."""
    timebase = conversation.timebase
    costs_ms = np.asarray(conversation.compute_us, np.float64) / 1000
    p50, p95, longest = (round(float(np.percentile(costs_ms, p)), 3) for p in (50, 95, 100))
    audio_s, compute_s = num_samples / timebase.sample_rate_hz, float(costs_ms.sum()) / 1000
    return Timings(len(costs_ms), timebase.block_ms, p50, p95, longest, round(audio_s, 4), round(compute_s, 4),
                   round(compute_s / audio_s, 4), threads, device)


def parse_echo(text: str, timebase: Timebase) -> Echo:
    """GAIN_DB,DELAY_MS[,IR.wav] as an echo at the model's rate.

    Raises:
        ConfigError: not two numbers in range, or the response is silent.
        MediaError: the response cannot be read.
    """
    gain_text, _, rest = text.partition(",")
    delay_text, _, response_path = rest.partition(",")
    try:
        gain_db, delay_ms = float(gain_text), float(delay_text)
    except ValueError as error:
        raise ConfigError(f"--echo takes GAIN_DB,DELAY_MS[,IR.wav], not {text!r}") from error
    if not (math.isfinite(gain_db) and gain_db <= 40):
        raise ConfigError(f"--echo: a gain of {gain_text} dB makes no sense; usual are -40 to 0")
    if not 0 <= delay_ms <= _MAX_ECHO_DELAY_MS:
        raise ConfigError(f"--echo: a delay of {delay_text} ms is not within 0 and {_MAX_ECHO_DELAY_MS}")
    response = None
    if response_path:
        samples, rate = read_mono(response_path)
        response = resample(samples, rate, timebase.sample_rate_hz)
    try:
        return Echo(gain_db, round(delay_ms * timebase.sample_rate_hz / 1000), response)
    except ValueError as error:
        raise ConfigError(f"--echo: {error}") from error


def main(args) -> int:
    """The command: parsed arguments to exit code."""
    source, out = Path(args.source), Path(args.out)
    events, timings = (Path(name) if name else None for name in (args.events, args.timings))
    samples, rate = read_audio(source)      # what is refused is refused before the seconds a model takes to load
    _check_writable([path for path in (out, events, timings) if path], source)
    engine, threads = load_engine(args.model, args.device, args.threads)
    echo = parse_echo(args.echo, engine.timebase) if args.echo else None
    conversation, num_samples = converse(engine, samples, rate, out, events=events, stereo=args.stereo, echo=echo,
                                         seed=args.seed, title=source.name)
    cost = measure(conversation, num_samples, threads, args.device)
    print(cost, file=sys.stderr)
    if timings:
        with replacing(timings) as temporary:
            temporary.write_text(json.dumps(asdict(cost), indent=2) + "\n", encoding="utf-8")
    return 0


def load_engine(model: str, device: str, threads: int | None, capacity: int = 1) -> tuple[Engine, int]:
    """An engine with weights by name or path, and the number of torch threads it runs with.

    Raises:
        WeightsError: the weights are not there or do not fit.
        ConfigError: the device is not there.
    """
    import torch

    from omni.model.weights import load_model

    if threads is not None:
        torch.set_num_threads(threads)      # for reading the weights too
    try:
        loaded = load_model(model, device=device, packed=True)
        engine = Engine(loaded, capacity=capacity, device=device, threads=threads)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return engine, torch.get_num_threads()


def _check_writable(paths: list[Path], source: Path) -> None:
    """Refuse before the work what would fail after it."""
    for path in paths:
        if path.is_dir():
            raise MediaError(f"{path}: is a folder")
        if not path.parent.is_dir():
            raise MediaError(f"{path}: cannot be written (no such folder)")
        if path.exists() and path.samefile(source):
            raise MediaError(f"{path}: would replace the recording it is made from")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("two outputs have the same name")
