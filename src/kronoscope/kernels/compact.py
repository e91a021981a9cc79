"""Kernels that vanish beyond a lag."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .base import Decay, StationaryKernel

# k(h) = (1 - r)^(2 smoothness + 1) times these polynomials in r, coefficients from the constant upwards.
_POLYNOMIALS = {0: (1.0,), 1: (1.0, 3.0), 2: (1.0, 5.0, 8.0)}


@dataclass(frozen=True, repr=False)
class Wendland(StationaryKernel):
    """Wendland's compactly supported kernel of one dimension, with r = h / lengthscale; 0 for r >= 1.

    smoothness 0: (1 - r); 1: (1 - r)^3 (1 + 3r); 2: (1 - r)^5 (1 + 5r + 8r^2). Each is 2 smoothness times
    continuously differentiable and positive definite on the line (not in more dimensions).

    Args:
        lengthscale: The lag from which on k = 0, in the units of ``times``; greater than 0.
        smoothness: 0, 1 or 2.

    Raises:
        InputError: If an argument is out of its range.

    Source: Wendland, *Advances in Computational Mathematics* 4 (1995) 389-396, table 9.1 of his *Scattered Data
    Approximation* (2005).

    Example:
        >>> Wendland(lengthscale=4.0, smoothness=1).at_lag(torch.tensor([0.0, 2.0, 4.0])).tolist()
        [1.0, 0.3125, 0.0]
    """

    lengthscale: float
    smoothness: int = 1

    def __post_init__(self) -> None:
        _checks.positive("lengthscale", self.lengthscale)
        if isinstance(self.smoothness, bool) or self.smoothness not in tuple(_POLYNOMIALS):  # a list has no hash
            raise InputError(f"smoothness must be 0, 1 or 2, got {self.smoothness!r}")

    @property
    def decay(self) -> Decay:
        return Decay("compact", f"0 beyond {self.lengthscale:g}", scale=float(self.lengthscale))

    def of_distance(self, distance: Tensor) -> Tensor:
        r = (distance / self.lengthscale).clamp(max=1.0)
        polynomial = sum(c * r**power for power, c in enumerate(_POLYNOMIALS[self.smoothness]))
        return (1 - r) ** (2 * self.smoothness + 1) * polynomial


@dataclass(frozen=True, repr=False)
class White(StationaryKernel):
    """k(h) = 1 at h = 0 and 0 elsewhere: independent frames (a nugget, in a sum).

    Example:
        >>> White().at_lag(torch.tensor([0.0, 1e-9])).tolist()
        [1.0, 0.0]
    """

    @property
    def decay(self) -> Decay:
        return Decay("white", "0 at any lag but 0", scale=0.0)

    def of_distance(self, distance: Tensor) -> Tensor:
        return (distance == 0).to(torch.float64)
