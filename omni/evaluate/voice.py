"""`omni evaluate voice`: is the agent understood? By an independent recogniser, beside the voice it learned from.

Three kinds of texts, each with what may be heard as the recogniser's grammar (`omni.evaluate.recogniser`):

    world   its replies, as often as it gives each kind (of a story, one sentence): a grammar of each kind; only those
            whose every word the voice has a piece for, since another voice may know more of the world
    random  words of its replies in random order, any words: nothing to guess from, and no sentence that training had
    names   names that training never spelled, letter by letter, any letters

The teacher says the same texts to the same recogniser, so the difference is the synthesizer's. No state of a language
model drives these; what states do, long speech and other speaking rates are rows of their own:

    contract   `omni.evaluate.voice_contract`: a mind of random weights drives the mouth
    minute     `omni.evaluate.voice_minute`: a minute in one breath, its end beside its beginning
    rate       `omni.evaluate.voice_rate`: slower and faster
"""

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from omni.audio.files import made_folder, replacing, write_wav
from omni.base.errors import OmniError
from omni.data import voices
from omni.data.flite import MISREAD
from omni.data.skills import orders
from omni.data.skills.stories import STORIES
from omni.data.speaker import VoiceSpeaker
from omni.evaluate import voice_contract, voice_minute, voice_rate
from omni.evaluate.metrics.metric import estimate, ratio
from omni.evaluate.recogniser import RATE_HZ
from omni.evaluate.senses import grammar
from omni.evaluate.senses.grammar import plain
from omni.evaluate.senses.replies import replies
from omni.evaluate.voice_listener import Listener
from omni.model.duplex import DuplexModel
from omni.model.tokens import Pieces
from omni.model.weights import config_fingerprint, fingerprint, load_model

COUNT = 24
WORLD = 3       # times as many of the world's, since most of them are of two words or of ten
_STORY = 40     # words, above which one sentence is enough
_TRIES = 50     # replies for each that is wanted, after which the voice knows too little of the world
TEACHER = voices.Voice("flite", "slt", 100, 0)
_NAMES = ("quill,zebedee,joaquin,wyvern,xiomara,fjord,kvothe,ysolde,mbeki,gwyn,ulrich,dvorak,hjalmar,pnina,oughtred,"
          "szabo,ibsen,lvov,achebe,byrd,cnut,eowyn,nkrumah,rhys").split(",")

Errors = dict[str, list[tuple[int, int]]]   # "agent" and "teacher" to word errors and words of each text


def texts(pieces: Pieces, count: int = COUNT) -> dict[str, list[tuple[str, str]]]:
    """The texts of each kind, the same for every agent with these pieces, each with the name of its grammar in
    `omni.evaluate.voice_listener.grammars`."""
    rng = random.Random(8)
    known = sorted(w for w in {w for text in orders.vocabulary() for w in plain(text).split()} if pieces.knows(w))
    jumbled = [("words", " ".join(rng.sample(known, 6)) + ".") for _ in range(count)]
    return {"world": world(pieces, WORLD * count)[0], "random": jumbled,
            "names": [("letters", " ".join(name.upper()) + ".") for name in _NAMES[:count]]}


def world(pieces: Pieces, count: int = WORLD * COUNT) -> tuple[list[tuple[str, str]], float]:
    """Texts of the world alone, and the share of those drawn that was left out, having a word without a piece.

    Raises:
        OmniError: hardly any of them can be said.
    """
    rng, found = random.Random(7), []
    for drawn, (text, skill) in enumerate(replies(rng), 1):
        kind = grammar.kind_of(text, skill)
        if kind == "sentences" and len(text.split()) > _STORY:
            text = rng.choice([part.strip() for part in text.split(".") if part.strip()]) + "."
        if pieces.knows(text):
            found.append((kind, text))
        if len(found) == count:
            return found, 1 - count / drawn
        if drawn == _TRIES * count:
            break
    raise OmniError("the voice has pieces for hardly any of the world's replies")


def listen(model: DuplexModel, kind: str, said: list[tuple[str, str]], out: Path | None = None) -> Errors:
    """Let the agent and its teacher say these texts to a recogniser.

    Args:
        kind, said: an item of `texts`.
        out: gets what the agent said, KIND_NUMBER.wav.

    Raises:
        ImportError: pocketsphinx is not installed.
    """
    own, ears, errors = VoiceSpeaker(model.mouth, model.pieces), Listener(name for name, _ in said), {}
    speakers: dict[str, Callable[[str], np.ndarray]] = {
        "agent": lambda text: own.render(text).audio, "teacher": taught}
    for speaker, speak in speakers.items():
        errors[speaker] = []
        for i, (name, text) in enumerate(tqdm(said, desc=f"{kind}, {speaker}", unit="text", leave=False, disable=None)):
            samples = speak(text)
            if out is not None and speaker == "agent":
                write_wav(out / f"{kind}_{i:02d}.wav", samples, RATE_HZ)
            errors[speaker].append(ears.errors(name, text, samples))
    return errors


