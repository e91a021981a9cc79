"""The powered exponential kernel: the decay pattern of the theory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .base import Decay, StationaryKernel


@dataclass(frozen=True, repr=False)
class PowerExponential(StationaryKernel):
    """k(h) = exp(-(h / lengthscale)^exponent), 0 < exponent <= 2.

    Exponent 1 is the Ornstein-Uhlenbeck (exponential) kernel, 2 the squared exponential. In the notation of
    the theory ell = lengthscale^exponent and nu = exponent.

    Args:
        lengthscale: In the units of ``times``; greater than 0.
        exponent: nu; above 2 the function is not a covariance (Schoenberg 1938) and is refused.

    Example:
        >>> float(PowerExponential(lengthscale=8.0, exponent=1.0).at_lag(8.0))
        0.36787944117144233
    """

    lengthscale: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        _checks.positive("lengthscale", self.lengthscale)
        if not 0 < _checks.real("exponent", self.exponent) <= 2:
            raise InputError(f"exponent must be greater than 0 and at most 2, got {self.exponent:g}")

    @property
    def decay(self) -> Decay:
        nu, scale = float(self.exponent), float(self.lengthscale)
        fallback = "stretched-exponential" if nu < 1 else "super-exponential"
        kind = {1.0: "exponential", 2.0: "gaussian"}.get(nu, fallback)
        return Decay(kind, f"exp(-(h/{scale:g})^{nu:g})", nu, scale)

    def of_distance(self, distance: Tensor) -> Tensor:
        return torch.exp(-((distance / self.lengthscale) ** self.exponent))
