"""Causal convolution over time with an explicit left context.

    kernel 5, stride 2     context   x x x | 0 1 2 3 ...
                           output 0  ^-------^-^          sees inputs up to 1 (the last of its stride)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.nn.state import State, write

FEW = 16  # outputs in time, over all rows


class CausalConv1d(nn.Module):
    """Convolution whose output t sees inputs up to (t + 1) * stride - 1.

    Shapes: x (B, C_in, T) with T a multiple of stride; output (B, C_out, T / stride).
    State: `context` (B, C_in, kernel - stride), zeros at the start, which is what `forward` pads with.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        if kernel < stride:
            raise ValueError(f"kernel {kernel} is shorter than stride {stride}")
        self.stride, self.groups, self.context = stride, groups, kernel - stride
        inner = nn.Conv1d(in_channels, out_channels, kernel, groups=groups)
        self.weight, self.bias = inner.weight, inner.bias
        self.in_channels = in_channels
        self.known = groups == 1 or groups == in_channels == out_channels  # to `_few`

    def init_state(self, num_rows: int) -> State:
        """Zeros, as the padding of `forward`."""
        return {"context": self.weight.new_zeros(num_rows, self.in_channels, self.context)}

    def forward(self, x_BCT: Tensor) -> Tensor:
        """The whole sequence from a fresh state."""
        return F.conv1d(F.pad(x_BCT, (self.context, 0)), self.weight, self.bias, self.stride, groups=self.groups)

    def step(self, x_BCT: Tensor, state: State, active: Tensor) -> Tensor:
        """The next T inputs of every row; rows that are not active keep their context."""
        x = torch.cat([state["context"], x_BCT], dim=2)
        if self.context:
            write(state["context"], x[:, :, -self.context:], active)
        num_outputs = len(x) * (x_BCT.shape[2] // self.stride)
        if x.is_cuda or num_outputs > FEW or not self.known:
            return F.conv1d(x, self.weight, self.bias, self.stride, groups=self.groups)
        return self._few(x)

    def _few(self, x_BCT: Tensor) -> Tensor:
        """The same as matrix products: for a handful of outputs a CPU's convolution spends five times as long on its
        preparations."""
        windows = x_BCT.unfold(2, self.weight.shape[2], self.stride)    # (B, C, T, kernel)
        B, C, T, K = windows.shape
        if self.groups == 1:
            return F.linear(windows.transpose(1, 2).flatten(2), self.weight.flatten(1), self.bias).transpose(1, 2)
        y = torch.bmm(windows.transpose(0, 1).reshape(C, B * T, K), self.weight.transpose(1, 2))
        return y.view(C, B, T).transpose(0, 1) + self.bias[:, None]
