"""E||s - s*||^2 under p_t: how far a score is from that of a Gaussian law, at one diffusion time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import diffusion
from .._errors import InputError
from .._typing import ScoreFunction
from .law import GaussianLaw
from .sequence_law import SequenceLaw

# Fresh sequences beside the map: values in all, the fewest and the most sequences. Round-off is what they measure, so
# float64 needs few.
FRESH = {True: (2**9, 8, 64), False: (2**13, 64, 2**10)}


@dataclass(frozen=True)
class SquaredError:
    """E||s - s*||^2 under p_t with its standard error."""

    value: float
    standard_error: float


def affine_squared_error(
    score: ScoreFunction,
    law: GaussianLaw,
    covariance: Tensor,
    t: float,
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    seed: int = 0,
    verify: bool = True,
) -> SquaredError:
    """Of a score that is affine in x: the closed form of its map, corrected by the score itself on fresh sequences.

    With s - s* = G z + e, x = alpha mu + L z, L L' = C_t, the closed form is |G|^2 + |e|^2. The map is read with the
    round-off of the calls, and a score in float32 has round-off of its own; so the closed form is a control variate
    for the mean of ||s - s*||^2 over fresh draws of p_t, each as rounded as the score saw it: unbiased, with almost no
    spread where the score is affine, and with a standard error that covers round-off where that is the error.

    Args:
        score: Affine in x, up to round-off.
        law: The truth; its score is computed in float64 at the very x that ``score`` saw.
        covariance: Of the law, dense.
        t: Diffusion time, greater than 0.
        dtype: What ``score`` is called with.
        device: Where ``score`` is called.
        seed: Of the fresh sequences.
        verify: Refuse a score that is not affine.

    Raises:
        InputError: The score is not affine (if ``verify``), or the marginal is singular to working precision.
    """
    frames, features = law.num_frames, law.num_features
    size = frames * features
    center = float(diffusion.alpha(t)) * law.mean.reshape(-1).cpu()
    root = _root(covariance.cpu(), t)
    read = diffusion.read_affine_map(
        score, t, frames, features, dtype=dtype, device=device, center=center, spread=root, verify=verify
    )
    inverse = torch.linalg.solve_triangular(root, torch.eye(size, dtype=torch.float64), upper=False)
    slope = read.matrix @ root + inverse.T
    shift = read.value + read.matrix @ (center - read.center)
    values, least, most = FRESH[dtype == torch.float64]
    num = min(max(values // size, least), most)
    z = torch.randn(num, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = (center + z @ root.T).to(dtype)
    gap = diffusion.call_flat(score, x, t, frames, features, device) - diffusion.call_flat(
        law.score, x.to(torch.float64), t, frames, features, law.mean.device
    )
    exact = float(slope.square().sum() + shift.square().sum())
    return _controlled(gap.square().sum(dim=1), (z @ slope.T + shift).square().sum(dim=1), exact)


def sampled_squared_error(
    score: ScoreFunction,
    law: SequenceLaw,
    t: float,
    num: int,
    generator: torch.Generator,
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    batch_size: int = 1024,
) -> SquaredError:
    """Of any score: the mean over ``num`` draws of p_t."""
    data = law.sample(num, generator=generator)
    noise = torch.randn(data.shape, dtype=data.dtype, generator=generator, device=generator.device)
    noised = diffusion.noise(data, torch.tensor(t, dtype=torch.float64), noise.to(data.device)).to(dtype)
    squares = []
    with torch.no_grad():
        for x in noised.split(batch_size):
            learnt = diffusion.evaluate(score, x.to(device), t).to(device="cpu", dtype=torch.float64)
            truth = law.score(x.to(device="cpu", dtype=torch.float64), t)
            squares.append((learnt - truth).square().sum(dim=(1, 2)))
    square = torch.cat(squares)
    return SquaredError(float(square.mean()), float(square.std()) / math.sqrt(num))


def _root(covariance: Tensor, t: float) -> Tensor:
    scale, noise = math.exp(-t), -math.expm1(-t)
    marginal = scale * covariance + noise * torch.eye(len(covariance), dtype=torch.float64)
    root, info = torch.linalg.cholesky_ex(marginal)
    if int(info):
        raise InputError(f"the covariance of process is singular to working precision at t = {t:g}; take a larger time")
    return root


def _controlled(values: Tensor, control: Tensor, expected: float) -> SquaredError:
    """Mean of ``values`` with a control variate of known mean, its weight by least squares."""
    spread, centred = control - control.mean(), values - values.mean()
    power = float(spread.square().sum())
    weight = float((spread * centred).sum()) / power if power else 0.0
    rest = centred - weight * spread
    error = math.sqrt(float(rest.square().sum()) / (len(values) - 2) / len(values))
    value = float(values.mean()) - weight * (float(control.mean()) - expected)
    return SquaredError(max(value, 0.0), error)
