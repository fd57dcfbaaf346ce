"""Rollouts: what happened is what is learned from, and a run that stopped goes on with the same."""

import itertools
import random

import numpy as np
import puppet
import pytest
import tiny
import torch

from omni.data import skills
from omni.data.augment import Augment
from omni.data.closed_loop import ClosedLoop
from omni.data.lines import SoundLine, TextSource
from omni.data.live_room import LiveRoom
from omni.data.partner import Partner
from omni.data.user import BLOCK, Heard
from omni.model.tokens import CUT_0, END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces, allowed
from omni.train import rollouts
from omni.train.rollouts import Rollouts, RolloutsConfig

PIECES = Pieces(skills.vocabulary())


class Noisy:
    """Lines of text as noise."""

    pools = {"other": []}

    def __init__(self, *_):
        self._texts = TextSource()

    def _line(self, line):
        samples = (np.random.default_rng(len(line.text)).standard_normal(line.num_samples) * 3_000).astype(np.int16)
        return SoundLine(samples, line.text, "", line.num_samples, words=line.words, ask=line.ask)

    def ask(self, *args, **settings):
        found = self._texts.ask(*args, **settings)
        return found and self._line(found)

    def draw(self, kind, rng):
        return self._line(self._texts.draw(kind, rng))


@pytest.fixture
def opened(monkeypatch):
    noise = np.random.default_rng(0).standard_normal(40_000).astype(np.float32)
    augment = Augment([np.eye(1, 64, 16, dtype=np.float32)[0]], [noise], [(noise * 3_000).astype(np.int16)])
    monkeypatch.setattr(Rollouts, "_open", lambda self: (Noisy(), augment))


def held(model, num_blocks: int = 250, count: int = 2) -> tuple[ClosedLoop, list[Partner]]:
    partners = [Partner(random.Random(i), Noisy(), model.pieces) for i in range(count)]
    loop = ClosedLoop(model, partners, [LiveRoom(num_blocks, random.Random(i)) for i in range(count)])
    if isinstance(model, puppet.Puppet):
        model.loop = loop
    for _ in range(num_blocks):
        loop.step()
    return loop, partners


def test_an_oracle_does_what_is_due_and_is_heard_by_its_partner():
    loop, partners = held(puppet.Puppet(PIECES), 500, 3)
    assert all(course.token == course.due for course in loop.courses)
    assert sum(len(p.replies) for p in partners) > 8
    for course in loop.courses:
        for before, after, backlog in zip(course.token, course.fed[1:], course.backlog, strict=False):
            assert after == before or before == END_SPEAK and after == CUT_0 + backlog % 3
        assert len(course.room) == len(course.own) == 500 and (course.own[0] == 0).all()
        assert all((own == audio).all() for own, audio in zip(course.own[1:], course.audio, strict=False))


def test_a_batch_is_what_happened_with_what_was_right_as_its_target():
    rng = random.Random(4)
    wrong = PIECES.encode("monday")[0]

    def decide(row: int, block: int, due: int) -> int | None:
        chance = rng.random()
        return THINK if chance < 0.3 else wrong if due >= FIRST_PIECE and chance < 0.4 else None

    loop, partners = held(puppet.Puppet(PIECES, decide))
    batch = rollouts.collated(loop.courses, partners)
    assert {k: tuple(v.shape) for k, v in batch.items() if k != "captions"} == {
        "room": (2, 250 * BLOCK), "own": (2, 250 * BLOCK), "target": (2, 250), "fed": (2, 250), "backlog": (2, 250),
        "weight": (2, 250)}
    for row, course in enumerate(loop.courses):
        assert batch["target"][row].tolist() == course.due and course.due != course.token
        assert batch["fed"][row].tolist() == course.fed and batch["backlog"].max() <= 5
        assert ((batch["weight"][row] > 0).tolist()) == course.knowable
        assert 0 < course.knowable.count(False) < 200
    assert any(batch["captions"])
    for heard, course in zip((p.heard for p in partners), loop.courses, strict=True):
        room, first = np.concatenate(course.room), heard[0]
        assert np.abs(room[first.at:first.end]).max() > 5 * np.abs(room[:first.at]).max(), "what was said is there"


def test_a_model_decides_in_a_rollout_what_it_decides_on_the_batch():
    """What is fed back, heard and queued is the same when it is stepped and in parallel."""
    model = tiny.duplex()
    loop, partners = held(model, 80)
    batch = rollouts.collated(loop.courses, partners)
    with torch.no_grad():
        logits, _, _ = model(batch["room"], batch["own"], batch["fed"], batch["backlog"])
    tokens = torch.tensor([course.token for course in loop.courses])
    chosen = logits.gather(2, tokens[..., None])[..., 0]
    speaking = torch.zeros(2, dtype=torch.bool)
    for block in range(80):
        backlog = batch["backlog"][:, block]
        mask = allowed(speaking, backlog % 3, backlog > 2, logits.shape[-1])
        best = logits[:, block].masked_fill(~mask, float("-inf"))
        assert torch.allclose(best.max(-1).values, chosen[:, block], atol=1e-4)
        speaking = (speaking | (tokens[:, block] == START_SPEAK)) & (tokens[:, block] != END_SPEAK)
    assert (tokens >= FIRST_PIECE).any() and (batch["own"] != 0).any()


