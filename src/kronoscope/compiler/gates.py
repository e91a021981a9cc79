"""The time coefficients of an iteration, as a formula in diffusion time: a module without anything learnt.

One step of the momentum form (iterations/table.py), written in the slots of the stream, with A = alpha^2 K + sigma^2 I,
right side -(x - alpha mu) and the weights w of a diagonal preconditioner (1 where there is none):

    direction <- momentum direction + step w (-x) + step w alpha mu - step w sigma^2 solution - step w alpha^2 product

with product = K solution,

so five gates, one for each term. The gate modules give them for every iteration at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import diffusion
from ..iterations import BUILDERS, Recurrence

MOMENTUM, RIGHT_SIDE, MEAN, SOLUTION, PRODUCT = "direction", "right side", "mean", "solution", "product"
SIGNS = {MOMENTUM: 1.0, RIGHT_SIDE: 1.0, MEAN: 1.0, SOLUTION: -1.0, PRODUCT: -1.0}
"""The terms of a step by the slot that they read, and their signs."""


class Gates(nn.Module):
    """t -> the gates of every iteration, as a condition (batch, depth or 1, frames or 1, gates x features or 1).

    Args:
        builder: A name in ``iterations.BUILDERS``.
        iterations: K.
        ends: Smallest and largest eigenvalue: of K, or with a preconditioner of M^-1 A at every t.
        diagonal: Of K, (frames, features), for M = alpha^2 diagonal + sigma^2; None is no preconditioner.
        terms: Names from ``SIGNS``.
        offset: Subtracted from every gate: 1 for modulation, which multiplies by 1 + c.
        scale: (terms,), by which the gates are divided after that.
        repeats: How many blocks each iteration takes.
        after: How many blocks follow the last iteration.
    """

    ends: Tensor
    scale: Tensor
    diagonal: Tensor | None

    def __init__(
        self,
        builder: str,
        iterations: int,
        ends: Tensor,
        diagonal: Tensor | None,
        terms: tuple[str, ...],
        offset: float,
        scale: Tensor,
        repeats: int = 1,
        after: int = 0,
    ) -> None:
        super().__init__()
        self.builder, self.iterations, self.terms, self.offset = builder, iterations, terms, offset
        self.repeats, self.after = repeats, after
        self.register_buffer("ends", ends)
        self.register_buffer("scale", scale)
        self.register_buffer("diagonal", diagonal)

    def forward(self, t: Tensor) -> Tensor:
        """t (batch,), float64."""
        gates = (self.gates(t) - self.offset) / self.scale[:, None]
        condition = gates.flatten(3)  # (batch, iterations, frames, terms x features)
        if condition.shape[1] == 1:
            return condition
        last = condition[:, -1:].expand(-1, self.after, -1, -1)
        return torch.cat([condition.repeat_interleave(self.repeats, dim=1), last], dim=1)

    def gates(self, t: Tensor) -> Tensor:
        """(batch, iterations, frames or 1, terms, features or 1): one iteration where all are alike."""
        alpha, noise = diffusion.alpha(t), diffusion.sigma_squared(t)
        table = recurrence(self.builder, self.iterations, self.ends, t, self.diagonal is not None)
        step, momentum = table.step, table.momentum
        if not bool(momentum.any()) and bool((step == step[:, :1]).all()):
            step, momentum = step[:, :1], momentum[:, :1]
        column = [c.expand(len(t))[:, None, None, None] for c in (alpha, noise)]
        weight = torch.ones_like(column[0])
        if self.diagonal is not None:
            weight = 1 / (column[0] ** 2 * self.diagonal + column[1])
        scaled = step[..., None, None] * weight
        values = {
            MOMENTUM: momentum[..., None, None].expand_as(scaled),
            RIGHT_SIDE: scaled,
            MEAN: scaled * column[0],
            SOLUTION: scaled * column[1],
            PRODUCT: scaled * column[0] ** 2,
        }
        return torch.stack([values[name].expand_as(scaled) for name in self.terms], dim=3)


def recurrence(builder: str, iterations: int, ends: Tensor, t: Tensor, fixed: bool) -> Recurrence:
    """The table at times t (batch,), from the ends of K's spectrum, or ``fixed``, from ends that hold at every t."""
    low, high = ends.unbind()
    if fixed:
        return BUILDERS[builder](low.expand(len(t)), high.expand(len(t)), iterations)
    scale, noise = torch.exp(-t), diffusion.sigma_squared(t)
    return BUILDERS[builder](scale * low + noise, scale * high + noise, iterations)
