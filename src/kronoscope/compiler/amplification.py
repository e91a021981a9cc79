"""How far an error that is made in one step of an iteration can grow until the last, proven from the coefficients.

An error e in the direction of step j reaches the solution after k > j steps as P_kj(A) e. With
eta = (kappa + 1)/(kappa - 1) and the interval mapped to x in [-1, 1]:

    gradient descent   P_kj = (1 - step lambda)^(k-1-j)               at most ((kappa - 1)/(kappa + 1))^(k-1-j)
    heavy ball         P_kj = q^(k-j-1) U_{k-j-1}(x)                  at most (k - j) q^(k-j-1)
    Chebyshev          P_kj = U_{k-j-1}(x) T_{j+1}(eta) / T_k(eta)    at most (k - j) T_{j+1}(eta) / T_k(eta)
    Chebyshev steps    P_kj = prod_{j<i<k} (x_i - x) / (x_i + eta)    read off a grid: no closed form

Chebyshev's follows from T_k(eta) e_k = y_k with y_{k+1} = 2 x y_k - y_{k-1}, y_j = 0; |U_n| <= n + 1 on [-1, 1]. On a
grid of 2 n + 1 Chebyshev points or more a polynomial of degree n stays below sqrt(2) times its largest value there
(Ehlich and Zeller, Math. Z. 86 (1964) 41). All fall as eta grows, so the largest kappa on a range of t covers the
range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..iterations import BUILDERS, residual_bound


@dataclass(frozen=True)
class Amplification:
    """What errors of the steps and the residual can become.

    Attributes:
        last: sum_j max |P_Kj|: an error of norm 1 in every step leaves at most this.
        independent: (sum_j max |P_Kj|^2)^(1/2), which takes its place where errors are independent.
        residual: max |r_k| over all k <= K.
    """

    last: float
    independent: float
    residual: float


@lru_cache(maxsize=256)
def amplification(builder: str, iterations: int, kappa: float) -> Amplification:
    """The bounds for an interval of condition number kappa.

    Args:
        builder: A name in ``iterations.BUILDERS``.
        iterations: K.
        kappa: At least 1.
    """
    if builder == "gradient-descent":
        rate = (kappa - 1) / (kappa + 1)
        squares = (1 - rate ** (2 * iterations)) / (1 - rate**2)
        return Amplification((1 - rate**iterations) / (1 - rate), math.sqrt(squares), 1.0)
    if builder == "heavy-ball":
        return _heavy_ball(iterations, kappa)
    if builder == "chebyshev":
        speed = _speed(kappa)
        n = torch.arange(1, iterations + 1, dtype=torch.float64)  # k - j
        grown = n * (_power(speed, n - 1) + _power(speed, 2 * iterations + 1 - n))
        grown = grown / (1 + _power(speed, 2 * n[-1]))
        return Amplification(float(grown.sum()), float(grown.norm()), 1.0)
    factors = _step_factors(iterations, kappa)
    parts: list[float] = []
    response = torch.ones_like(factors[0])
    for factor in factors.flip(0):
        parts.append(_largest(response))
        response = response * factor
    residuals, largest = torch.ones_like(factors[0]), 1.0
    for factor in factors:
        residuals = residuals * factor
        largest = max(largest, _largest(residuals))
    return Amplification(math.fsum(parts), math.hypot(*parts), largest)


@lru_cache(maxsize=256)
def largest_amplification(builder: str, iterations: int, kappa: float) -> float:
    """max over k <= K of sum_j max |P_kj|; of order K^3 for Chebyshev steps.

    For Chebyshev T_{j+1}(eta) / T_k(eta) <= 2 q^(k-j-1), q = exp(-arccosh(eta)), whatever k is.
    """
    if builder in ("gradient-descent", "heavy-ball"):
        return amplification(builder, iterations, kappa).last
    if builder == "chebyshev":
        n = torch.arange(1, iterations + 1, dtype=torch.float64)
        return 2 * float((n * _power(_speed(kappa), n - 1)).sum())
    factors = _step_factors(iterations, kappa)
    responses, most = torch.zeros(0, factors.shape[1], dtype=torch.float64), 0.0
    for factor in factors:
        responses = torch.cat([responses * factor, torch.ones_like(factor)[None]])
        most = max(most, sum(map(_largest, responses)))
    return most


def _heavy_ball(iterations: int, kappa: float) -> Amplification:
    """From P_kj = q^(n-1) U_{n-1}, n = k - j, and the bound of r_k (iterations/rates.py), which may rise above 1."""
    speed = _speed(kappa)
    n = torch.arange(1, iterations + 1, dtype=torch.float64)
    grown = n * _power(speed, n - 1)
    residuals = residual_bound("heavy-ball", kappa, torch.arange(iterations + 1))
    return Amplification(float(grown.sum()), float(grown.norm()), float(residuals.max()))


def _speed(kappa: float) -> float:
    """arccosh(eta)."""
    return 2 * math.atanh(1 / math.sqrt(kappa)) if kappa > 1 else math.inf


def _power(speed: float, exponent: Tensor) -> Tensor:
    """exp(-speed exponent), 1 where the exponent is 0."""
    return torch.where(exponent > 0, torch.exp(-speed * exponent), 1.0)


def _step_factors(iterations: int, kappa: float) -> Tensor:
    """1 - step_k lambda on the grid, (iterations, points)."""
    steps = BUILDERS["chebyshev-steps"](1.0, kappa, iterations).step[0]
    points = 2 * iterations + 1
    x = torch.cos(math.pi * (2 * torch.arange(points, dtype=torch.float64) + 1) / (2 * points))
    return 1 - torch.outer(steps, (1 + kappa) / 2 + (kappa - 1) / 2 * x)


def _largest(polynomial: Tensor) -> float:
    """A bound of its absolute value on the whole interval, from the grid."""
    return math.sqrt(2) * float(polynomial.abs().max())
