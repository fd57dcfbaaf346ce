"""Rows of an independent recogniser: is the agent understood as its teacher is?"""

from omni.base.errors import OmniError
from omni.evaluate import voice
from omni.evaluate.metrics.metric import divide, ratio
from omni.evaluate.senses.goals import Row, measured
from omni.evaluate.senses.subject import Subject


def understood(subject: Subject, most: int | None, seed: int) -> list[Row]:
    """Rows "understood" and "teacher". Texts don't depend on the seed: they are those of `omni evaluate voice`.

    Raises:
        OmniError: the recogniser or the teacher is not installed.
    """
    try:
        errors = voice.listen(subject.model, "world", voice.texts()["world"][:most])
    except ImportError as error:
        raise OmniError("pocketsphinx is not installed: pip install 'omni-duplex[bench]'") from error
    words = sum(n for _, n in errors["agent"])
    own = float(divide(sum(e for e, _ in errors["agent"]), words))
    return [measured("understood", ratio(voice.beyond(errors), words), "words", f"{own:.1%} in the agent's voice",
                     {"agent": round(own, 4)}),
            measured("teacher", ratio(errors["teacher"]), "words")]
