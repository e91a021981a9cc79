"""What every reader of a score needs: a checked call, and how large a dense map may be."""

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
    _checks.score("score", score)
    value = score(x, t)
    if not isinstance(value, Tensor):
        raise TypeError(f"score must return a tensor, got {type(value).__name__} at t = {t:.4g}{where}")
    if value.shape != x.shape:
        raise InputError(
            f"score must return a tensor of the shape of x, {tuple(x.shape)}, "
            f"got {tuple(value.shape)} at t = {t:.4g}{where}"
        )
    if value.is_complex():
        raise InputError(f"score must return real numbers, got {value.dtype} at t = {t:.4g}{where}")
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
