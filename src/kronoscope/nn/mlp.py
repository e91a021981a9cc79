"""A residual perceptron on the flattened sequence: no idea of time or features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..diffusion.schedule import broadcast, sigma
from .position import check_sizes
from .time_features import TimeFeatures


class PerceptronBlock(nn.Module):
    """stream + gate(t) W_2 gelu(W_1 (norm(stream) (1 + scale(t)) + shift(t)))."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.modulation = nn.Linear(time_width, 3 * width)

    def forward(self, stream: Tensor, time: Tensor) -> Tensor:
        """stream (batch, width), time features (batch, time_width)."""
        scale, shift, gate = self.modulation(time).chunk(3, dim=-1)
        return stream + gate * self.outer(F.gelu(self.inner(self.norm(stream) * (1 + scale) + shift)))


class MLP(nn.Module):
    """epsilon(x, t) = sigma_t x + perceptron(vec x, t), the sequence as one vector of N d numbers.

    Args:
        num_frames: N.
        num_features: d.
        width: Size of the residual stream.
        num_blocks: Number of blocks.
    """

    def __init__(self, num_frames: int, num_features: int, width: int = 256, num_blocks: int = 2) -> None:
        super().__init__()
        check_sizes(num_frames, num_features, width, num_blocks, 1)
        size, time_width = num_frames * num_features, 64
        self.time = TimeFeatures(time_width)
        self.enter = nn.Linear(size, width)
        self.blocks = nn.ModuleList(PerceptronBlock(width, time_width) for _ in range(num_blocks))
        self.leave = nn.Linear(width, size)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, frames, features), t (batch,) to epsilon like x."""
        time = self.time(t)
        stream = self.enter(x.flatten(1))
        for block in self.blocks:
            stream = block(stream, time)
        return broadcast(sigma(t), x) * x + self.leave(stream).reshape(x.shape)
