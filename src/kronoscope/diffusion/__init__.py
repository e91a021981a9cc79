"""The forward process dX = -X/2 dt + dW and what follows from it alone: schedule, conversions, checked scores."""

from .adapters import score_from
from .affine import AffineMap, affine_map, call_flat, read_affine_map
from .conversions import (
    denoised_from_epsilon,
    denoised_from_score,
    epsilon_from_denoised,
    epsilon_from_score,
    epsilon_from_velocity,
    score_from_denoised,
    score_from_epsilon,
    score_from_velocity,
    velocity_from_epsilon,
    velocity_from_score,
)
from .quadrature import ClockIntegral, ClockRule, clock_rule, integrate_on_clock, missed_by_rule
from .schedule import alpha, clock, log_snr, noise, sigma, sigma_squared, time_from_clock, times_on_clock
from .scores import dense_size, evaluate

__all__ = [
    "AffineMap",
    "ClockIntegral",
    "ClockRule",
    "affine_map",
    "alpha",
    "call_flat",
    "clock",
    "clock_rule",
    "denoised_from_epsilon",
    "denoised_from_score",
    "dense_size",
    "epsilon_from_denoised",
    "epsilon_from_score",
    "epsilon_from_velocity",
    "evaluate",
    "integrate_on_clock",
    "log_snr",
    "missed_by_rule",
    "noise",
    "read_affine_map",
    "score_from",
    "score_from_denoised",
    "score_from_epsilon",
    "score_from_velocity",
    "sigma",
    "sigma_squared",
    "time_from_clock",
    "times_on_clock",
    "velocity_from_epsilon",
    "velocity_from_score",
]
