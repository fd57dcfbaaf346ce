"""What the ears learn from: short stretches of a room with everything that is known of them.

    room   | noise  a large latte   noise  (dog barks)      zero |    utterances, sounds, echo, and always noise
    own    |            . . . okay, what else . . .              |    in some: the agent itself
    words  |        a large latte                           zero |    the user's and nobody else's, with their times
    sounds |                               ---------             |    per block and class; -1 where nobody can say
    speech |        -------------                           ---- |    per block
    phones |        @ l A: dZ ...                           z .. |    per frame; 0 silence, -1 unknown

Batches are dicts, see `Hearing.open`.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
import torch

from omni.audio.mixing import active_level
from omni.base.config import LATER, nearest
from omni.base.errors import MediaError, OmniError
from omni.data import bank, recordings
from omni.data.augment import SIMULATED, Augment, note, revoice
from omni.data.numbered import Numbered
from omni.data.own_voice import OwnVoice, echo_at
from omni.data.recordings import active_span
from omni.data.skills.sounds import SOUNDS
from omni.model.captions import Vocabulary
from omni.model.encoder import caption_ids

RATE_HZ = 16_000
FRAME, BLOCK = 640, 1280  # samples in a frame of 25 Hz, in a block
PHONE_LATE = 960  # samples between what is named and the frame's end: a phone is named once it has been heard
REAL_LATE = 6  # frames after a real utterance's end in which it may be emitted
FAST_OR_SLOW = 0.6  # share of real recordings played faster or slower, which moves the pitch too
MARGIN = 4 * FRAME  # after the last utterance, for what is emitted late

# share of each source among utterances: real people weigh far more than their hours
SHARES = {"synthetic": 0.42, "coffee_orders": 0.14, "an4": 0.19, "alphanumeric": 0.04, "speech_commands": 0.16,
          "phrases": 0.03, "read_sentences": 0.02}


@dataclass(frozen=True, slots=True)
class HearingConfig:
    """Attributes:
        seconds: of a segment, rounded down to whole blocks; batch: segments in a batch.
        clean: share of segments with next to no noise and no room; above 0.9 no voice is coloured either.
        shares: of the sources among utterances, "synthetic" for all voices of machines; others are left out.
        sounds: share of segments with sound events; quiet: of these, without any speech.
        voice: weights whose mouth is the agent's own voice, none for ears that never hear themselves.
        own: share of segments with the own voice; of these `headphones` have no echo, `alone` no user.
        least_db, most_db: user to echo.
        dropout: share of words whose joins of pieces are partly undone.
        revoice: share of utterances that another throat says (`omni.data.augment.revoice`).
        late: frames after a word's end in which it may be emitted.
        room, simulated, wet: share of utterances in a room, of those in a computed one, and whether that is heard as it
            is (`omni.data.augment.Augment`).
    """

    seconds: float = 5.12
    batch: int = 14
    clean: float = 0.45
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    sounds: float = 0.0
    quiet: float = 0.35
    voice: str | None = None
    own: float = 0.35
    headphones: float = 0.2
    alone: float = 0.15
    least_db: float = -6.0
    most_db: float = 40.0
    dropout: float = 0.05
    revoice: float = 0.0
    late: int = field(default=4, metadata=LATER)
    room: float = field(default=0.6, metadata=LATER)
    simulated: float = field(default=SIMULATED, metadata=LATER)
    wet: bool = field(default=False, metadata=LATER)

    def __post_init__(self):
        for name in self.shares.keys() - SHARES.keys():
            raise ValueError(f"shares: no source {name!r}; {nearest(name, SHARES)}")


@dataclass(slots=True)
class Said:
    """One utterance in a segment, in samples of it: its active stretch, and its words' times where they are known."""

    text: str
    first: int
    last: int
    words: list[tuple[str, int, int]]


