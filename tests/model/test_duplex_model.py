"""The whole model's record of a conversation: floor, cuts, pieces and what it feeds itself."""

import pytest
import tiny
import torch

from omni.base.config import build, data_path, load, to_plain
from omni.model.cuts import last_cut
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.encoder import caption_ids, caption_text
from omni.model.mouth import RAMP
from omni.model.synthesizer import Synthesizer
from omni.model.tokens import CUT_0, END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces

ZERO, ON = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.bool)


def _follow(model: DuplexModel, script: list[int], room: torch.Tensor | None = None) -> tuple[list, list]:
    """Steps in which the model decides what the script says; outputs, and what was fed and queued before each."""
    state, outputs, befores = model.init_state(1), [], []
    for at, token in enumerate(script):
        wanted = torch.full((len(model.pieces),), -100.0)
        wanted[token] = 100.0
        model.mind.logits = lambda hidden, w=wanted: w.expand(*hidden.shape[:-1], -1)
        queue = state["mouth"]["queue"]
        befores.append({"fed": int(state["fed"]), "cut": int(state["cut"]), "waiting": int(Synthesizer.waiting(queue)),
                        "sounding": bool(Synthesizer.sounding(queue)), "own": state["own"].clone()})
        outputs.append(model.step(torch.zeros(1, 1280) if room is None else room[at], ZERO, ON, state))
    befores.append({"fed": int(state["fed"]), "cut": int(state["cut"])})
    return outputs, befores


def _even(**switches) -> DuplexModel:
    """Every piece sounds for fourteen frames, a block and three quarters."""
    model = tiny.duplex(restless=False, seed=2, switches=switches)
    tiny.even(model.mouth, 14)
    return model


@pytest.fixture
def model() -> DuplexModel:
    return _even()


def test_a_reply_that_ends_by_itself(model):
    script = [THINK, START_SPEAK, FIRST_PIECE + 20, FIRST_PIECE + 21, THINK, THINK, END_SPEAK, THINK]
    outputs, befores = _follow(model, script)
    assert [int(o.token) for o in outputs] == script
    assert [bool(o.speaking) for o in outputs] == [False] + [True] * 5 + [False] * 2
    assert [int(o.stopped) for o in outputs] == [0] * 6 + [1, 0]
    assert all(int(o.tail) == 0 and int(o.unheard) == 0 for o in outputs)
    assert [b["fed"] for b in befores] == [THINK, *script]
    begun = [int(t) for o in outputs for t in o.begun_token[0] if t >= 0]
    ended = [int(t) for o in outputs for t in o.ended_at[0] if t >= 0]
    assert begun == script[2:4] and len(ended) == 2 and not any(o.ended_cut.any() for o in outputs)
    assert (outputs[0].audio == 0).all() and (outputs[-1].audio == 0).all() and (outputs[2].audio != 0).any()


@pytest.mark.parametrize("length", [2, 3, 4, 5, 6])
def test_a_reply_that_is_cut(length):
    """Whatever waits is unheard and counted; what sounds ends with the ramp; `<cut_j>` is fed back."""
    model = _even(read_cut=True)
    pieces = [FIRST_PIECE + 20 + i for i in range(length)]
    outputs, befores = _follow(model, [START_SPEAK, *pieces, END_SPEAK, THINK, THINK, START_SPEAK, END_SPEAK, THINK])
    spoken = [int(o.token) for o in outputs[1:length + 1]]
    last, before = outputs[length + 1], befores[length + 1]
    assert before["sounding"] or before["waiting"], "nothing to cut"
    assert int(last.stopped) == 2 and int(last.tail) == RAMP and int(last.unheard) == before["waiting"]
    assert befores[length + 2]["fed"] == CUT_0 + before["waiting"]
    fed = torch.tensor([[b["fed"] for b in befores[:-1]]])
    backlog = torch.tensor([[b["waiting"] + 3 * b["sounding"] for b in befores[:-1]]])
    found = last_cut(fed, backlog, model.pauses)[0].tolist()
    assert found == [b["cut"] for b in befores[:-1]] and found[length + 2] == found[-2] >= FIRST_PIECE > found[-1]
    begun = [int(t) for o in outputs for t in o.begun_token[0] if t >= 0]
    emitted = [t for t in spoken if t >= FIRST_PIECE]
    assert len(begun) + before["waiting"] == len(emitted) and begun == emitted[:len(begun)]
    ended = sum(int((o.ended_at >= 0).sum()) for o in outputs)
    assert ended == len(begun), "every piece that began has ended"
    assert last.ended_cut.sum() == before["sounding"]
    if before["sounding"]:
        assert last.ended_at[0].tolist() == [RAMP] + [-1] * 7
    assert (last.audio[0, RAMP - 1:] == 0).all() and all((o.audio == 0).all() for o in outputs[length + 2:])


