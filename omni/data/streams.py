"""Conversations as training batches: of characters ("words") or of sound ("duplex"), made on the fly."""

import random
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
import torch

from omni.base.errors import MediaError
from omni.data import bank, conversations, held_out, recordings, skills
from omni.data.augment import Augment, hesitate, note
from omni.data.conversations import BLOCK, Conversation
from omni.data.numbered import Numbered
from omni.data.skills import chatter
from omni.data.speaker import TextSpeaker, VoiceSpeaker
from omni.model.connector import NUM_CHARACTERS
from omni.model.encoder import CAPTION_CHARACTERS, CAPTION_SLOTS, caption_ids
from omni.model.mouth import Mouth
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, Pieces

SLOTS_PER_BLOCK = 2 * CAPTION_SLOTS
RATE_HZ = conversations.RATE_HZ
ELSEWHERE = 0.15  # share of others' talk that would be for the agent, were it near
PEOPLE = 0.4  # share of real recordings in lines that are no turns
TICS = ("person_sneeze",)  # sounds of people that mean nothing
_WEIGHTS = {"think": 0.5, "start": 1.0, "end": 1.0, "piece": 1.0}


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line without sound, as long as its spelling suggests."""

    text: str
    reply: str
    skill: str
    num_samples: int


class TextSource:
    """Lines from the skills' texts alone.

    Args:
        pace: how many times faster than people they are said.
        longest: replies of more characters are not drawn.
    """

    def __init__(self, pace: float = 1.0, longest: int = 10_000):
        self.pace, self.longest = pace, longest

    def draw(self, kind: str, rng: random.Random) -> TextLine | None:
        """See `omni.data.conversations.Source`."""
        reply, skill = "", kind
        if kind == "turn":
            e = skills.exchange(rng)
            while len(e.reply) > self.longest:
                e = skills.exchange(rng)
            text, reply, skill = e.user, e.reply, e.skill
        elif kind == "stop":
            text = rng.choice(bank.STOPS)
        elif kind == "backchannel":
            text = rng.choice(bank.BACKCHANNELS)
        elif kind == "other":
            text = chatter.text(rng)
        elif kind == "word":
            text = rng.choice(["bed", "cat", "down", "happy", "off", "on", "up", "left", "go", "house", "wow"])
        else:
            text = ""
        held_out.check(text)
        seconds = max(0.3, len(text) * rng.uniform(0.052, 0.085)) / self.pace
        return TextLine(text, reply, skill, int(seconds * conversations.RATE_HZ))


def weights(target: np.ndarray) -> np.ndarray:
    """Loss weight of each block by the kind of its target."""
    w = np.full(len(target), _WEIGHTS["think"], np.float32)
    w[target == START_SPEAK] = _WEIGHTS["start"]
    w[target == END_SPEAK] = _WEIGHTS["end"]
    w[target >= FIRST_PIECE] = _WEIGHTS["piece"]
    return w


def grid(talk: Conversation) -> dict[str, torch.Tensor]:
    """Targets and inputs of the language model's side."""
    return {"target": torch.from_numpy(talk.target), "fed": torch.from_numpy(talk.fed),
            "backlog": torch.from_numpy(talk.waiting + 3 * talk.sounding),
            "weight": torch.from_numpy(weights(talk.target))}


# share of characters a caption head gets wrong: people in a quiet room and people far from every lesson
_ERRORS = [0.0, 0.03, 0.08, 0.16, 0.3]
_ALIKE = ["aeiouy", "bpdtgk", "csxzkq", "fvthw", "mn", "lrw", "jgyd", "hw"]


def _misheard(c: int, rng: random.Random) -> int:
    """What is spelled in place of a character: nothing, one that sounds like it, or any."""
    kind, alike = rng.random(), [a for group in _ALIKE if CAPTION_CHARACTERS[c - 1] in group for a in group]
    if kind < 0.4:
        return 0
    return caption_ids(rng.choice(alike))[0] if kind < 0.85 and alike else rng.randrange(1, NUM_CHARACTERS)


