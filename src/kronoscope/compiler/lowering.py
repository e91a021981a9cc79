"""From a process and an iteration to a lowered form that runs by itself: operator, basis, mean, interval, table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import diffusion
from .._display import Displayed
from .._typing import DiffusionTime
from ..iterations import BUILDERS, Recurrence, run
from . import gates
from .operators import KroneckerTerms

BASED = ("preconditioned-chebyshev", "spectral")
WITH_MOMENTUM = ("heavy-ball", "chebyshev")
ITERATIONS = ("gradient-descent", "heavy-ball", "chebyshev", "chebyshev-steps", *BASED)


@dataclass(frozen=True, eq=False, repr=False)
class Lowered(Displayed):
    """A solver of C_t s = -(x - alpha_t mu), in working coordinates y = W' x.

    Attributes:
        iteration: Name, from ``ITERATIONS``.
        num_iterations: K.
        operator: What stands for the covariance, in working coordinates; None where no product is needed (one step).
        basis: W, orthogonal; None is the identity.
        diagonal: Of the operator, (frames, features), for the preconditioner; None is none.
        mean: mu in working coordinates, (frames, features); None is zero.
        ends: Interval (2,) of the spectrum: of the operator, or, preconditioned, of M^-1 C_t at every t >= min_time.
        num_lags: J, the largest lag kept (knots, where the times are irregular).
        distance: A bound of |operator - covariance|, spectral norm; 0 with a basis.
        is_interpolated: Whether that comes from linear interpolation between knots, or from cutting lags off.
        spectrum: Eigenvalues of the covariance itself, (N d,).
        min_time, max_time: The diffusion times that the solver is for.
    """

    iteration: str
    num_iterations: int
    operator: KroneckerTerms | None
    basis: KroneckerTerms | None
    diagonal: Tensor | None
    mean: Tensor | None
    ends: Tensor
    num_lags: int
    distance: float
    is_interpolated: bool
    spectrum: Tensor
    min_time: float
    max_time: float

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, features)."""
        terms = self.basis or self.operator
        assert terms is not None
        return terms.shape

    @property
    def builder(self) -> str:
        """The table's name in ``iterations.BUILDERS``."""
        return "chebyshev" if self.iteration in BASED else self.iteration

    @property
    def num_products(self) -> int:
        """Products with the operator."""
        return 0 if self.operator is None else self.num_iterations - 1

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms of a step, in the names of ``gates.SIGNS``."""
        wanted = {
            gates.MOMENTUM: self.builder in WITH_MOMENTUM and self.num_iterations > 1,
            gates.RIGHT_SIDE: True,
            gates.MEAN: self.mean is not None,
            gates.SOLUTION: self.num_iterations > 1,
            gates.PRODUCT: self.operator is not None and self.num_iterations > 1,
        }
        return tuple(name for name in gates.SIGNS if wanted[name])

    def noised_ends(self, t: float) -> tuple[float, float]:
        """The interval at diffusion time t."""
        low, high = self.ends.tolist()
        if self.diagonal is not None:
            return low, high
        scale, noise = math.exp(-t), -math.expm1(-t)
        return scale * low + noise, scale * high + noise

    def recurrence(self, t: Tensor) -> Recurrence:
        """The table of coefficients, one row for each of t (times,)."""
        if self.diagonal is None:
            return gates.recurrence(self.builder, self.num_iterations, self.ends, t)
        low, high = self.ends[:, None].expand(-1, len(t))
        return BUILDERS[self.builder](low, high, self.num_iterations)

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """What the iteration computes, by the iterations' own runner and in float64: the network's yardstick."""
        time = torch.as_tensor(t, dtype=torch.float64).reshape(-1).expand(len(x))
        scale, noise = (c.reshape(-1, 1, 1) for c in (torch.exp(-time), diffusion.sigma_squared(time)))
        right_side = -x.double() if self.basis is None else -self.basis.transpose.product(x.double())
        if self.mean is not None:
            right_side = right_side + scale.sqrt() * self.mean
        operator, diagonal = self.operator, self.diagonal

        def product(s: Tensor) -> Tensor:
            return noise * s if operator is None else scale * operator.product(s) + noise * s

        def precondition(r: Tensor) -> Tensor:
            return r if diagonal is None else r / (scale * diagonal + noise)

        solution = run(self.recurrence(time), product, right_side, precondition)
        return (solution if self.basis is None else self.basis.product(solution)).to(x.dtype)
