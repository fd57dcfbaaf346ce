"""The first panel of numbers for a set of weights: real orders, who makes the agent yield, when it must stay silent,
and whether its voice is understood.

Run `python -m omni.evaluate.panel --weights tiny` with OMNI_DATA_DIR set; it needs espeak-ng and flite for the unseen
synthetic voices. Every recording is one that training never saw (speakers, voices and clips kept apart by
`omni.data.recordings` and `omni.data.voices`). Conversations run in virtual time, sixteen to a batch.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from omni.base.events import BlockInput, BlockResult
from omni.data import recordings, voices
from omni.data.recordings import active_span
from omni.engine.engine import Engine
from omni.evaluate import voice
from omni.model.weights import config_fingerprint, fingerprint, load_model

RATE_HZ, BLOCK = 16_000, 1280
_QUESTIONS = ["what is two plus three", "can i have a large latte with milk", "what is seven minus four",
              "can i get a small mocha please", "who are you and what can you do"]


def run(engine: Engine, users: Sequence[np.ndarray], name: str) -> list[list[BlockResult]]:
    """One pass of each recording, `engine.capacity` at a time; the results of every block."""
    found: list[list[BlockResult]] = []
    for first in tqdm(range(0, len(users), engine.capacity), desc=name, leave=False):
        batch = [np.pad(u, (0, -len(u) % BLOCK)).reshape(-1, BLOCK) for u in users[first:first + engine.capacity]]
        slots = [engine.open(seed=i) for i in range(len(batch))]
        results: list[list[BlockResult]] = [[] for _ in batch]
        for i in range(max(map(len, batch))):
            inputs = {s: BlockInput(b[i].copy()) for s, b in zip(slots, batch, strict=False) if i < len(b)}
            out = engine.step(inputs)
            for k, slot in enumerate(slots):
                if slot in out:
                    results[k].append(out[slot])
        for slot in slots:
            engine.close(slot)
        found.extend(results)
    return found


def said(results: list[BlockResult]) -> str:
    """Text of the pieces that began to sound."""
    return "".join(p.text for r in results for p in r.begun).strip()


def audible_at(results: list[BlockResult], after: int) -> int | None:
    """First sample at or after `after` at which the agent's output rises above 1 % of full scale."""
    for r in results:
        at = (r.block + 1) * BLOCK
        loud = np.flatnonzero(np.abs(r.audio) > 0.01)
        loud = loud[at + loud >= after]
        if len(loud):
            return int(at + loud[0])
    return None


def bed(count: int, seed: int, level: float = 0.0015) -> np.ndarray:
    """A noise floor under everything, so that digital silence is no cue."""
    return (np.random.default_rng(seed).standard_normal(count) * level).astype(np.float32)


def normalise(x: np.ndarray, peak: float = 0.3) -> np.ndarray:
    """Float32 with that peak."""
    return (x / max(float(np.abs(x).max()), 1e-4) * peak).astype(np.float32)


def place(parts: Sequence[tuple[float, np.ndarray]], seconds: float, seed: int) -> np.ndarray:
    """Parts at their times (s) over a noise floor."""
    x = bed(int(seconds * RATE_HZ), seed)
    for at, part in parts:
        start = int(at * RATE_HZ)
        part = part[:len(x) - start]
        x[start:start + len(part)] += part
    return x


def orders(engine: Engine, root: Path) -> dict:
    """Real spoken coffee orders of held-out voices: is the drink, is every slot, in what the agent said?"""
    found = [r for r in recordings.speech(root) if r.source == "coffee_orders" and r.dev]
    users, ends = [], []
    for i, r in enumerate(found):
        x = normalise(recordings.read(r.path))
        ends.append(int(0.5 * RATE_HZ) + active_span((x * 32767).astype(np.int16))[1])
        users.append(place([(0.5, x)], len(x) / RATE_HZ + 8, i))
    drink = every = answered = 0
    latencies, texts = [], []
    for r, end, results in zip(found, ends, run(engine, users, "orders"), strict=False):
        text = said(results)
        plain = " ".join(text.replace(",", " ").replace(".", " ").split())
        has_drink = has(plain, r.slots["coffeeDrink"])
        drink += has_drink
        every += all(has(plain, v) for v in r.slots.values())
        answered += bool(text)
        texts.append((dict(r.slots), text))
        at = audible_at(results, end)
        if text and at is not None:
            latencies.append((at - end) / 16)
    return {"orders": len(found), "answered": answered, "drink_right": drink, "all_slots_right": every,
            "latency_ms_p50_p90": quantiles(latencies), "examples": texts[:12]}