def characters(talk: Conversation, pieces: Pieces, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """What a caption head would spell, late, uneven and with errors, and the words it spelled.

    Returns:
        (T * SLOTS_PER_BLOCK,) int64 characters, 0 blank; (T,) int64, in each block the piece of the word that was
        complete by its end, -1 where none was or the word is no piece.
    """
    slots = np.zeros(talk.num_blocks * SLOTS_PER_BLOCK, np.int64)
    words = np.full(talk.num_blocks, -1)
    samples = BLOCK // SLOTS_PER_BLOCK
    error = rng.choice(_ERRORS)
    for heard in talk.heard:
        text = " " + (heard.line.text or "") + " "
        ids = caption_ids(text)
        at, late = 0, rng.uniform(0.03, 0.16) * conversations.RATE_HZ
        places = []
        for i, c in enumerate(ids):
            if rng.random() < error:
                c = _misheard(c, rng)
            place = int((heard.at + late + heard.line.num_samples * (i + rng.uniform(-0.3, 0.3)) / len(ids)) // samples)
            at = max(place, at)
            if at < len(slots):
                slots[at] = c
            places.append(at)
            at += 1
        i = 1
        for word in text.split():
            i += len(caption_ids(word)) + 1  # one past the space that ends the word
            block, known = places[i - 1] // SLOTS_PER_BLOCK, pieces.encode(word)
            if block < len(words) and len(known) == 1:
                words[block] = known[0]
    return torch.from_numpy(slots), torch.from_numpy(words)


class TextConversations(Numbered):
    """Batches of symbolic conversations: `characters`, the words `heard`, and the grid.

    The first `drills` rows of every batch are drills at `PACE` times the speed of speech: a row of 20 s then holds
    eight exchanges in place of two, and saying back what was heard is learned from exchanges, not from silence.
    """

    PACE, LONGEST = 2.5, 120

    def __init__(self, words: list[str], num_blocks: int, batch: int, seed: int, drills: int = 0):
        self.words, self.num_blocks, self.batch, self.seed, self.drills = words, num_blocks, batch, seed, drills

    def open(self):
        """See `Numbered`."""
        pieces, source = Pieces(self.words), TextSource()
        speaker = TextSpeaker(pieces)
        fast, hasty = TextSource(self.PACE, self.LONGEST), TextSpeaker(pieces, self.PACE)

        def make(rng: random.Random):
            rows = []
            for row in range(self.batch):
                if row < self.drills:
                    talk = conversations.drill(rng, self.num_blocks, fast, hasty)
                else:
                    talk = conversations.build(rng, self.num_blocks, source, speaker)
                spelled, heard = characters(talk, pieces, rng)
                rows.append({**grid(talk), "characters": spelled, "heard": heard})
            return {k: torch.stack([r[k] for r in rows]) for k in rows[0]}

        return make


# ---- sound ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SoundLine:
    """A line with its sound, trimmed to the speech itself.

    Attributes:
        voice: engine and voice of a synthesizer, or source and file of a recording.
        words: (word, first sample, one past the last) of each word, where they are known.
    """

    samples: np.ndarray
    text: str | None
    reply: str
    skill: str
    num_samples: int
    facts: dict = field(default_factory=dict)
    voice: str = ""
    words: list[tuple[str, int, int]] = field(default_factory=list)


def active_span(x: np.ndarray) -> tuple[int, int]:
    """First and one past the last sample of the speech in a recording, by 20 ms frames well above its floor."""
    frames = x[:len(x) // 320 * 320].reshape(-1, 320).astype(np.float32)
    level = np.sqrt((frames**2).mean(1)) if len(frames) else np.zeros(1, np.float32)
    loud = np.flatnonzero(level > max(0.04 * float(level.max()), 2.5 * float(np.quantile(level, 0.1))))
    return (int(loud[0]) * 320, int(loud[-1] + 1) * 320) if len(loud) else (0, len(x))


class SoundSource:
    """Lines from a bank of utterances and recordings of sounds.

    Args:
        dev: take the development set instead of the training set.
        real: share of real recordings in the turns of skills that have them.
    """

    def __init__(self, folder: Path, dev: bool = False, real: float = 0.5):
        root = recordings.data_dir()
        lines = [u for u in bank.load(folder) if u.dev == dev]
        self.real = real
        self.turns: dict[str, dict[bool, list]] = {}
        self.pools: dict[str, list] = {k: [] for k in ("stop", "backchannel", "other", "word")}
        for u in lines:
            if u.reply:
                self.turns.setdefault(u.skill, {True: [], False: []})[":" not in u.source].append(u)
            elif u.skill == "words" and u.text in bank.BACKCHANNELS:
                self.pools["backchannel"].append(u)
            elif u.skill in ("words", *self.pools):
                self.pools["word" if u.skill == "words" else u.skill].append(u)
        self.digits = [u for u in self.pools["word"] if u.source == "speech_commands"
                       and u.text in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")]
        self.sounds, self.tics = _clips(root, dev), _clips(root, dev, TICS)
        self.people = {k: [u for u in pool if ":" not in u.source] for k, pool in self.pools.items()}
        self.shares = {"orders": 0.5, "readback": 0.17, "sums": 0.1, "stories": 0.1, "smalltalk": 0.09, "unknown": 0.04}

    def draw(self, kind: str, rng: random.Random) -> SoundLine | None:
        """See `omni.data.conversations.Source`."""
        if kind == "sound":
            clip = rng.choice(self.tics if rng.random() < 0.3 else self.sounds)
            start = rng.randrange(max(1, len(clip) - 16_000))
            clip = clip[start:start + rng.randrange(8000, 32_000)]
            return SoundLine(clip, "", "", "sound", len(clip))
        if kind == "other" and rng.random() < ELSEWHERE:  # only the distance tells that this is for somebody else
            line = self.draw("turn", rng)
            return line and SoundLine(line.samples, None, "", "elsewhere", line.num_samples, voice=line.voice)
        if kind != "turn":
            pool = self.people[kind] if self.people[kind] and rng.random() < PEOPLE else self.pools[kind]
            line = self._line(rng.choice(pool), rng) if pool else None
            return _excerpt(line, rng) if line is not None and kind == "other" and rng.random() < 0.5 else line
        skill = rng.choices(list(self.shares), list(self.shares.values()))[0]
        if skill == "readback" and self.digits and rng.random() < 0.2:
            return self._strung(rng)
        kinds = self.turns.get(skill)
        if not kinds:
            return None
        pool = kinds[True] if kinds[True] and (rng.random() < self.real or not kinds[False]) else kinds[False]
        return self._line(rng.choice(pool), rng, pause=True) if pool else None

    def _strung(self, rng: random.Random) -> SoundLine:
        chosen = [rng.choice(self.digits) for _ in range(rng.randint(1, 4))]
        parts, texts = [], []
        for u in chosen:
            a, b = active_span(u.samples)
            parts += [u.samples[a:b], np.zeros(rng.randrange(800, 4000), np.int16)]
            texts.append(u.text)
        samples = np.concatenate(parts[:-1])
        text = " ".join(texts)
        return SoundLine(samples, text, text + ".", "readback", len(samples))

    def _line(self, u: bank.Utterance, rng: random.Random, pause: bool = False) -> SoundLine:
        a, b = active_span(u.samples)
        samples, words = u.samples[a:b], [(w, max(first - a, 0), last - a) for w, first, last in u.words]
        if ":" not in u.source and rng.random() < 0.35:  # real people are few: some speak at another speed
            speed = rng.uniform(0.9, 1.12)
            samples = soxr.resample(samples, RATE_HZ, RATE_HZ / speed).astype(np.int16)
        if pause and len(samples) > 24_000 and rng.random() < 0.2:
            samples, words = hesitate(samples, rng, words)
        voice = u.source if ":" in u.source else f"{u.source}/{u.name}"
        return SoundLine(samples, u.text, u.reply, u.skill, len(samples), u.facts, voice, words)


def _clips(root: Path, dev: bool, classes: tuple[str, ...] | None = None) -> list[np.ndarray]:
    """Sound events as int16, of all classes or of some; one that the decoder refuses is left out and said so."""
    clips = []
    for r in recordings.sounds(root):
        if r.dev == dev and (classes is None or r.text in classes):
            try:
                clips.append((recordings.read(r.path) * 32767).astype(np.int16))
            except MediaError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
    return clips


def _excerpt(line: SoundLine, rng: random.Random) -> SoundLine:
    """At least a second of a line, from anywhere; its words are not known then."""
    count = rng.randrange(RATE_HZ, max(line.num_samples, RATE_HZ + 1))
    start = rng.randrange(max(line.num_samples - count, 1))
    samples = line.samples[start:start + count]
    return SoundLine(samples, None, line.reply, line.skill, len(samples), voice=line.voice)


class ShortReplies:
    """The lines of a source whose replies are short."""

    def __init__(self, source: SoundSource, longest: int = TextConversations.LONGEST):
        self.source, self.longest = source, longest

    def draw(self, kind: str, rng: random.Random) -> SoundLine | None:
        """See `omni.data.conversations.Source`."""
        line = self.source.draw(kind, rng)
        while line is not None and len(line.reply) > self.longest:
            line = self.source.draw(kind, rng)
        return line


class SoundConversations(Numbered):
    """Batches with room and own audio, caption targets and the grid; the first `drills` rows are turn upon turn."""

    def __init__(self, folder: Path, mouth: Mouth, words: list[str], num_blocks: int, batch: int, seed: int,
                 dev: bool = False, drills: int = 0):
        self.folder, self.mouth, self.words = folder, mouth, words
        self.num_blocks, self.batch, self.seed, self.dev, self.drills = num_blocks, batch, seed, dev, drills

    def open(self):
        """See `Numbered`."""
        torch.set_num_threads(1)
        root = recordings.data_dir()
        pieces, source = Pieces(self.words), SoundSource(self.folder, self.dev)
        speaker, short = VoiceSpeaker(self.mouth, pieces), ShortReplies(source)
        babble = [u.samples for u in source.pools["other"]]
        augment = Augment(recordings.rooms(root), recordings.noises(root), babble)

        def make(rng: random.Random):
            rows, captions = [], []
            for row in range(self.batch):
                if row < self.drills:
                    talk = conversations.drill(rng, self.num_blocks, short, speaker)
                else:
                    talk = conversations.build(rng, self.num_blocks, source, speaker)
                own = talk.own_audio()
                room = mix(talk, own, augment, rng)
                rows.append({**grid(talk), "room": torch.from_numpy(room), "own": torch.from_numpy(own)})
                captions.append(caption_spans(talk, pieces))
            return {**{k: torch.stack([r[k] for r in rows]) for k in rows[0]}, "captions": captions}

        return make


def caption_spans(talk: Conversation, pieces: Pieces) -> list[tuple[int, int, torch.Tensor, torch.Tensor]]:
    """Stretches (first block, one past the last, character ids, pieces) whose words are all known, far from others.

    Words that are no piece are left out of the pieces.
    """
    lines = sorted((h for h in talk.heard if h.role != "sound"), key=lambda h: h.at)
    spans = []
    for _i, h in enumerate(lines):
        first, last = max(h.at // BLOCK - 1, 0), (h.at + h.line.num_samples) // BLOCK + 4
        clear = all(o is h or o.at > last * BLOCK or o.at + o.line.num_samples < first * BLOCK for o in lines)
        if h.line.text and clear and last <= talk.num_blocks and h.role != "other":
            letters = h.line.skill == "readback"  # "i v a" is spelled, not said
            known = [pieces.encode(w.upper() if letters and len(w) == 1 else w) for w in h.line.text.split()]
            words = [ids[0] for ids in known if len(ids) == 1]
            spans.append((first, last, torch.tensor(caption_ids(h.line.text)), torch.tensor(words, dtype=torch.long)))
    return spans


def mix(talk: Conversation, own: np.ndarray, augment: Augment, rng: random.Random) -> np.ndarray:
    """The microphone: people and sounds in one room, the agent's echo, a noise floor that never stops."""
    count = len(own)
    near, far = np.zeros(count + 1, np.float32), np.zeros(count + 1, np.float32)
    gain = 10 ** (rng.uniform(-6, 0) / 20)
    for h in talk.heard:
        note("said", role=h.role, voice=h.line.voice, text=h.line.text, **{"from": round(h.at / RATE_HZ, 2)},
             to=round((h.at + h.line.num_samples) / RATE_HZ, 2),
             words=[[w, round((h.at + a) / RATE_HZ, 2), round((h.at + b) / RATE_HZ, 2)] for w, a, b in h.line.words])
        x = augment.colour(np.asarray(h.line.samples, np.float32) / 32768, rng)
        if h.role == "other":  # mostly across the room; near by, the words alone tell that they are for someone else
            close = rng.random() < 0.3 and h.line.skill != "elsewhere"
            low, high = (-8, 0) if close else (-26, -14) if h.line.skill == "elsewhere" else (-24, -8)
            track, level = near if close else far, 10 ** (rng.uniform(low, high) / 20)
        elif h.role == "sound":
            track, level = far, 10 ** (rng.uniform(-20, 0) / 20)
        else:
            track, level = near, gain * 10 ** (rng.uniform(-3, 3) / 20)
        edge = min(160, len(x) // 2)
        x[:edge] *= np.linspace(0, 1, edge)
        x[len(x) - edge:] *= np.linspace(1, 0, edge)
        x = x[:max(count - h.at, 0)]
        track[h.at:h.at + len(x)] += x * level
    present = max((float(np.abs(h.line.samples).max(initial=0)) / 32768 for h in talk.heard), default=0.5)
    room = augment.room(near[:count], rng) + augment.room(far[:count], rng, share=0.9)
    room = augment.noise(room, rng, low_db=5)
    # as loud as a near mouth would be, even where nobody near speaks: far talk stays faint
    room = augment.gain(room, rng, least_peak=present * gain)
    if rng.random() < 0.6:
        room = room + augment.echo(own, rng)
    return augment.line(np.clip(room, -1, 1).astype(np.float32), rng)
