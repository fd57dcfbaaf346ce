"""`omni data`: hear what the model is fed, and see how fast it is made.

    listen/000.wav   left: the room as the microphone hears it; right: the agent's own voice
    listen/000.json  who says what from when to when, what the agent is to decide in which block, and what it all went
                     through: rooms, noise and its ratio, level, telephone or Opus, echo

Of the ears' lessons the labels are the words, the sounds and where anybody speaks.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from omni.audio.files import made_folder, write_wav
from omni.base import config as base_config
from omni.base.errors import ConfigError
from omni.data import skills
from omni.data.augment import recorded
from omni.data.hearing import SOUNDS, Hearing, HearingConfig, phone_names
from omni.data.numbered import loader
from omni.data.streams import BATCH, DRILLS, RATE_HZ, SoundConversations
from omni.model.encoder import caption_text
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, Pieces
from omni.model.weights import load_model

BLOCK_S = 0.08
NUM_BLOCKS = 250  # of a conversation
ROW_SETTINGS = ("drills", "listening", "hasty", "copies", "interrupted", "pauses", "revoice")
EARS = "tiny/ears_senses"   # of the ears' lessons, unless told


def streams(args) -> list[SoundConversations]:
    """The conversations that stage "duplex" learns from, with the agent's voice from some weights: one stream for each
    row of a batch, as its configuration has them, or without one of plain talk.

    Raises:
        ConfigError: there is no bank, or no such configuration.
    """
    values = {"drills": DRILLS} | _configured(args.config, "duplex") if args.config else {"batch": 1}
    bank = _bank(args)
    mouth = load_model(args.model).mouth
    words = list(Pieces(skills.vocabulary()).words)
    num_blocks, batch = args.blocks or values.get("blocks", NUM_BLOCKS), values.get("batch", BATCH)
    told = {name: values[name] for name in ROW_SETTINGS if name in values}
    return [SoundConversations(bank, mouth, words, num_blocks, batch, args.seed + row, dev=args.dev, only=row, **told)
            for row in range(batch)]


def _configured(name: str, stage: str) -> dict:
    values = base_config.load(Any, Path("train", name) if not Path(name).exists() else name)
    if not isinstance(values, dict) or values.get("stage") != stage:
        raise ConfigError(f"--config: {name} is of no stage {stage}")
    return values


def _bank(args) -> Path:
    if not (Path(args.bank) / "lines.jsonl").exists():
        raise ConfigError(f"no bank of utterances at {args.bank}: make one with `omni train tiny/bank`")
    return Path(args.bank)


def hearing(args) -> Hearing:
    """The segments that stage "ears" learns from, as its configuration has them.

    Raises:
        ConfigError: there is no bank, or no such configuration, or --dev is asked for.
    """
    if args.dev:
        raise ConfigError("--dev: the ears' lessons are from the training set alone")
    bank, values = _bank(args), _configured(args.config or EARS, "ears")
    config = base_config.build(HearingConfig, values.get("hearing") or {}, "hearing")
    config = replace(config, batch=1, voice=config.voice and args.model, **(
        {"seconds": args.blocks * BLOCK_S} if args.blocks else {}))
    return Hearing(bank, config, args.seed, phone_names(bank))


def listen(args) -> int:
    """Write examples with their labels."""
    out, of_ears = Path(args.out), args.of == "ears"
    lessons = [hearing(args)] if of_ears else streams(args)
    told = ears_labels if of_ears else partial(labels, pieces=Pieces(skills.vocabulary()))
    made_folder(out)
    batches = [loader(each, workers=0)(0, 1) for each in lessons]
    for i in tqdm(range(args.count), unit="example"):
        with recorded() as notes:
            batch = next(batches[i % len(batches)])
        sound = np.stack([batch["room"][0].numpy(), batch["own"][0].numpy()])
        write_wav(out / f"{i:03d}.wav", sound, RATE_HZ)
        found = told(batch, notes=notes)
        (out / f"{i:03d}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{args.count} examples of {sound.shape[1] / RATE_HZ:g} s in {out}", file=sys.stderr)
    return 0


def ears_labels(batch: dict, notes: Sequence[dict] = ()) -> dict:
    """What a batch of one segment of the ears' lessons says, in seconds.

    Returns:
        `text`; `sounds`: from when to when each class sounds, or where nobody can be sure of it; `speech`: from when to
        when the user speaks; `own`: whether the agent's own voice is there; `said` and `through` as of `labels`.
    """
    sounds = batch["sounds"][0].numpy()
    spans = [{"sound": name, **span, "sure": value == 1} for kind, name in enumerate(SOUNDS) for value in (1, -1)
             for span in _spans(sounds[:, kind] == value)]
    return {"text": caption_text(batch["characters"][0].tolist()), "sounds": spans,
            "speech": _spans(batch["speech"][0].numpy() == 1), "own": bool(batch["mine"][0]), **_through(notes)}


def _spans(there: np.ndarray) -> list[dict]:
    """From when to when blocks (N,) are true."""
    edges = np.flatnonzero(np.diff(np.pad(there.astype(np.int8), 1))).reshape(-1, 2)
    return [{"from": round(float(a) * BLOCK_S, 2), "to": round(float(b) * BLOCK_S, 2)} for a, b in edges]


def labels(batch: dict, pieces: Pieces, notes: Sequence[dict] = ()) -> dict:
    """What a batch of one row says, in seconds, and what was drawn for it.

    Args:
        notes: of `omni.data.augment.recorded`.

    Returns:
        `user`: captions to be learned; `agent`: its decisions; `said`: all that is said in the room, by which voice,
        with the times of the words where they are known and the silences of whoever asks, each complete, ambiguous or
        incomplete (`omni.data.streams.silences`); `through`: what happened to the sound, in order.
    """
    heard = [{"from": round(first * BLOCK_S, 2), "to": round(last * BLOCK_S, 2), "text": caption_text(ids.tolist())}
             for first, last, ids, _ in batch["captions"][0]]
    names = {START_SPEAK: "<start_speak>", END_SPEAK: "<end_speak>"}
    decided = []
    for block, token in enumerate(batch["target"][0].tolist()):
        if token in names or token >= FIRST_PIECE:
            decided.append({"at": round((block + 1) * BLOCK_S, 2), "token": names.get(token) or pieces.symbol(token)})
    return {"user": heard, "agent": decided, **_through(notes)}


def _through(notes: Sequence[dict]) -> dict:
    if not notes:
        return {}
    return {"said": [{k: v for k, v in n.items() if k != "what"} for n in notes if n["what"] == "said"],
            "through": [n for n in notes if n["what"] != "said"]}


def spoken_s(batch: dict) -> float:
    """Seconds in which the user speaks, of a batch of either kind of lessons."""
    if "captions" in batch:
        return BLOCK_S * sum(last - first for row in batch["captions"] for first, last, *_ in row)
    return BLOCK_S * int((batch["speech"] == 1).sum())


def speed(args) -> int:
    """Print hours made in an hour, and how many of them are speech of users."""
    batches = loader(hearing(args) if args.of == "ears" else streams(args)[0], workers=args.workers)(0, 1)
    next(batches)       # everything is open now
    began, made, spoken = time.monotonic(), 0.0, 0.0
    with tqdm(total=args.seconds, unit="s") as bar:
        while (spent := time.monotonic() - began) < args.seconds:
            batch = next(batches)
            made, spoken = made + batch["room"].numel() / RATE_HZ, spoken + spoken_s(batch)
            bar.update(min(int(spent), args.seconds) - bar.n)
    what = "lessons of the ears" if args.of == "ears" else "conversation"
    print(f"{made / spent:.1f} hours of {what} an hour with {args.workers} worker processes, {spoken / spent:.1f} of "
          f"them speech of users ({made:.0f} and {spoken:.0f} s in {spent:.0f} s)")
    return 0


def main(args) -> int:
    """The command."""
    if args.blocks is not None and args.blocks < 50:
        raise ConfigError("--blocks is at least 50 (4 s)")
    torch.set_num_threads(1)
    return {"listen": listen, "speed": speed}[args.what](args)
