"""The mind: any `transformers` causal language model behind a ring cache with one write cursor a row.

    slots   | pinned 0..P-1 | ring: position % ring, for positions >= P |
    row A   | P entries     | . . . 41 42 | 35 36 37 38 39 40           |   each row wraps at its own time

Keys are cached as the library rotated them, at the row's own positions, so a row sees exactly the pinned prefix and
the last `window` positions however long it runs, and rows join, leave and skip without touching each other.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.cache_utils import Cache, CacheLayerMixin

from omni.nn.state import State, everyone, expand_mask


@dataclass(frozen=True, slots=True)
class LanguageModelConfig:
    """Which stock class, of which size, and how much it remembers.

    Attributes:
        model_type: a `transformers` model type ("llama", "qwen2", "qwen3" ...).
        settings: arguments of that type's configuration class; the vocabulary size is set by the pieces.
        window: positions a row attends to beyond the pinned prefix, its own included.
        pinned: positions at the start of a conversation that are never overwritten.
    """

    model_type: str = "llama"
    settings: dict[str, Any] = field(default_factory=lambda: {
        "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 7, "num_attention_heads": 4,
        "num_key_value_heads": 4, "max_position_embeddings": 1 << 20, "tie_word_embeddings": False})
    window: int = 512
    pinned: int = 0


def build_language_model(config: LanguageModelConfig, num_tokens: int) -> nn.Module:
    """A randomly initialised model of the configured stock class."""
    settings = AutoConfig.for_model(config.model_type, **config.settings, vocab_size=num_tokens, bos_token_id=None,
                                    eos_token_id=None, pad_token_id=None)
    return AutoModelForCausalLM.from_config(settings, attn_implementation="sdpa", dtype=torch.float32)


class _RingLayer(CacheLayerMixin):
    """One layer's view of the state, in the library's cache interface: writes the new keys, returns all slots."""

    def __init__(self, keys: Tensor, values: Tensor, slots_BT: Tensor, active: Tensor | None):
        """`active` is None where every row is known to be."""
        super().__init__()
        self.keys, self.values, self.is_initialized = keys, values, True
        self._slots, self._active = slots_BT, active

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the state is preallocated."""

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Scatter (B, H, T, d) into the active rows' slots and return (B, H, slots, d)."""
        slots = self._slots[:, None, :, None].expand_as(key_states)
        for cache, new in ((self.keys, key_states), (self.values, value_states)):
            if self._active is not None:
                new = torch.where(expand_mask(self._active, new), new, cache.gather(2, slots))
            cache.scatter_(2, slots, new)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """All slots, from the first."""
        return self.keys.shape[2], 0

    def get_seq_length(self) -> int:
        """Rows differ; masks and positions are given explicitly."""
        return 0

    def get_max_length(self) -> int:
        """Number of slots."""
        return self.keys.shape[2]


