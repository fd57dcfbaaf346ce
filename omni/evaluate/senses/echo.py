"""Rows of echo: the same people, while the agent is silent, and while it hears itself speak.

    user    |      [ one two three ]      |     an4 and unseen synthetic voices
    own     | [ okay, a large latte ...   |     the agent's own voice, from its own synthesizer
    echo    |    [ okay, a large lat...   |     the same through a room, later
"""

import random
from pathlib import Path

import numpy as np

from omni.data import recordings, voices
from omni.data.speaker import VoiceSpeaker
from omni.evaluate import sets
from omni.evaluate.metrics.metric import divide, ratio
from omni.evaluate.senses import stimuli
from omni.evaluate.senses.captions import errors_in, texts
from omni.evaluate.senses.goals import Row, measured
from omni.evaluate.senses.listener import Listener
from omni.evaluate.senses.replies import sayable
from omni.model.weights import load_model

EACH = 60       # utterances of people, and as many of synthetic voices
RATIOS_DB = {"echo_plus_6db": 6.0, "echo_minus_6db": -6.0}
_HEADPHONES = "headphones"


def echo(listener: Listener, most: int | None, seed: int, voice: str | Path) -> list[Row]:
    """Rows "echo_plus_6db" and "echo_minus_6db"; in the details, word errors of all conditions.

    Args:
        voice: weights whose mouth is the agent's.
    """
    said = _utterances(min(most or EACH, EACH), seed)
    rooms = [stimuli.alone(samples, i) for i, (_, samples) in enumerate(said)]
    owns = _own_voice(voice, [len(room) for room in rooms], seed)
    conditions = {"silent": (rooms, None), _HEADPHONES: (rooms, owns)}
    for name, ratio_db in RATIOS_DB.items():
        over = [stimuli.over_echo(room, own, ratio_db, random.Random(f"{seed}/{i}"))
                for i, (room, own) in enumerate(zip(rooms, owns, strict=True))]
        conditions[name] = (over, owns)
    errors = {}
    for name, (heard, own) in conditions.items():
        errors[name] = [errors_in(text, h) for (text, _), h in zip(said, listener.hear(heard, own, f"echo, {name}"),
                                                                  strict=True)]
    wer = {name: round(float(divide(*np.sum(parts, axis=0))), 4) for name, parts in errors.items()}
    words, rows = sum(n for _, n in errors["silent"]), []
    for name in RATIOS_DB:
        parts = [(over, silent) for (over, _), (silent, _) in zip(errors[name], errors["silent"], strict=True)]
        note = f"{wer[name]:.1%} against {wer['silent']:.1%}; {wer[_HEADPHONES]:.1%} with headphones"
        rows.append(measured(name, ratio(parts, words), "words", note, {"word_errors": wer}))
    return rows


def _utterances(each: int, seed: int) -> list[tuple[str, np.ndarray]]:
    real = [r for r in recordings.speech(recordings.data_dir()) if r.dev and r.source == "an4"]
    real = random.Random(seed).sample(real, min(each, len(real)))
    made = [(text, sets.speak(text, voices.draw_unseen(random.Random(f"{seed}/{i}")))[0])
            for i, text in enumerate(sum(texts(each, seed), []))]
    return [(r.text, stimuli.level(recordings.read(r.path))) for r in real] + made


def _own_voice(voice: str | Path, lengths: list[int], seed: int) -> list[np.ndarray]:
    """The agent talking all the while, reply upon reply that it has words for, one track of each of these lengths."""
    model = load_model(voice, packed=True)
    said, found = sayable(random.Random(f"{seed}/own"), model.pieces), []
    speaker = VoiceSpeaker(model.mouth, model.pieces)
    for count in lengths:
        parts = [np.zeros(0, np.float32)]
        while sum(map(len, parts)) < count:
            parts.append(speaker.render(next(said)).audio)
        found.append(np.concatenate(parts)[:count])
    return found
