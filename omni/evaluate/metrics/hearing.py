"""Hearing: do the agent's captions say what the user said, and how soon?

    user       [ one two ][ three ]              [ four ]
               |------ a passage ------|  1.5 s  |--------|  1.5 s
    captions        on   e two  th ree             four
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate

from omni.base.words import word_errors
from omni.evaluate.cases import RATE_HZ, Case
from omni.evaluate.metrics.metric import Sample, metric, quantile, ratio
from omni.evaluate.record import Caption
from omni.evaluate.scenario import normal
from omni.evaluate.verdicts import TurnSpan

_AFTER = 24_000     # 1.5 s
_VOICED = ("turn", "pause", "stop", "backchannel", "other")    # kinds that are speech, so captions are due


@dataclass(frozen=True, slots=True)
class Passage:
    """Turns so close that nobody can tell whose a caption is, and the captions from the first's speech to 1.5 s after
    the last's."""

    turns: tuple[TurnSpan, ...]
    captions: tuple[Caption, ...]


def passages(case: Case) -> list[Passage]:
    """Passages of which all is known that was said."""
    groups: list[list[TurnSpan]] = []
    for turn in case.turns:
        if turn.kind not in _VOICED:
            continue
        if groups and turn.speech_start <= max(t.speech_end for t in groups[-1]) + _AFTER:
            groups[-1].append(turn)
        else:
            groups.append([turn])
    found = []
    for group in groups:
        start, end = group[0].speech_start, max(t.speech_end for t in group) + _AFTER
        if all(normal(turn.text or "") for turn in group) and end <= case.num_samples:
            found.append(Passage(tuple(group), tuple(c for c in case.captions if start <= c.at <= end)))
    return found


@metric("errors per word", "lower")
def caption_wer(cases: Sequence[Case]) -> Sample:
    """Word error rate of the captions from the beginning of the user's speech to 1.5 s after its end against what was
    said, lower case and without punctuation; turns less than that apart are taken together. Counts words said."""
    parts = []
    for case in cases:
        found = [word_errors(" ".join(normal(" ".join(t.text for t in passage.turns))),
                             " ".join(normal("".join(c.text for c in passage.captions)))) for passage in passages(case)]
        parts.append((sum(errors for errors, _ in found), sum(words for _, words in found)))
    return ratio(parts)


def _delay(percent: int):
    @metric("s", "lower", name=f"caption_delay_p{percent}", definition=(
        f"Percentile {percent} of the time from the end of a turn's speech to the caption that completes its last "
        "word, below zero if that came first; over turns whose last word is in the captions within 1.5 s and that "
        "stand alone for as long."))
    def caption_delay(cases: Sequence[Case]) -> Sample:
        return quantile([[delay for passage in passages(case) if len(passage.turns) == 1
                          and (delay := _delay_s(passage)) is not None] for case in cases], percent)

    return caption_delay


caption_delay_p50, caption_delay_p90 = map(_delay, (50, 90))


def _delay_s(passage: Passage) -> float | None:
    """When the last word was complete, from the end of the speech; None if it is not in the captions."""
    turn, = passage.turns
    last = normal(turn.text)[-1]
    captions = "".join(c.text for c in passage.captions).lower()
    ends = [match.end() for match in re.finditer(r"[a-z0-9']+", captions) if match[0] == last]
    if not ends:
        return None
    lengths = accumulate(len(c.text.lower()) for c in passage.captions)
    at = next(c.at for c, length in zip(passage.captions, lengths, strict=True) if length >= ends[-1])
    return (at - turn.speech_end) / RATE_HZ


def _word_delay(percent: int):
    @metric("s", "lower", name=f"caption_word_delay_p{percent}", definition=(
        f"Percentile {percent} of the time from the end of each word to the caption that completes it; over the words "
        "whose times are known (synthetic voices) and that the captions have, in passages of one turn, aligned by "
        "longest common runs."))
    def caption_word_delay(cases: Sequence[Case]) -> Sample:
        return quantile([[delay for passage in passages(case) if len(passage.turns) == 1
                          for delay in _word_delays_s(passage)] for case in cases], percent)

    return caption_word_delay


caption_word_delay_p50, caption_word_delay_p90 = map(_word_delay, (50, 90))


def _word_delays_s(passage: Passage) -> list[float]:
    turn, = passage.turns
    said = [(normal(word), end) for word, _, end in turn.words]
    said = [(words[0], end) for words, end in said if len(words) == 1]
    captions = "".join(c.text for c in passage.captions).lower()
    heard = [(match[0], match.end()) for match in re.finditer(r"[a-z0-9']+", captions)]
    lengths = list(accumulate(len(c.text) for c in passage.captions))
    matcher = SequenceMatcher(None, [w for w, _ in said], [w for w, _ in heard], autojunk=False)
    found = []
    for a, b, size in matcher.get_matching_blocks():
        for i in range(size):
            at = next(c.at for c, length in zip(passage.captions, lengths, strict=True) if length >= heard[b + i][1])
            found.append((at - said[a + i][1]) / RATE_HZ)
    return found
