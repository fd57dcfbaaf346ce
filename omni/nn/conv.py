"""Causal convolution over time with an explicit left context.

    kernel 5, stride 2     context   x x x | 0 1 2 3 ...
                           output 0  ^-------^-^          sees inputs up to 1 (the last of its stride)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.nn.state import State, write

FEW = 16                # outputs in time, over all rows, up to which a product is quicker than a CPU's convolution
FEW_OF_A_CHANNEL = 128  # likewise, where each channel has a kernel of its own and these are turned; else some 64


class CausalConv1d(nn.Module):
    """Convolution whose output t sees inputs up to (t + 1) * stride - 1.

    Shapes: x (B, T, C_in) with T a multiple of stride; output (B, T / stride, C_out).
    State: `context` (B, kernel - stride, C_in), zeros at the start, which is what `forward` pads with.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        if kernel < stride:
            raise ValueError(f"kernel {kernel} is shorter than stride {stride}")
        self.stride, self.groups, self.context = stride, groups, kernel - stride
        inner = nn.Conv1d(in_channels, out_channels, kernel, groups=groups)
        self.weight, self.bias = inner.weight, inner.bias
        self.in_channels = in_channels
        self.few = FEW if groups == 1 else FEW_OF_A_CHANNEL if groups == in_channels == out_channels else 0

    def init_state(self, num_rows: int) -> State:
        """Zeros, as the padding of `forward`."""
        return {"context": self.weight.new_zeros(num_rows, self.context, self.in_channels)}

    def forward(self, x_BTC: Tensor) -> Tensor:
        """The whole sequence from a fresh state."""
        return self._many(F.pad(x_BTC.transpose(1, 2), (self.context, 0)))

    def step(self, x_BTC: Tensor, state: State, active: Tensor) -> Tensor:
        """The next T inputs of every row; rows that are not active keep their context."""
        B, T, _ = x_BTC.shape
        x_BTC = torch.cat([state["context"], x_BTC], 1)
        if self.context:
            write(state["context"], x_BTC.narrow(1, T, self.context), active)
        if x_BTC.is_cuda or B * T // self.stride > self.few:
            return self._many(x_BTC.transpose(1, 2))
        return self._few(x_BTC)

    def _many(self, x_BCT: Tensor) -> Tensor:
        return F.conv1d(x_BCT, self.weight, self.bias, self.stride, groups=self.groups).transpose(1, 2)

    def _few(self, x_BTC: Tensor) -> Tensor:
        """The same by products and sums: for a handful of outputs a CPU's convolution spends five times as long on its
        preparations."""
        windows = x_BTC.unfold(1, self.weight.shape[2], self.stride)    # (B, T, C, kernel)
        if self.groups == 1:
            return F.linear(windows.flatten(2), self.weight.flatten(1), self.bias)
        return (windows.transpose(2, 3) * self.weight.permute(1, 2, 0)).sum(2) + self.bias


def turn(model: nn.Module) -> nn.Module:
    """Lay the kernels of every depthwise `CausalConv1d` of a model so that neighbours in memory are neighbouring
    channels, as they are in what `step` multiplies them with on a CPU, and return the model. Others are left.

    For whoever only steps it: the weights are new parameters, of the same values.
    """
    for module in model.modules():
        if isinstance(module, CausalConv1d) and module.groups > 1 and not module.weight.is_cuda:
            module.weight = nn.Parameter(module.weight.detach().transpose(0, 2).contiguous().transpose(0, 2),
                                         requires_grad=module.weight.requires_grad)
    return model
