"""The error of a score in nats: what the generated law loses by it (docs/theory.md, section 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import _checks, diffusion
from .._errors import InputError
from .._typing import ScoreFunction
from ..processes import GaussianLaw

NODES_PER_CLOCK_UNIT = 3.0
LEAST_NODES = 8


@dataclass(frozen=True)
class ErrorByTime:
    """The integrand of :class:`ScoreKL`, one entry a quadrature node, from small to large times.

    Attributes:
        times: Diffusion times t.
        integrand: 1/2 sigma_t^2 E||s - s*||^2, nats per unit of the clock u = log(expm1(t)).
        standard_errors: Of ``integrand``; zero where it is exact.
        weights: Gauss-Legendre weights in u, so that value = sum(weights * integrand).
    """

    times: tuple[float, ...]
    integrand: tuple[float, ...]
    standard_errors: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class ScoreKL:
    """A score error in nats.

    Attributes:
        value: 1/2 int E||s - s*||^2 dt from min_time to max_time, nats a sequence.
        standard_error: Of ``value``, from the Monte Carlo samples; zero for "exact by quadrature".
        by_time: Where on the way from data to noise the error sits.
        kind: "monte carlo" or "exact by quadrature".
    """

    value: float
    standard_error: float
    by_time: ErrorByTime
    kind: str

    def __str__(self) -> str:
        return f"{self.value:.4g} +- {self.standard_error:.2g} nats ({self.kind})"


def score_kl(
    score: ScoreFunction,
    process: GaussianLaw,
    min_time: float = 1e-2,
    max_time: float = 6.0,
    num_samples: int = 8192,
    generator: torch.Generator | None = None,
    linear: bool = False,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    batch_size: int = 1024,
) -> ScoreKL:
    """KL in nats that a score costs: 1/2 int_{t0}^{T} E_{x ~ p_t} ||s(x, t) - s*(x, t)||^2 dt.

    For the score of another law q it equals KL(p_t0 | q_t0) - KL(p_T | q_T); for any network, KL(p_T | N(0, I)) plus
    it bounds the KL of what the reverse SDE generates (docs/theory.md, section 2). On the clock, dt = sigma_t^2 du,
    the integral is a Gauss-Legendre sum with three nodes a unit of u: the marginal precisions are analytic within
    pi of the real u axis, so the quadrature error of a smooth score is below 1e-8 of the value.

    Args:
        score: The score to judge, called with x in ``dtype`` and t a float.
        process: The truth; its score is computed in float64 at the very x that ``score`` saw.
        min_time: t0.
        max_time: T.
        num_samples: Sequences in all, drawn independently at each node and shared evenly (rounded up).
        generator: Source of the sequences; None means seed 0. Not used with ``linear``.
        linear: Evaluate the expectation in closed form for a score affine in x: no Monte Carlo error. The score is read
            off unit sequences; one that is not affine is refused. Use ``dtype=torch.float64`` if the score allows.
        dtype: What the score is called with.
        device: Where the score is called.
        batch_size: Sequences a score call.

    Returns:
        The value with its standard error and its resolution in time.

    Raises:
        InputError: Times out of order, fewer than two samples a node, a score that misbehaves or (``linear``) is
            not affine.
    """
    times, weights = _nodes(min_time, max_time)
    batch_size = _checks.count("batch_size", batch_size)
    if linear:
        covariance = process.covariance()
        parts = [(_exact_square(score, process, covariance, t, dtype, device), 0.0) for t in times]
    else:
        each = -(-_checks.count("num_samples", num_samples) // len(times))
        if each < 2:
            raise InputError(f"num_samples must be greater than {len(times)}, the number of nodes, got {num_samples}")
        generator = _checks.generator_or_seed_zero(generator)
        parts = [_sampled_square(score, process, t, each, generator, dtype, device, batch_size) for t in times]
    halves = [0.5 * float(diffusion.sigma_squared(t)) for t in times]
    integrand = tuple(half * square for half, (square, _) in zip(halves, parts, strict=True))
    errors = tuple(half * error for half, (_, error) in zip(halves, parts, strict=True))
    value = math.fsum(w * f for w, f in zip(weights, integrand, strict=True))
    standard_error = math.sqrt(math.fsum((w * e) ** 2 for w, e in zip(weights, errors, strict=True)))
    kind = "exact by quadrature" if linear else "monte carlo"
    return ScoreKL(value, standard_error, ErrorByTime(times, integrand, errors, weights), kind)


def _nodes(min_time: float, max_time: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Gauss-Legendre times and weights on the clock between two diffusion times."""
    ends = diffusion.clock(diffusion.times_on_clock(min_time, max_time, 2))
    high, low = (float(end) for end in ends)
    count = max(LEAST_NODES, math.ceil(NODES_PER_CLOCK_UNIT * (high - low)))
    points, weights = np.polynomial.legendre.leggauss(count)
    clocks = torch.from_numpy((high + low) / 2 + (high - low) / 2 * points)
    return tuple(diffusion.time_from_clock(clocks).tolist()), tuple(((high - low) / 2 * weights).tolist())


def _exact_square(
    score: ScoreFunction,
    process: GaussianLaw,
    covariance: Tensor,
    t: float,
    dtype: torch.dtype,
    device: torch.device | str,
) -> float:
    """E||s - s*||^2 under p_t for affine s: tr(E C_t E') + ||E alpha mu + e||^2 with s - s* = E x + e."""
    frames, features = process.num_frames, process.num_features
    matrix, offset = diffusion.affine_map(score, t, frames, features, dtype=dtype, device=device)
    true_matrix, true_offset = diffusion.affine_map(process.score, t, frames, features)
    difference, shift = matrix - true_matrix, offset - true_offset
    alpha, variance = float(diffusion.alpha(t)), float(diffusion.sigma_squared(t))
    spread = alpha**2 * (difference @ covariance * difference).sum() + variance * difference.square().sum()
    bias = difference @ (alpha * process.mean.reshape(-1)) + shift
    return float(spread + bias.square().sum())


def _sampled_square(
    score: ScoreFunction,
    process: GaussianLaw,
    t: float,
    num: int,
    generator: torch.Generator,
    dtype: torch.dtype,
    device: torch.device | str,
    batch_size: int,
) -> tuple[float, float]:
    """Monte Carlo mean of ||s - s*||^2 under p_t and its standard error."""
    data = process.sample(num, generator=generator)
    noise = torch.randn(data.shape, dtype=data.dtype, generator=generator, device=generator.device)
    noised = diffusion.noise(data, torch.tensor(t, dtype=torch.float64), noise.to(data.device)).to(dtype)
    squares = []
    with torch.no_grad():
        for x in noised.split(batch_size):
            learnt = diffusion.evaluate(score, x.to(device), t).to(device="cpu", dtype=torch.float64)
            truth = process.score(x.to(device="cpu", dtype=torch.float64), t)
            squares.append((learnt - truth).square().sum(dim=(1, 2)))
    square = torch.cat(squares)
    return float(square.mean()), float(square.std()) / math.sqrt(num)
