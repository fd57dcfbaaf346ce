"""Scores of every task from the files in its folders: as published, and mended."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from omni.audio.resampling import resample
from omni.base.errors import ConfigError, MediaError
from omni.evaluate.fdb import formulas
from omni.evaluate.fdb.detector import Detector
from omni.evaluate.fdb.layout import (
    RATE_HZ,
    REFERENCE,
    TASKS,
    Sample,
    Span,
    Task,
    read_recording,
    read_words,
    write_json,
)

# Files a sample is scored from; without the first it cannot be scored at all.
_NEEDED = {"pause": ("output.json",), "turn": ("output.json",), "interruption": ("output.json",),
           "backchannel": ("output.wav", "output.json"), "overlap": ("output.wav",)}

_PAUSE = "only speech that sounds within a pause counts: no greeting before it, no answer after the turn"
_ANSWER = ("only speech that begins 0.25 s before the end of the user or later counts: no greeting, and no agent that "
           "never stops")
_CLIPPED = "of the same answers; an early one is negative, and an exact 0 counts"
_MEANS = "published are means only"
_ANY = "any takeover counts, not the last segment alone; samples without output.json do not; any rate is read right"
_NOT_BOTH = "a segment that is a takeover is no backchannel"
_BOUND = f"no backchannels give the bound {formulas.JSD_BOUND:.3f}, not 1, which would be worse than chance"
_OWN_STOP = "from the start of the annotated overlap until the agent is silent; published ends where the user does"
_OWN_RESPONSE = "from the end of the annotated overlap alone; published counts every gap"


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of one task, twice.

    Attributes:
        name: with its unit.
        wanted: "lower", "higher", or nothing where the benchmark wants neither.
        published, mended: None where there is nothing to take the mean of.
        num_published, num_mended: values behind it: samples, or intervals.
        mending: what was mended, in one line.
    """

    name: str
    wanted: str
    published: float | None
    mended: float | None
    num_published: int
    num_mended: int
    mending: str


@dataclass(frozen=True, slots=True)
class TaskScore:
    """The numbers of one task.

    Attributes:
        samples: how many there are.
        missing: IDs of those whose outputs are not there.
        notes: what else should be known.
    """

    task: str
    samples: int
    missing: tuple[str, ...]
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...] = ()


def needs_detector(samples: Sequence[Sample]) -> bool:
    """Whether some of the samples are scored by detected speech."""
    return any(sample.task.kind in ("backchannel", "overlap") for sample in samples)


def score(samples: Sequence[Sample], detect: Detector | None = None,
          human: Mapping[str, np.ndarray] | None = None) -> list[TaskScore]:
    """Score every task that has samples, in the order of `TASKS`.

    v1.5 samples get latency_intervals.json, as the public script writes it.

    Args:
        detect: finds speech; needed if `needs_detector(samples)`.
        human: see `omni.evaluate.fdb.layout.read_reference`; without it there is no divergence.

    Raises:
        ConfigError: there is no output in any sample.
        MediaError: an output cannot be read, or `human` lacks an ID.
        ValueError: a detector is needed and is not given.
    """
    if needs_detector(samples) and detect is None:
        raise ValueError("these samples are scored by detected speech, and there is no detector")
    scores = [_score(task, of_task, detect, human) for task in TASKS
              if (of_task := [sample for sample in samples if sample.task == task])]
    if all(len(s.missing) == s.samples for s in scores):
        raise ConfigError("nothing to score: no sample has an output yet")
    return scores


def table(scores: Sequence[TaskScore]) -> str:
    """Task by metric: what is wanted, the published and the mended mean, how many values each is of; below it, what was
    mended and what is missing."""
    lines = [f"{'task':29}{'metric':16}{'wanted':8}{'published':>14}{'mended':>14}"]
    mendings: dict[tuple[str, str], list[str]] = {}
    for s in scores:
        for m in s.metrics:
            lines.append(f"{s.task:29}{m.name:16}{m.wanted:8}{_number(m.published, m.num_published):>14}"
                         f"{_number(m.mended, m.num_mended):>14}")
            mendings.setdefault((m.name, m.mending), []).append(s.task)
    lines += ["", *(f"{name} of {', '.join(tasks)}: {mending}" for (name, mending), tasks in mendings.items())]
    lines += [f"{s.task}: no output for {len(s.missing)} of {s.samples}" for s in scores if s.missing]
    lines += [f"{s.task}: {note}" for s in scores for note in s.notes]
    return "\n".join(lines)


def _score(task: Task, samples: Sequence[Sample], detect: Detector | None,
           human: Mapping[str, np.ndarray] | None) -> TaskScore:
    needed = _NEEDED[task.kind]
    there = [sample for sample in samples if sample.file(needed[0]).is_file()]
    missing = [sample.folder.name for sample in samples if not all(sample.file(name).is_file() for name in needed)]
    notes = (f"no {REFERENCE}: copy it from the benchmark's evaluation scripts into the root",) \
        if task.kind == "backchannel" and human is None else ()
    shown = tqdm(there, desc=task.name, file=sys.stderr, disable=None, leave=False)
    if task.kind == "pause":
        metrics = _pauses(shown)
    elif task.kind == "backchannel":
        metrics = _backchannels(shown, detect, human)
    elif task.kind == "overlap":
        metrics = _overlaps(shown, detect, yields=task.name == "user_interruption")
    else:
        metrics = _answers(shown, task)
    return TaskScore(task.name, len(samples), tuple(missing), tuple(metrics), notes)


