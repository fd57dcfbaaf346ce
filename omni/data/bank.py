"""A bank of user utterances on disk: int16 audio in one file, one JSON line each.

Made once by several processes (synthesis costs more than reading), then mapped into memory by every stream. Lines:
`start`, `count` (samples), `text`, `reply`, `skill`, `source`, `dev`, `facts`; for asks `kind`, `values`, `decisive`,
`open`; for synthetic speech `phones` and `words`.
"""

import json
import multiprocessing
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from omni.base.config import LATER, nearest
from omni.base.errors import ConfigError
from omni.data import held_out, recordings, skills, user, voices
from omni.data.skills import chatter, floor, readback, smalltalk
from omni.data.skills.talk import Ask, Memory

BACKCHANNELS = ["uh huh", "mm hmm", "yeah", "right", "okay", "i see", "oh", "really", "ah", "mhm", "yes", "sure", "hm",
                "oh yeah", "wow", "nice", "got it"]
AUDIO, LINES, WORDINGS = "audio.i16", "lines.jsonl", "wordings.jsonl"
FOLLOWS = 0.3   # share of asks that are of the skill before: what goes on from an answer is rarer than what begins
_DRAWS = 12     # asks from which the least frequent is taken


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of the bank; `samples` is int16 and belongs to the map.

    Attributes:
        reply: what is right to say to it where nothing was said before; empty if that is silence or not known.
        skill, kind, values, decisive, open: of the `omni.data.skills.talk.Ask` that it is; without one, `kind` is "".
        dev: kept for development.
        facts: slots of a real order.
        phones, words: name, first sample, one past the last; empty where they are not known.
        name: of a recording's file.
    """

    samples: np.ndarray
    text: str | None
    reply: str
    skill: str
    source: str
    dev: bool
    facts: dict = field(default_factory=dict)
    phones: list[tuple[str, int, int]] = field(default_factory=list)
    name: str = ""
    words: list[tuple[str, int, int]] = field(default_factory=list)
    kind: str = ""
    values: dict[str, str] = field(default_factory=dict)
    decisive: int = 1
    open: bool = False

    def ask(self) -> Ask | None:
        """It as something that is asked of the agent; None if it is not, or if its words are not known."""
        if not self.kind or not self.text:
            return None
        return Ask(self.text, self.skill, self.kind, self.values, decisive=self.decisive, open=self.open)


def _seldom(rng: random.Random, memory: Memory, asked: Counter) -> Ask | None:
    """Of some asks of any skill, or of the one before, the one of the kind that was asked least."""
    skill = memory.skill if memory.skill and rng.random() < 0.5 else rng.choice(skills.names())
    found = [ask for ask in (user.asked(rng, memory, skill) for _ in range(_DRAWS)) if ask is not None]
    return min(found, key=lambda ask: asked[ask.skill, ask.kind], default=None)


def _draw(rng: random.Random, memory: Memory, more: dict[str, float] | None = None, evenly: float = 0.0,
          asked: Counter | None = None) -> dict:
    """A line without its sound. Asks come as in a conversation, one after the other, so that all kinds occur. What is
    held out for evaluation, and what chance hits upon one time in many thousands, is drawn again.

    Args:
        more: share of the asks that are of a skill in any case.
        evenly: share of those that are of what `asked`, which goes on counting, has least of.
    """
    asked = Counter() if asked is None else asked
    kind = rng.random()
    if kind < 0.74:
        follows = "" if rng.random() >= FOLLOWS else "floor" if memory.rest or memory.waiting else memory.skill
        if more and rng.random() < sum(more.values()):
            follows = rng.choices(list(more), list(more.values()))[0]
        said = _seldom(rng, memory, asked) if evenly and rng.random() < evenly else None
        said = said or follows and user.asked(rng, memory, follows) or user.asked(rng, memory)
        asked[said.skill, said.kind] += 1
        skills.take(said, memory)
        right = skills.answer(said, memory, rng)
        words = right.text.split()
        cut = rng.randrange(len(words)) if len(words) > 8 and rng.random() < 0.6 else len(words)
        memory.said(" ".join(words[:cut]), " ".join(words[cut:]))
        alone = skills.alone(said, random.Random(0))
        return {"text": said.user, "reply": alone, "skill": said.skill, "kind": said.kind, "values": said.values,
                "decisive": said.decisive, "open": said.open}
    if kind < 0.82:
        return {"text": rng.choice(BACKCHANNELS), "reply": "", "skill": "backchannel"}
    return {"text": _allowed(lambda: chatter.text(rng)), "reply": "", "skill": "other"}


def _allowed(draw: Callable[[], str]) -> str:
    """What is drawn, and is not held out."""
    while (text := draw()).lower() in held_out.wordings():
        pass
    return text


def _halves(text: str, voice: voices.Voice, rng: random.Random) -> voices.Spoken:
    """Somebody who ends in the middle, thinks and goes on: two utterances with 0.2 to 1.2 s of silence between."""
    words = text.split()
    cut = rng.randrange(2, len(words) - 1)
    first, second = (voices.speak_aligned(" ".join(part), voice) for part in (words[:cut], words[cut:]))
    gap = np.zeros(rng.randrange(3_200, 19_200), np.float32)
    later = len(first.samples) + len(gap)

    def joined(a: tuple, b: tuple) -> tuple:
        return (*a, *((name, start + later, end + later) for name, start, end in b)) if a and b else ()

    return voices.Spoken(np.concatenate([first.samples, gap, second.samples]), joined(first.phones, second.phones),
                         joined(first.words, second.words))


def lexicon(seed: int, count: int = 4_000) -> list[str]:
    """The words of so many lines, each once, in order."""
    rng, memory, words = random.Random(f"lexicon/{seed}"), Memory(), set()
    for i in range(count):
        if i % 10 == 0:
            memory = Memory()
        words.update(_draw(rng, memory)["text"].split())
    return sorted(words)


def _synthesise(task: tuple[int, int, "BankStage", list[str]]) -> list[tuple[np.ndarray, dict]]:
    seed, count, stage, words = task
    rng, made, memory, asked = random.Random(seed), [], Memory(), Counter()
    for _ in range(count):
        if rng.random() < 0.1:
            memory = Memory()
        if words and rng.random() < stage.lexicon:
            text = _allowed(lambda: " ".join(rng.sample(words, rng.randint(3, 8))))
            line = {"text": text, "reply": "", "skill": "lexicon"}
        else:
            line = _draw(rng, memory, stage.more, stage.evenly, asked)
        held_out = rng.random() < 0.05
        voice = voices.draw_voice(rng, held_out, stage.pico, stage.neural)
        if stage.halves and line.get("kind") and len(line["text"].split()) > 3 and rng.random() < stage.halves:
            speech = _halves(line["text"], voice, rng)
        else:
            speech = voices.speak_aligned(line["text"], voice)
        samples = speech.samples
        if len(samples) < 1600:
            continue
        samples = samples / max(np.abs(samples).max(), 1e-3) * 0.5
        made.append(((samples * 32767).astype(np.int16), {
            **line, "text": line["text"].lower(), "source": f"{voice.engine}:{voice.name}", "dev": held_out,
            "facts": {}, "phones": speech.phones, "words": speech.words}))
    return made


def _real(root: Path) -> list[tuple[np.ndarray, dict]]:
    made = []
    for r in recordings.speech(root):
        samples = recordings.read(r.path)
        samples = samples / max(np.abs(samples).max(), 1e-3) * 0.5
        made.append(((samples * 32767).astype(np.int16), {
            "text": r.text.lower() if r.text else None, **_meant(r), "source": r.source, "speaker": r.speaker,
            "dev": r.dev, "facts": r.slots, "name": r.path.name}))
    return made


def _meant(r: recordings.Recording) -> dict:
    """What a recording is to the agent: an ask, talk that is not for it, or words without a meaning."""
    if r.source == "read_sentences":
        return {"skill": "other", "reply": ""}
    told = None
    if r.source == "coffee_orders":
        slots = {name: value.strip() for name, value in r.slots.items()}
        told = Ask(r.text or "", "orders", "order", slots, decisive=3)
    elif r.text in floor.STOPS:
        told = Ask(r.text, "floor", "stop", decisive=len(r.text.split()))
    elif r.text and (kind := smalltalk.kind_of(r.text)):
        told = Ask(r.text, "smalltalk", kind)
    elif r.text and all(len(w) == 1 or w in _DIGIT_WORDS for w in r.text.split()):
        spelled = " ".join(w.upper() if len(w) == 1 else w for w in r.text.split())
        told = Ask(r.text, "readback", "whole", {"string": readback.grouped(spelled)}, open=True)
    if told is None:
        return {"skill": "words", "reply": ""}
    return {"skill": told.skill, "kind": told.kind, "values": told.values, "decisive": told.decisive,
            "open": told.open, "reply": skills.alone(told, random.Random(r.path.name))}


_DIGIT_WORDS = {"zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}


def build(stage: "BankStage") -> None:
    """Synthesise utterances, add the real recordings of OMNI_DATA_DIR, or all of an earlier bank, and write the bank
    into its folder.

    Raises:
        ConfigError: there is no earlier bank in `init`, or it is the folder of this one.
    """
    folder = Path(stage.out)
    before = Path(stage.init) if stage.init else None
    if before is not None and (not (before / LINES).exists() or before.resolve() == folder.resolve()):
        raise ConfigError(f"init: {stage.init} is no other folder with a bank")
    folder.mkdir(parents=True, exist_ok=True)
    words = lexicon(stage.seed) if stage.lexicon else []
    tasks = [(stage.seed * 100_003 + i, 50, stage, words) for i in range(max(1, stage.count // 50))]
    start = 0
    with open(folder / AUDIO, "wb") as audio, open(folder / LINES, "w", encoding="utf-8") as lines:

        def add(made: list[tuple[np.ndarray, dict]]) -> None:
            nonlocal start
            for samples, line in made:
                audio.write(samples.tobytes())
                lines.write(json.dumps({"start": start, "count": len(samples), **line}) + "\n")
                start += len(samples)

        if before is None:
            add(_real(recordings.data_dir()))
        else:
            with open(before / AUDIO, "rb") as earlier:
                shutil.copyfileobj(earlier, audio)
                start = earlier.tell() // 2
            lines.write((before / LINES).read_text(encoding="utf-8"))
            if (before / WORDINGS).exists():
                shutil.copy(before / WORDINGS, folder / WORDINGS)
        with multiprocessing.get_context("spawn").Pool(stage.processes) as pool:
            for made in tqdm(pool.imap(_synthesise, tasks), total=len(tasks), unit="x50", desc="utterances"):
                add(made)


def load(folder: Path) -> list[Utterance]:
    """Map a bank into memory, with the words that stage "wordings" found for real orders, if it ran.

    Raises:
        OmniError: a line says what is held out for evaluation.
    """
    audio = np.memmap(folder / AUDIO, np.int16, mode="r")
    found, wordings = [], {}
    if (folder / WORDINGS).exists():
        lines = map(json.loads, (folder / WORDINGS).read_text(encoding="utf-8").splitlines())
        wordings = {line["name"]: line["text"] for line in lines}
    with open(folder / LINES, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            held_out.check(line["text"])
            samples = audio[line["start"]:line["start"] + line["count"]]
            name = line.get("name", "")
            found.append(Utterance(samples, line["text"] or wordings.get(name), line["reply"], line["skill"],
                                   line["source"], line["dev"], line["facts"], line.get("phones", []), name,
                                   line.get("words", []), line.get("kind", ""), line.get("values", {}),
                                   line.get("decisive", 1), line.get("open", False)))
    return found


@dataclass(frozen=True, slots=True)
class BankStage:
    """Attributes:
        out: folder of the bank.
        count: synthetic utterances, besides the real ones.
        processes: that speak.
        neural: share of the synthetic speech for training that `omni.data.hibari` and `omni.data.piper` say.
        pico: share of the rest of it that `omni.data.pico` says.
        halves: share of longer asks that are said in two utterances with a pause between.
        more: share of asks by skill, beyond what conversations have of it: they ask for few stories, and each is one of
            many.
        lexicon: share of the synthetic utterances that are words of all those lines in any order, each as often as any
            other: for the ears, who else know by heart what is said often, and nothing of what is said seldom.
        evenly: share of asks that are of the kind, of some of a random skill's, that there are fewest of: what follows
            from an answer, and most of small talk, is else said by a handful of voices.
        init: folder of an earlier bank, all of which comes first; the real recordings are in it.
    """

    stage: Literal["bank"]
    out: str
    count: int = 22_000
    seed: int = 3
    processes: int = 2
    pico: float = field(default=0.0, metadata=LATER)
    halves: float = field(default=0.0, metadata=LATER)
    more: dict[str, float] = field(default_factory=dict, metadata=LATER)
    lexicon: float = field(default=0.0, metadata=LATER)
    neural: float = field(default=0.0, metadata=LATER)
    evenly: float = field(default=0.0, metadata=LATER)
    init: str | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if not 0 <= self.pico <= 1:
            raise ValueError(f"pico is a share, 0 to 1, not {self.pico}")
        for name in ("halves", "lexicon", "neural", "evenly"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share, 0 to 1, not {getattr(self, name)}")
        for name in self.more.keys() - set(skills.names()):
            raise ValueError(f"more: no skill {name!r}; {nearest(name, skills.names())}")
        if min(self.more.values(), default=0) < 0 or sum(self.more.values()) > 1:
            raise ValueError("more: shares are at least 0, and at most 1 together")


def train(stage: BankStage) -> None:
    """Build a bank."""
    build(stage)
