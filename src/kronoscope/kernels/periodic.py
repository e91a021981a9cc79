"""Kernels that never forget: periodic, cosine and constant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .base import Decay, StationaryKernel


def _phase(distance: Tensor, period: float) -> Tensor:
    """2 pi h / period, reduced to one turn first, so that far lags keep their digits."""
    return 2 * math.pi * (torch.remainder(distance, period) / period)


@dataclass(frozen=True, repr=False)
class Periodic(StationaryKernel):
    """k(h) = exp(-2 sin^2(pi h / period) / lengthscale^2). Never decays.

    Args:
        lengthscale: Smoothness inside a period, without unit; greater than 0.
        period: In the units of ``times``; greater than 0.

    Raises:
        InputError: If an argument is out of its range.

    Source: MacKay, *Introduction to Gaussian processes* (1998).

    Example:
        >>> float(Periodic(lengthscale=1.0, period=24.0).at_lag(48.0))
        1.0
    """

    lengthscale: float
    period: float

    def __post_init__(self) -> None:
        _checks.positive("lengthscale", self.lengthscale)
        _checks.positive("period", self.period)

    @property
    def decay(self) -> Decay:
        return Decay("none", f"periodic with period {self.period:g}")

    def of_distance(self, distance: Tensor) -> Tensor:
        sine = torch.sin(_phase(distance, self.period) / 2)
        return torch.exp(-2 * (sine / self.lengthscale) ** 2)


@dataclass(frozen=True, repr=False)
class Cosine(StationaryKernel):
    """k(h) = cos(2 pi h / period): one random sinusoid, a covariance of rank 2. Never decays.

    Times a decaying kernel it makes a damped oscillation.

    Args:
        period: In the units of ``times``; greater than 0.

    Raises:
        InputError: If ``period`` is out of its range.

    Example:
        >>> float(Cosine(period=24.0).at_lag(12.0))
        -1.0
    """

    period: float

    def __post_init__(self) -> None:
        _checks.positive("period", self.period)

    @property
    def decay(self) -> Decay:
        return Decay("none", f"periodic with period {self.period:g}")

    def of_distance(self, distance: Tensor) -> Tensor:
        return torch.cos(_phase(distance, self.period))


@dataclass(frozen=True, repr=False)
class Constant(StationaryKernel):
    """k(h) = 1: one random level shared by all frames, a covariance of rank 1. Never decays.

    Example:
        >>> float((0.5 * Constant()).at_lag(1e6))
        0.5
    """

    @property
    def decay(self) -> Decay:
        return Decay("none", "1")

    def of_distance(self, distance: Tensor) -> Tensor:
        return torch.ones_like(distance)
