"""The Matern kernel at any smoothness."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.polynomial import Polynomial
from scipy import special
from torch import Tensor

from .. import _checks
from .base import Decay, StationaryKernel

# Polynomials p_k with k(h) = p_k(r) exp(-r), coefficients from the constant upwards.
_CLOSED_FORMS = {0.5: (1.0,), 1.5: (1.0, 1.0), 2.5: (1.0, 1.0, 1.0 / 3.0)}

# From this smoothness on the large-order expansion with _NUM_TERMS terms is exact to round-off.
_LARGE_SMOOTHNESS = 30.0
_NUM_TERMS = 8

# exp(-r) times any power of r up to _LARGE_SMOOTHNESS is 0 in float64 beyond this r.
_NEGLIGIBLE = 2000.0


@dataclass(frozen=True, repr=False)
class Matern(StationaryKernel):
    """k(h) = 2^(1-nu) / Gamma(nu) r^nu K_nu(r), with r = sqrt(2 nu) h / lengthscale and nu = smoothness.

    Smoothness 1/2 is the exponential kernel; as it grows the kernel tends to exp(-h^2 / (2 lengthscale^2)).
    Sample paths are differentiable ceil(nu) - 1 times. Closed forms at 1/2, 3/2 and 5/2; the Bessel function
    below 30; the uniform large-order expansion (DLMF 10.41.4), normalised at h = 0, from there on. Decay is
    exponential at every smoothness: h^(nu - 1/2) exp(-r).

    Args:
        lengthscale: In the units of ``times``; greater than 0.
        smoothness: nu; greater than 0.

    Raises:
        InputError: If an argument is out of its range.

    Source: Rasmussen and Williams, *Gaussian Processes for Machine Learning* (2006), equation 4.14.

    Example:
        >>> round(float(Matern(lengthscale=1.0, smoothness=1.5).at_lag(1.0)), 6)
        0.483358
    """

    lengthscale: float
    smoothness: float

    def __post_init__(self) -> None:
        _checks.positive("lengthscale", self.lengthscale)
        _checks.positive("smoothness", self.smoothness)

    @property
    def decay(self) -> Decay:
        scale = self.lengthscale / math.sqrt(2 * self.smoothness)
        return Decay("exponential", f"h^{self.smoothness - 0.5:g} exp(-h/{scale:g})", 1.0, scale)

    def of_distance(self, distance: Tensor) -> Tensor:
        nu = float(self.smoothness)
        r = distance * (math.sqrt(2 * nu) / self.lengthscale)
        if nu in _CLOSED_FORMS:
            r = r.clamp(max=_NEGLIGIBLE)
            polynomial = sum(c * r**power for power, c in enumerate(_CLOSED_FORMS[nu]))
            return polynomial * torch.exp(-r)
        formula = _bessel if nu < _LARGE_SMOOTHNESS else _large_order
        return torch.from_numpy(np.asarray(formula(nu, r.detach().cpu().numpy()))).to(distance.device)


def _bessel(nu: float, r: np.ndarray) -> np.ndarray:
    """2^(1-nu) / Gamma(nu) r^nu K_nu(r), for orders whose powers stay inside float64."""
    r = np.minimum(r, _NEGLIGIBLE)
    scaled = special.kve(nu, r)  # e^r K_nu(r): infinite only where k is 1 to round-off
    at_zero = np.isinf(scaled) | (r == 0)
    value = 2 / special.gamma(nu) * (r / 2) ** nu * np.where(at_zero, 0.0, scaled) * np.exp(-r)
    return np.where(at_zero, 1.0, np.minimum(value, 1.0))


def _large_order(nu: float, r: np.ndarray) -> np.ndarray:
    """The same by the expansion of K_nu(nu z) in 1/nu, divided by its own value at z = 0.

    With s = sqrt(1 + z^2), the powers of z and the Gamma function cancel:
    log k = nu (1 - s + log((1 + s) / 2)) - log(s) / 2 + log(S(1/s) / S(1)), S(p) = sum_k (-1)^k U_k(p) / nu^k.
    """
    z = r / nu
    s = np.hypot(1.0, z)
    half_excess = 0.5 * z * (z / (1.0 + s))  # (s - 1) / 2 without cancellation
    series = sum((u * (-1.0 / nu) ** k for k, u in enumerate(_DEBYE)), start=Polynomial([0.0]))
    exponent = nu * (np.log1p(half_excess) - 2 * half_excess) - 0.5 * np.log(s)
    return np.exp(exponent) * (series(1 / s) / series(1.0))


def _debye_polynomials(count: int) -> list[Polynomial]:
    """U_0, U_1, ... of DLMF 10.41.10: U_{k+1} = p^2 (1 - p^2) U_k' / 2 + int_0^p (1 - 5 q^2) U_k(q) dq / 8."""
    polynomials = [Polynomial([1.0])]
    for _ in range(count - 1):
        u = polynomials[-1]
        polynomials.append(Polynomial([0, 0, 0.5, 0, -0.5]) * u.deriv() + (Polynomial([1, 0, -5]) * u).integ() / 8)
    return polynomials


_DEBYE = _debye_polynomials(_NUM_TERMS)