def test_a_rollout_is_a_function_of_model_seed_and_number(opened):
    model, config = tiny.duplex().train(), RolloutsConfig(share=0.3, rows=2, blocks=60)
    a, b, c = (Rollouts(config, None, 5).make(model, number) for number in (0, 0, 1))
    assert model.training and all(torch.equal(a[k], b[k]) for k in a if k != "captions")
    assert not torch.equal(a["room"], c["room"]) and a["captions"] != c["captions"]
    assert a["room"].abs().max() <= 1


def _sources(share: float, uses: int, first: int = 0, every: int = 1, count: int = 40) -> list:
    made = Rollouts(RolloutsConfig(share=share, uses=uses), None, 0)
    made.make = lambda model, number: f"rollout {number}"
    batches = made.mixed(lambda first, every: itertools.count(first, every), None)
    return list(itertools.islice(batches(first, every), count))


def test_a_share_is_rollouts_each_used_so_often_and_no_lesson_is_lost():
    found = _sources(0.3, 2)
    own = [x for x in found if isinstance(x, str)]
    assert len(own) == 12 and own == [f"rollout {i // 2}" for i in range(12)]
    assert [x for x in found if not isinstance(x, str)] == list(range(28))
    assert _sources(0.3, 2, first=17, count=23) == found[17:], "whoever goes on goes on with the next"


def test_processes_share_lessons_and_make_rollouts_of_their_own():
    first, second = _sources(0.3, 2, 0, 2, 20), _sources(0.3, 2, 1, 2, 20)
    lessons = [x for pair in zip(first, second, strict=True) for x in pair if not isinstance(x, str)]
    assert lessons == list(range(28))
    assert not {x for x in first if isinstance(x, str)} & {x for x in second if isinstance(x, str)}
    assert _sources(0.3, 2, 2 * 9 + 1, 2, 11) == second[9:]


def test_what_is_in_use_comes_back_from_a_checkpoint(opened):
    model, config = tiny.duplex(), RolloutsConfig(share=0.5, rows=2, blocks=200, uses=3)
    made = Rollouts(config, None, 5)
    batch = made.batch(model, 4)
    assert any(batch["captions"])
    again = Rollouts(config, None, 5)
    again.load({name: t.clone() for name, t in made.tensors().items()})
    again.make = None
    other = again.batch(model, 4)
    assert other.keys() == batch.keys()
    assert all(torch.equal(other[k], batch[k]) for k in batch if k != "captions")
    for row, found in zip(batch["captions"], other["captions"], strict=True):
        assert [(a, b, i.tolist(), w.tolist()) for a, b, i, w in row] == [
            (a, b, i.tolist(), w.tolist()) for a, b, i, w in found]
    again.load({})
    assert again.tensors() == {}


def test_nonsense_is_refused():
    for wrong in ({"share": 1.0}, {"share": -0.1}, {"uses": 0}, {"rows": 0}):
        with pytest.raises(ValueError):
            RolloutsConfig(**wrong)


# ---- the room --------------------------------------------------------------------------------------------------------


def test_a_room_carries_lines_noise_and_the_agents_echo():
    line = SoundLine((np.ones(3_000) * 16_000).astype(np.int16), "", "", 3_000)
    room = LiveRoom(10, random.Random(0))
    room.put(Heard(line, 2 * BLOCK + 100, "turn"))
    heard = np.concatenate([room.block(k, np.zeros(BLOCK, np.float32)) for k in range(10)])
    assert np.abs(heard[:2 * BLOCK + 100]).max() < 0.01 < 0.4 < np.abs(heard[2 * BLOCK + 300:2 * BLOCK + 2_800]).min()
    augment = Augment([np.eye(1, 64, 16, dtype=np.float32)[0]], [np.zeros(4_000, np.float32) + 1e-9], [])
    own, echoed = np.random.default_rng(0).standard_normal((12, BLOCK)).astype(np.float32) * 0.3, 0
    for seed in range(40):
        augment.bed = lambda count, rng: np.zeros(count, np.float32)
        room = LiveRoom(12, random.Random(seed), augment)
        heard = np.concatenate([room.block(k, own[k]) for k in range(12)])
        echoed += bool(np.abs(heard).max() > 1e-3)
    assert 15 < echoed < 33
