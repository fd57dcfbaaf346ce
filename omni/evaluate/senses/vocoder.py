"""Rows of the vocoder: speech of the teacher that no lesson has, to frames and back."""

import random

import numpy as np
from tqdm import tqdm

from omni.base.errors import OmniError
from omni.data import held_out
from omni.data.flite import Flite
from omni.data.voices import loud_span, spoken
from omni.evaluate.metrics.metric import ratio
from omni.evaluate.senses.goals import Row, measured
from omni.evaluate.senses.talker import Talker

RATE_HZ = 16_000
_LEAST_PESQ = 1.0       # of the scale; where PESQ finds no speech at all
_PITCH_EVERY = 2        # the teacher's track has a value every 5 ms


def vocoder(talker: Talker, most: int | None, seed: int) -> list[Row]:
    """Rows "pesq" and "stoi"; the first says so where pesq is not installed.

    Raises:
        OmniError: pystoi or the teacher is not installed.
    """
    texts = sorted(held_out.wordings())
    random.Random(seed).shuffle(texts)
    teacher, scores = Flite("slt"), []
    for text in tqdm(texts[:most], desc="vocoder", unit="text", leave=False, disable=None):
        scores.append(quality(*talker.vocode(*taught(teacher, text))))
    stoi = measured("stoi", ratio([(stoi, 1) for _, stoi in scores]), "texts", "wordings kept out of training")
    if any(pesq is None for pesq, _ in scores):
        return [Row("pesq", None, note="pesq is not installed"), stoi]
    return [measured("pesq", ratio([(pesq, 1) for pesq, _ in scores]), "texts", "wordings kept out of training"), stoi]


def taught(teacher: Flite, text: str) -> tuple[np.ndarray, np.ndarray]:
    """What the teacher says without the silence at both ends, and its own pitch of every 10 ms, 0 where unvoiced."""
    speech = teacher.speak(spoken(text))
    first, last = loud_span(speech.samples)
    first = first // 160 * 160
    return speech.samples[first:last], speech.f0_hz[first // 80 + 1::_PITCH_EVERY]


def quality(reference: np.ndarray, heard: np.ndarray) -> tuple[float | None, float]:
    """PESQ-wb (MOS-LQO) and STOI of speech at 16 kHz against a reference of the same length, on one time.

    PESQ is None where its library is not installed. That has to be built from C, and the code of its owners inside may
    only be used to study and to evaluate, so nobody gets it without asking for it.

    Raises:
        OmniError: pystoi is not installed.
    """
    try:
        from pystoi import stoi
    except ImportError as error:
        raise OmniError("pystoi is not installed: pip install 'omni-duplex[bench]'") from error
    try:
        from pesq import PesqError, pesq
    except ImportError:
        return None, float(stoi(reference, heard, RATE_HZ))
    score = pesq(RATE_HZ, reference, heard, "wb", on_error=PesqError.RETURN_VALUES)
    return (float(score) if score > 0 else _LEAST_PESQ), float(stoi(reference, heard, RATE_HZ))
