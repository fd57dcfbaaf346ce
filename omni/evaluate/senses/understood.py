"""Rows of an independent recogniser: is the agent understood as its teacher is?"""

from omni.base.errors import OmniError
from omni.evaluate import voice
from omni.evaluate.metrics.metric import divide, ratio
from omni.evaluate.senses.goals import Row, measured
from omni.evaluate.senses.subject import Subject


def understood(subject: Subject, most: int | None, seed: int) -> list[Row]:
    """Rows "understood" and "teacher". Texts don't depend on the seed: they are those of `omni evaluate voice`, as far
    as the voice has pieces for their words; the note says what share was left out.

    Raises:
        OmniError: the recogniser or the teacher is not installed.
    """
    said, left_out = voice.world(subject.model.pieces)
    try:
        errors = voice.listen(subject.model, "world", said[:most])
    except ImportError as error:
        raise OmniError("pocketsphinx is not installed: pip install 'omni-duplex[bench]'") from error
    words = sum(n for _, n in errors["agent"])
    own = float(divide(sum(e for e, _ in errors["agent"]), words))
    return [measured("understood", ratio(voice.beyond(errors), words), "words",
                     f"{own:.1%} in the agent's voice; {left_out:.0%} of replies left out, a word has no piece",
                     {"agent": round(own, 4), "left_out": round(left_out, 4)}),
            measured("teacher", ratio(errors["teacher"]), "words")]