def taught(text: str) -> np.ndarray:
    """What the teacher says, float32 (N,) at 16 kHz; words that it misreads as it is told to in the agent's lessons."""
    return voices.speak(re.sub(r"\w+", lambda word: MISREAD.get(word[0], word[0]), text.rstrip(".")), TEACHER)


def beyond(errors: Errors) -> list[tuple[int, int]]:
    """Of each text, the agent's word errors beyond the teacher's, and its words."""
    return [(own - taught, words) for (own, words), (taught, _) in zip(errors["agent"], errors["teacher"], strict=True)]


def measure(model: DuplexModel, out: Path | None = None, count: int = COUNT) -> dict:
    """Word error rate of each kind of text, for the agent and its teacher, and the difference.

    Args:
        out: as for `listen`.

    Returns:
        {kind: {"agent", "teacher" or "beyond": {"words", "word_error_rate", "low", "high"}}}; low and high are the
        95 % interval of a bootstrap over texts.
    """
    report: dict = {}
    for kind, said in texts(model.pieces, count).items():
        errors = listen(model, kind, said, out)
        report[kind] = {}
        for name, parts in {**errors, "beyond": beyond(errors)}.items():
            value, low, high = estimate(ratio(parts, count=sum(words for _, words in parts)))
            report[kind][name] = {"words": sum(n for _, n in parts), "word_error_rate": round(value, 3),
                                  "low": round(low, 3), "high": round(high, 3)}
    return report


def further(model: DuplexModel, count: int = COUNT, breaths: int = len(STORIES)) -> dict:
    """Rows "contract" and "rate", of the world's texts, and "minute"; see `measure` of each."""
    said = world(model.pieces, WORLD * count)[0]
    return {"contract": voice_contract.measure(model, said), "minute": voice_minute.measure(model, breaths),
            "rate": voice_rate.measure(model, said)}


def told(rows: dict) -> str:
    """Lines of what `further` gives."""
    contract, minute = rows["contract"], rows["minute"]
    lines = ["contract: word error rate by the states that drive the mouth, "
             + ", ".join(f"{name} {contract[name]['word_error_rate']:.3f}" for name in ("none", "own", "random"))]
    lines += [f"  random beyond {name} {_points(contract['beyond_' + name])}" for name in ("none", "own")]
    lines.append(f"  random states give {contract['moved']['share']:.1%} of the pieces another time, by "
                 f"{contract['moved']['most_ms']} ms at most")
    lines.append(f"minute: {minute['breaths']} breaths of {minute['seconds']:.0f} s at least, the last "
                 f"{voice_minute.PART_S} s beside the same words in the first")
    lines += [f"  {name} {minute[key]['value']:+.2f} {unit} [{minute[key]['low']:+.2f}, {minute[key]['high']:+.2f}], "
              f"{minute[key]['most']:+.2f} at most" for name, key, unit in (
                  ("level", "level_db", "dB"), ("pitch", "pitch_percent", "%"),
                  ("words a second", "words_per_s_percent", "%"))]
    lines.append(f"  word errors {_points(minute['word_errors'])}")
    lines += [f"rate {rate}: takes {found['took']:.3f} [{found['low']:.3f}, {found['high']:.3f}] of its time at 1.0, "
              f"asked was {found['asked']:.3f}; word error rate {found['word_error_rate']:.3f}, "
              f"{_points(found['beyond'])} beyond 1.0" for rate, found in rows["rate"].items()]
    return "\n".join(lines)


def _points(found: dict[str, float]) -> str:
    return f"{found['points']:+.1f} points [{found['low']:+.1f}, {found['high']:+.1f}]"


def main(args) -> int:
    """The command: 0 when everything was said and heard."""
    import torch

    torch.set_num_threads(args.threads)
    out = made_folder(args.out) if args.out else None
    model = load_model(args.model, packed=True)
    left_out = round(world(model.pieces)[1], 3)
    try:
        report, rows = measure(model, out), further(model)
    except ImportError as error:
        raise OmniError("pocketsphinx is not installed: pip install 'omni-duplex[bench]'") from error
    print(f"{'':8}{'speaker':10}{'words':>6}  word error rate")
    for kind, speakers in report.items():
        for name, found in speakers.items():
            print(f"{kind:8}{name:10}{found['words']:>6}  {found['word_error_rate']:.3f} "
                  f"[{found['low']:.3f}, {found['high']:.3f}]")
    print(f"{left_out:.1%} of the world's replies have a word that the voice has no piece for, and are left out")
    print(told(rows))
    if out is not None:
        with replacing(out / "voice.json") as path:
            identity = {"weights": fingerprint(args.model), "config": config_fingerprint(args.model)}
            found = {**identity, "left_out": left_out, **report, **rows}
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(out / "voice.json", file=sys.stderr)
    return 0
