"""Noise schedule of the Ornstein-Uhlenbeck forward process (docs/theory.md, section 2).

    dX_t = -1/2 X_t dt + dW_t,    X_t | X_0 ~ N(alpha_t X_0, sigma_t^2 I),
    alpha_t = exp(-t/2),    sigma_t^2 = 1 - exp(-t).

The clock u = log(expm1(t)) is minus the log signal-to-noise ratio; dt = sigma_t^2 du, so a uniform u turns
the plain noise-prediction loss into the likelihood-weighted score loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime


def _time(t: DiffusionTime) -> Tensor:
    return t if isinstance(t, Tensor) and t.is_floating_point() else _checks.tensor("t", t, torch.float64)


def alpha(t: DiffusionTime) -> Tensor:
    """alpha_t = exp(-t/2), the factor by which the data have shrunk."""
    return torch.exp(-0.5 * _time(t))


def sigma_squared(t: DiffusionTime) -> Tensor:
    """sigma_t^2 = 1 - exp(-t), the noise variance; accurate to round-off at small t."""
    return -torch.expm1(-_time(t))


def sigma(t: DiffusionTime) -> Tensor:
    """sigma_t, the noise standard deviation."""
    return sigma_squared(t).sqrt()


def clock(t: DiffusionTime) -> Tensor:
    """u = log(expm1(t)) = -log SNR. Inverse of :func:`time_from_clock`."""
    time = _time(t)
    return time + torch.log(-torch.expm1(-time))


def log_snr(t: DiffusionTime) -> Tensor:
    """log(alpha_t^2 / sigma_t^2) = -u."""
    return -clock(t)


def time_from_clock(u: DiffusionTime) -> Tensor:
    """t = log(1 + exp(u)). Inverse of :func:`clock`."""
    value = _time(u)
    return torch.logaddexp(value, torch.zeros_like(value))


def times_on_clock(min_time: float, max_time: float, num: int) -> Tensor:
    """``num`` diffusion times from ``max_time`` down to ``min_time``, uniform in u. Shape (num,), float64."""
    low, high = _checks.positive("min_time", min_time), _checks.positive("max_time", max_time)
    if low >= high:
        raise InputError(f"min_time must be less than max_time, got {low:g} and {high:g}")
    grid = time_from_clock(torch.linspace(float(clock(high)), float(clock(low)), num, dtype=torch.float64))
    grid[0], grid[-1] = high, low
    return grid


def noise(x0: Tensor, t: Tensor, epsilon: Tensor) -> Tensor:
    """x_t = alpha_t x_0 + sigma_t epsilon, with ``t`` of shape () or (batch,) and x_0 (batch, frames, features)."""
    return broadcast(alpha(t), x0) * x0 + broadcast(sigma(t), x0) * epsilon


def broadcast(value: Tensor, x: Tensor) -> Tensor:
    """A per-sequence ``value`` of shape () or (batch,) in ``x``'s dtype, ready to multiply ``x``."""
    value = value.to(dtype=x.dtype, device=x.device)
    return value if value.ndim == 0 else value.reshape(-1, *([1] * (x.ndim - 1)))
