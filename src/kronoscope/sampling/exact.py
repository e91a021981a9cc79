"""The exact law of what a sampler generates, where the score is affine in x."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks, diffusion
from .._errors import InputError
from .._typing import ScoreFunction
from ..processes import DenseGaussian, GaussianLaw, require_law
from .tables import SamplerTable, require_table

SINGULAR = 1e-6  # of the largest standard deviation: a smaller one says nothing of the scale of a sequence


def law(
    table: SamplerTable,
    score: ScoreFunction,
    num_frames: int,
    num_features: int,
    *,
    denoise: bool = False,
    start: GaussianLaw | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> DenseGaussian:
    """Exact mean and covariance of the sequences that ``sample`` generates with an affine score.

    With D_k = A_k x_k + m_k a row of the table is x' = F x + c D_prev + b m + g z, F = a I + b A: linear in
    the pair (x, D_prev), whose joint mean and covariance are carried from N(0, I) in float64. The map of a step is
    read around the mean of x_k and at its scale: in float32 each step carries the round-off of one score call.

    Args:
        table: The sampler.
        score: A score that is affine in x; verified at every time on a random sequence.
        num_frames: N.
        num_features: d.
        denoise: As for :func:`kronoscope.sampling.sample`.
        start: The law of the state at the table's first time; None is N(0, I), from which ``sample`` starts.
        dtype: What the score is called with (a float32 network: torch.float32).
        device: Where the score is called.

    Returns:
        The Gaussian law of the result, (N d, N d) frame-major.

    Raises:
        InputError: The score is not affine, misbehaves, or N d is above 4096.
    """
    require_table(table)
    _checks.score("score", score)
    _checks.floating("dtype", dtype)
    if denoise:
        table = table.with_denoising()
    size = diffusion.dense_size(num_frames, num_features)
    identity, shape = torch.eye(size, dtype=torch.float64), (num_frames, num_features)
    mean, mean_previous = torch.zeros(2, size, dtype=torch.float64)
    cov, cross, cov_previous = identity, torch.zeros_like(identity), torch.zeros_like(identity)
    if start is not None:
        require_law("start", start)
        if (start.num_frames, start.num_features) != shape:
            raise InputError(f"start must be a law of {shape} (frames, features), got {tuple(start.mean.shape)}")
        mean, cov = start.mean.reshape(-1).cpu(), start.covariance().cpu()
    rows = zip(table.times, table.from_state, table.from_denoised, table.from_previous, table.noise, strict=True)
    for t, a, b, c, g in rows:
        matrix, denoised_mean = _denoiser_map(score, t, shape, mean, cov, dtype, device)
        forward = a * identity + b * matrix
        mixed = c * forward @ cross
        half = forward @ cov + c * cross.T  # Cov(x', x)
        mean, mean_previous = a * mean + b * denoised_mean + c * mean_previous, denoised_mean
        after = forward @ cov @ forward.T + mixed + mixed.T + c * c * cov_previous + g * g * identity
        cov_previous = matrix @ cov @ matrix.T
        cov, cross = (after + after.T) / 2, half @ matrix.T
    return DenseGaussian(cov, num_features, mean=mean.reshape(num_frames, num_features))


def law_error(table: SamplerTable, process: GaussianLaw) -> float:
    """KL(generated | exact) in nats, with the process' own score; the exact law is that of its noised marginal.

    Both laws are Gaussian, so log(generated/exact) is quadratic and its mean under the generated law is its mean over
    the 2 N d points mean +- sqrt(N d) L_i, L the Cholesky factor of the generated covariance: exact.

    Args:
        table: The sampler; the comparison is at ``table.end_time``.
        process: The truth.

    Raises:
        InputError: The generated covariance is singular (as when every sequence comes out the same).
    """
    require_table(table)
    require_law("process", process)
    generated = law(table, process.score, process.num_frames, process.num_features)
    root, info = torch.linalg.cholesky_ex(generated.covariance())
    if int(info):
        raise InputError(f"{table.name} generates a singular law, whose KL to the exact one is infinite")
    spread = math.sqrt(len(root)) * root.T.reshape(-1, process.num_frames, process.num_features)
    points = torch.cat([generated.mean + spread, generated.mean - spread])
    return float((generated.log_prob(points) - process.log_prob(points, table.end_time)).mean())


def _denoiser_map(
    score: ScoreFunction,
    t: float,
    shape: tuple[int, int],
    mean: Tensor,
    cov: Tensor,
    dtype: torch.dtype,
    device: torch.device | str,
) -> tuple[Tensor, Tensor]:
    """Matrix of x -> E[x_0 | x] = (x + sigma^2 s)/alpha and its value at the mean of x."""
    read = diffusion.read_affine_map(score, t, *shape, dtype=dtype, device=device, center=mean, spread=_spread(cov))
    alpha, variance = float(diffusion.alpha(t)), float(diffusion.sigma_squared(t))
    at_mean = read.value + read.matrix @ (mean - read.center)
    identity = torch.eye(len(mean), dtype=torch.float64)
    return (identity + variance * read.matrix) / alpha, (mean + variance * at_mean) / alpha


def _spread(cov: Tensor) -> Tensor:
    """A root of the covariance to read a map with; near singular ones give standard deviations, none of them zero."""
    root, info = torch.linalg.cholesky_ex(cov)
    diagonal = root.diagonal()
    if not int(info) and float(diagonal.min()) > SINGULAR * float(diagonal.max()):
        return root
    deviations = cov.diagonal().clamp_min(0).sqrt()
    largest = float(deviations.max())
    return deviations.clamp_min(SINGULAR * largest) if largest > 0 else torch.ones_like(deviations)
