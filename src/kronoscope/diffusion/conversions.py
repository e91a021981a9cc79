"""What a network may predict, and the way from each to each.

With x_t = alpha x_0 + sigma eps, for a predictor in the mean (E[. | x_t]):
    score    = -eps / sigma
    denoised = (x_t - sigma eps) / alpha = (x_t + sigma^2 score) / alpha        (Tweedie)
    velocity = alpha eps - sigma x_0                                            (Salimans and Ho 2022)
All arguments are (batch, frames, features); ``t`` is a number or (batch,), greater than zero.
"""

from __future__ import annotations

from torch import Tensor

from .. import _checks
from .._typing import DiffusionTime
from .schedule import alpha, broadcast, sigma


def _alpha_sigma(x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
    time = _checks.diffusion_time(t, x.shape[0], x, allow_zero=False)
    return broadcast(alpha(time), x), broadcast(sigma(time), x)


def score_from_epsilon(epsilon: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """score = -eps / sigma_t."""
    _, s = _alpha_sigma(x, t)
    return -epsilon / s


def epsilon_from_score(score: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """eps = -sigma_t score."""
    _, s = _alpha_sigma(x, t)
    return -score * s


def denoised_from_epsilon(epsilon: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """x_0 = (x - sigma_t eps) / alpha_t."""
    a, s = _alpha_sigma(x, t)
    return (x - s * epsilon) / a


def epsilon_from_denoised(denoised: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """eps = (x - alpha_t x_0) / sigma_t."""
    a, s = _alpha_sigma(x, t)
    return (x - a * denoised) / s


def denoised_from_score(score: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """Tweedie's formula, x_0 = (x + sigma_t^2 score) / alpha_t."""
    a, s = _alpha_sigma(x, t)
    return (x + s * s * score) / a


def score_from_denoised(denoised: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """score = (alpha_t x_0 - x) / sigma_t^2."""
    a, s = _alpha_sigma(x, t)
    return (a * denoised - x) / (s * s)


def velocity_from_epsilon(epsilon: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """v = alpha_t eps - sigma_t x_0 = (eps - sigma_t x) / alpha_t, as alpha^2 + sigma^2 = 1."""
    a, s = _alpha_sigma(x, t)
    return (epsilon - s * x) / a


def epsilon_from_velocity(velocity: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """eps = alpha_t v + sigma_t x."""
    a, s = _alpha_sigma(x, t)
    return a * velocity + s * x


def velocity_from_score(score: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """v = -sigma_t (score + x) / alpha_t."""
    return velocity_from_epsilon(epsilon_from_score(score, x, t), x, t)


def score_from_velocity(velocity: Tensor, x: Tensor, t: DiffusionTime) -> Tensor:
    """score = -(alpha_t v / sigma_t + x)."""
    return score_from_epsilon(epsilon_from_velocity(velocity, x, t), x, t)
