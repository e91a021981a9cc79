"""Proven rates on an interval of condition number kappa, and the iterations that they ask for.

    gradient descent    max |r_K| = ((kappa - 1) / (kappa + 1))^K         = exp(-K log1p(2 / (kappa - 1)))
    heavy ball          max |r_K| = q^K (1 + K + q K)                     = ..., q = exp(-log1p(2 / (sqrt(kappa) - 1)))
    Chebyshev           max |r_K| = 1 / T_K((kappa + 1) / (kappa - 1))    = 1 / cosh(K log1p(2 / (sqrt(kappa) - 1)))

All are attained at the ends of the interval. Written with log1p they lose no digit, neither at large kappa nor near 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError

_CHEBYSHEV = ("chebyshev", "chebyshev-steps")
_HEAVY_BALL = "heavy-ball"
_NAMES = ("gradient-descent", _HEAVY_BALL, *_CHEBYSHEV)


def residual_bound(name: str, condition_number: float | Tensor, iterations: int | Tensor) -> Tensor:
    """Proven largest |r_K(lambda)| over the interval that the iteration was built for.

    It bounds the relative error in every norm that A and M^-1 A leave diagonal, so the root-mean-square relative score
    error as well.

    Args:
        name: "gradient-descent", "heavy-ball", "chebyshev" or "chebyshev-steps".
        condition_number: kappa = high / low, at least 1.
        iterations: K, whole numbers of at least 0.

    Returns:
        Float64, the shape to which the two broadcast.

    Raises:
        InputError: No such name, or a number out of its range.

    Source: Saad, *Iterative Methods for Sparse Linear Systems*, 2nd ed. (2003), sections 4.2.1 and 6.11.1.

    Example:
        >>> round(float(residual_bound("chebyshev", 9.0, 2)), 6)
        0.470588
    """
    count = torch.as_tensor(iterations)
    if count.is_floating_point() or count.dtype == torch.bool:
        raise TypeError(f"iterations must hold whole numbers, got {iterations!r}")
    if count.numel() and int(count.min()) < 0:
        raise InputError(f"iterations must be 0 or greater, got {int(count.min())}")
    speed = _speed(name, condition_number)
    exponent = torch.where(count > 0, count * speed, 0.0)  # 0 * inf at kappa = 1
    decay = torch.exp(-exponent)
    if name == _HEAVY_BALL:
        return decay * (1 + count * (1 + torch.exp(-speed)))
    return 2 * decay / (1 + decay**2) if name in _CHEBYSHEV else decay


def iterations_needed(name: str, condition_number: float | Tensor, tolerance: float | Tensor) -> Tensor:
    """The smallest K >= 1 with :func:`residual_bound` at most ``tolerance``.

    Args:
        name: "gradient-descent", "heavy-ball", "chebyshev" or "chebyshev-steps".
        condition_number: kappa = high / low, at least 1.
        tolerance: Between 0 and 1, both excluded.

    Returns:
        Int64, the shape to which the two broadcast.

    Raises:
        InputError: No such name, or a number out of its range.

    Example:
        >>> int(iterations_needed("gradient-descent", 100.0, 1e-3)), int(iterations_needed("chebyshev", 100.0, 1e-3))
        (346, 38)
    """
    goal = _checks.finite("tolerance", torch.as_tensor(tolerance, dtype=torch.float64))
    if bool(((goal <= 0) | (goal >= 1)).any()):
        raise InputError(f"tolerance must be greater than 0 and less than 1, got {tolerance}")
    if name == _HEAVY_BALL:
        return _by_bisection(name, condition_number, goal)
    # arccosh(1/goal) without the overflow of 1/goal^2
    exponent = torch.log((1 + ((1 - goal) * (1 + goal)).sqrt()) / goal) if name in _CHEBYSHEV else -goal.log()
    count = (exponent / _speed(name, condition_number)).ceil().clamp(min=1).to(torch.int64)
    spare = (count > 1) & (residual_bound(name, condition_number, (count - 1).clamp(min=0)) <= goal)
    short = residual_bound(name, condition_number, count) > goal
    return count - spare.to(torch.int64) + short.to(torch.int64)  # the last bit of the quotient decides neither


def _by_bisection(name: str, condition_number: float | Tensor, goal: Tensor) -> Tensor:
    """The smallest K for a bound that may rise at first and then falls for good, from 1 at K = 0."""
    enough = torch.ones(torch.broadcast_shapes(torch.as_tensor(condition_number).shape, goal.shape), dtype=torch.int64)
    while bool((short := residual_bound(name, condition_number, enough) > goal).any()):
        enough = torch.where(short, 2 * enough, enough)
    below = enough // 2
    while bool((enough - below > 1).any()):
        middle = (below + enough) // 2
        short = residual_bound(name, condition_number, middle) > goal
        below, enough = torch.where(short, middle, below), torch.where(short, enough, middle)
    return enough


def _speed(name: str, condition_number: float | Tensor) -> Tensor:
    """What one iteration adds to the exponent of the rate."""
    if name not in _NAMES:
        raise InputError(f"name must be one of {', '.join(_NAMES)}, got {name!r}")
    kappa = _checks.finite("condition_number", torch.as_tensor(condition_number, dtype=torch.float64))
    if bool((kappa < 1).any()):
        raise InputError(f"condition_number must be at least 1, got {float(kappa.min()):g}")
    return torch.log1p(2 * (1 if name == "gradient-descent" else kappa.sqrt() + 1) / (kappa - 1))
