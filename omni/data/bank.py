"""A bank of user utterances on disk: int16 audio in one file, one JSON line each.

Made once by several processes (synthesis costs more than reading), then mapped into memory by every stream. Lines:
`start`, `count` (samples), `text`, `reply`, `skill`, `source`, `dev`, `facts`, and for synthetic speech `phones` and
`words`.
"""

import json
import multiprocessing
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from omni.data import held_out, recordings, skills, voices
from omni.data.skills import chatter, orders, smalltalk

BACKCHANNELS = ["uh huh", "mm hmm", "yeah", "right", "okay", "i see", "oh", "really", "ah", "mhm", "yes", "sure", "hm",
                "oh yeah", "wow", "nice", "got it"]
STOPS = ["stop", "stop it", "please stop", "stop talking", "stop please", "okay stop", "be quiet", "enough",
         "that's enough", "hold on", "wait", "quiet please", "wait a minute", "stop stop", "shut up"]

WORDINGS = "wordings.jsonl"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of the bank; `samples` is int16 and belongs to the map."""

    samples: np.ndarray
    text: str | None
    reply: str
    skill: str
    source: str
    dev: bool
    facts: dict = field(default_factory=dict)
    phones: list[tuple[str, int, int]] = field(default_factory=list)  # name, first sample, one past the last
    name: str = ""  # of a recording's file
    words: list[tuple[str, int, int]] = field(default_factory=list)  # of the text, in the same form as the phones


def _draw(rng: random.Random) -> tuple[str, str, str, dict]:
    kind = rng.random()
    if kind < 0.66:
        e = skills.exchange(rng)
        return e.user, e.reply, e.skill, e.facts
    if kind < 0.75:
        return rng.choice(BACKCHANNELS), "", "backchannel", {}
    if kind < 0.84:
        return rng.choice(STOPS), "", "stop", {}
    return chatter.text(rng), "", "other", {}


def _synthesise(task: tuple[int, int]) -> list[tuple[np.ndarray, dict]]:
    seed, count = task
    rng, made = random.Random(seed), []
    for _ in range(count):
        text, reply, skill, facts = _draw(rng)
        held_out = rng.random() < 0.05
        voice = voices.draw_voice(rng, held_out)
        speech = voices.speak_aligned(text, voice)
        samples = speech.samples
        if len(samples) < 1600:
            continue
        samples = samples / max(np.abs(samples).max(), 1e-3) * 0.5
        made.append(((samples * 32767).astype(np.int16), {
            "text": text.lower(), "reply": reply, "skill": skill, "source": f"{voice.engine}:{voice.name}",
            "dev": held_out, "facts": facts, "phones": speech.phones, "words": speech.words}))
    return made


def _real(root: Path) -> list[tuple[np.ndarray, dict]]:
    rng, made = random.Random(1), []
    for r in recordings.speech(root):
        samples = recordings.read(r.path)
        skill, reply = "words", ""
        if r.source == "coffee_orders":
            skill, reply = "orders", orders.readback(r.slots, rng)
        elif r.source == "read_sentences":
            skill = "other"
        elif r.text in STOPS:
            skill = "stop"
        elif r.text and (small := smalltalk.answer(rng, r.text)):
            skill, reply = "smalltalk", small
        elif r.text and all(len(w) == 1 or w in _DIGIT_WORDS for w in r.text.split()):
            skill, reply = "readback", r.text + "."
        samples = samples / max(np.abs(samples).max(), 1e-3) * 0.5
        made.append(((samples * 32767).astype(np.int16), {
            "text": r.text.lower() if r.text else None, "reply": reply, "skill": skill, "source": r.source,
            "speaker": r.speaker, "dev": r.dev, "facts": r.slots, "name": r.path.name}))
    return made


_DIGIT_WORDS = {"zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}


def build(folder: Path, count: int, seed: int = 0, processes: int = 2) -> None:
    """Synthesise `count` utterances, add the real recordings of OMNI_DATA_DIR, and write the bank into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(seed * 100_003 + i, 50) for i in range(max(1, count // 50))]
    start = 0
    with open(folder / "audio.i16", "wb") as audio, open(folder / "lines.jsonl", "w", encoding="utf-8") as lines:

        def add(made: list[tuple[np.ndarray, dict]]) -> None:
            nonlocal start
            for samples, line in made:
                audio.write(samples.tobytes())
                lines.write(json.dumps({"start": start, "count": len(samples), **line}) + "\n")
                start += len(samples)

        add(_real(recordings.data_dir()))
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for made in tqdm(pool.imap(_synthesise, tasks), total=len(tasks), unit="x50", desc="utterances"):
                add(made)


def load(folder: Path) -> list[Utterance]:
    """Map a bank into memory, with the words that stage "wordings" found for real orders, if it ran.

    Raises:
        OmniError: a line says what is held out for evaluation.
    """
    audio = np.memmap(folder / "audio.i16", np.int16, mode="r")
    found, wordings = [], {}
    if (folder / WORDINGS).exists():
        lines = map(json.loads, (folder / WORDINGS).read_text(encoding="utf-8").splitlines())
        wordings = {line["name"]: line["text"] for line in lines}
    with open(folder / "lines.jsonl", encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            held_out.check(line["text"])
            samples = audio[line["start"]:line["start"] + line["count"]]
            name = line.get("name", "")
            found.append(Utterance(samples, line["text"] or wordings.get(name), line["reply"], line["skill"],
                                   line["source"], line["dev"], line["facts"], line.get("phones", []), name,
                                   line.get("words", [])))
    return found


@dataclass(frozen=True, slots=True)
class BankStage:
    """Attributes:
        out: folder of the bank.
        count: synthetic utterances, besides the real ones.
        processes: that speak.
    """

    stage: Literal["bank"]
    out: str
    count: int = 22_000
    seed: int = 3
    processes: int = 2


def train(stage: BankStage) -> None:
    """Build a bank."""
    build(Path(stage.out), stage.count, stage.seed, stage.processes)
