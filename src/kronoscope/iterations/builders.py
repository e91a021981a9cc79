"""Builders of tables from an interval [low, high] that holds the spectrum of A (docs/theory.md, section 4).

Each takes the ends as numbers, or as (times,) tensors for one row a diffusion time, and is differentiable in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .table import Recurrence


def gradient_descent(low: float | Tensor, high: float | Tensor, iterations: int) -> Recurrence:
    """Gradient descent with the best constant step, 2 / (low + high), and no momentum.

    Args:
        low: Smallest eigenvalue of A, or a lower bound; greater than 0. A number or (times,).
        high: Largest eigenvalue of A, or an upper bound. A number or (times,).
        iterations: K, at least 1.

    Raises:
        InputError: Not 0 < low <= high, or an argument has another shape.

    Example:
        >>> gradient_descent(1.0, 3.0, iterations=2).step.tolist()
        [[0.5, 0.5]]
    """
    low, high = interval(low, high)
    step = (2 / (low + high))[:, None].expand(-1, _checks.count("iterations", iterations))
    return Recurrence("gradient-descent", step, torch.zeros_like(step))


def heavy_ball(low: float | Tensor, high: float | Tensor, iterations: int) -> Recurrence:
    """Gradient descent with the best constant step and momentum: every iteration is the same, whatever its number.

        step = 4 / (sqrt(low) + sqrt(high))^2,    momentum = q^2,
        q = (sqrt(high) - sqrt(low)) / (sqrt(high) + sqrt(low))

    After k iterations r_k = q^k (U_k(x) - q U_{k-1}(x)) with lambda mapped to x in [-1, 1]: Chebyshev's rate q, but for
    a factor that grows with k, and without coefficients that depend on k.

    Args:
        low: Smallest eigenvalue of A, or a lower bound; greater than 0. A number or (times,).
        high: Largest eigenvalue of A, or an upper bound. A number or (times,).
        iterations: K, at least 1.

    Raises:
        InputError: Not 0 < low <= high, or an argument has another shape.

    Source: Polyak, *USSR Comput. Math. Math. Phys.* 4 (1964) 1, section 3.

    Example:
        >>> heavy_ball(1.0, 9.0, iterations=3).momentum.tolist()
        [[0.0, 0.25, 0.25]]
    """
    low, high = interval(low, high)
    count = _checks.count("iterations", iterations)
    scale = (low.sqrt() + high.sqrt()) ** 2
    step, momentum = ((values[:, None]).expand(-1, count) for values in (4 / scale, ((high - low) / scale) ** 2))
    begun = (torch.arange(count, device=low.device) > 0).to(momentum)
    return Recurrence("heavy-ball", step, momentum * begun)


def chebyshev(low: float | Tensor, high: float | Tensor, iterations: int) -> Recurrence:
    """Chebyshev semi-iteration: after every k the polynomial that is smallest on [low, high] among those with r(0) = 1.

    With theta and delta the middle and the half width, q = (sqrt(high) - sqrt(low)) / (sqrt(high) + sqrt(low)) and
    rho_k = T_k(theta/delta) / T_{k+1}(theta/delta) = q (1 + q^2k) / (1 + q^(2k+2)), rho_{-1} = 0:

        step_k = 2 / (2 theta - delta rho_{k-1}) for k > 0, 1 / theta for k = 0;    momentum_k = rho_k rho_{k-1}.

    The closed form of rho takes the place of the usual recursion, so that low = high needs no case of its own.

    Args:
        low: Smallest eigenvalue of A, or a lower bound; greater than 0. A number or (times,).
        high: Largest eigenvalue of A, or an upper bound. A number or (times,).
        iterations: K, at least 1.

    Raises:
        InputError: Not 0 < low <= high, or an argument has another shape.

    Source: Saad, *Iterative Methods for Sparse Linear Systems*, 2nd ed. (2003), algorithm 12.1.

    Example:
        >>> chebyshev(1.0, 1.0, iterations=1).step.tolist()
        [[1.0]]
    """
    low, high = interval(low, high)
    k = torch.arange(_checks.count("iterations", iterations), dtype=low.dtype, device=low.device)
    low, high = low[:, None], high[:, None]
    q = (high - low) / (low.sqrt() + high.sqrt()) ** 2
    rho = q * (1 + q ** (2 * k)) / (1 + q ** (2 * k + 2))
    before = torch.cat([torch.zeros_like(rho[:, :1]), rho[:, :-1]], dim=1)
    return Recurrence("chebyshev", 2 / (low + high - 0.5 * (high - low) * before), rho * before)


def chebyshev_steps(low: float | Tensor, high: float | Tensor, iterations: int) -> Recurrence:
    """Gradient descent whose steps are the reciprocal roots of Chebyshev's polynomial; no momentum.

        1 / step_k = (low + high) / 2 + (high - low) / 2 cos((2j - 1) pi / 2K),    j = j(k) in Leja order.

    After all K steps the same polynomial as :func:`chebyshev`, with one vector less to carry; before that it may be
    large, and in a careless order it overflows. In Leja order it stays below about kappa/4.

    Args:
        low: Smallest eigenvalue of A, or a lower bound; greater than 0. A number or (times,).
        high: Largest eigenvalue of A, or an upper bound. A number or (times,).
        iterations: K, at least 1.

    Raises:
        InputError: Not 0 < low <= high, or an argument has another shape.

    Source: Richardson (1910) with Young's steps (1953); the order is Reichel's, *BIT* 30 (1990) 332.
    """
    low, high = interval(low, high)
    nodes = torch.tensor(_chebyshev_nodes(_checks.count("iterations", iterations)), dtype=low.dtype, device=low.device)
    step = 2 / ((low + high)[:, None] + (high - low)[:, None] * nodes)
    return Recurrence("chebyshev-steps", step, torch.zeros_like(step))


BUILDERS: dict[str, Callable[[float | Tensor, float | Tensor, int], Recurrence]] = {
    "gradient-descent": gradient_descent,
    "heavy-ball": heavy_ball,
    "chebyshev": chebyshev,
    "chebyshev-steps": chebyshev_steps,
}
"""Iterations that need no more than an interval of the spectrum, by name."""


def interval(low: float | Tensor, high: float | Tensor) -> tuple[Tensor, Tensor]:
    """The ends as float64 tensors (times,), if 0 < low <= high throughout."""
    ends = {name: torch.as_tensor(end, dtype=torch.float64) for name, end in (("low", low), ("high", high))}
    for name, end in ends.items():
        if end.ndim > 1 or end.numel() == 0:
            raise InputError(f"{name} must be a number or have shape (times,), got {tuple(end.shape)}")
        _checks.finite(name, end)
    bottom, top = (end.reshape(-1) for end in ends.values())
    if len(bottom) != len(top) and 1 not in (len(bottom), len(top)):
        raise InputError(f"low and high must have one shape, got {tuple(bottom.shape)} and {tuple(top.shape)}")
    bottom, top = torch.broadcast_tensors(bottom, top)
    if bool((bottom <= 0).any()):
        raise InputError(f"low must be greater than 0, got {float(bottom.min()):g}")
    if bool((top < bottom).any()):
        first = int((top < bottom).nonzero()[0])
        raise InputError(f"high must be at least low, got high {float(top[first]):g} and low {float(bottom[first]):g}")
    return bottom, top


@lru_cache(maxsize=64)
def _chebyshev_nodes(count: int) -> tuple[float, ...]:
    """Roots of T_count in Leja order, from the largest. The order is the same on every interval."""
    roots = [math.cos((2 * j - 1) * math.pi / (2 * count)) for j in range(1, count + 1)]
    nodes = torch.tensor(roots, dtype=torch.float64)
    return tuple(nodes[leja_order(nodes)].tolist())


def leja_order(points: Tensor) -> Tensor:
    """Indices that begin with the largest point and go on where the product of distances to those taken is largest.

    Args:
        points: (count,), distinct.
    """
    order = [int(points.argmax())]
    log_product = torch.zeros_like(points)
    for _ in range(len(points) - 1):
        log_product += (points - points[order[-1]]).abs().log()  # a point that was taken has -inf for good
        order.append(int(log_product.argmax()))
    return torch.tensor(order)