def _pauses(samples: Iterable[Sample]) -> list[Metric]:
    published, mended = [], []
    for sample in samples:
        words = read_words(sample.file("output.json"))
        published.append(formulas.takes_turn(words))
        mended.append(formulas.takes_turn(formulas.within_pauses(words, sample.spans)))
    return [_metric("TOR", "lower", published, mended, _PAUSE)]


def _answers(samples: Iterable[Sample], task: Task) -> list[Metric]:
    """Smooth turns and interruptions: takeover and latency after the turn's end, or the interruption's."""
    published: list[float | None] = []
    mended: list[float | None] = []
    for sample in samples:
        path = sample.file("output.json")
        interrupts = task.kind == "interruption"
        since_s = sample.spans[0][1 if interrupts else 0]
        published.append(formulas.latency(read_words(path), since_s))
        answer = formulas.answering(read_words(path, whole=True), since_s)
        mended.append(formulas.latency(answer, since_s))
    clipped = [max(0.0, x) for x in published if x is not None and not (task.kind == "interruption" and x == 0)]
    own = [x for x in mended if x is not None]
    return [_metric("TOR", "higher", [x is not None for x in published], [x is not None for x in mended], _ANSWER),
            _metric("latency, s", "lower", clipped, own, _CLIPPED),
            _metric("latency p50, s", "lower", [], own, _MEANS, lambda values: np.quantile(values, 0.5)),
            _metric("latency p90, s", "lower", [], own, _MEANS, lambda values: np.quantile(values, 0.9))]


def _backchannels(samples: Iterable[Sample], detect: Detector,
                  human: Mapping[str, np.ndarray] | None) -> list[Metric]:
    takeovers, frequencies, distances = ([], []), ([], []), ([], [])    # published, mended

    def add(which: int, backchannels: Sequence[Span], length_s: float, sample: Sample, silent: float) -> None:
        frequencies[which].append(len(backchannels) / length_s)
        if human is not None:
            if sample.folder.name not in human:
                raise MediaError(f"{REFERENCE}: nothing for {sample.folder.name}")
            distance = formulas.divergence(backchannels, length_s, human[sample.folder.name])
            distances[which].append(silent if distance is None else distance)

    last = None
    for sample in samples:
        audio, rate = read_recording(sample.file("output.wav"))
        length_s = len(audio) / rate
        misread = formulas.tenths(detect(audio), len(audio) / RATE_HZ)      # as published: any file is 16 kHz
        if not sample.file("output.json").is_file():
            takeovers[0].extend([] if last is None else [last])
            add(0, [], length_s, sample, 1.0)
            continue
        words = read_words(sample.file("output.json"))
        last, backchannels = formulas.published_backchannels(misread, words)
        takeovers[0].append(last)
        add(0, backchannels, length_s, sample, 1.0)
        segments = misread if rate == RATE_HZ else formulas.tenths(detect(resample(audio, rate, RATE_HZ)), length_s)
        takeover, backchannels = formulas.mended_backchannels(segments, words)
        takeovers[1].append(takeover)
        add(1, backchannels, length_s, sample, formulas.JSD_BOUND)
    return [_metric("TOR", "lower", *takeovers, _ANY), _metric("frequency, 1/s", "higher", *frequencies, _NOT_BOTH),
            _metric("JSD", "lower", *distances, _BOUND)]


def _overlaps(samples: Iterable[Sample], detect: Detector, yields: bool) -> list[Metric]:
    stops, responses = ([], []), ([], [])       # published, mended
    for sample in samples:
        user, agent = (_speech(sample, name, detect) for name in ("input.wav", "output.wav"))
        user = formulas.merge(user, formulas.USER_GAP_S)
        agent = formulas.merge(agent, formulas.AGENT_GAP_S)
        intervals = {"latency_stop_list": formulas.stop_intervals(user, agent),
                     "latency_resp_list": formulas.response_intervals(user, agent)}
        write_json(sample.file("latency_intervals.json"), intervals)
        stops[0].extend(end - start for start, end in intervals["latency_stop_list"])
        responses[0].extend(end - start for start, end in intervals["latency_resp_list"])
        stops[1].append(formulas.time_to_stop(sample.spans[0], agent))
        responses[1].append(formulas.time_to_respond(sample.spans[0], agent))
    return [_metric("stop, s", "lower" if yields else "higher", *stops, _OWN_STOP),
            _metric("response, s", "lower" if yields else "", *responses, _OWN_RESPONSE)]


def _speech(sample: Sample, name: str, detect: Detector) -> list[Span]:
    audio, rate = read_recording(sample.file(name))
    return detect(resample(audio, rate, RATE_HZ))


def _metric(name: str, wanted: str, published: Sequence[float | None], mended: Sequence[float | None], mending: str,
            reduce: Callable[[Sequence[float]], float] = np.mean) -> Metric:
    """The means (or what `reduce` makes) of what is not None."""
    kept = [[float(x) for x in values if x is not None] for values in (published, mended)]
    numbers = (round(float(reduce(values)), 4) if values else None for values in kept)
    return Metric(name, wanted, *numbers, *map(len, kept), mending)


def _number(value: float | None, count: int) -> str:
    return "-" if value is None else f"{value:.3f} ({count})"
