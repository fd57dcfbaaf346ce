"""The mind behind its ring, against the library's own cache, generation and adapters."""

import peft
import pytest
import tiny
import torch

from omni.model.language_model import RingLanguageModel, build_language_model
from omni.nn.state import leaves

VOCABULARY = 23
STOCK = ["llama", "qwen2", "qwen3"]


def _stock(model_type: str, num_layers: int = 2, **settings) -> torch.nn.Module:
    if model_type == "qwen3":
        settings = {"head_dim": 8, **settings}  # its default of 128 would drown everything else
    config = tiny.language_model(model_type, num_layers=num_layers, **settings)
    return tiny.randomise(build_language_model(config, VOCABULARY))


@torch.no_grad()
def _run(ring: RingLanguageModel, embeds: torch.Tensor, state=None) -> torch.Tensor:
    state = state or ring.init_state(len(embeds))
    everyone = torch.ones(len(embeds), dtype=torch.bool)
    return torch.cat([ring.step(e, state, everyone) for e in embeds.split(ring.step_size, 1)], 1)


@pytest.mark.parametrize("model_type", STOCK)
def test_greedy_steps_equal_the_librarys_own_generation_token_for_token(model_type):
    """Prompts of embeddings, then twelve tokens of both."""
    model = _stock(model_type)
    prompt = torch.randn(6, 5, tiny.WIDTH, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = model.generate(inputs_embeds=prompt, attention_mask=torch.ones(6, 5, dtype=torch.int64),
                                  max_new_tokens=12, do_sample=False, pad_token_id=0)
    ring = RingLanguageModel(model, window=32)
    state, everyone = ring.init_state(6), torch.ones(6, dtype=torch.bool)
    hidden, tokens = _run(ring, prompt, state)[:, -1:], []
    with torch.no_grad():
        for _ in range(12):
            tokens.append(ring.logits(hidden)[:, -1].argmax(-1))
            hidden = ring.step(model.get_input_embeddings()(tokens[-1])[:, None], state, everyone)
    assert torch.equal(torch.stack(tokens, 1), expected)
    assert len(expected.unique()) > 3, "a model that repeats itself proves little"


@pytest.mark.parametrize("model_type", STOCK)
def test_steps_equal_the_librarys_plain_causal_forward_while_the_window_holds_all(model_type):
    model, embeds = _stock(model_type), torch.randn(2, 9, tiny.WIDTH)
    with torch.no_grad():
        expected = model.get_decoder()(inputs_embeds=embeds, use_cache=False).last_hidden_state
    for window, pinned, step in ((9, 0, 1), (16, 0, 3), (6, 3, 1)):
        torch.testing.assert_close(_run(RingLanguageModel(model, window, pinned, step), embeds), expected,
                                   rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_type", STOCK)
def test_a_window_that_holds_all_needs_no_mask(model_type):
    model, embeds, given = _stock(model_type), torch.randn(2, 9, tiny.WIDTH), []
    whole = RingLanguageModel(model, window=9)
    model.get_decoder().register_forward_pre_hook(lambda module, args, named: given.append(named["attention_mask"]),
                                                  with_kwargs=True)
    with torch.no_grad():
        plain = whole(embeds, 7)
        whole.visible = lambda key, query: (key[:, None, :] <= query[:, :, None])[:, None]
        whole.window = 8  # says that it is too small: the same as a mask
        masked = whole(embeds, 7)
    assert given[0] is None and given[1].shape == (2, 1, 9, 9)
    torch.testing.assert_close(plain, masked, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "pinned", "step"), [(4, 0, 1), (4, 3, 1), (6, 0, 3), (6, 4, 3)])
def test_window_and_pinned_prefix_are_exact_past_two_wraps(window, pinned, step):
    """Two layers against the library's forward under a mask written out by hand."""
    model, total = _stock("llama"), 3 * (window + step) + pinned
    total -= total % step
    embeds = torch.randn(2, total, tiny.WIDTH, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(total, total, dtype=torch.bool)
    for query in range(total):
        mask[query, max(query - window + 1, 0):query + 1] = True
        mask[query, :min(pinned, query + 1)] = True
    with torch.no_grad():
        expected = model.get_decoder()(inputs_embeds=embeds, attention_mask=mask[None, None].expand(2, 1, -1, -1),
                                       position_ids=torch.arange(total)[None], use_cache=False).last_hidden_state
    ring = RingLanguageModel(model, window, pinned, step)
    with torch.no_grad():
        torch.testing.assert_close(ring(embeds), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(_run(ring, embeds), expected, rtol=1e-4, atol=1e-5)


def test_what_left_the_window_is_gone_and_what_is_pinned_is_not():
    """One layer, so that nothing is passed on from neighbour to neighbour."""
    ring = RingLanguageModel(_stock("llama", num_layers=1), window=4, pinned=2)
    embeds = torch.randn(1, 14, tiny.WIDTH, generator=torch.Generator().manual_seed(2))
    plain = _run(ring, embeds)[:, -1]
    for place, matters in ((0, True), (1, True), (2, False), (9, False), (10, True), (13, True)):
        changed = embeds.clone()
        changed[:, place] += 1
        assert torch.equal(_run(ring, changed)[:, -1], plain) != matters, place


def test_memory_is_constant_and_positions_are_the_rows_own():
    ring = RingLanguageModel(_stock("llama"), window=4)
    state = ring.init_state(2)
    pointers = [t.data_ptr() for t in leaves(state)]
    active = torch.tensor([True, False])
    with torch.no_grad():
        for _ in range(11):
            ring.step(torch.randn(2, 1, tiny.WIDTH), state, active)
    assert [t.data_ptr() for t in leaves(state)] == pointers
    assert state["count"].tolist() == [11, 0] and sorted(state["position"][0].tolist()) == [7, 8, 9, 10]
    assert state["position"][1].tolist() == [-1] * 4


def test_only_distances_count_so_hours_do_not_matter():
    ring = RingLanguageModel(_stock("llama"), window=4)
    embeds = torch.randn(1, 9, tiny.WIDTH)
    with torch.no_grad():
        torch.testing.assert_close(ring(embeds, offset=2000), ring(embeds), rtol=1e-3, atol=1e-3)


def test_too_many_positions_at_once_are_refused():
    ring = RingLanguageModel(_stock("llama"), window=4, step=3)
    with pytest.raises(ValueError, match="at most 3"):
        ring.step(torch.zeros(1, 4, tiny.WIDTH), ring.init_state(1), torch.ones(1, dtype=torch.bool))


# peft 0.21 still asks transformers by an older name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("model_type", STOCK)
def test_lora_adapters_work_behind_the_ring_and_are_what_learns(model_type):
    plain = _stock(model_type)
    embeds = torch.randn(2, 11, tiny.WIDTH, generator=torch.Generator().manual_seed(4))
    before = _run(RingLanguageModel(plain, window=4), embeds)
    adapted = peft.get_peft_model(plain, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "down_proj"],
                                                         init_lora_weights=True)).eval()
    ring = RingLanguageModel(adapted, window=4)
    torch.testing.assert_close(_run(ring, embeds), before)  # a fresh adapter adds nothing
    learning = [n for n, p in ring.named_parameters() if p.requires_grad]
    assert learning and all("lora" in n for n in learning)
    with torch.no_grad():
        for name, parameter in ring.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    stepped = _run(ring, embeds)
    assert not torch.allclose(stepped, before, atol=1e-2)
    with torch.no_grad():
        torch.testing.assert_close(ring(embeds), stepped, rtol=1e-4, atol=1e-5)
        assert ring.logits(stepped).shape == (2, 11, VOCABULARY)
    ring(embeds).square().mean().backward()
    assert all(p.grad is not None for n, p in ring.named_parameters() if n in learning)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch.compile looks at it
@pytest.mark.parametrize("model_type", STOCK)
@pytest.mark.parametrize("window", [4, 16])
def test_fused_layers_give_the_same_and_leave_steps_alone(model_type, window):
    model, embeds = _stock(model_type), torch.randn(2, 9, tiny.WIDTH, generator=torch.Generator().manual_seed(2))
    plain, ring = RingLanguageModel(model, window), RingLanguageModel(_stock(model_type), window)
    seen = []
    ring.model.get_decoder().layers[0].register_forward_hook(lambda *args: seen.append(1))
    ring.fuse("aot_eager")
    assert set(ring.state_dict()) == set(plain.state_dict())
    expected, found = plain(embeds, 5), ring(embeds, 5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert seen, "whoever looks at a layer still sees it"
    found.square().sum().backward()
    expected.square().sum().backward()
    for (name, p), (_, q) in zip(ring.named_parameters(), plain.named_parameters(), strict=True):
        if q.grad is not None:
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
    assert torch.equal(_run(ring, embeds), _run(plain, embeds)), "and a conversation is what it was, bit for bit"
