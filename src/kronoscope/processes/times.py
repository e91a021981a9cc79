"""The times of a sequence: a number of frames, or strictly increasing numbers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .. import _checks, _memory
from .._errors import InputError

BYTES_A_TIME = 256  # what the smallest structured covariance takes, with its Fourier transforms


def sequence_times(times: int | ArrayLike | Tensor) -> Tensor:
    """h_1 < ... < h_N, float64, from the number of frames N (the times 0..N-1) or from the times themselves.

    Raises:
        InputError: The times are not 1-D, finite and strictly increasing.
    """
    if isinstance(times, (int, np.integer)) and not isinstance(times, bool):
        number = _checks.count("times", int(times))
        _memory.check_bytes(BYTES_A_TIME * number, f"a process of times={number:.4g}", "give fewer times (--frames)")
        return torch.arange(number, dtype=torch.float64)
    try:
        plain = times if isinstance(times, Tensor | np.ma.MaskedArray) else np.asarray(times)
        if not isinstance(plain, Tensor) and not _checks.is_complex(plain):
            plain = plain.astype(np.float64)
    except (TypeError, ValueError):
        got = _checks.described(times)
        raise TypeError(f"times must be a number of frames or a 1-D array of numbers, got {got}") from None
    given = _checks.tensor("times", plain)
    if given.ndim != 1 or given.numel() == 0:
        raise InputError(f"times must be a number of frames or a 1-D array, got shape {tuple(given.shape)}")
    exact = _checks.finite("times", given.to(torch.float64)).clone()
    steps = exact.diff()
    if bool((steps <= 0).any()):
        where = int((steps <= 0).nonzero()[0])
        raise InputError(
            f"times must be strictly increasing, but times[{where}] = {float(exact[where]):g} is followed by "
            f"{float(exact[where + 1]):g}"
        )
    return exact


def is_regular(times: Tensor) -> bool:
    """Whether the times are those of a regular grid, up to the round-off of the times themselves."""
    grid = torch.linspace(float(times[0]), float(times[-1]), len(times), dtype=times.dtype, device=times.device)
    return bool((times - grid).abs().max() <= 4 * torch.finfo(times.dtype).eps * times.abs().max())


def described_times(times: Tensor) -> str:
    """First and last time and the step between them, in a few words."""
    first, last = float(times[0]), float(times[-1])
    if len(times) == 1:
        return f"{first:g}"
    step = (last - first) / (len(times) - 1)
    return f"{first:g} to {last:g}, " + (f"step {step:g}" if is_regular(times) else "irregular")
