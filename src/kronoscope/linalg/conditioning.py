"""Gaussian conditioning on exactly observed coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from .eigen import refuse_singular


def condition(covariance: Tensor, observed: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unobserved coordinates of N(0, K) given the observed ones.

        m = K_uo K_oo^-1 y_o,    S = K_uu - K_uo K_oo^-1 K_ou

    Args:
        covariance: K, (rows, rows), float64.
        observed: (rows,) bool.
        deviation: y_o, (observed, columns): one conditioning for each column.

    Returns:
        m, (unobserved, columns), and S, (unobserved, unobserved).

    Raises:
        InputError: K_oo is singular to working precision.
    """
    hidden = ~observed
    cross = covariance[observed][:, hidden]
    inner = covariance[hidden][:, hidden]
    if not bool(observed.any()):
        return torch.zeros(len(inner), deviation.shape[1], dtype=inner.dtype, device=inner.device), inner
    known = covariance[observed][:, observed]
    factor, failed = torch.linalg.cholesky_ex(known)
    pivots = factor.diagonal().square()
    refuse_singular(0.0 if int(failed) else float(pivots.min()), float(known.diagonal().max()), len(known))
    half = torch.linalg.solve_triangular(factor, cross, upper=False)
    mean = half.mT @ torch.linalg.solve_triangular(factor, deviation, upper=False)
    return mean, inner - half.mT @ half
