"""The error of a compiled network, measured on the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import diffusion
from .._typing import ScoreFunction
from ..processes import GaussianLaw, SquaredError, affine_squared_error
from .certificate import ErrorAtTime

LARGEST_EXACT = 512  # N d up to which the affine map of the network is read off
EXACT = 1e-9  # relative root-mean-square error, which round-off may change of a result that is called exact
EARLIEST = 1e-6  # where the integral begins if min_time is 0
BATCH_VALUES = 2**20


@dataclass(frozen=True)
class Measurement:
    """Errors by time, and their integral in nats; its standard error covers samples, round-off and the quadrature."""

    errors: tuple[ErrorAtTime, ...]
    kind: str
    score_kl: float
    score_kl_standard_error: float


def measure(
    score: ScoreFunction,
    process: GaussianLaw,
    energies: Tensor,
    min_time: float,
    max_time: float,
    affine: bool,
    dtype: torch.dtype,
    num_samples: int,
) -> Measurement:
    """E|s - s*|^2 under p_t, at the nodes of a Gauss-Legendre rule on the clock and at both ends.

    Args:
        score: Of the network.
        process: The truth.
        energies: Eigenvalues of the covariance, (N d,): E|s*|^2 = sum 1/(alpha^2 lambda + sigma^2).
        min_time, max_time: Range of t.
        affine: Whether ``score`` is affine in x; then the expectation is that of its map for N d <= 512, corrected on
            fresh sequences: "exact" in float64 up to 1e-9, never in float32.
        dtype: What ``score`` is called with.
        num_samples: Sequences at each time for Monte Carlo; the same in every run.
    """
    begin = max(min_time, EARLIEST)
    rule = diffusion.clock_rule(begin, max_time)
    all_times = [begin, *rule.times, max_time]
    mapped = affine and process.num_frames * process.num_features <= LARGEST_EXACT
    if mapped:
        covariance = process.covariance()
        parts = [
            affine_squared_error(score, process, covariance, t, dtype=dtype, seed=seed, verify=False)
            for seed, t in enumerate(all_times)
        ]
    else:
        parts = _sampled_squares(score, process, all_times, num_samples, dtype)
    errors = tuple(_relative(t, part, energies) for t, part in zip(all_times, parts))
    halves = np.array([0.5 * float(diffusion.sigma_squared(t)) for t in rule.times])
    values, deviations = (
        halves * np.array([getattr(part, name) for part in parts[1:-1]]) for name in ("value", "standard_error")
    )
    integral = rule.integral(values, deviations)
    kind = "monte carlo"
    if mapped:
        exact = dtype == torch.float64 and all(error.standard_error <= EXACT for error in errors)
        kind = "exact" if exact else f"affine map in {str(dtype).removeprefix('torch.')}"
    return Measurement(errors, kind, integral.value, math.hypot(integral.sampling_error, integral.quadrature_error))


def _relative(t: float, square: SquaredError, energies: Tensor) -> ErrorAtTime:
    """[E|s - s*|^2 / E|s*|^2]^(1/2) and its standard error by the delta method."""
    energy = float((1 / (math.exp(-t) * energies - math.expm1(-t))).sum())
    value = math.sqrt(square.value / energy)
    if value == 0:
        return ErrorAtTime(t, 0.0, math.sqrt(square.standard_error / energy))
    return ErrorAtTime(t, value, square.standard_error / (2 * value * energy))


def _sampled_squares(
    score: ScoreFunction, process: GaussianLaw, times: list[float], num_samples: int, dtype: torch.dtype
) -> list[SquaredError]:
    """Monte Carlo means and standard errors, one independent set of sequences for each time."""
    generator = torch.Generator().manual_seed(0)
    data = process.sample(len(times) * num_samples, generator=generator).cpu()
    white = torch.randn(data.shape, dtype=data.dtype, generator=generator)
    t = torch.tensor(times, dtype=torch.float64).repeat_interleave(num_samples)
    noised = diffusion.noise(data, t, white).to(dtype)
    squares = []
    with torch.no_grad():
        batch = max(1, BATCH_VALUES // data[0].numel())
        for x, moment in zip(noised.split(batch), t.split(batch)):
            difference = score(x, moment).double() - process.score(x.double(), moment)
            squares.append(difference.square().sum(dim=(1, 2)))
    by_time = torch.cat(squares).reshape(len(times), num_samples)
    errors = by_time.std(dim=1) / math.sqrt(num_samples)
    return [SquaredError(*pair) for pair in zip(by_time.mean(dim=1).tolist(), errors.tolist())]