def test_giving_up_an_empty_floor_is_no_interruption(model):
    outputs, befores = _follow(model, [START_SPEAK, END_SPEAK, START_SPEAK, END_SPEAK])
    assert [int(o.stopped) for o in outputs] == [0, 1, 0, 1]
    assert befores[2]["fed"] == END_SPEAK and all(int(o.tail) == 0 for o in outputs)


def test_what_is_impossible_is_not_decided_however_much_it_is_wanted(model):
    """A piece while listening, a second `<start_speak>`, a third piece in the queue, `<cut_j>` ever."""
    word = FIRST_PIECE + 20
    script = [word, END_SPEAK, CUT_0, START_SPEAK, word, START_SPEAK, word, CUT_0] + [word] * 12
    outputs, befores = _follow(model, script)
    tokens = [int(o.token) for o in outputs]
    assert word not in tokens[:3] and END_SPEAK not in tokens[:3] and tokens[3] == START_SPEAK
    assert tokens[5] != START_SPEAK and not any(CUT_0 <= t <= CUT_0 + 2 for t in tokens)
    assert END_SPEAK not in tokens
    assert all(b["waiting"] <= 2 for b in befores[:-1])
    full = [t for t, b in zip(tokens, befores, strict=False) if b["waiting"] == 2]
    assert full and word not in full


@pytest.mark.parametrize("every", [1, 2])
def test_nobody_holds_the_floor_with_nothing_left_to_sound(every):
    """A mind that had begun into what the user said, and thought from there on, held the floor in silence for good."""
    model, word = _even(floor_every=every), FIRST_PIECE + 20
    outputs, befores = _follow(model, [START_SPEAK, word] + [THINK] * 10)
    assert [int(o.token) for o in outputs[:2]] == [START_SPEAK, word]
    empty = [not (b["waiting"] or b["sounding"]) for b in befores[:-1]].index(True, 2)
    end = empty + empty % every     # the first block from there in which the floor may change
    tokens = [int(o.token) for o in outputs]
    assert tokens[2:end] == [THINK] * (end - 2) and tokens[end] != THINK
    assert tokens[end] == END_SPEAK or tokens[end] >= FIRST_PIECE


def test_it_hears_of_its_own_voice_what_sounded(model):
    """`unplayed` samples at the end of the last block are silence in the own stream."""
    heard = []
    plain = model.features.step
    model.features.step = lambda x, state, active: heard.append(x.clone()) or plain(x, state, active)
    state = model.init_state(1)
    state["own"].copy_(torch.arange(1280.0) + 1)
    model.step(torch.zeros(1, 1280), torch.tensor([300]), ON, state)
    own = heard[0][0, 1]
    assert (own[980:] == 0).all() and torch.equal(own[:980], torch.arange(980.0) + 1)


def test_the_caption_head_moves_no_token(model):
    """The language model never sees captions: a caption head of other weights changes nothing else."""
    other = tiny.duplex(restless=False, seed=2)
    with torch.no_grad():
        other.encoder.caption.weight.normal_()
        room, own = torch.randn(1, 6 * 1280), torch.randn(1, 6 * 1280)
        fed, backlog = torch.full((1, 6), THINK), torch.zeros(1, 6, dtype=torch.int64)
        a, b = model(room, own, fed, backlog), other(room, own, fed, backlog)
    assert torch.equal(a[0], b[0]) and torch.equal(a[2], b[2]) and not torch.equal(a[1], b[1])


def test_each_input_of_a_block_matters(model):
    with torch.no_grad():
        room, own = torch.randn(1, 4 * 1280) * 0.1, torch.randn(1, 4 * 1280) * 0.1
        fed, backlog = torch.full((1, 4), THINK), torch.zeros(1, 4, dtype=torch.int64)
        logits = model(room, own, fed, backlog)[0][:, -1]
        assert not torch.equal(model(-3 * room, own, fed, backlog)[0][:, -1], logits)
        assert not torch.equal(model(room, 3 * own, fed, backlog)[0][:, -1], logits)
        assert not torch.equal(model(room, own, fed + START_SPEAK, backlog)[0][:, -1], logits)
        assert not torch.equal(model(room, own, fed, backlog + 4)[0][:, -1], logits)


