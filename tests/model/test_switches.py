"""What a duplex model can be told to do otherwise: each switch does what it says, and at its default nothing at all."""

import dataclasses

import pytest
import tiny
import torch
import yaml

from omni.base.config import build, load, to_plain
from omni.base.errors import WeightsError
from omni.model import weights
from omni.model.captions import Vocabulary
from omni.model.connector import PieceReader, SoundReader
from omni.model.cuts import last_cut
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.tokens import CUT_1, END_SPEAK, START_SPEAK, THINK, Pieces

BLOCKS = 6
SWITCHES = {"thinking": "implicit", "own_stream": False, "read_pieces": True, "read_sounds": True,
            "read_cut": True, "floor_every": 2, "sounds_kept_s": 3.0}
ON = torch.ones(1, dtype=torch.bool)


def _inputs(fed: int = THINK) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    room, own = (torch.randn(1, BLOCKS * 1280, generator=generator) * 0.1 for _ in range(2))
    return room, own, torch.full((1, BLOCKS), fed), torch.zeros(1, BLOCKS, dtype=torch.int64)


def test_at_their_defaults_the_configuration_is_the_one_of_before():
    """Results name a model by the hash of its configuration, and runs go on where theirs is the same."""
    shipped = load(DuplexConfig, weights.folder_of("tiny") / "config.yaml")
    assert {"read_pieces", "read_sounds"} <= to_plain(shipped).keys() and "thinking" not in to_plain(shipped)
    defaults = {field.name: field.default for field in dataclasses.fields(shipped)}
    config = dataclasses.replace(shipped, **{name: defaults[name] for name in SWITCHES})
    assert not {*SWITCHES, "eagerness"} & to_plain(config).keys()
    told = dataclasses.replace(config, thinking="implicit", own_stream=False)
    assert build(DuplexConfig, to_plain(told)) == told and to_plain(told)["own_stream"] is False
    names = {n.split(".")[0] for n in tiny.duplex(encoder=tiny.SENSES).state_dict()}
    assert not {"reader", "sound_reader"} & names


@torch.no_grad()
def test_implicit_thinking_feeds_nothing_back():
    plain, implicit = tiny.duplex(), tiny.duplex(switches={"thinking": "implicit"})
    for token in (THINK, START_SPEAK, END_SPEAK, CUT_1, 20):
        fed, backlog = torch.tensor([[token]]), torch.tensor([[4]])
        same = torch.equal(plain.think_of(fed, backlog), implicit.think_of(fed, backlog))
        assert same == (token != THINK)
        assert torch.equal(implicit.think_of(fed, backlog), implicit.backlog(backlog)) == (token == THINK)
    before = implicit(*_inputs())[0]
    implicit.mouth.embedding.weight[THINK] += 1  # whatever `<think>` is, it is not heard of
    assert torch.equal(implicit(*_inputs())[0], before)
    assert not torch.equal(plain(*_inputs())[0], before)


@pytest.mark.parametrize("layout, positions", [("summed", 1), ("interleaved", 2)])
@torch.no_grad()
def test_without_the_own_stream_the_mind_is_not_given_its_voice_but_the_ears_are(layout, positions):
    model = tiny.duplex(layout, switches={"own_stream": False})
    assert model.positions == positions
    room, own, *rest = _inputs()
    before = model(room, own, *rest)[0]
    model.own_in.weight += 1
    assert torch.equal(model(room, own, *rest)[0], before)
    assert not torch.equal(model(room, 3 * own, *rest)[0], before), "the encoder hears it"


@torch.no_grad()
def test_the_mind_reads_what_the_caption_head_says():
    plain = tiny.duplex(encoder=tiny.SENSES)
    model = tiny.duplex(encoder=tiny.SENSES, switches={"read_pieces": True})
    model.load_state_dict(plain.state_dict(), strict=False)
    before = model(*_inputs())[0]
    assert not torch.equal(plain(*_inputs())[0], before)
    model.encoder.pieces.out.weight += 0.5 * torch.randn(model.encoder.pieces.out.weight.shape)
    assert not torch.equal(model(*_inputs())[0], before)
    model.reader.table.zero_()
    torch.testing.assert_close(model(*_inputs())[0], plain(*_inputs())[0])
    with pytest.raises(ValueError, match="no captions by pieces"):
        tiny.duplex(switches={"read_pieces": True})


