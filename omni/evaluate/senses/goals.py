"""The rows of the table: what each means, and what it should be. Floors and aims are of the shipped model's size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from omni.evaluate.metrics.metric import Better, Sample, estimate

Reached = Literal["aim", "floor", "no", "-"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row measures.

    Attributes:
        title, definition: for a reader; the definition says on what.
        unit: "share" and "errors per word" are shown in percent, "s" in milliseconds.
        digits: behind the point, as it is shown.
        better: which way is good.
        floor, aim: what it must and what it should reach; None where nothing was asked.
    """

    title: str
    definition: str
    unit: str
    better: Better
    floor: float | None = None
    aim: float | None = None
    digits: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One number of one subject.

    Attributes:
        name: key of `GOALS`.
        value: None if it could not be measured; `note` then says why.
        low, high: 95 % bootstrap interval over `cases`; None where these are fewer than two.
        count, counted: events behind the value; cases: utterances, speakers, ... that were drawn anew.
        note: what else should be known.
        detail: numbers behind it, plain values.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    counted: str = ""
    cases: int = 0
    note: str = ""
    detail: dict = field(default_factory=dict)

    @property
    def reached(self) -> Reached:
        """How far the value itself got; its interval may reach to either side."""
        goal = GOALS[self.name]
        if self.value is None or goal.floor is None or goal.aim is None:
            return "-"
        sign = 1 if goal.better == "higher" else -1
        if sign * self.value >= sign * goal.aim:
            return "aim"
        return "floor" if sign * self.value >= sign * goal.floor else "no"


def measured(name: str, sample: Sample, counted: str, note: str = "", detail: dict | None = None) -> Row:
    """A row from a sample."""
    value, low, high = estimate(sample)
    return Row(name, value, low, high, sample.count, counted, sample.num_cases, note, detail or {})


def by_case(parts: Sequence[tuple[str, float, float]]) -> list[tuple[float, float]]:
    """(case, numerator, denominator) of events to sums of each case, e.g. of each speaker."""
    sums: dict[str, tuple[float, float]] = {}
    for case, numerator, denominator in parts:
        known = sums.get(case, (0.0, 0.0))
        sums[case] = (known[0] + numerator, known[1] + denominator)
    return list(sums.values())


_CAPTIONS = "captions block by block, greedy, without any language model"
GOALS: dict[str, Goal] = {
    "an4": Goal("captions, an4, unseen speakers", f"Word errors of the {_CAPTIONS}; real people who spell, count and "
                "say dates, speakers kept out of training.", "errors per word", "lower", 0.12, 0.05),
    "words": Goal("single words of unseen people, rooms and noise", "Share of words of Speech Commands for which the "
                  "captions say exactly that word, between the word's beginning and the next one's; several people's "
                  "words one after the other in a room that goes on, simulated and heard nowhere else, over noise from "
                  "stretches kept out of training at 5 to 25 dB.", "share", "higher", 0.90, 0.96),
    "words_clean": Goal("the same, as they were recorded", "As above, without the room and the noise.", "share",
                        "higher"),
    "orders": Goal("real coffee orders, every slot right, clean", "Share of real orders, of voices kept out of "
                   "training, in whose captions the words of every labelled slot are found, side by side.", "share",
                   "higher", 0.75, 0.95),
    "orders_12db": Goal("the same at 12 dB", "As above, with a noise whose loudest 2,048 samples have an energy 12 dB "
                        "below the speech's loudest, and the mixture's peak at a half (Picovoice/speech-to-intent-"
                        "benchmark); noise from stretches kept out of training.", "share", "higher", 0.60, 0.90),
    "unseen_engine": Goal("captions, unseen synthesis engine, whole world", f"Word errors of the {_CAPTIONS}; texts of "
                          "wordings kept out of training and of all skills, spoken by diphone synthesizers that no "
                          "lesson uses.", "errors per word", "lower", 0.05, 0.02),
    "delay_p50": Goal("caption delay after a word's end, median", "From the end of a word, as the synthesizer planned "
                      "it, to the end of the block that completes it in the captions; over words that the captions "
                      "have within 1.5 s.", "s", "lower", 0.320, 0.200, 0),
    "delay_p95": Goal("caption delay, 95th percentile", "As above.", "s", "lower", 0.560, 0.400, 0),
    "echo_plus_6db": Goal("captions over own echo, user 6 dB above it", "Word errors while the agent's own voice comes "
                          "back through a room, divided by those on the same utterances while it is silent.",
                          "times the errors", "lower", 1.6, 1.2, 2),
    "echo_minus_6db": Goal("captions over own echo, user 6 dB below it", "As above.", "times the errors", "lower", 2.5,
                           1.5, 2),
    "sounds": Goal("sounds named, unseen clips", "Share of clips kept out of training for which the sound head's mean "
                   "over the blocks that sound is highest for their class; one of ten.", "share", "higher", 0.80, 0.92),
    "understood": Goal("recogniser's word errors beyond the teacher's", "Word errors of an independent recogniser on "
                       "the agent's voice minus those on its teacher's, on the same texts of the agent's world, "
                       "with a grammar of each kind.", "errors per word", "lower", 0.02, 0.005),
    "teacher": Goal("the same recogniser on the teacher", "Its word errors, for the row above to mean something.",
                    "errors per word", "lower", 0.05, 0.05),
    "pesq": Goal("vocoder on unseen teacher mel: PESQ-wb", "Mean of PESQ (ITU-T P.862.2) over texts that no lesson "
                 "has.", "MOS-LQO", "higher", 2.5, 3.5, 2),
    "stoi": Goal("vocoder on unseen teacher mel: STOI", "Mean of STOI (IEEE Trans. Audio Speech Lang. Process. 19, "
                 "2011) over the same.", "STOI", "higher", 0.95, 0.98, 3),
    "seams": Goal("seams: block borders without a step", "Share of borders between blocks of sound whose step from "
                  "sample to sample is not above the largest of the block before and the block after.", "share",
                  "higher", 0.999, 0.999, 2),
    "starts": Goal("starts within one block", "Share of replies that are heard (1 % of their peak) in the block in "
                   "which their first piece was decided.", "share", "higher", 1.0, 1.0),
    "cuts": Goal("silence within one block of a cut", "Share of cuts after which nothing sounds from one block after "
                 "the cut's block began.", "share", "higher", 1.0, 1.0),
    "compute": Goal("compute per block, ears and voice, p95", "95th percentile of the time that ears and voice take "
                    "for one block of one conversation on one core while the agent speaks.", "ms", "lower", 12.0, 8.0),
}
