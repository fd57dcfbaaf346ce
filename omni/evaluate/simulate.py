"""`omni simulate`: a scripted conversation in virtual time, and whether the agent did what was expected.

The loop is reactive block by block: what the user does in block i + 1 may depend on what the agent decided from block
i, as it may between people, and on nothing later.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from omni.audio.files import read_mono, replacing, write_wav
from omni.audio.mixing import Echo, bed, gain
from omni.audio.resampling import resample
from omni.base import config
from omni.base.errors import MediaError, ScriptError
from omni.base.timebase import Timebase
from omni.engine.engine import Engine
from omni.evaluate.conversation import Conversation
from omni.evaluate.converse import load_engine, write_lines
from omni.evaluate.record import Record
from omni.evaluate.scenario import Scenario, Turn, load_scenario, resolve_recording, resolve_script
from omni.evaluate.timeline import draw
from omni.evaluate.verdicts import TurnSpan, Verdict, judge

_FADE = 80      # 5 ms at 16 kHz, at both ends of a turn, so that a cut recording does not click
_FRAME = 320    # 20 ms
_SPEECH_DB = 30     # a frame this far below a recording's loudest is no speech


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished simulation.

    Attributes:
        user, agent: float32 (samples,), what both sides sounded; the noise bed is on the user's side, the echo is not.
        record: what the agent did.
        turns: where the user's turns came to lie, in order of time; those that never came are missing.
        verdicts: of the expectations, in the script's order.
    """

    user: np.ndarray
    agent: np.ndarray
    record: Record
    turns: tuple[TurnSpan, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def held(self) -> bool:
        """Whether every expectation was met."""
        return all(verdict.held for verdict in self.verdicts)


class User:
    """The user's side of a script: knows its recordings, and decides in each block what begins.

    Attributes:
        placed: turns that have begun.
    """

    def __init__(self, scenario: Scenario, script: Path, timebase: Timebase):
        """Args:
            script: its folder is searched for the recordings first.

        Raises:
            ScriptError: a recording is not there, or the part asked for is not in it.
            MediaError: a recording cannot be used.
        """
        self.placed: dict[str, TurnSpan] = {}
        self._timebase = timebase
        self._waiting = list(scenario.user)
        self._samples = {turn.name: _recording(turn, script, timebase) for turn in scenario.user}
        size = round(scenario.length_s * timebase.sample_rate_hz)
        self.num_samples = size
        self._track = _noise(scenario, script, timebase, -(-size // timebase.block_samples) * timebase.block_samples)

    def block(self, at: int, record: Record) -> np.ndarray:
        """What the user's side sounds in the block that begins at sample `at`, given what happened before it."""
        for turn in list(self._waiting):
            moment = self._moment(turn, record, at)
            if moment is not None and moment < at + self._timebase.block_samples:
                self._waiting.remove(turn)
                self._place(turn, max(moment, at))
        return self._track[at:at + self._timebase.block_samples]

    @property
    def track(self) -> np.ndarray:
        """All that sounds on the user's side."""
        return self._track[:self.num_samples]

    def _moment(self, turn: Turn, record: Record, now: int) -> int | None:
        """Sample at which a turn begins, or None as long as that is unknown."""
        when, plus = turn.when, self._count(turn.when.plus_s)
        if when.at_s is not None:
            return self._count(when.at_s) + plus
        if when.after is not None:
            return self.placed[when.after].end + plus if when.after in self.placed else None
        if when.silent_s is not None:
            return self._silence_ends(self._count(when.silent_s), record, now, plus)
        if when.word is not None:
            words = [w for w in record.words(now + self._timebase.block_samples) if not w.cut]
            return words[when.word - 1].end + plus if len(words) >= when.word else None
        if when.start_speak is not None:
            starts = [r.start for r in record.replies]
            return starts[when.start_speak - 1] + plus if len(starts) >= when.start_speak else None
        ends = [r.silent_at for r in record.replies if r.end is not None]
        return ends[when.end_speak - 1] + plus if len(ends) >= when.end_speak else None

    def _silence_ends(self, patience: int, record: Record, now: int, plus: int) -> int | None:
        if record.holds_floor(now) or any(span.end > now for span in self.placed.values()) or not self.placed:
            return None
        since = max([span.end for span in self.placed.values()] + [r.silent_at for r in record.replies if r.silent_at])
        return since + patience + plus if now >= since + patience else None

    def _place(self, turn: Turn, start: int) -> None:
        samples = self._samples[turn.name]
        first, last = speech_span(samples)
        self.placed[turn.name] = TurnSpan(turn.name, start, start + len(samples), start + first, start + last)
        room = self._track[start:start + len(samples)]
        room += samples[:len(room)]

    def _count(self, seconds: float) -> int:
        return round(seconds * self._timebase.sample_rate_hz)


def simulate(engine: Engine, scenario: Scenario, script: Path, *, seed: int = 0) -> Outcome:
    """Run a script to its end.

    Args:
        seed: of the model's random generator.

    Raises:
        ScriptError, MediaError: a recording is missing or cannot be used.
    """
    timebase = engine.timebase
    user = User(scenario, script, timebase)
    echo = _echo(scenario, script, timebase)
    with Conversation(engine, seed=seed, instructions=scenario.instructions, echo=echo) as c:
        while c.now < user.num_samples:
            c.step(user.block(c.now, c.record))
    turns = tuple(sorted(user.placed.values(), key=lambda span: span.start))
    verdicts = judge(scenario.expect, c.record, user.placed, user.num_samples)
    return Outcome(user.track, c.output(user.num_samples), c.record, turns, tuple(verdicts))


def trace(outcome: Outcome) -> list[dict]:
    """Events of both sides in order of time, the verdicts, and the summary."""
    num_samples = len(outcome.user)
    seconds = outcome.record.timebase.to_seconds
    lines = outcome.record.events(num_samples)
    for span in outcome.turns:
        lines.append({"at": seconds(span.start), "type": "user_turn", "name": span.name, "from": seconds(span.start),
                      "to": seconds(span.end), "speech_from": seconds(span.speech_start),
                      "speech_to": seconds(span.speech_end)})
    lines.sort(key=lambda line: line["at"])
    return [*lines, outcome.record.summary(num_samples)]


def write_outcome(folder: Path, scenario: Scenario, outcome: Outcome, *, seed: int, model: str) -> None:
    """Write conversation.wav (user left, agent right), trace.jsonl, timeline.png and verdicts.json into `folder`.

    Equal outcomes give equal files.

    Raises:
        MediaError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{folder}: cannot be made ({(error.strerror or 'no access').lower()})") from error
    timebase = outcome.record.timebase
    write_wav(folder / "conversation.wav", np.stack((outcome.user, outcome.agent)), timebase.sample_rate_hz)
    with replacing(folder / "trace.jsonl") as path:
        write_lines(path, trace(outcome))
    verdicts = [{**asdict(v), "start": timebase.to_seconds(v.start), "end": timebase.to_seconds(v.end)}
                for v in outcome.verdicts]
    report = {"title": scenario.title, "held": outcome.held, "verdicts": verdicts, "model": model, "seed": seed,
              "scenario": config.to_plain(scenario), "fingerprint": config.fingerprint(scenario)}
    with replacing(folder / "verdicts.json") as path:
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(folder / "timeline.png") as path:
        draw(path, scenario.title, outcome.user, outcome.agent, outcome.record, outcome.turns, outcome.verdicts)


def main(args) -> int:
    """The command: 0 if every expectation was met, 1 if not; a wrong script raises."""
    script = resolve_script(args.script)
    scenario = load_scenario(script)
    for turn in scenario.user:      # a missing recording is told before a model is loaded
        resolve_recording(turn.play, script)
    engine, _ = load_engine(args.model, args.device, args.threads)
    outcome = simulate(engine, scenario, script, seed=args.seed)
    write_outcome(Path(args.out), scenario, outcome, seed=args.seed, model=args.model)
    for verdict in outcome.verdicts:
        print(f"{'held  ' if verdict.held else 'FAILED'}  {verdict.expected}: {verdict.detail}")
    met = sum(v.held for v in outcome.verdicts)
    print(f"{scenario.title}: {met} of {len(outcome.verdicts)} expectations held", file=sys.stderr)
    return 0 if outcome.held else 1


def speech_span(samples: np.ndarray) -> tuple[int, int]:
    """First sample and one past the last of a recording's speech: frames of 20 ms within 30 dB of the loudest.

    A detector for judging recordings known in advance; nothing of the agent hears by it.
    """
    frames = np.pad(samples, (0, -len(samples) % _FRAME)).reshape(-1, _FRAME)
    energies = np.mean(np.square(frames, dtype=np.float64), axis=1)
    loud = np.flatnonzero(energies >= max(energies.max() * 10 ** (-_SPEECH_DB / 10), 1e-12))
    if not len(loud):
        return 0, len(samples)
    return int(loud[0]) * _FRAME, min(int(loud[-1] + 1) * _FRAME, len(samples))


def _recording(turn: Turn, script: Path, timebase: Timebase) -> np.ndarray:
    samples, rate = read_mono(resolve_recording(turn.play, script))
    start, end = round(turn.from_s * rate), len(samples) if turn.to_s is None else round(turn.to_s * rate)
    if not start < end <= len(samples):
        raise ScriptError(f"{script.name}: {turn.play} has {len(samples) / rate:.2f} s, so there is no part from "
                          f"{turn.from_s:g} to {end / rate:g} s")
    samples = resample(samples[start:end], rate, timebase.sample_rate_hz) * np.float32(gain(turn.gain_db))
    fade = min(_FADE, len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    samples[:fade] *= ramp
    samples[len(samples) - fade:] *= ramp[::-1]
    return samples


def _noise(scenario: Scenario, script: Path, timebase: Timebase, count: int) -> np.ndarray:
    """The bed, at its level."""
    if scenario.noise.file is None:
        samples = _pink(count, scenario.seed)
    else:
        found, rate = read_mono(resolve_recording(scenario.noise.file, script))
        found = resample(found, rate, timebase.sample_rate_hz)
        try:
            samples = bed(found, count)
        except ValueError as error:
            raise ScriptError(f"{script.name}: noise: {error}") from error
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return samples * np.float32(gain(scenario.noise.level_db) / max(level, 1e-9))


def _pink(count: int, seed: int) -> np.ndarray:
    """Noise whose power falls by 3 dB an octave from 20 Hz on, float32 (count,)."""
    size = 1 << max(count, 16).bit_length()
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(size))
    bins = np.arange(len(spectrum)) * 16_000 / size
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(bins, 20.0)), size)[:count].astype(np.float32)


def _echo(scenario: Scenario, script: Path, timebase: Timebase) -> Echo | None:
    if scenario.echo is None:
        return None
    response = None
    if scenario.echo.response is not None:
        samples, rate = read_mono(resolve_recording(scenario.echo.response, script))
        response = resample(samples, rate, timebase.sample_rate_hz)
    try:
        return Echo(scenario.echo.gain_db, round(scenario.echo.delay_ms * timebase.sample_rate_hz / 1000), response)
    except ValueError as error:
        raise ScriptError(f"{script.name}: echo: {error}") from error