def has(text: str, value: str) -> bool:
    """Whether the words of a slot stand in a text; "coffee" alone does not count inside "iced coffee"."""
    padded = f" {text} "
    if value == "coffee":
        for longer in ("iced coffee", "drip coffee", "house coffee"):
            padded = padded.replace(longer, "")
    if value == "mocha":
        padded = padded.replace("iced mocha", "")
    return f" {value} " in padded


def quantiles(values: list[float]) -> list[int]:
    """Median and 90th percentile, rounded."""
    return [int(np.quantile(values, q)) for q in (0.5, 0.9)] if values else []


def floor(engine: Engine, root: Path, num_voices: int = 20) -> dict:
    """One story, and kinds of event over it, each in `num_voices` unseen voices: how often does it yield?

    "stop (real)" are single words of people held out of training, so many as there are.
    """
    rng = random.Random(99)
    asker = voices.Voice("flite", "kal16", 100, 0)
    ask = normalise(voices.speak("tell me a story", asker))
    sneezes = [recordings.read(r.path) for r in recordings.sounds(root) if r.dev and r.text == "person_sneeze"]
    kinds: dict[str, list[np.ndarray]] = {"stop": [], "question": [], "uh-huh": [], "cough": []}
    for i in range(num_voices):
        voice = voices.draw_voice(rng, held_out=True)
        kinds["stop"].append(normalise(voices.speak(rng.choice(["stop", "stop it", "please stop"]), voice)))
        kinds["question"].append(normalise(voices.speak(_QUESTIONS[i % len(_QUESTIONS)], voice)))
        kinds["uh-huh"].append(normalise(voices.speak(rng.choice(["uh huh", "mm hmm", "yeah", "right"]), voice)))
        clip = sneezes[i % len(sneezes)]
        a, b = active_span((clip * 32767).astype(np.int16))
        kinds["cough"].append(normalise(clip[a:min(b, a + RATE_HZ)]) * rng.uniform(0.5, 1.0))
    real = [r for r in recordings.speech(root) if r.dev and r.text == "stop"]
    kinds["stop (real)"] = [normalise(recordings.read(r.path)) for r in real]
    report: dict = {}
    when = 0.4 + len(ask) / RATE_HZ + 5.0
    for kind, events in kinds.items():
        users = [place([(0.4, ask), (when + i % 5 * 0.7, e)], when + 9, 1000 + i) for i, e in enumerate(events)]
        yielded, started, times = 0, 0, []
        for i, (event, results) in enumerate(zip(events, run(engine, users, kind), strict=False)):
            onset = int((when + i % 5 * 0.7) * RATE_HZ)
            if not any(r.speaking for r in results if r.block == onset // BLOCK):
                continue
            started += 1
            until = onset + len(event) + int(1.5 * RATE_HZ)
            cuts = [r for r in results if r.stopped == "interrupted" and onset <= r.block * BLOCK <= until]
            if cuts:
                yielded += 1
                times.append(((cuts[0].block + 1) * BLOCK - onset) / 16)
        report[kind] = {"stories_running": started, "yielded": yielded, "onset_to_silence_ms_p50_p90": quantiles(times)}
    return report


def silence(engine: Engine, root: Path) -> dict:
    """Inputs nobody should answer: silence, running water, a far-off reader."""
    readers = [recordings.read(r.path) for r in recordings.speech(root) if r.source == "read_sentences" and r.dev][:10]
    tap = recordings.read(root / "noise" / "running_tap.flac")[:20 * RATE_HZ]
    users = {"digital silence": [np.zeros(20 * RATE_HZ, np.float32)], "noise floor": [bed(20 * RATE_HZ, 5)],
             "running water": [tap], "far-off reader": [
                 place([(1.0, normalise(x, 0.03))], len(x) / RATE_HZ + 3, i) for i, x in enumerate(readers)]}
    return {name: {"recordings": len(u), "spoke": sum(any(r.speaking for r in results)
                                                      for results in run(engine, u, name))}
            for name, u in users.items()}


def main() -> None:
    """Print the panel as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["orders", "floor", "silence", "voice"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, root, started = load_model(args.weights, packed=True), recordings.data_dir(), time.monotonic()
    engine = Engine(model, capacity=16)
    parts = {"orders": lambda: orders(engine, root), "floor": lambda: floor(engine, root),
             "silence": lambda: silence(engine, root), "voice": lambda: voice.measure(model)}
    report = {"weights": fingerprint(args.weights), "config": config_fingerprint(args.weights)}
    for name, part in parts.items():
        if args.only in (None, name):
            report[name] = part()
    report["seconds"] = round(time.monotonic() - started)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
