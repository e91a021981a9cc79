"""Kernels that do not decay: periodic, circular, cosine and constant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
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
class CircularPowerExponential(StationaryKernel):
    """k(h) = exp(-(chord(h) / lengthscale)^exponent), chord(h) = (period / pi) |sin(pi h / period)|. Never decays.

    The powered exponential of the straight-line distance between points on a circle of circumference ``period``.
    Lags far below the period have chord(h) close to |h|; the largest chord is that of half a period.

    Args:
        lengthscale: In the units of ``times``; greater than 0.
        exponent: nu, greater than 0 and at most 2 (Schoenberg 1938).
        period: In the units of ``times``; greater than 0.

    Raises:
        InputError: If an argument is out of its range.

    Source: Fu et al., "Diffusion Transformer Captures Spatial-Temporal Dependencies", ICLR 2025, arXiv:2407.16134, the
    example after Assumption 1, with radius period / (2 pi) and ell = lengthscale^exponent.

    Example:
        >>> kernel = CircularPowerExponential(lengthscale=1.0, exponent=1.0, period=math.pi)
        >>> round(-math.log(float(kernel.at_lag(math.pi / 2))), 12)
        1.0
    """

    lengthscale: float
    exponent: float
    period: float

    def __post_init__(self) -> None:
        _checks.positive("lengthscale", self.lengthscale)
        _checks.positive("period", self.period)
        if not 0 < _checks.real("exponent", self.exponent) <= 2:
            raise InputError(f"exponent must be greater than 0 and at most 2, got {self.exponent:g}")

    @property
    def decay(self) -> Decay:
        return Decay("none", f"periodic with period {self.period:g}")

    def of_distance(self, distance: Tensor) -> Tensor:
        chord = self.period / math.pi * torch.sin(_phase(distance, self.period) / 2).abs()
        return torch.exp(-((chord / self.lengthscale) ** self.exponent))


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
