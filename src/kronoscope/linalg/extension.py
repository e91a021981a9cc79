"""Covariances beyond the lags that are known."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import solve_toeplitz
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .schur import prediction_variances

ROUND_OFF = 1e-13  # of the variance: a smaller share is not told from a singular matrix in float64


def maximum_entropy_lags(gamma: Tensor, frames: int) -> Tensor:
    """gamma(0), ..., gamma(frames - 1) of the stationary Gaussian process of most entropy with the first N as given.

    It is autoregressive of order N - 1: with Gamma_{N-1} a = (gamma(1), ..., gamma(N-1)),

        gamma(k) = sum_{j=1}^{N-1} a_j gamma(k - j),  k >= N,

    so each further frame depends on the N - 1 before it as the N-th did, and on nothing else. It is positive definite
    where the given one is. Burg, Maximum entropy spectral analysis (1975); Brockwell and Davis, Time Series (1991),
    section 8.2.

    Args:
        gamma: (N,) covariances at the lags 0 to N - 1, N >= 2, of a positive definite Toeplitz matrix.
        frames: How many lags to return, 1 or more; no more than N leaves nothing to extend.

    Raises:
        InputError: ``frames`` is below 1, ``gamma`` is not a vector of at least 2, or its matrix is not positive
            definite.
    """
    _checks.count("frames", frames)
    if gamma.ndim != 1 or len(gamma) < 2:
        raise InputError(f"gamma must have the shape (N,) with N >= 2, got {tuple(gamma.shape)}")
    known = gamma.detach().double().cpu().numpy()
    variances = prediction_variances(known[None])[0]
    if not bool(np.all(variances > ROUND_OFF * known[0])):
        order = int(np.argmin(variances > ROUND_OFF * known[0]))
        raise InputError(
            f"gamma must make a positive definite Toeplitz matrix, but frame {order} is determined by earlier ones: "
            f"prediction variance {variances[order]:.3g} of {known[0]:.3g}"
        )
    weights = solve_toeplitz(known[:-1], known[1:])
    lags = np.concatenate([known, np.zeros(max(0, frames - len(known)))])
    for k in range(len(known), frames):
        lags[k] = weights @ lags[k - 1 : k - len(known) : -1]
    return torch.as_tensor(lags[:frames], dtype=gamma.dtype, device=gamma.device)
