"""Blocks of an unrolled transformer that need not be alike: heads of their own, and coefficients that are learnt."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from .. import iterations
from .._errors import InputError
from .unrolled_heads import BlockHeads, Heads

# Nodes of the clock between which learnt coefficients are interpolated: t from 1e-3 to beyond 8, as TimeFeatures.
LOWEST_CLOCK, HIGHEST_CLOCK, NUM_NODES = -7.0, 9.0, 9


class UntiedHeads(BlockHeads):
    """Heads of each block's own, all with the same weights at the start.

    The first block sees s = 0 and has no heads, so there are num_blocks - 1.

    Args:
        start: The heads that every block starts from.
        num_blocks: K, at least 2.

    Raises:
        InputError: There is one block, which attends to nothing.
    """

    def __init__(self, start: Heads, num_blocks: int) -> None:
        super().__init__()
        if num_blocks < 2:
            raise InputError(f'num_blocks must be at least 2 with blocks="untied", got {num_blocks}')
        self.blocks = nn.ModuleList(copy.deepcopy(start) for _ in range(num_blocks - 1))

    def each(self) -> Iterable[Heads]:
        """The heads of blocks 1 .. K-1."""
        return [cast(Heads, block) for block in self.blocks]

    def recorded_weights(self, num_blocks: int) -> list[Tensor]:
        """Each block's own; zeros in the first, which has none."""
        weights = [block.weights_and_values()[0] for block in self.each()]
        return [torch.zeros_like(weights[0]), *weights]

    def extremes(self, separable: bool) -> tuple[Tensor, Tensor]:
        """Over the K of all blocks."""
        low, high = zip(*(block.extremes(separable) for block in self.each()), strict=True)
        return torch.stack(low).amin(), torch.stack(high).amax()

    def start(self) -> Heads:
        """The heads of block 1."""
        return cast(Heads, self.blocks[0])

    def restart(self, start: Heads) -> None:
        """Every block's weights become those of ``start``."""
        for block in self.blocks:
            block.load_state_dict(start.state_dict())


class LearnedSteps(nn.Module):
    """Steps and momenta of each block, learnt as functions of the clock u = log(expm1(t)).

        step_k(t) = step_k^0(t) exp(sum_j a_kj phi_j(u)),    momentum_k(t) = momentum_k^0(t) + sum_j b_kj phi_j(u)

    The table with ^0 is the one that is given, Chebyshev's for the learnt K. phi_j are hats on ``NUM_NODES`` nodes of
    the clock, which sum to 1, constant beyond the last. a = b = 0 at the start. Momentum is 0 in a table for K = I,
    so what is learnt is added to it and not to its logarithm.

    The table moves with K because steps that were right for K = I are far from right for what training makes of it:
    with 24 blocks, offsets to the table of the start ended at eight times the score error (docs/learning.md).

    Args:
        num_blocks: K.
    """

    def __init__(self, num_blocks: int) -> None:
        super().__init__()
        self.log_step = nn.Parameter(torch.zeros(num_blocks, NUM_NODES))
        self.momentum = nn.Parameter(torch.zeros(num_blocks - 1, NUM_NODES))

    def forward(self, table: iterations.Recurrence, u: Tensor) -> iterations.Recurrence:
        """``table`` of one row a time, with what was learnt at clock u (batch,), float64, put to it."""
        nodes = torch.linspace(LOWEST_CLOCK, HIGHEST_CLOCK, NUM_NODES, dtype=torch.float64, device=u.device)
        inside = u.clamp(LOWEST_CLOCK, HIGHEST_CLOCK)
        hats = (1 - (inside[:, None] - nodes).abs() / (nodes[1] - nodes[0])).clamp_min(0)
        step = table.step * (hats @ self.log_step.double().mT).exp()
        more = nn.functional.pad(hats @ self.momentum.double().mT, (1, 0))
        return iterations.Recurrence("learned", step, table.momentum + more)
