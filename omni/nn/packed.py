"""Matrices in half precision for a CPU that gives a few rows at a time.

One block of one conversation multiplies every matrix of the model with one, two or eight rows: what that costs is to
fetch the matrix. Packed by FBGEMM (arXiv 2101.05615) it is half as large, and products are of float32 all the same: an
element is widened as it is fetched, and sums are float32.

    float32 weight ──► rounded to float16 ──► packed             few rows: FBGEMM
                                         └──► float32 weight     many rows: torch's own product, of the same values
"""

import torch
from torch import Tensor, nn

MANY = 128  # rows from which on torch's own product is as fast
_PRODUCT = torch.ops.quantized.linear_dynamic_fp16.default  # not to look for the overload at every call


class PackedLinear(nn.Linear):
    """A linear layer whose matrix lies packed beside it. Weight and bias are shared with the layer it is made from, the
    weight rounded to half precision in place; whoever changes the weight afterwards has to pack it anew."""

    def __init__(self, layer: nn.Linear):
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        with torch.no_grad():
            self.weight.copy_(self.weight.half())
            self._packed = torch.ops.quantized.linear_prepack_fp16(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features), float32."""
        if x.dim() < 2 or x.numel() >= MANY * self.in_features or not x.is_cpu or torch.is_grad_enabled():
            return super().forward(x)
        return _PRODUCT(x, self._packed)


def can_pack() -> bool:
    """Whether this CPU and this build of torch have FBGEMM (x86 with AVX2; ARM has it not)."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def pack(model: nn.Module) -> nn.Module:
    """Pack every float32 linear layer of a model that lies on a CPU, in place, and return the model; elsewhere, and
    where `can_pack` says no, the model is left as it is.

    For whoever only steps it. Weights keep 11 bits: where they come from int8 with a scale for each row, that adds at
    most a sixteenth of a step of int8 to any of them. A matrix that half precision cannot hold stays as it is.
    """
    if not can_pack():
        return model
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear and _fits(layer.weight):
                setattr(parent, name, PackedLinear(layer))
    return model


def _fits(weight: Tensor) -> bool:
    return (weight.device.type == "cpu" and weight.dtype == torch.float32
            and bool(weight.detach().abs().max() <= torch.finfo(torch.float16).max))