class Hearing(Numbered):
    """Segments of rooms, for batches of the ears.

    Args:
        folder: of a bank.
        phones: names, the i-th has id i + 1.
        vocabulary: of the pieces, or None.
    """

    def __init__(self, folder: Path, config: HearingConfig, seed: int, phones: list[str],
                 vocabulary: Vocabulary | None = None):
        self.folder, self.config, self.seed, self.vocabulary = folder, config, seed, vocabulary
        self.phones = {name: i + 1 for i, name in enumerate(phones)}
        self.count = int(config.seconds * RATE_HZ) // BLOCK * BLOCK

    def open(self):
        """See `Numbered`. A batch:

            room, own (B, N) f32; mine (B,) bool, whether there is an own voice; characters, a list of ids each;
            phones (B, T) i64; sounds (B, T / 2, classes) i8; speech (B, T / 2) i8; and of the pieces
            `pieces`, a list of local ids each, 1 and up; classes (B, S) i64, what local id j + 1 stands for, 0 padding;
            late (B, T, S) f32, how many frames before or after its time a piece would be.
        """
        torch.set_num_threads(1)
        root = recordings.data_dir()
        lines = self.lines()
        self.pools = self.by_source(lines)
        self.augment = Augment(recordings.rooms(root), recordings.noises(root), [u.samples for u in lines],
                               self.config.simulated, self.config.wet)
        self.clips = sound_clips(root) if self.config.sounds else []
        self.voice = OwnVoice(self.config.voice) if self.config.voice else None
        return lambda rng: self.collate([self.segment(rng) for _ in range(self.config.batch)], rng)

    def lines(self) -> list[bank.Utterance]:
        """Utterances of the bank whose words are known, but for those kept for development."""
        return [u for u in bank.load(self.folder) if not u.dev and u.text]

    def by_source(self, lines: list[bank.Utterance]) -> dict[str, list[bank.Utterance]]:
        """The lines of every source that is asked for and that has any.

        Raises:
            OmniError: there is none.
        """
        shares = self.config.shares
        pools = {s: [u for u in lines if (u.source == s if s != "synthetic" else ":" in u.source)] for s in shares}
        found = {name: pool for name, pool in pools.items() if pool and shares[name] > 0}
        if not found:
            raise OmniError(f"{self.folder.name} has no words of {', '.join(shares)}")
        return found

    # ---- one segment -------------------------------------------------------------------------------------------------

    def segment(self, rng: random.Random) -> dict:
        """One segment: room, own, said, phones, sounds, speech; numpy."""
        c, n = self.config, self.count
        mine = self.voice is not None and rng.random() < c.own
        with_sounds = bool(self.clips) and rng.random() < c.sounds
        silent = mine and rng.random() < c.alone or with_sounds and rng.random() < c.quiet
        clean = rng.random() < c.clean
        x, phones, said = self._speech(rng) if not silent else (
            np.zeros(n, np.float32), np.zeros(n // FRAME, np.int64), [])
        user = x if clean else self.augment.room(x, rng, c.room)
        heard, tracks = user, []
        if with_sounds:
            tracks = [self._sound(user, rng) for _ in range(1 if rng.random() < 0.75 else 2)]
            heard = user + sum(track for _, track in tracks)
        noisy = self.augment.noise(heard, rng, *((25, 50) if clean else ()))
        labels = sound_labels(tracks, noisy - heard, n // BLOCK)
        own = np.zeros(n, np.float32)
        room = noisy
        if mine:
            own = self.voice.track(n, rng)
            if rng.random() >= c.headphones:
                room = room + echo_at(own, user, rng.uniform(c.least_db, c.most_db), self.augment, rng)
        # where nobody speaks and nothing sounds, what little there is stays faint
        room = self.augment.level(room, rng, 1e-4 if said or tracks else 0.3)
        return {"room": room, "own": own, "mine": mine, "said": said, "phones": phones, "sounds": labels,
                "speech": speech_labels(said, n // BLOCK)}

    def _speech(self, rng: random.Random) -> tuple[np.ndarray, np.ndarray, list[Said]]:
        """A near talker, or several in turn: samples, phones and what is said."""
        x, said, at = np.zeros(self.count, np.float32), [], rng.randrange(0, 8000)
        phones = np.zeros(self.count // FRAME, np.int64)
        names, misses = list(self.pools), 0
        weights = [self.config.shares[name] for name in names]
        while misses < 4:
            u = rng.choice(self.pools[rng.choices(names, weights)[0]])
            y, first, last, words = self._utterance(u, rng)
            if at + len(y) > self.count - MARGIN:  # perhaps a shorter one fits
                at, misses = (at, misses + 1) if said else (0, 0)
                continue
            x[at:at + len(y)] += y
            said.append(Said(u.text, at + first, at + last, [(w, at + a, at + b) for w, a, b in words]))
            note("said", voice=u.source, text=u.text, **{"from": round(said[-1].first / RATE_HZ, 2)},
                 to=round(said[-1].last / RATE_HZ, 2))
            self._mark(phones, u, at, len(y))
            at += len(y) + (rng.randrange(1600, 6000) if rng.random() < 0.6 else rng.randrange(6000, 20_000))
        return x, phones, said

    def _utterance(self, u: bank.Utterance, rng: random.Random) -> tuple[np.ndarray, int, int, list]:
        """Samples, the active stretch in them, words' times; a real one without most of the silence around it."""
        y, words = u.samples, u.words
        if not u.phones:
            first, last = active_span(y)
            start = max(first - rng.randrange(1600, 3200), 0)
            y = y[start:last + rng.randrange(2400, 4000)]
            first, last = first - start, last - start
        else:
            first, last = 0, len(y)
        y = y.astype(np.float32) / 32768 * np.float32(10 ** (rng.uniform(-8, 0) / 20))
        if not u.phones and rng.random() < FAST_OR_SLOW:  # people are few, some speak otherwise
            speed = rng.uniform(0.88, 1.14)
            y = soxr.resample(y, RATE_HZ, RATE_HZ / speed, quality="MQ")
            first, last = int(first / speed), int(last / speed)
        if rng.random() < self.config.revoice:
            y = revoice(y, rng)
        y = y[:max(len(y) // 320, 1) * 320]  # a round number, for the Fourier transforms to come
        _fade(y, 160)
        return y if self.config.clean > 0.9 else self.augment.colour(y, rng), first, last, words

    def _mark(self, phones: np.ndarray, u: bank.Utterance, at: int, length: int) -> None:
        if not u.phones:  # a real recording
            phones[at // FRAME:(at + length + PHONE_LATE) // FRAME + 1] = -1
        for name, first, last in u.phones:
            ends = (np.arange((at + first) // FRAME, (at + last) // FRAME + 3) + 1) * FRAME - PHONE_LATE
            hit = ends[(ends >= at + first) & (ends < at + last)]
            phones[(hit + PHONE_LATE) // FRAME - 1] = self.phones.get(name, -1)

    def _sound(self, user: np.ndarray, rng: random.Random) -> tuple[int, np.ndarray]:
        """Class and track of a sound event somewhere in the segment, perhaps faster or slower, in a room or not."""
        kind, clip = rng.choice(self.clips)
        y = clip.astype(np.float32) / 32768
        if rng.random() < 0.5:
            y = soxr.resample(y, RATE_HZ, RATE_HZ / rng.uniform(0.85, 1.18), quality="MQ")
        # what is heard of it has its loudest moment: the rest of a clip may be silence, or another sound
        count, loudest, track = rng.randrange(16_000, 80_000), int(np.abs(y).argmax()), np.zeros(self.count, np.float32)
        first = rng.randint(max(loudest - count + 1_600, 0), max(loudest - 1_600, 0))
        y = y[first:first + count]
        at = rng.randrange(0, max(self.count - len(y), 1)) if len(y) < self.count else 0
        y = y[:self.count - at]
        _fade(y, 320)
        track[at:at + len(y)] = y
        if rng.random() < 0.4:
            track = self.augment.room(track, rng, share=1.0)
        wanted = (active_level(user) or 0.05) * 10 ** (rng.uniform(-10, 12) / 20)
        return kind, track * np.float32(wanted / max(active_level(track), 1e-5))

    # ---- a batch -----------------------------------------------------------------------------------------------------

    def collate(self, segments: list[dict], rng: random.Random) -> dict:
        """The batch of some segments, see `open`."""
        batch = {name: torch.from_numpy(np.stack([s[name] for s in segments]))
                 for name in ("room", "own", "phones", "sounds", "speech")}
        batch["mine"] = torch.tensor([s["mine"] for s in segments])
        batch["characters"] = [torch.tensor(caption_ids(" ".join(u.text for u in s["said"])), dtype=torch.long)
                               for s in segments]
        if self.vocabulary is not None:
            found = [timed_pieces(s["said"], self.vocabulary, self.count // FRAME, self.config.dropout, rng,
                                  self.config.late)
                     for s in segments]
            most = max(1, *(len(classes) for _, classes, _ in found))
            batch["pieces"] = [torch.tensor(ids, dtype=torch.long) for ids, _, _ in found]
            batch["classes"] = torch.tensor([classes + [0] * (most - len(classes)) for _, classes, _ in found])
            batch["late"] = torch.from_numpy(np.stack([
                np.pad(late, ((0, 0), (0, most - late.shape[1]))) for _, _, late in found]))
        return batch


def _fade(x: np.ndarray, longest: int) -> None:
    """Let float32 (n,) begin and end softly, within `longest` samples each. In place."""
    edge = min(longest, len(x) // 2)
    x[:edge] *= np.linspace(0, 1, edge, dtype=np.float32)
    x[len(x) - edge:] *= np.linspace(1, 0, edge, dtype=np.float32)


def timed_pieces(said: list[Said], vocabulary: Vocabulary, num_frames: int, dropout: float, rng: random.Random,
                 word_late: int = 4) -> tuple[list[int], list[int], np.ndarray]:
    """The pieces of what is said, and when they may be emitted.

    Returns:
        local ids (1 and up) in order; the vocabulary's id of each local one; (num_frames, len(those)) float32, frames
        by which a piece would be too early or too late for the nearest of its words.
    """
    local: dict[int, int] = {}
    ids, frames = [], np.arange(num_frames)
    late: list[np.ndarray] = []
    for u in said:
        words = vocabulary.encode(u.text, dropout, rng.random)
        timed = len(words) == len(u.words)
        for i, word in enumerate(words):
            first, last, grace = (*u.words[i][1:], word_late) if timed else (u.first, u.last, REAL_LATE)
            first, last = first // FRAME, max(last - 1, 0) // FRAME + grace
            outside = np.maximum(np.maximum(first - frames, frames - last), 0).astype(np.float32)
            for piece in word:
                if piece not in local:
                    local[piece] = len(local) + 1
                    late.append(outside)
                else:
                    late[local[piece] - 1] = np.minimum(late[local[piece] - 1], outside)
                ids.append(local[piece])
    return ids, list(local), np.stack(late, 1) if late else np.zeros((num_frames, 0), np.float32)


def block_rms(x: np.ndarray, num_blocks: int) -> np.ndarray:
    """(num_blocks,) root mean square of each block."""
    return np.sqrt((x[:num_blocks * BLOCK].reshape(num_blocks, BLOCK)**2).mean(1))


def sound_labels(tracks: list[tuple[int, np.ndarray]], bed: np.ndarray, num_blocks: int) -> np.ndarray:
    """(num_blocks, classes) int8: 1 where a sound is audible over the noise, 0 where it is not there, -1 in doubt.

    In doubt are blocks in which it is masked or pauses, its first two, which nobody could name yet, and the one after.
    """
    labels, noise = np.zeros((num_blocks, len(SOUNDS)), np.int8), block_rms(bed, num_blocks)
    for kind, track in tracks:
        level = block_rms(track, num_blocks)
        there = np.flatnonzero(level > 0)
        if not len(there):
            continue
        column = labels[:, kind]
        column[there[0]:there[-1] + 2] = np.where(column[there[0]:there[-1] + 2] == 1, 1, -1)
        audible = (level > 0.05 * level.max()) & (level > 0.3 * noise)
        audible[:int(np.flatnonzero(audible)[0]) + 2 if audible.any() else 0] = False
        column[audible] = 1
    return labels


def speech_labels(said: list[Said], num_blocks: int) -> np.ndarray:
    """(num_blocks,) int8: 1 where the near talker speaks; -1 in blocks that are partly so."""
    labels = np.zeros(num_blocks, np.int8)
    for u in said:
        first, last = u.first // BLOCK, max(u.last - 1, 0) // BLOCK
        labels[first:last + 1] = 1
        labels[[first, min(last, num_blocks - 1)]] = -1
    return labels


def sound_clips(root: Path, dev: bool = False) -> list[tuple[int, np.ndarray]]:
    """Class number and int16 samples of each sound event that the decoder takes."""
    clips = []
    for r in recordings.sounds(root):
        if r.dev == dev:
            try:
                clips.append((SOUNDS.index(r.text), (recordings.read(r.path) * 32767).astype(np.int16)))
            except MediaError:
                continue
    return clips


def phone_names(folder: Path) -> list[str]:
    """Phones that the bank has often enough to be learned, by engine, sorted."""
    counts = Counter(name for u in bank.load(folder) if not u.dev for name, _, _ in u.phones)
    return sorted(name for name, n in counts.items() if n >= 50)
