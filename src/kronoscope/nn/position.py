"""A diffusion transformer whose attention sees positions and nothing else: linear in x at every noise level."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import _checks
from .._errors import InputError
from ..diffusion.schedule import broadcast, sigma
from .records import BlockRecord, NetworkRecord
from .time_features import TimeFeatures

# Far beyond what trains, and far below what takes minutes to build.
LARGEST_WIDTH, MOST_BLOCKS = 65_536, 1024


class PositionBlock(nn.Module):
    """Two gated linear maps of the stream: one between frames, one inside each frame.

        stream <- stream + gate(t) sum_m A_m (stream scale(t)) V_m O_m        (A_m)_ij = a_m(i - j)
        stream <- stream + gate'(t) (stream scale'(t)) W_1 W_2

    Each head's table a_m is free and signed on every lag from -(N-1) to N-1.
    """

    lags: Tensor

    def __init__(self, num_frames: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.lag_table = nn.Parameter(self._local_averages(num_frames, num_heads))
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.inner = nn.Linear(width, width, bias=False)
        self.outer = nn.Linear(width, width, bias=False)
        self.modulation = nn.Linear(width, 4 * width)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)
        frames = torch.arange(num_frames)
        self.register_buffer("lags", frames[:, None] - frames[None, :] + num_frames - 1, persistent=False)

    @staticmethod
    def _local_averages(num_frames: int, num_heads: int) -> Tensor:
        """Tables to start from: averages over 1, 2, 4, ... frames of unit norm, and a little noise."""
        distance = torch.arange(1 - num_frames, num_frames).abs()
        table = torch.exp(-distance / 2.0 ** torch.arange(num_heads)[:, None])
        return table / table.norm(dim=1, keepdim=True) + 0.02 * torch.randn(num_heads, 2 * num_frames - 1)

    def weights(self) -> Tensor:
        """Attention weights (heads, frames, frames): signed, not normalised, the same for every input."""
        return self.lag_table[:, self.lags]

    def forward(self, stream: Tensor, time: Tensor) -> Tensor:
        """stream (batch, frames, width), time features (batch, width)."""
        scale, gate, inner_scale, inner_gate = self.modulation(time)[:, None].chunk(4, dim=-1)
        values = self.value(stream * (1 + scale)).unflatten(-1, (self.num_heads, -1))  # (batch, frames, heads, c)
        mixed = torch.einsum("mij,bjmc->bimc", self.weights(), values).flatten(2)
        stream = stream + gate * self.output(mixed)
        return stream + inner_gate * self.outer(self.inner(stream * (1 + inner_scale)))


class PositionTransformer(nn.Module):
    """Position-only transformer: epsilon(x, t) = sigma_t x + L_t x, with L_t a product of gated lag tables.

    No content in the attention, no softmax and no non-linearity in x; only diffusion time passes through a
    perceptron, which gates the streams. So its score error has a closed form, and the covariances that it can stand for
    are block-Toeplitz (docs/theory.md, section 5). The term sigma_t x is the answer for white data, from which
    training starts.

    Args:
        num_frames: N.
        num_features: d.
        width: Size of the residual stream.
        num_blocks: Number of blocks.
        num_heads: Lag tables in a block; divides ``width``.
        tied: Whether one block is used ``num_blocks`` times.
    """

    def __init__(
        self,
        num_frames: int,
        num_features: int,
        width: int = 64,
        num_blocks: int = 4,
        num_heads: int = 4,
        tied: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(num_frames, num_features, width, num_blocks, num_heads)
        self.enter = nn.Linear(num_features, width, bias=False)
        self.leave = nn.Linear(width, num_features, bias=False)
        self.time = TimeFeatures(width)
        self.num_blocks = num_blocks
        self.blocks = nn.ModuleList(
            PositionBlock(num_frames, width, num_heads) for _ in range(1 if tied else num_blocks)
        )
        self.final_gate = nn.Linear(width, width)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, frames, features), t (batch,) to epsilon like x."""
        return self._run(x, t, None)

    def record(self, x: Tensor, t: Tensor) -> NetworkRecord:
        """The forward pass with its attention weights and the stream after every block."""
        blocks: list[BlockRecord] = []
        return NetworkRecord(self._run(x, t, blocks), tuple(blocks))

    def _run(self, x: Tensor, t: Tensor, blocks: list[BlockRecord] | None) -> Tensor:
        time = self.time(t)
        stream = self.enter(x)
        for number in range(self.num_blocks):
            block = self.blocks[number % len(self.blocks)]
            stream = block(stream, time)
            if blocks is not None:
                blocks.append(BlockRecord(None, block.weights()[None], stream))  # type: ignore[operator]
        return broadcast(sigma(t), x) * x + self.leave(stream * self.final_gate(time)[:, None])


def check_sizes(num_frames: int, num_features: int, width: int, num_blocks: int, num_heads: int) -> None:
    """Refuse sizes that no transformer can have, by name."""
    for name, value in {"num_frames": num_frames, "num_features": num_features}.items():
        _checks.count(name, value)
    for name, value in {"width": width, "num_heads": num_heads}.items():
        _checks.count(name, value, 1, LARGEST_WIDTH)
    _checks.count("num_blocks", num_blocks, 1, MOST_BLOCKS)
    if width % num_heads:
        raise InputError(f"width must be a multiple of num_heads, got {width} and {num_heads}")
