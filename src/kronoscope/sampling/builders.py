"""The samplers: each builds its table of coefficients on a grid uniform in the log signal-to-noise ratio.

rho = sigma/alpha is the noise-to-signal ratio, (alpha, sigma, rho) at t_k and (alpha', sigma', rho') at t_{k+1} < t_k.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor

from .. import _checks, diffusion
from .._errors import InputError
from ..processes import GaussianLaw
from .optimised_grid import optimised
from .tables import SamplerTable

MIN_TIME = 1e-2
MAX_TIME = 8.0
GRIDS = ("uniform", "optimised")
MOST_CALLS = 10_000  # more take hours and change no draw by more than its round-off


def _table(name: str, times: Tensor, a: Tensor, b: Tensor, c: Tensor, g: Tensor, end_time: float) -> SamplerTable:
    steps, from_state, from_denoised, from_previous, noise = (tuple(column.tolist()) for column in (times, a, b, c, g))
    return SamplerTable(name, steps, from_state, from_denoised, from_previous, noise, end_time)


def euler_maruyama(num_calls: int, min_time: float = MIN_TIME, max_time: float = MAX_TIME) -> SamplerTable:
    """Reverse SDE dX = (X/2 + s) dtau + dW by Euler-Maruyama; weak order 1.

    x' = x + h (x/2 + s) + sqrt(h) z with h = t_k - t_{k+1} and s = (alpha D - x) / sigma^2.

    Args:
        num_calls: Score calls, at least 1.
        min_time: Diffusion time at which to stop.
        max_time: Diffusion time at which to start, from N(0, I).

    Source: Song et al., "Score-based generative modeling through SDEs", ICLR 2021, arXiv:2011.13456, eq. (6).
    """
    grid = diffusion.times_on_clock(min_time, max_time, _checks.count("num_calls", num_calls, 1, MOST_CALLS) + 1)
    t, h = grid[:-1], -grid.diff()
    variance = diffusion.sigma_squared(t)
    a = 1 + h / 2 - h / variance
    b = h * diffusion.alpha(t) / variance
    return _table("euler-maruyama", t, a, b, torch.zeros_like(t), h.sqrt(), float(grid[-1]))


def exponential_sde(num_calls: int, min_time: float = MIN_TIME, max_time: float = MAX_TIME) -> SamplerTable:
    """Reverse SDE with D frozen over a step and everything else solved exactly; weak order 1.

    The exponential integrator: what is left is the law of x_{t'} given x_t and x_0 = D (ancestral sampling),
    x' = (alpha sigma'^2 / (alpha' sigma^2)) x + alpha' (1 - q) D + sigma' sqrt(1 - q) z,  q = (rho'/rho)^2.
    Exact in any number of steps for data at a point. Arguments as for :func:`euler_maruyama`.

    Source: Ho, Jain, Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020, arXiv:2006.11239, eq. (7).
    """
    grid = diffusion.times_on_clock(min_time, max_time, _checks.count("num_calls", num_calls, 1, MOST_CALLS) + 1)
    alpha, sigma = diffusion.alpha(grid), diffusion.sigma(grid)
    log_q = diffusion.clock(grid).diff()
    a = alpha[1:] / alpha[:-1] * log_q.exp()
    b = -alpha[1:] * torch.expm1(log_q)
    g = sigma[1:] * (-torch.expm1(log_q)).sqrt()
    return _table("exponential-sde", grid[:-1], a, b, torch.zeros_like(a), g, float(grid[-1]))


def ddim(num_calls: int, min_time: float = MIN_TIME, max_time: float = MAX_TIME) -> SamplerTable:
    """Probability-flow ODE with D frozen over a step; order 1, deterministic.

    x' = (sigma'/sigma) x + alpha' (1 - rho'/rho) D. Arguments as for :func:`euler_maruyama`.

    Source: Song, Meng, Ermon, "Denoising diffusion implicit models", ICLR 2021, arXiv:2010.02502, eq. (12).
    """
    _checks.count("num_calls", num_calls, 1, MOST_CALLS)
    return _multistep("ddim", num_calls, min_time, max_time, extrapolation=0.0)


def dpm_solver(
    num_calls: int,
    min_time: float = MIN_TIME,
    max_time: float = MAX_TIME,
    *,
    grid: str = "uniform",
    law: GaussianLaw | None = None,
) -> SamplerTable:
    """DPM-Solver++ 2M: probability-flow ODE with D extrapolated from two calls; order 2, deterministic.

    x' = (sigma'/sigma) x + alpha' (1 - rho'/rho) (3/2 D_k - 1/2 D_{k-1}), the first step with D_0 alone; the
    weights are those of equal steps in log SNR. Arguments as for :func:`euler_maruyama`, with num_calls >= 2.

    Args:
        num_calls: Score calls, at least 2; at most 256 with an optimised grid.
        min_time, max_time: As for :func:`euler_maruyama`.
        grid: "uniform" in log SNR, or "optimised": times and weights that minimise the KL to ``law`` (seconds).
        law: Of the data, for an optimised grid: the process, or the law that a score learnt, in its coordinates.

    Raises:
        InputError: A number is out of its range, ``grid`` is unknown, or ``law`` is missing or not used.

    Source: Lu et al., "DPM-Solver++", 2022, arXiv:2211.01095, algorithm 2.

    Example:
        >>> from kronoscope.kernels import PowerExponential
        >>> from kronoscope.processes import GaussianSequence
        >>> process = GaussianSequence(PowerExponential(lengthscale=4.0), torch.eye(2), times=8)
        >>> dpm_solver(8, grid="optimised", law=process).num_calls
        8
    """
    if grid not in GRIDS:
        raise InputError(f"grid must be one of {', '.join(GRIDS)}, got {grid!r}")
    if grid == "optimised":
        if law is None:
            raise InputError(
                "grid='optimised' needs law=, the law of the data, such as the process or model.law().data"
            )
        return optimised(num_calls, law, min_time, max_time)
    if law is not None:
        raise InputError("law= belongs to grid='optimised': leave it out, or give that grid")
    _checks.count("num_calls", num_calls, 2, MOST_CALLS)
    return _multistep("dpm-solver", num_calls, min_time, max_time, extrapolation=0.5)


def dpm_solver_sde(num_calls: int, min_time: float = MIN_TIME, max_time: float = MAX_TIME) -> SamplerTable:
    """SDE-DPM-Solver++ 2M: the reverse SDE with D extrapolated from two calls; its noise forgives errors of the score.

    x' as in :func:`exponential_sde` with (3/2 D_k - 1/2 D_{k-1}) for D, the first step with D_0 alone. Weak order 2 on
    Gaussian data: of a leading mode of variance 2 it loses 0.3 % in 64 calls, where the other loses 8 %.
    Arguments as for :func:`euler_maruyama`, with num_calls >= 2.

    Source: Lu et al., "DPM-Solver++", 2022, arXiv:2211.01095, appendix D.
    """
    _checks.count("num_calls", num_calls, 2, MOST_CALLS)
    first_order = exponential_sde(num_calls, min_time, max_time)
    weight = torch.tensor(first_order.from_denoised, dtype=torch.float64)
    share = torch.full_like(weight, 0.5)
    share[0] = 0.0
    b, c = (tuple(column.tolist()) for column in (weight * (1 + share), -weight * share))
    return replace(first_order, name="dpm-solver-sde", from_denoised=b, from_previous=c)


def _multistep(name: str, num_calls: int, min_time: float, max_time: float, extrapolation: float) -> SamplerTable:
    grid = diffusion.times_on_clock(min_time, max_time, num_calls + 1)
    alpha, sigma = diffusion.alpha(grid), diffusion.sigma(grid)
    weight = -alpha[1:] * torch.expm1(diffusion.clock(grid).diff() / 2)
    share = torch.full_like(weight, extrapolation)
    share[0] = 0.0
    a, b, c = sigma[1:] / sigma[:-1], weight * (1 + share), -weight * share
    return _table(name, grid[:-1], a, b, c, torch.zeros_like(a), float(grid[-1]))


def heun(num_calls: int, min_time: float = MIN_TIME, max_time: float = MAX_TIME) -> SamplerTable:
    """Heun's method on the probability-flow ODE dy/drho = (y - D)/rho in y = x/alpha; order 2, deterministic.

    A step is two rows. Predictor: y~ = (rho'/rho) y + (1 - rho'/rho) D. Corrector, with D~ at t_{k+1}:
    y' = y + (rho' - rho)/2 [ (y - D)/rho + (y~ - D~)/rho' ], where y = (rho/rho') y~ + (1 - rho/rho') D is
    eliminated, so that it reads only the state and two denoised values.
    Arguments as for :func:`euler_maruyama`, with num_calls even.

    Source: Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS 2022,
    arXiv:2206.00364, algorithm 1.
    """
    if _checks.count("num_calls", num_calls, 2, MOST_CALLS) % 2:
        raise InputError(f"num_calls must be even for heun, which makes two calls a step, got {num_calls}")
    grid = diffusion.times_on_clock(min_time, max_time, num_calls // 2 + 1)
    alpha, rho = diffusion.alpha(grid), torch.exp(diffusion.clock(grid) / 2)
    ratio = rho[1:] / rho[:-1]
    zero = torch.zeros_like(ratio)
    predictor = (alpha[1:] / alpha[:-1] * ratio, alpha[1:] * (1 - ratio), zero)
    mid = (1 + ratio) / 2  # weight of y in the corrector, as 1 + (rho' - rho) / (2 rho)
    from_state = mid / ratio + (1 - 1 / ratio) / 2
    from_denoised = -(1 - 1 / ratio) / 2 * alpha[1:]
    from_previous = (mid * (1 - 1 / ratio) + (1 - ratio) / 2) * alpha[1:]
    corrector = (from_state, from_denoised, from_previous)
    a, b, c = (torch.stack(rows, dim=1).flatten() for rows in zip(predictor, corrector, strict=True))
    times = torch.stack([grid[:-1], grid[1:]], dim=1).flatten()
    return _table("heun", times, a, b, c, torch.zeros_like(a), float(grid[-1]))


SAMPLERS: Mapping[str, Callable[..., SamplerTable]] = MappingProxyType(
    {
        "euler-maruyama": euler_maruyama,
        "exponential-sde": exponential_sde,
        "ddim": ddim,
        "heun": heun,
        "dpm-solver": dpm_solver,
        "dpm-solver-sde": dpm_solver_sde,
    }
)
