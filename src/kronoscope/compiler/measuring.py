"""The error of a compiled network, measured on the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import diffusion
from .._typing import ScoreFunction
from ..processes import GaussianLaw
from .certificate import ErrorAtTime

LARGEST_EXACT = 512  # N d up to which the affine map of the network is read off
NODES_PER_CLOCK_UNIT = 3.0
LEAST_NODES = 8
EARLIEST = 1e-6  # where the integral begins if min_time is 0
BATCH_VALUES = 2**20


@dataclass(frozen=True)
class Measurement:
    """Errors by time, and their integral in nats with its standard error."""

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
        affine: Whether ``score`` is affine in x; then the expectation is exact for N d <= 512.
        dtype: What ``score`` is called with.
        num_samples: Sequences at each time for Monte Carlo; the same in every run.
    """
    begin = max(min_time, EARLIEST)
    times, weights = _nodes(begin, max_time)
    all_times = [begin, *times, max_time]
    exact = affine and process.num_frames * process.num_features <= LARGEST_EXACT
    if exact:
        covariance = process.covariance()
        parts = [(_exact_square(score, process, covariance, t, dtype), 0.0) for t in all_times]
    else:
        parts = _sampled_squares(score, process, all_times, num_samples, dtype)
    errors = []
    for t, (square, error) in zip(all_times, parts):
        energy = float((1 / (math.exp(-t) * energies - math.expm1(-t))).sum())
        value = math.sqrt(square / energy)
        errors.append(ErrorAtTime(t, value, error / (2 * math.sqrt(square * energy)) if error else 0.0))
    halves = [0.5 * float(diffusion.sigma_squared(t)) * weight for t, weight in zip(times, weights)]
    value = math.fsum(half * square for half, (square, _) in zip(halves, parts[1:-1]))
    deviation = math.sqrt(math.fsum((half * error) ** 2 for half, (_, error) in zip(halves, parts[1:-1])))
    return Measurement(tuple(errors), "exact" if exact else "monte carlo", value, deviation)


def _nodes(begin: float, end: float) -> tuple[list[float], list[float]]:
    """Gauss-Legendre times and weights on the clock, three nodes a unit as in ``metrics.score_kl``."""
    high, low = float(diffusion.clock(end)), float(diffusion.clock(begin))
    count = max(LEAST_NODES, math.ceil(NODES_PER_CLOCK_UNIT * (high - low)))
    points, weights = np.polynomial.legendre.leggauss(count)
    clocks = torch.from_numpy((high + low) / 2 + (high - low) / 2 * points)
    return diffusion.time_from_clock(clocks).tolist(), ((high - low) / 2 * weights).tolist()


def _exact_square(
    score: ScoreFunction, process: GaussianLaw, covariance: Tensor, t: float, dtype: torch.dtype
) -> float:
    """tr(D C_t D') + |D alpha mu + c|^2 with s - s* = D x + c."""
    frames, features = process.num_frames, process.num_features
    matrix, offset = diffusion.affine_map(score, t, frames, features, dtype=dtype)
    true_matrix, true_offset = diffusion.affine_map(process.score, t, frames, features)
    difference = matrix - true_matrix
    bias = difference @ (math.exp(-t / 2) * process.mean.reshape(-1)) + offset - true_offset
    spread = math.exp(-t) * (difference @ covariance * difference).sum() - math.expm1(-t) * difference.square().sum()
    return float(spread + bias.square().sum())


def _sampled_squares(
    score: ScoreFunction, process: GaussianLaw, times: list[float], num_samples: int, dtype: torch.dtype
) -> list[tuple[float, float]]:
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
    return list(zip(by_time.mean(dim=1).tolist(), errors.tolist()))
