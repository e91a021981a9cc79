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
        diagonal: Of K, (frames, features), for M = alpha^2 diagonal + sigma^2; None is not a preconditioner.
        terms: Names from ``SIGNS``.
        scale: (terms,), by which the gates are divided first.
        offset: Subtracted from every gate after that: 1 for modulation, which multiplies by 1 + c.
        repeats: How many blocks each iteration takes.
        after: How many blocks follow the last iteration.
    """

    ends: Tensor
    table: Tensor | None
    factor: Tensor
    diagonal: Tensor | None

    def __init__(
        self,
        builder: str,
        iterations: int,
        ends: Tensor,
        diagonal: Tensor | None,
        terms: tuple[str, ...],
        scale: Tensor,
        offset: float = 0.0,
        repeats: int = 1,
        after: int = 0,
    ) -> None:
        super().__init__()
        self.builder, self.iterations, self.terms, self.offset = builder, iterations, terms, offset
        self.repeats, self.after = repeats, after
        fixed = None if diagonal is None else BUILDERS[builder](float(ends[0]), float(ends[1]), iterations)
        self.register_buffer("ends", ends if fixed is None else None)
        self.register_buffer("table", None if fixed is None else torch.stack([fixed.step, fixed.momentum]))
        self.register_buffer("factor", 1 / scale)
        self.register_buffer("diagonal", diagonal)

    def forward(self, t: Tensor) -> Tensor:
        """t (batch,), float64."""
        condition = self.table_at(t)
        if condition.shape[1] == 1:
            return condition
        last = condition[:, -1:].expand(-1, self.after, -1, -1)
        return torch.cat([condition.repeat_interleave(self.repeats, dim=1), last], dim=1)

    def table_at(self, t: Tensor) -> Tensor:
        """c(t) of every iteration once, (batch, iterations or 1, frames or 1, terms x features)."""
        return (self.gates(t) * self.factor[:, None] - self.offset).flatten(3)

    def gates(self, t: Tensor) -> Tensor:
        """(batch, iterations, frames or 1, terms, features or 1): one iteration where all are alike."""
        if self.table is None:
            table = recurrence(self.builder, self.iterations, self.ends, t)
            step, momentum = table.step, table.momentum
        else:
            step, momentum = self.table.expand(-1, len(t), -1)
        usual = momentum[:, 1:2] if momentum.shape[1] > 1 else momentum  # the first multiplies a direction of 0
        if bool((step == step[:, :1]).all()) and bool((momentum[:, 1:] == usual).all()):
            step, momentum = step[:, :1], usual
        alpha, noise = (c.reshape(-1, 1, 1, 1) for c in (diffusion.alpha(t), diffusion.sigma_squared(t)))
        weight = 1.0 if self.diagonal is None else 1 / (alpha**2 * self.diagonal + noise)
        scaled = step[..., None, None] * weight
        values = {
            MOMENTUM: momentum[..., None, None],
            RIGHT_SIDE: scaled,
            MEAN: scaled * alpha,
            SOLUTION: scaled * noise,
            PRODUCT: scaled * alpha**2,
        }
        return torch.stack([values[name].expand_as(scaled) for name in self.terms], dim=3)


def recurrence(builder: str, iterations: int, ends: Tensor, t: Tensor) -> Recurrence:
    """The table at times t (batch,), one row each, from the ends of K's spectrum."""
    low, high = ends.unbind()
    scale, noise = torch.exp(-t), diffusion.sigma_squared(t)
    return BUILDERS[builder](scale * low + noise, scale * high + noise, iterations)


def smallest(formula: Gates, times: list[float]) -> Tensor:
    """The smallest gate of every term at the given times, (terms,), and 1 where that is 0.

    Modulation computes 1 + c. With c = gate / smallest - 1 it rounds relative to the gate; with c = gate - 1 it would
    round relative to 1, which a small gate cannot afford in float32.
    """
    largest = formula.gates(torch.tensor(times, dtype=torch.float64)).abs().amin((0, 1, 2, 4))
    return torch.where(largest > 0, largest, 1.0)
