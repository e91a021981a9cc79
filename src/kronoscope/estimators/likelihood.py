"""The noised Gaussian likelihood with exact gradients, and its minimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from .._errors import ConvergenceError
from .base import Moments

_MAX_ITERATIONS = 5000
_RELATIVE_DECREASE = 1e-10
_PULL = 1e-5
_NO_PULL = 1e-3


class _KroneckerNLL(torch.autograd.Function):
    """See :func:`kronecker_nll`; the gradient is written out, as it needs no derivative of an eigenvector."""

    @staticmethod
    def forward(ctx, temporal: Tensor, spatial: Tensor, roots: Tensor, scale: float, noise: float) -> Tensor:  # type: ignore[no-untyped-def]
        lam, u = torch.linalg.eigh(temporal)
        sig, v = torch.linalg.eigh(spatial)
        spectrum = scale * lam[:, None] * sig + noise  # (frames, features)
        rotated = u.mT @ roots @ v
        moment = scale * rotated.square().sum(0) + noise
        solved = rotated / spectrum
        # d/dC = (C^-1 - C^-1 (scale S + noise I) C^-1) / 2 in the eigenbasis, contracted with Sigma and with Gamma.
        diagonal = 1 / spectrum - noise / spectrum**2
        d_temporal = torch.diag(diagonal @ sig) - scale * torch.einsum("rij,j,rkj->ik", solved, sig, solved)
        d_spatial = torch.diag(lam @ diagonal) - scale * torch.einsum("rij,i,rik->jk", solved, lam, solved)
        ctx.save_for_backward(0.5 * scale * u @ d_temporal @ u.mT, 0.5 * scale * v @ d_spatial @ v.mT)
        return 0.5 * (spectrum.log() + moment / spectrum).sum()

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        d_temporal, d_spatial = ctx.saved_tensors
        return grad * d_temporal, grad * d_spatial, None, None, None


def kronecker_nll(temporal: Tensor, spatial: Tensor, moments: Moments) -> Tensor:
    """1/2 [log det C_t + tr C_t^-1 (alpha^2 S + sigma^2 I)], C_t = alpha^2 Gamma kron Sigma + sigma^2 I, nats."""
    return _KroneckerNLL.apply(temporal, spatial, moments.roots, moments.scale, moments.noise)


def dense_nll(covariance: Tensor, moments: Moments) -> Tensor:
    """The same for any covariance K, C_t = alpha^2 K + sigma^2 I; NaN where C_t is not positive definite."""
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    factor, info = torch.linalg.cholesky_ex(moments.scale * covariance + moments.noise * identity)
    if int(info) > 0:
        return covariance.sum() * torch.nan
    noisy = torch.cat([moments.scale**0.5 * moments.roots.flatten(1).mT, moments.noise**0.5 * identity], dim=1)
    whitened = torch.linalg.solve_triangular(factor, noisy, upper=False)
    return factor.diagonal().log().sum() + 0.5 * whitened.square().sum()


def minimise(
    loss: Callable[..., Tensor],
    start: Sequence[Tensor],
    lowest: Sequence[float | None] | None = None,
    relative_decrease: float = _RELATIVE_DECREASE,
    pull: float = _PULL,
) -> list[Tensor]:
    """Parameters that minimise ``loss(*parameters)``, by L-BFGS in float64 from ``start``.

    Args:
        loss: A scalar of the parameters; where it is not finite, the line search turns back.
        start: First values.
        lowest: A lower bound for all entries of each parameter; None means none.
        relative_decrease: Of a step, below which the minimum is reached.
        pull: Largest entry of the gradient, the same.

    Raises:
        ConvergenceError: No minimum within the limit of iterations.
    """
    shapes, sizes = [p.shape for p in start], [p.numel() for p in start]

    def unpack(flat: np.ndarray) -> list[Tensor]:
        parts = torch.from_numpy(np.array(flat)).split(sizes)
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = [p.requires_grad_() for p in unpack(flat)]
        with torch.enable_grad():
            value = loss(*parameters)
            gradients = torch.autograd.grad(value, parameters)
        if not bool(torch.isfinite(value)):  # too long a step: the line search shortens it
            return np.inf, np.zeros_like(flat)
        return float(value.detach()), torch.cat([g.reshape(-1) for g in gradients]).numpy()

    floors = [-np.inf if low is None else low for low in lowest or [None] * len(sizes)]
    flat_lowest = np.repeat(floors, sizes)
    result = optimize.minimize(
        value_and_gradient,
        torch.cat([p.reshape(-1) for p in start]).numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(flat_lowest, np.inf),
        options={
            "maxiter": _MAX_ITERATIONS,
            "maxfun": 2 * _MAX_ITERATIONS,
            "maxcor": 30,
            "ftol": relative_decrease,
            "gtol": pull,
        },
    )
    # A line search that round-off stops (status 2) has arrived if nothing pulls any more.
    left = np.where((result.x <= flat_lowest) & (result.jac > 0), 0.0, result.jac)
    arrived = result.status == 0 or (result.status == 2 and np.abs(left).max() < _NO_PULL)
    if not arrived or not np.isfinite(result.fun):
        raise ConvergenceError(f"maximum likelihood did not converge in {result.nit} iterations: {result.message}")
    return unpack(result.x)
