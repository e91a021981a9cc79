"""What every reader of a score needs: a checked call, and the affine map of a score that is affine in x."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import ScoreFunction

MAX_AFFINE_SIZE = 4096


def evaluate(score: ScoreFunction, x: Tensor, t: float, where: str = "") -> Tensor:
    """``score(x, t)``, refused unless it is a finite tensor like ``x``.

    Args:
        score: Any score.
        x: (batch, frames, features).
        t: Diffusion time, greater than zero.
        where: Put behind the message's "at t = ...", for example " (score call 3 of 64)".

    Raises:
        TypeError: The score returned no tensor.
        InputError: It returned another shape, or values that are NaN or infinite.
    """
    value = score(x, t)
    if not isinstance(value, Tensor):
        raise TypeError(f"score must return a tensor, got {type(value).__name__} at t = {t:.4g}{where}")
    if value.shape != x.shape:
        raise InputError(
            f"score must return a tensor of the shape of x, {tuple(x.shape)}, "
            f"got {tuple(value.shape)} at t = {t:.4g}{where}"
        )
    bad = int((~torch.isfinite(value)).sum())
    if bad:
        raise InputError(
            f"score must be finite, but {bad} of its {value.numel()} values are NaN or infinite at t = {t:.4g}{where}"
        )
    return value


def dense_size(num_frames: int, num_features: int) -> int:
    """N d, refused above 4096: a dense (N d, N d) map of sequences is read off and carried up to there."""
    size = _checks.count("num_frames", num_frames) * _checks.count("num_features", num_features)
    if size > MAX_AFFINE_SIZE:
        raise InputError(f"num_frames * num_features must be at most {MAX_AFFINE_SIZE} for a dense map, got {size}")
    return size


def affine_map(
    score: ScoreFunction,
    t: float,
    num_frames: int,
    num_features: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Matrix A and offset c of a score that is affine in x, s(x, t) = A x + c, with x flattened frame-major.

    Read off the zero sequence and the unit sequences in one batch; a random sequence in the same batch
    verifies that the score is affine at all, to the square root of the precision of ``dtype``.

    Args:
        score: A score, affine in x.
        t: Diffusion time.
        num_frames: N.
        num_features: d.
        dtype: What the score is called with.
        device: Where the score is called.

    Returns:
        A (N d, N d) and c (N d,), float64, on the CPU.

    Raises:
        InputError: The score is not affine, or N d is above 4096.
    """
    size = dense_size(num_frames, num_features)
    probe = torch.randn(1, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    zero = torch.zeros(1, size, dtype=torch.float64)
    x = torch.cat([torch.eye(size, dtype=torch.float64), zero, probe]).to(dtype)
    with torch.no_grad():
        values = evaluate(score, x.to(device).reshape(-1, num_frames, num_features), t)
    rows = values.detach().reshape(-1, size).to(device="cpu", dtype=torch.float64)
    offset = rows[size]
    matrix = (rows[:size] - offset).T
    predicted = matrix @ x[-1].to(torch.float64) + offset
    error = float((rows[-1] - predicted).norm())
    scale = float(rows[-1].norm() + offset.norm() + matrix.norm())
    if error > torch.finfo(dtype).eps ** 0.5 * scale:
        raise InputError(
            f"score must be affine in x, but at t = {t:.4g} it misses its own affine map "
            f"by a relative {error / scale:.1e} on a random sequence"
        )
    return matrix, offset