class RingLanguageModel(nn.Module):
    """A causal language model over embeddings, time-parallel (`forward`) or by steps with a ring (`step`).

    State: `keys`, `values` (B, layers, H_kv, slots, d); `position` (B, slots) int64, the position each slot holds, -1
    if none; `count` (B,) int64 positions so far. Slots are pinned + window + step - 1, where `step` is the number of
    positions written at once, so that the first of them still sees its whole window.
    """

    def __init__(self, model: nn.Module, window: int, pinned: int = 0, step: int = 1):
        super().__init__()
        self.model, self.window, self.pinned, self.step_size = model, window, pinned, step
        settings = model.config
        self.num_layers = settings.num_hidden_layers
        self.num_kv_heads = getattr(settings, "num_key_value_heads", None) or settings.num_attention_heads
        self.head_dim = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
        self.num_slots = pinned + window + step - 1
        self._fused: list[Callable[..., Tensor]] = []   # the layers' forward, in their order

    def fuse(self, backend: str = "inductor") -> None:
        """From now on `forward` runs its layers compiled, with attention written out; `step` is as it was.

        The same sums in another order, so that results differ in the last digits. Every new shape is compiled anew, by
        a C++ compiler on a CPU: for training, whose shapes are few.

        Args:
            backend: of `torch.compile`.
        """
        self._fused = [torch.compile(layer.forward, dynamic=False, backend=backend)
                       for layer in self.model.get_decoder().layers]

    @contextlib.contextmanager
    def _compiled(self) -> Iterator[None]:
        """Inside of it the layers are those of `fuse`, if there are such."""
        settings, layers = self.model.config, self.model.get_decoder().layers
        kind = settings._attn_implementation
        try:
            if self._fused:
                settings._attn_implementation = "eager"
                for layer, fused in zip(layers, self._fused, strict=True):
                    layer.forward = fused
            yield
        finally:
            settings._attn_implementation = kind
            for layer in layers if self._fused else ():
                del layer.forward

    def init_state(self, num_rows: int) -> State:
        """An empty ring. Slots that were never written are masked by `position`, not by their content."""
        weight = next(self.model.parameters())
        shape = (num_rows, self.num_layers, self.num_kv_heads, self.num_slots, self.head_dim)
        return {"keys": weight.new_zeros(shape), "values": weight.new_zeros(shape),
                "position": torch.full((num_rows, self.num_slots), -1, dtype=torch.int64, device=weight.device),
                "count": torch.zeros(num_rows, dtype=torch.int64, device=weight.device)}

    def visible(self, key_BK: Tensor, query_BT: Tensor) -> Tensor:
        """Mask (B, 1, T, K): which key positions each query position sees."""
        key, query = key_BK[:, None, :], query_BT[:, :, None]
        near = (key > query - self.window) | (key < self.pinned)
        return ((key >= 0) & (key <= query) & near)[:, None]

    def forward(self, embeds_BTD: Tensor, offset: int = 0) -> Tensor:
        """Hidden states (B, T, D) of a whole sequence from an empty ring; `offset` shifts all positions."""
        index = torch.arange(embeds_BTD.shape[1], device=embeds_BTD.device)[None]
        mask = None  # all before, which the backbone sees to itself, and faster
        if index.shape[1] > self.window:
            mask = self.visible(index, index).expand(len(embeds_BTD), -1, -1, -1)
            if self._fused:     # there masks are added
                mask = _added(mask, embeds_BTD.dtype)
        backbone = self.model.get_decoder()
        with self._compiled():
            return backbone(inputs_embeds=embeds_BTD, attention_mask=mask, position_ids=index + offset,
                            use_cache=False).last_hidden_state

    def step(self, embeds_BTD: Tensor, state: State, active: Tensor) -> Tensor:
        """Hidden states (B, T, D) of the next T <= step positions of every row."""
        B, T, _ = embeds_BTD.shape
        if T > self.step_size:
            raise ValueError(f"at most {self.step_size} positions a step, got {T}")
        query = state["count"][:, None] + torch.arange(T, device=embeds_BTD.device)
        ring = self.num_slots - self.pinned
        slots = torch.where(query < self.pinned, query, self.pinned + (query - self.pinned) % ring)
        position = state["position"]
        position.scatter_(1, slots, torch.where(active[:, None], query, position.gather(1, slots)))
        mask = self.visible(position, query)
        # a row that skips this step and never had one sees its own slot, so that its ignored output stays finite
        mask = _added(mask | (~active)[:, None, None, None], embeds_BTD.dtype)  # once, where each layer would
        rows = None if everyone(active) else active
        layers = [_RingLayer(state["keys"][:, i], state["values"][:, i], slots, rows) for i in range(self.num_layers)]
        hidden = self.model.get_decoder()(inputs_embeds=embeds_BTD, attention_mask=mask, position_ids=query,
                                          cache=Cache(layers=layers), use_cache=True).last_hidden_state
        state["count"].add_(T * active)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every token, (..., V)."""
        return self.model.get_output_embeddings()(hidden)


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask that is added to scores, 0 where the boolean one sees and minus infinity elsewhere."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, float("-inf"))