def test_captions_are_stepped_once_a_block_and_learn_nothing_from_the_mind():
    model = tiny.duplex(encoder=tiny.SENSES, switches={"read_pieces": True})
    counted, plain = [], model.encoder.pieces.step
    model.encoder.pieces.step = lambda *args: counted.append(1) or plain(*args)
    state = model.init_state(1)
    for _ in range(3):
        model.step(torch.zeros(1, 1280), torch.zeros(1, dtype=torch.int64), ON, state)
    assert len(counted) == 3
    model(*_inputs())[0].square().mean().backward()
    assert model.reader.table.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.encoder.pieces.parameters())


def test_the_mind_reads_what_the_head_for_sounds_says_and_teaches_it_nothing():
    plain = tiny.duplex(encoder=tiny.SENSES)
    model = tiny.duplex(encoder=tiny.SENSES, switches={"read_sounds": True})
    assert not DuplexModel(model.config, model.pieces, model.vocabulary).sound_reader.table.any()
    model.load_state_dict(plain.state_dict(), strict=False)
    before = model(*_inputs())[0]
    before.square().mean().backward()
    assert model.sound_reader.table.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.encoder.sounds.parameters())
    with torch.no_grad():
        model.encoder.sounds.down.bias += 2
        assert not torch.equal(model(*_inputs())[0], before)
        told = model.encoder.sounds(model.hear(*_inputs()[:2])[0])
        assert torch.equal(model.sound_reader.readings(told.sigmoid()), told.sigmoid())
        model.sound_reader.table.zero_()
        torch.testing.assert_close(model(*_inputs())[0], plain(*_inputs())[0])
    with pytest.raises(ValueError, match="no head for sounds"):
        tiny.duplex(switches={"read_sounds": True})


@torch.no_grad()
def test_what_sounded_lately_is_read_the_less_the_longer_ago_and_once_more_when_it_sounds_again():
    reader = SoundReader(2, 4, half_life=5)
    told = torch.zeros(1, 40, 2)
    told[0, 3, 0], told[0, 20:23, 1] = 1.0, 0.5
    now, kept = reader.readings(told).chunk(2, -1)
    assert torch.equal(now, told) and not kept[0, :3].any() and not kept[0, :20, 1].any()
    torch.testing.assert_close(kept.expm1()[0, 3:24, 0], 0.5 ** (torch.arange(21) / 5))
    assert kept[0, 22, 1] == kept[0, :, 1].max() > 0.8
    state, parts = {"sounded": torch.zeros(1, 2)}, []
    for block in range(40):
        parts.append(reader.next_readings(told[:, block:block + 1], state, ON))
    torch.testing.assert_close(torch.cat(parts, 1), reader.readings(told))
    assert not reader(reader.readings(told)).any(), "it begins as a mind that reads nothing"
    assert "sounded" not in tiny.duplex(encoder=tiny.SENSES, switches={"read_sounds": True}).init_state(1)
    for wrong in (-1.0, float("inf"), 3.0):
        with pytest.raises(ValueError, match="sounds_kept_s"):
            DuplexConfig(sounds_kept_s=wrong)


@torch.no_grad()
def test_the_mind_is_told_the_piece_at_which_it_was_cut():
    fed = torch.tensor([[CUT_1, 20, THINK, 21, 22, CUT_1, START_SPEAK, 23, CUT_1 - 1, 24, END_SPEAK, START_SPEAK,
                         CUT_1 + 1]])
    backlog = torch.tensor([[1, 0, 1, 1, 5, 0, 0, 3, 0, 0, 0, 0, 0]])

    def found(*pauses: int) -> list[int]:
        return last_cut(fed, backlog, torch.tensor(pauses, dtype=torch.int64))[0].tolist()

    assert found() == [THINK] * 5 + [21] * 3 + [23] * 2 + [THINK] * 2 + [23]
    assert found(21, 23) == [THINK] * 5 + [22] * 3 + [THINK] * 4 + [24], "what goes on begins with a word"
    backlog[0, 4] = 1   # nothing sounds: what waits is next
    assert found()[5] == 22
    plain, model = tiny.duplex(), tiny.duplex(switches={"read_cut": True})
    model.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.zeros_(model.cut_in.weight)
    assert torch.equal(model.think_of(fed, backlog), plain.think_of(fed, backlog))
    torch.nn.init.orthogonal_(model.cut_in.weight)
    moved = (model.think_of(fed, backlog) != plain.think_of(fed, backlog)).any(-1)
    assert moved.nonzero()[:, 1].tolist() == [5, 6, 8, 12], "at the cut, and where it starts to speak after one"
    fresh = DuplexModel(model.config, model.pieces, model.vocabulary)
    assert not fresh.cut_in.weight.any(), "whoever learned without it goes on as before"


