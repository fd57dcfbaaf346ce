"""More than a minute in one breath: does the voice drift?

The mouth's state is never reset, and the mind's states drive it as in use. A breath ends with the sentences that it
began with, so that what differs is time's doing and not the words':

    opening, 15 s | rest of the story, the next stories, 30 s | opening, 15 s
    first         |                                           | last
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omni.data.skills.stories import STORIES
from omni.data.speaker import VoiceSpeaker
from omni.evaluate.metrics.metric import estimate, ratio
from omni.evaluate.pitch import RATE_HZ, pitch_hz
from omni.evaluate.reciter import Recital, Reciter
from omni.evaluate.voice_contract import points
from omni.evaluate.voice_listener import Listener
from omni.model.duplex import DuplexModel
from omni.model.tokens import PAUSES, Pieces

PART_S, WHOLE_S = 15, 60
_AROUND_S = 0.16        # of a reply said alone, its blocks of `<start_speak>` and `<end_speak>`


@dataclass(frozen=True, slots=True)
class Part:
    """One end of a breath.

    Attributes:
        level_db: of its voiced frames, root of the mean square.
        pitch_hz: their median.
        words_per_s: from its first piece's beginning to its last one's end.
        errors: word errors and words of each sentence.
    """

    level_db: float
    pitch_hz: float
    words_per_s: float
    errors: list[tuple[int, int]]


def breath(speaker: VoiceSpeaker, first: int = 0) -> tuple[list[str], int]:
    """Sentences of at least a minute, and how many of them are the opening, with which it ends too.

    Args:
        speaker: times them.
        first: of the stories.
    """
    stories = list(STORIES.values())
    line = [part.strip() + "." for story in stories[first:] + stories[:first] for part in story.split(".")
            if part.strip()]
    times = np.cumsum([len(speaker.render(sentence).audio) / RATE_HZ - _AROUND_S for sentence in line])
    opening, middle = (int(np.argmax(times >= wanted)) + 1 for wanted in (PART_S, WHOLE_S - PART_S))
    return line[:middle] + line[:opening], opening


def part_of(recital: Recital, pieces: Pieces, sentences: Sequence[str], start: int, listener: Listener | None) -> Part:
    """What sentences of a recital sound like, the first of which begins with its piece `start`.

    Args:
        listener: None hears no words.
    """
    at, bounds, errors, words = start, [], [], 0
    for sentence in sentences:
        ids = pieces.encode(sentence)
        assert recital.pieces[at:at + len(ids)].tolist() == ids
        bounds.append((int(recital.begun[at]), int(recital.ended[at + len(ids) - 1])))
        words += sum(pieces.symbol(i) not in PAUSES for i in ids)
        at += len(ids)
        if listener is not None:
            errors.append(listener.errors("sentences", sentence, recital.audio[slice(*bounds[-1])]))
    begin, end = bounds[0][0], bounds[-1][1]
    pitch, level = pitch_hz(recital.audio[begin:end])
    voiced = pitch > 0
    return Part(10 * float(np.log10((level[voiced] ** 2).mean())), float(np.median(pitch[voiced])),
                words * RATE_HZ / (end - begin), errors)


def ends(model: DuplexModel, count: int = len(STORIES), states: bool = True, hear: bool = True,
         ) -> tuple[list[tuple[Part, Part]], list[float]]:
    """First and last part of so many breaths, and how many seconds each breath lasts.

    Args:
        states: see `Reciter`.
        hear: for words, too.
    """
    speaker = VoiceSpeaker(model.mouth, model.pieces)
    breaths = [breath(speaker, first) for first in range(count)]
    recitals = Reciter(model, states).say([" ".join(sentences) for sentences, _ in breaths])
    of_each, seconds = [], []
    ears = [Listener(["sentences"]) if hear else None for _ in range(2)]    # see `Listener`
    for (sentences, opening), recital in zip(breaths, recitals, strict=True):
        again = sum(len(model.pieces.encode(sentence)) for sentence in sentences[:-opening])
        first, last = (part_of(recital, model.pieces, sentences[:opening], start, ear)
                       for start, ear in zip((0, again), ears, strict=True))
        of_each.append((first, last))
        seconds.append(float(recital.ended[-1] - recital.begun[0]) / RATE_HZ)
    return of_each, seconds


def measure(model: DuplexModel, count: int = len(STORIES)) -> dict:
    """How the last quarter of a minute differs from the first.

    Returns:
        {"breaths", "seconds": of the shortest,
         "first", "last": {"level_db", "pitch_hz", "words_per_s", "word_error_rate"}: means over breaths,
         "level_db", "pitch_percent", "words_per_s_percent": last against first {"value", "low", "high", "most"}, with
             the 95 % interval of a bootstrap over breaths, and the largest of any breath, either way,
         "word_errors": {"points", "low", "high"}, paired by sentence}

    Raises:
        ImportError: pocketsphinx is not installed.
    """
    parts, seconds = ends(model, count)
    changes = {"level_db": [last.level_db - first.level_db for first, last in parts],
               "pitch_percent": [100 * (last.pitch_hz / first.pitch_hz - 1) for first, last in parts],
               "words_per_s_percent": [100 * (last.words_per_s / first.words_per_s - 1) for first, last in parts]}
    errors = [[found for part in side for found in part.errors] for side in zip(*parts, strict=True)]
    first, last = zip(*parts, strict=True)
    return {"breaths": count, "seconds": round(min(seconds), 2),
            "first": _sound(first, errors[0]), "last": _sound(last, errors[1]),
            **{name: _change(values) for name, values in changes.items()},
            "word_errors": points(errors[1], errors[0])}


def _sound(side: Sequence[Part], errors: Sequence[tuple[int, int]]) -> dict[str, float]:
    means = {name: round(float(np.mean([getattr(part, name) for part in side])), 2)
             for name in ("level_db", "pitch_hz", "words_per_s")}
    return {**means, "word_error_rate": round(sum(e for e, _ in errors) / sum(n for _, n in errors), 4)}


def _change(values: Sequence[float]) -> dict[str, float]:
    value, low, high = estimate(ratio([(v, 1) for v in values]))
    low, high = (value if x is None else x for x in (low, high))   # of one breath
    return {"value": round(value, 3), "low": round(low, 3), "high": round(high, 3),
            "most": round(max(values, key=abs), 3)}
