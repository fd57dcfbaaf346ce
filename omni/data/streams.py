"""Conversations as training batches: of characters ("words") or of sound ("duplex"), made on the fly."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from omni.data import conversations, recordings
from omni.data.augment import Augment, note
from omni.data.conversations import BLOCK, DRILL, RATE_HZ, START_AFTER, TALK, Conversation, Heard
from omni.data.lines import PAUSES, SoundSource, TextSource
from omni.data.live_room import faded, placed
from omni.data.numbered import Numbered
from omni.data.partner import OPEN_AFTER
from omni.data.pauses import thinking
from omni.data.skills.sounds import SOUNDS
from omni.data.speaker import TextSpeaker, VoiceSpeaker
from omni.data.spelling import Speller
from omni.data.user import BROKEN, COPY, INTERRUPTS, LISTENING, LONG, QUIZ, RECITAL, REMEMBER
from omni.model.captions import Vocabulary
from omni.model.connector import NUM_CHARACTERS
from omni.model.encoder import CAPTION_CHARACTERS, CAPTION_SLOTS, caption_ids
from omni.model.mouth import Mouth
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, Pieces

SLOTS_PER_BLOCK = 2 * CAPTION_SLOTS
BATCH, DRILLS = 6, 2  # rows of a batch with sound, and how many of them are turn upon turn, unless told
HASTE = 4.0  # how many times faster than speech replies are in hasty rows
_THINKING = int(0.19 * RATE_HZ)  # samples of silence inside of what is asked that are a pause
_WEIGHTS = {"think": 0.5, "start": 1.0, "end": 1.0, "piece": 1.0}


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
        line = heard.line
        at, late = 0, rng.uniform(0.03, 0.16) * RATE_HZ
        for word, first, last in line.words:
            ids = caption_ids((" " if first == line.words[0][1] else "") + word + " ")
            for i, c in enumerate(ids):
                if rng.random() < error:
                    c = _misheard(c, rng)
                place = heard.at + late + first + (last - first) * (i + rng.uniform(-0.3, 0.3)) / len(ids)
                at = max(int(place // samples), at)
                if at < len(slots):
                    slots[at] = c
                at += 1
            block, known = (at - 1) // SLOTS_PER_BLOCK, pieces.encode(word)
            if block < len(words) and len(known) == 1:
                words[block] = known[0]
    return torch.from_numpy(slots), torch.from_numpy(words)


def sounds_told(talk: Conversation, rng: random.Random) -> torch.Tensor:
    """(T, classes) float32, what a head for sounds would say: late, unevenly, of some sounds little, of some that are
    over at once, such as a sneeze, for a moment, at times of another class as well, and now and then of one that is not
    there."""
    told = np.abs(np.array([[rng.gauss(0, 0.02) for _ in SOUNDS] for _ in range(talk.num_blocks)], np.float32))

    def say(sound: str, first: int, last: int, loud: float) -> None:
        for block in range(max(first, 0), min(last, talk.num_blocks)):
            told[block, SOUNDS.index(sound)] += loud * rng.uniform(0.6, 1.0)

    for heard in talk.heard:
        if not heard.line.sound:
            if rng.random() < 0.02:
                say(rng.choice(SOUNDS), (first := heard.at // BLOCK), first + rng.randint(1, 4), rng.uniform(0.2, 0.6))
            continue
        first, last = heard.at // BLOCK + rng.randint(1, 4), heard.end // BLOCK + rng.randint(0, 2)
        if rng.random() < 0.25:
            first += rng.randint(0, max(last - first, 0) // 3)
            last = min(last, first + rng.randint(2, 6))
        say(heard.line.sound, first, max(last, first + 2), rng.uniform(0.1, 0.4) if rng.random() < 0.1 else
            rng.uniform(0.5, 1.0))
        if rng.random() < 0.35:
            say(rng.choice(SOUNDS), rng.randint(first, max(last - 2, first)), last, rng.uniform(0.1, 0.5))
    return torch.from_numpy(told.clip(0, 1))


class TextConversations(Numbered):
    """Batches of symbolic conversations: `characters`, the words `heard`, and the grid.

    With `captions`, a vocabulary of captions by pieces, `pieces` takes the place of `characters`; with `sounds`, the
    batch has `sounds` too, see `sounds_told`, and every other drill has something to ask about.

    The first `drills` rows of every batch are drills at `pace` times the speed of speech: a row of 20 s then holds
    eight exchanges in place of two, and saying back what was heard is learned from exchanges, not from silence. The
    last `recitals` of them are long speech every other time: at the speed of speech a story takes 35 s, and a row of
    20 s has never an end of one. In `broken` ones before those it is cut short, and gone on with, at `broken_pace`: at
    four times the speed of speech most pieces have sounded before the next one comes, and nothing that was said is
    unheard at a cut, as something always is in use. The first `quizzes` drills have more of what is known by heart, and
    the `copies` after those are strings and orders to say back; in the `listening` after those much sounds, and is
    asked about. In the `interrupted` rows after the drills the agent is
    mostly asked for long speech, and mostly talked into.

    A share of the batches, `long_share`, has rows of `long_blocks` in place of `num_blocks`, and so many fewer of them,
    all of them drills that ask for what was told before. `pauses`: see `TextSource`, of the drills. `floor_every`: see
    `conversations.build`.
    """

    def __init__(self, words: list[str], num_blocks: int, batch: int, seed: int, drills: int = 0,
                 captions: Vocabulary | None = None, pace: float = 2.5, sounds: bool = False,
                 interrupted: int = 0, recitals: int = 0, quizzes: int = 0, broken: int = 0,
                 pauses: float | None = None, long_share: float = 0.0, long_blocks: int = 1_024,
                 floor_every: int = 1, copies: int = 0, broken_pace: float | None = None, listening: int = 0):
        self.floor_every, self.copies, self.broken_pace, self.listening = floor_every, copies, broken_pace, listening
        self.interrupted, self.recitals = interrupted, recitals
        self.quizzes, self.broken, self.pauses = quizzes, broken, pauses
        self.long_share, self.long_blocks = long_share, long_blocks
        self.words, self.num_blocks, self.batch, self.seed, self.drills = words, num_blocks, batch, seed, drills
        self.captions, self.pace, self.sounds = captions, pace, sounds

    def open(self):
        """See `Numbered`."""
        pieces, source = Pieces(self.words), TextSource(sounds=self.sounds)
        speller = Speller(self.captions, pieces) if self.captions else None
        speaker = TextSpeaker(pieces)
        fast = TextSource(self.pace, self.sounds, self.pauses), TextSpeaker(pieces, self.pace)
        slow, haste = fast, BROKEN.haste
        if self.broken_pace is not None:
            slow = TextSource(self.broken_pace, self.sounds, self.pauses), TextSpeaker(pieces, self.broken_pace)
            haste = self.broken_pace
        plain = self.drills - self.recitals - self.broken
        drills = [(*fast, LISTENING if self.sounds and row % 2 else DRILL) for row in range(plain)]
        known = [QUIZ] * self.quizzes + [COPY] * self.copies + [LISTENING] * self.listening
        drills[:len(known)] = [(*fast, manners) for manners in known]
        drills += [(*slow, replace(BROKEN, haste=haste))] * self.broken + [(*fast, RECITAL)] * self.recitals

        def make(rng: random.Random):
            rows, long = [], self.long_share > 0 and rng.random() < self.long_share
            for row in range(max(self.batch * self.num_blocks // self.long_blocks, 1) if long else self.batch):
                if long:
                    talk = conversations.build(rng, self.long_blocks, *fast, REMEMBER, self.floor_every)
                elif row < self.drills:
                    talk = conversations.build(rng, self.num_blocks, *drills[row], self.floor_every)
                else:
                    manners = INTERRUPTS if row < self.drills + self.interrupted else TALK
                    talk = conversations.build(rng, self.num_blocks, source, speaker, manners, self.floor_every)
                spelled, heard = speller(talk, rng) if speller else characters(talk, pieces, rng)
                rows.append({**grid(talk), "pieces" if speller else "characters": spelled, "heard": heard})
                if self.sounds:
                    rows[-1]["sounds"] = sounds_told(talk, rng)
            return {k: torch.stack([r[k] for r in rows]) for k in rows[0]}

        return make


# ---- sound ---------------------------------------------------------------------------------------------------------


class SoundConversations(Numbered):
    """Batches with room and own audio, caption targets and the grid; the first `drills` rows are turn upon turn, and
    in the first `listening` of them something sounds between the turns, to be asked about.

    In the `interrupted` rows after those the agent is mostly asked for long speech, and mostly talked into.
    A share of the batches, `long_share`, has rows of `long_blocks` in place of `num_blocks`, and so many fewer of them,
    none a drill: what was said minutes ago is remembered, and minutes are waited. In the last `hasty` drills the
    agent's replies are without sound and `HASTE` times as fast, as in lessons of text: half of a drill is else its own
    speech. They have more of what is known by heart, the last `copies` of them strings and orders to say back.
    `pauses`, `revoice`: see `SoundSource`; `floor_every`: see `conversations.build`. With `only`, the number of a row,
    all that is made is that one.
    """

    def __init__(self, folder: Path, mouth: Mouth, words: list[str], num_blocks: int, batch: int, seed: int,
                 dev: bool = False, drills: int = 0, long_share: float = 0.0, long_blocks: int = 1_600,
                 interrupted: int = 0, pauses: float = PAUSES, listening: int = 0, revoice: float = 0.0,
                 floor_every: int = 1, hasty: int = 0, copies: int = 0, only: int | None = None):
        plain = [LISTENING] * listening + [DRILL] * (drills - hasty - listening)
        quick = [QUIZ] * (hasty - copies) + [COPY] * copies
        talk = [INTERRUPTS] * interrupted + [TALK] * (batch - drills - interrupted)
        self.rows = [*((manners, False) for manners in plain), *((manners, True) for manners in quick),
                     *((manners, False) for manners in talk)][:batch]   # and whether its replies are silent
        if only is not None:
            self.rows, long_share = [self.rows[only]], 0.0
        self.folder, self.mouth, self.words, self.num_blocks = folder, mouth, words, num_blocks
        self.seed, self.dev, self.pauses, self.revoice, self.floor_every = seed, dev, pauses, revoice, floor_every
        self.long_share, self.long_blocks = long_share, long_blocks

    def open(self):
        """See `Numbered`."""
        torch.set_num_threads(1)
        root = recordings.data_dir()
        pieces, source = Pieces(self.words), SoundSource(self.folder, self.dev, pauses=self.pauses,
                                                          revoice=self.revoice)
        speaker, quick = VoiceSpeaker(self.mouth, pieces), TextSpeaker(pieces, HASTE)
        babble = [u.samples for u in source.pools["other"]]
        augment = Augment(recordings.rooms(root), recordings.noises(root), babble)

        def make(rng: random.Random):
            rows, captions, long = [], [], self.long_share > 0 and rng.random() < self.long_share
            num_blocks = self.long_blocks if long else self.num_blocks
            fewer = [(LONG, False)] * max(len(self.rows) * self.num_blocks // self.long_blocks, 1)
            for manners, silent in fewer if long else self.rows:
                talk = conversations.build(rng, num_blocks, source, quick if silent else speaker, manners,
                                           self.floor_every)
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
    for h in lines:
        first, last = max(h.at // BLOCK - 1, 0), (h.at + h.line.num_samples) // BLOCK + 4
        clear = all(o is h or o.at > last * BLOCK or o.at + o.line.num_samples < first * BLOCK for o in lines)
        if h.line.text and clear and last <= talk.num_blocks and h.role != "other":
            letters = h.line.ask is not None and h.line.ask.skill == "readback"  # "i v a" is spelled, not said
            known = [pieces.encode(w.upper() if letters and len(w) == 1 else w) for w in h.line.text.split()]
            words = [ids[0] for ids in known if len(ids) == 1]
            spans.append((first, last, torch.tensor(caption_ids(h.line.text)), torch.tensor(words, dtype=torch.long)))
    return spans


def silences(heard: Heard) -> list[dict]:
    """The silences of somebody who asks for something, in seconds of the conversation, as an agent is to take them.

    Returns:
        those in which people think, as far as the times of words tell: `incomplete` where what is asked is not told
        yet, else `ambiguous`, and over before an answer is due; the last, which begins with the end, is `complete` or
        `ambiguous`, with the time after it at which the answer is due.
    """
    if heard.line.ask is None:
        return []
    places = thinking(heard.line.ask)
    inside = [(a[2], b[1], after in places) for after, (a, b) in enumerate(itertools.pairwise(heard.line.words), 1)
              if b[1] - a[2] >= _THINKING]
    found = [{"from": round((heard.at + a) / RATE_HZ, 2), "to": round((heard.at + b) / RATE_HZ, 2),
              "kind": "incomplete" if untold else "ambiguous"} for a, b, untold in inside]
    kind, after = ("ambiguous", OPEN_AFTER) if heard.line.ask.open else ("complete", START_AFTER)
    return [*found, {"from": round(heard.end / RATE_HZ, 2), "kind": kind, "answer_after": after * BLOCK / RATE_HZ}]


def mix(talk: Conversation, own: np.ndarray, augment: Augment, rng: random.Random) -> np.ndarray:
    """The microphone: people and sounds in one room, the agent's echo, a noise floor that never stops."""
    count = len(own)
    near, far = np.zeros(count + 1, np.float32), np.zeros(count + 1, np.float32)
    gain = 10 ** (rng.uniform(-6, 0) / 20)
    for h in talk.heard:
        note("said", role=h.role, voice=h.line.voice, text=h.line.text, **{"from": round(h.at / RATE_HZ, 2)},
             to=round((h.at + h.line.num_samples) / RATE_HZ, 2),
             words=[[w, round((h.at + a) / RATE_HZ, 2), round((h.at + b) / RATE_HZ, 2)] for w, a, b in h.line.words],
             silences=silences(h))
        x = augment.colour(faded(h.line.samples), rng)
        is_near, level = placed(h, gain, rng)
        track = near if is_near else far
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
