"""`omni data`: hear what the model is fed, and see how fast it is made.

    listen/000.wav   left: the room as the microphone hears it; right: the agent's own voice
    listen/000.json  who says what from when to when, what the agent is to decide in which block, and what it all went
                     through: rooms, noise and its ratio, level, telephone or Opus, echo
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from omni.audio.files import write_wav
from omni.base.errors import ConfigError
from omni.data import skills
from omni.data.augment import recorded
from omni.data.numbered import loader
from omni.data.streams import RATE_HZ, SoundConversations
from omni.model.encoder import caption_text
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, Pieces
from omni.model.weights import load_model

BLOCK_S = 0.08


def stream(args) -> SoundConversations:
    """The conversations that stage "duplex" learns from, with the agent's voice from some weights.

    Raises:
        ConfigError: there is no bank.
    """
    if not (Path(args.bank) / "lines.jsonl").exists():
        raise ConfigError(f"no bank of utterances at {args.bank}: make one with `omni train tiny/bank`")
    mouth = load_model(args.model).mouth
    words = list(Pieces(skills.vocabulary()).words)
    return SoundConversations(Path(args.bank), mouth, words, args.blocks, 1, args.seed, dev=args.dev)


def listen(args) -> int:
    """Write examples with their labels."""
    out, pieces = Path(args.out), Pieces(skills.vocabulary())
    out.mkdir(parents=True, exist_ok=True)
    batches = loader(stream(args), workers=0)(0, 1)
    for i in tqdm(range(args.count), unit="conversation"):
        with recorded() as notes:
            batch = next(batches)
        sound = np.stack([batch["room"][0].numpy(), batch["own"][0].numpy()])
        write_wav(out / f"{i:03d}.wav", sound, RATE_HZ)
        (out / f"{i:03d}.json").write_text(json.dumps(labels(batch, pieces, notes), indent=1) + "\n", encoding="utf-8")
    print(f"{args.count} conversations of {args.blocks * BLOCK_S:g} s in {out}", file=sys.stderr)
    return 0


def labels(batch: dict, pieces: Pieces, notes: Sequence[dict] = ()) -> dict:
    """What a batch of one row says, in seconds, and what was drawn for it.

    Args:
        notes: of `omni.data.augment.recorded`.

    Returns:
        `user`: captions to be learned; `agent`: its decisions; `said`: all that is said in the room, by which voice,
        with the times of the words where they are known; `through`: what happened to the sound, in order.
    """
    heard = [{"from": round(first * BLOCK_S, 2), "to": round(last * BLOCK_S, 2), "text": caption_text(ids.tolist())}
             for first, last, ids, _ in batch["captions"][0]]
    names = {START_SPEAK: "<start_speak>", END_SPEAK: "<end_speak>"}
    decided = []
    for block, token in enumerate(batch["target"][0].tolist()):
        if token in names or token >= FIRST_PIECE:
            decided.append({"at": round((block + 1) * BLOCK_S, 2), "token": names.get(token) or pieces.symbol(token)})
    found = {"user": heard, "agent": decided}
    if notes:
        found["said"] = [{k: v for k, v in n.items() if k != "what"} for n in notes if n["what"] == "said"]
        found["through"] = [n for n in notes if n["what"] != "said"]
    return found


def speed(args) -> int:
    """Print hours of conversation made in an hour."""
    batches = loader(stream(args), workers=args.workers)(0, 1)
    next(batches)       # everything is open now
    began, count = time.monotonic(), 0
    with tqdm(total=args.seconds, unit="s") as bar:
        while (spent := time.monotonic() - began) < args.seconds:
            room = next(batches)["room"]
            count += room.shape[0] * room.shape[1]
            bar.update(min(int(spent), args.seconds) - bar.n)
    made = count / RATE_HZ
    print(f"{made / spent:.1f} hours of conversation an hour with {args.workers} worker processes "
          f"({made:.0f} s in {spent:.0f} s)")
    return 0


def main(args) -> int:
    """The command."""
    if args.blocks < 50:
        raise ConfigError("--blocks is at least 50 (4 s)")
    torch.set_num_threads(1)
    return {"listen": listen, "speed": speed}[args.what](args)