@torch.no_grad()
def test_text_is_read_as_sure_captions_are():
    reader = PieceReader(5, 4, block_frames=2)
    ids = torch.tensor([[0, 3, 5, 5, 0, 0, 1, 2]])
    sure = torch.nn.functional.one_hot(ids, 6) * 60.0
    torch.testing.assert_close(reader(sure), reader.spelled(ids), atol=1e-5, rtol=1e-5)
    assert (reader.spelled(ids)[0, 2] == 0).all(), "the blank says nothing"
    torch.testing.assert_close(reader.spelled(ids)[0, 0], reader.table[2])


@torch.no_grad()
def test_a_table_follows_its_pieces_into_another_vocabulary():
    first = tiny.VOCABULARY
    grown = Vocabulary([*first.pieces[:-1], "tw", first.pieces[-1]])
    old, new = PieceReader(len(first), 4, 2), PieceReader(len(grown), 4, 2)
    new.take(old.table, first, grown)
    assert torch.equal(new.table[:-2], old.table[:-1]) and torch.equal(new.table[-1], old.table[-1])
    parts = [i - 1 for i in first.encode("tw")[0]]
    assert len(parts) > 1 and torch.equal(new.table[-2], old.table[parts].sum(0))


def test_eagerness_takes_the_floor_and_moves_nothing_while_speaking():
    def tokens(eagerness: float) -> list[int]:
        model = tiny.duplex(restless=False, seed=5)
        model.config = dataclasses.replace(model.config, eagerness=eagerness)
        wanted = torch.zeros(len(model.pieces))
        wanted[THINK], wanted[END_SPEAK] = 1.0, 0.5
        model.mind.logits = lambda hidden: wanted.expand(*hidden.shape[:-1], -1)
        state, none = model.init_state(1), torch.zeros(1, dtype=torch.int64)
        return [int(model.step(torch.zeros(1, 1280), none, ON, state).token) for _ in range(4)]

    assert tokens(0.0) == tokens(0.9) == [THINK] * 4
    assert tokens(1.1) == [START_SPEAK, END_SPEAK, START_SPEAK, END_SPEAK]


@pytest.mark.parametrize("layout", ["summed", "interleaved"])
def test_the_floor_changes_in_every_second_block_of_each_row_alone(layout):
    model, rows = tiny.duplex(layout, switches={"floor_every": 2}), 4
    state, none = model.init_state(rows), torch.zeros(rows, dtype=torch.int64)
    passed, changed, quiet = none.clone(), 0, torch.randn(rows, 1280, generator=torch.Generator().manual_seed(1))
    for step in range(60):
        active = (torch.arange(rows) + step) % 3 > 0   # rows skip steps, and count their own
        token = model.step(quiet * (step % 7), none, active, state).token
        changes = active & ((token == START_SPEAK) | (token == END_SPEAK))
        assert (passed[changes] % 2 == 0).all()
        passed, changed = passed + active, changed + int(changes.sum())
    assert changed > 5
    with pytest.raises(ValueError, match="floor_every"):
        DuplexConfig(floor_every=0)


def test_weights_carry_no_eagerness_and_those_that_do_are_refused(tmp_path):
    model = tiny.duplex(encoder=tiny.SENSES, switches=SWITCHES)
    model.config = dataclasses.replace(model.config, eagerness=0.5)
    weights.save_model(model, tmp_path, int8=False)
    again = weights.load_model(tmp_path)
    assert again.config == dataclasses.replace(model.config, eagerness=0.0)
    assert torch.equal(again.reader.table, model.reader.table)
    told = yaml.safe_load((tmp_path / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**told, "eagerness": 0.5}))
    with pytest.raises(WeightsError, match="eagerness"):
        weights.load_model(tmp_path)


def test_a_model_with_every_switch_is_built_from_its_configuration():
    config = DuplexConfig(encoder=tiny.SENSES, language_model=tiny.language_model(), mouth=tiny.MOUTH, **SWITCHES)
    model = DuplexModel(config, Pieces(tiny.WORDS), tiny.VOCABULARY)
    assert model(*_inputs())[0].shape == (1, BLOCKS, len(model.pieces))