def test_no_block_sees_a_later_one(model):
    with torch.no_grad():
        room, own = torch.randn(1, 6 * 1280), torch.randn(1, 6 * 1280)
        fed, backlog = torch.full((1, 6), THINK), torch.zeros(1, 6, dtype=torch.int64)
        before = model(room, own, fed, backlog)
        room[:, 3 * 1280:], own[:, 3 * 1280:], fed[:, 3:], backlog[:, 3:] = 1.0, 1.0, START_SPEAK, 5
        after = model(room, own, fed, backlog)
    for a, b, n in zip(before, after, (3, 12, 3), strict=True):
        torch.testing.assert_close(a[:, :n], b[:, :n])


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_drawn_tokens_follow_the_rows_own_seed(float64):
    """In float64, since some CPUs round a row of a batch by its place (AVX2 does), and random layers that hear their
    own voice make of 1e-5 in the logits after 4 blocks more than 1 after 16."""
    model = tiny.duplex(temperature=1.5, seed=2).double()
    rows = torch.ones(3, dtype=torch.bool)

    def tokens(seeds: list[int]) -> torch.Tensor:
        state = model.init_state(3)
        model.reset_rows(state, rows, torch.tensor(seeds))
        room = torch.randn(16, 1, 1280, generator=torch.Generator().manual_seed(1)).expand(-1, 3, -1) * 0.1
        return torch.stack([model.step(x, torch.zeros(3, dtype=torch.int64), rows, state).token for x in room], 1)

    first = tokens([5, 6, 5])
    assert torch.equal(first[0], first[2]) and not torch.equal(first[0], first[1])
    again = tokens([9, 5, 7])
    assert torch.equal(again[1], first[0])


def test_widths_that_do_not_fit_are_refused():
    config = DuplexConfig(encoder=tiny.ENCODER, language_model=tiny.language_model(hidden_size=32), mouth=tiny.MOUTH)
    with pytest.raises(ValueError, match="width 32"):
        DuplexModel(config, Pieces(tiny.WORDS))


def test_captions_are_characters_and_nothing_else():
    assert caption_text(caption_ids("Hello, it's 5 o'clock")) == "hello it's  o'clock"
    assert tiny.duplex().caption_text([-1, 9, 10, -1]) == caption_text([9, 10])


def test_every_model_configuration_of_the_project_builds():
    for path in sorted(data_path("configs", "model").glob("*.yaml")):
        assert isinstance(load(DuplexConfig, path), DuplexConfig)


def test_a_configuration_survives_yaml(model):
    assert build(DuplexConfig, to_plain(model.config)) == model.config


# ---- ears with every head --------------------------------------------------------------------------------------------


def test_captions_come_by_pieces_where_there_is_such_a_head():
    """Each block's text goes on from the one before, as the runner asks for it."""
    model = tiny.duplex(restless=False, seed=3, encoder=tiny.SENSES)
    room = torch.randn(12, 1, 1280, generator=torch.Generator().manual_seed(0))
    room *= torch.linspace(0, 1, 12).view(-1, 1, 1)
    state, steps, owns = model.init_state(1), [], []
    for x in room:
        owns.append(state["own"].clone())
        steps.append(model.step(x, ZERO, ON, state).caption[0].tolist())
    with torch.no_grad():
        frames, _ = model.hear(room.transpose(0, 1).flatten(1), torch.cat(owns, 1))
        best = model.encoder.pieces(frames).argmax(-1)[0].tolist()
    ids = [i for i, before in zip(best, [0, *best], strict=False) if i and i != before]
    assert all(len(step) == 2 for step in steps) and sum(max(step) > 0 for step in steps) > 4
    assert [i for step in steps for i in step if i >= 0] == ids
    assert "".join(model.caption_text([i for i in step if i >= 0]) for step in steps) == tiny.VOCABULARY.decode(ids)


def test_a_piece_that_goes_on_over_a_blocks_end_is_written_once(monkeypatch):
    model = tiny.duplex(restless=False, encoder=tiny.SENSES)
    says = iter([[0, 32], [32, 32], [32, 0], [32, 31]])

    def logits(frames, state, active):
        return torch.nn.functional.one_hot(torch.tensor([next(says)]), len(tiny.VOCABULARY) + 1).float()

    monkeypatch.setattr(model.encoder.pieces, "step", logits)
    state = model.init_state(1)
    captions = [model.step(torch.zeros(1, 1280), ZERO, ON, state).caption[0].tolist() for _ in range(4)]
    assert captions == [[-1, 32], [-1, -1], [-1, -1], [32, 31]] and int(state["caption"]) == 31


def test_no_head_moves_what_is_decided(model):
    other = tiny.duplex(restless=False, seed=2, encoder=tiny.SENSES)
    assert other.load_state_dict(model.state_dict(), strict=False).unexpected_keys == []
    with torch.no_grad():
        room, own = torch.randn(1, 6 * 1280), torch.randn(1, 6 * 1280)
        fed, backlog = torch.full((1, 6), THINK), torch.zeros(1, 6, dtype=torch.int64)
        a, b = model(room, own, fed, backlog), other(room, own, fed, backlog)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("vocabulary, encoder", [(None, tiny.SENSES), (tiny.VOCABULARY, tiny.ENCODER)])
def test_a_caption_head_and_its_pieces_belong_together(vocabulary, encoder):
    config = DuplexConfig(encoder=encoder, language_model=tiny.language_model(), mouth=tiny.MOUTH)
    with pytest.raises(ValueError, match="caption head"):
        DuplexModel(config, Pieces(tiny.WORDS), vocabulary)
