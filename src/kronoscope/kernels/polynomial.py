"""Kernels that fall as a power of the lag: scale mixtures and long memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import special
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .base import Decay, StationaryKernel


@dataclass(frozen=True, repr=False)
class RationalQuadratic(StationaryKernel):
    """k(h) = (1 + h^2 / (2 mixture lengthscale^2))^(-mixture).

    A Gamma mixture of squared exponentials over inverse squared lengthscales; tends to
    exp(-h^2 / (2 lengthscale^2)) as ``mixture`` grows. Decays as h^(-2 mixture).

    Args:
        lengthscale: In the units of ``times``; greater than 0.
        mixture: The shape of the mixture; greater than 0.

    Raises:
        InputError: If an argument is out of its range.

    Source: Rasmussen and Williams, *Gaussian Processes for Machine Learning* (2006), equation 4.19.

    Example:
        >>> round(float(RationalQuadratic(lengthscale=1.0, mixture=1.0).at_lag(2.0)), 12)
        0.333333333333
    """

    lengthscale: float
    mixture: float

    def __post_init__(self) -> None:
        _checks.positive("lengthscale", self.lengthscale)
        _checks.positive("mixture", self.mixture)

    @property
    def decay(self) -> Decay:
        return Decay("polynomial", f"h^-{2 * self.mixture:g}", 2.0 * self.mixture)

    def of_distance(self, distance: Tensor) -> Tensor:
        square = (distance / self.lengthscale) ** 2 / (2 * self.mixture)
        return torch.exp(-self.mixture * torch.log1p(square))


@dataclass(frozen=True, repr=False)
class Cauchy(StationaryKernel):
    """k(h) = (1 + (h / lengthscale)^exponent)^(-decay_exponent / exponent): the generalised Cauchy kernel.

    ``exponent`` alone sets the roughness of paths (fractal dimension 2 - exponent / 2) and ``decay_exponent``
    alone the decay h^(-decay_exponent). At ``decay_exponent <= 1`` the covariances sum to infinity: long memory,
    with Hurst coefficient 1 - decay_exponent / 2.

    Args:
        lengthscale: In the units of ``times``; greater than 0.
        exponent: Greater than 0 and at most 2.
        decay_exponent: Greater than 0.

    Raises:
        InputError: If an argument is out of its range.

    Source: Gneiting and Schlather, *SIAM Review* 46 (2004) 269-282.

    Example:
        >>> round(float(Cauchy(lengthscale=2.0, exponent=1.0, decay_exponent=0.5).at_lag(6.0)), 12)
        0.5
    """

    lengthscale: float
    exponent: float = 2.0
    decay_exponent: float = 1.0

    def __post_init__(self) -> None:
        _checks.positive("lengthscale", self.lengthscale)
        if not 0 < _checks.real("exponent", self.exponent) <= 2:
            raise InputError(f"exponent must be greater than 0 and at most 2, got {self.exponent:g}")
        _checks.positive("decay_exponent", self.decay_exponent)

    @property
    def decay(self) -> Decay:
        return Decay("polynomial", f"h^-{self.decay_exponent:g}", float(self.decay_exponent))

    def of_distance(self, distance: Tensor) -> Tensor:
        power = (distance / self.lengthscale) ** self.exponent
        return torch.exp(-(self.decay_exponent / self.exponent) * torch.log1p(power))


@dataclass(frozen=True, repr=False)
class FractionalGaussianNoise(StationaryKernel):
    """k(h) = (|x + 1|^(2H) - 2 |x|^(2H) + |x - 1|^(2H)) / 2, with x = h / step and H = hurst.

    The covariance of the increments B(h + step) - B(h) of fractional Brownian motion, scaled to k(0) = 1; a
    covariance at any real times, not only on the grid of the steps. Decays as H (2H - 1) (h / step)^(2H - 2):
    long memory (covariances that sum to infinity) for H > 1/2, negative beyond one step for H < 1/2. At
    H = 1/2 it is the triangle (1 - x)_+, which is white noise on a grid of whole steps.

    Args:
        hurst: H; greater than 0 and less than 1.
        step: Length of an increment, in the units of ``times``; greater than 0.

    Raises:
        InputError: If an argument is out of its range.

    Source: Mandelbrot and Van Ness, *SIAM Review* 10 (1968) 422-437.

    Example:
        >>> round(float(FractionalGaussianNoise(hurst=0.75).at_lag(1.0)), 12)
        0.414213562373
    """

    hurst: float
    step: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < _checks.real("hurst", self.hurst) < 1:
            raise InputError(f"hurst must be greater than 0 and less than 1, got {self.hurst:g}")
        _checks.positive("step", self.step)

    @property
    def decay(self) -> Decay:
        if self.hurst == 0.5:
            return Decay("compact", f"0 beyond {self.step:g}", scale=float(self.step))
        rate = 2 - 2 * self.hurst
        return Decay("polynomial", f"{self.hurst * (2 * self.hurst - 1):g} (h/{self.step:g})^-{rate:g}", rate)

    def of_distance(self, distance: Tensor) -> Tensor:
        power = 2 * self.hurst
        x = distance / self.step
        near = ((x + 1) ** power - 2 * x**power + (x - 1).abs() ** power) / 2
        # The second difference loses all its digits at large x; its binomial series in 1/x^2 does not.
        far = x.clamp(min=_FAR)
        square = far**-2
        series = torch.zeros_like(far)
        for order in range(2 * _FAR_TERMS, 0, -2):
            series = square * (series + float(special.binom(power, order)))
        return torch.where(x < _FAR, near, far**power * series)


_FAR = 8.0
_FAR_TERMS = 9  # the next term is below 8^-20 of the first
