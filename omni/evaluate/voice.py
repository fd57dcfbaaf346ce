"""`omni evaluate voice`: is the agent understood? By an independent recogniser, beside the voice it learned from.

Three kinds of texts, each with a loop of its own words as the recogniser's grammar (`omni.evaluate.recogniser`):

    orders  read-backs of coffee orders, as the agent says them every day
    random  words of its replies in random order: nothing to guess from, and no sentence that training had
    names   names that training never spelled, letter by letter

The teacher says the same texts to the same recogniser, so the difference is the synthesizer's.
"""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from omni.audio.files import replacing, write_wav
from omni.base.errors import MediaError, OmniError
from omni.base.words import word_errors
from omni.data import skills, voices
from omni.data.skills.orders import exchange, vocabulary
from omni.data.speaker import VoiceSpeaker
from omni.evaluate.metrics.metric import estimate, ratio
from omni.evaluate.recogniser import RATE_HZ, Recogniser
from omni.model.duplex import DuplexModel
from omni.model.weights import config_fingerprint, fingerprint, load_model

COUNT = 24
TEACHER = voices.Voice("flite", "slt", 100, 0)
_NAMES = ("quill,zebedee,joaquin,wyvern,xiomara,fjord,kvothe,ysolde,mbeki,gwyn,ulrich,dvorak,hjalmar,pnina,oughtred,"
          "szabo,ibsen,lvov,achebe,byrd,cnut,eowyn,nkrumah,rhys").split(",")


def plain(text: str) -> str:
    """A reply's words without its pauses, in lower case."""
    return " ".join(text.replace(",", " ").replace(".", " ").replace("?", " ").lower().split())


def texts(count: int = COUNT) -> dict[str, list[str]]:
    """The replies of each kind, the same for every agent."""
    rng = random.Random(7)
    orders = [exchange(rng)[1] for _ in range(count)]
    known = sorted(set(skills.vocabulary()) & {w for text in vocabulary() for w in plain(text).split()})
    rng = random.Random(8)
    jumbled = [" ".join(rng.sample(known, 6)) + "." for _ in range(count)]
    return {"orders": orders, "random": jumbled, "names": [" ".join(name.upper()) + "." for name in _NAMES[:count]]}


def measure(model: DuplexModel, out: Path | None = None, count: int = COUNT) -> dict:
    """Word error rate of each kind of text, for the agent and its teacher.

    Args:
        out: gets what the agent said, KIND_NUMBER.wav.

    Returns:
        {kind: {speaker: {"words", "word_error_rate", "low", "high"}}}; low and high are the 95 % interval of a
        bootstrap over texts.
    """
    own = VoiceSpeaker(model.mouth, model.pieces)
    speakers: dict[str, Callable[[str], np.ndarray]] = {
        "agent": lambda text: own.render(text).audio, "teacher": lambda text: voices.speak(text.rstrip("."), TEACHER)}
    report: dict = {}
    for kind, said in texts(count).items():
        # what may be heard is a closed set for every kind, the same for both speakers
        words = ("a b c d e f g h i j k l m n o p q r s t u v w x y z".split() if kind == "names" else
                 [w for text in vocabulary() for w in plain(text).split()])
        recogniser = Recogniser(words)
        report[kind] = {}
        for name, speak in speakers.items():
            parts = []
            for i, text in enumerate(tqdm(said, desc=f"{kind}, {name}", leave=False)):
                samples = speak(text)
                if out is not None and name == "agent":
                    write_wav(out / f"{kind}_{i:02d}.wav", samples, RATE_HZ)
                parts.append(word_errors(plain(text), recogniser.hear(samples)))
            value, low, high = estimate(ratio(parts))
            report[kind][name] = {"words": sum(n for _, n in parts), "word_error_rate": round(value, 3),
                                  "low": round(low, 3), "high": round(high, 3)}
    return report


def main(args) -> int:
    """The command: 0 when everything was said and heard."""
    import torch

    torch.set_num_threads(args.threads)
    out = Path(args.out) if args.out else None
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"{out}: cannot be made ({(error.strerror or 'no access').lower()})") from error
    try:
        report = measure(load_model(args.model), out)
    except ImportError as error:
        raise OmniError("pocketsphinx is not installed: pip install 'omni-duplex[bench]'") from error
    print(f"{'':8}{'speaker':10}{'words':>6}  word error rate")
    for kind, speakers in report.items():
        for name, found in speakers.items():
            print(f"{kind:8}{name:10}{found['words']:>6}  {found['word_error_rate']:.2f} "
                  f"[{found['low']:.2f}, {found['high']:.2f}]")
    if out is not None:
        with replacing(out / "voice.json") as path:
            identity = {"weights": fingerprint(args.model), "config": config_fingerprint(args.model)}
            path.write_text(json.dumps({**identity, **report}, indent=1) + "\n", encoding="utf-8")
        print(out / "voice.json", file=sys.stderr)
    return 0
