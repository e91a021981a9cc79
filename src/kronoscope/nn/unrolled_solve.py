"""s = C_t^-1 x for a batch of diffusion times, with implicit gradients: the backward pass is one more solve with C_t.

For a loss with gradient g in s, a = C_t^-1 g is its gradient in x, and -alpha_t^2 sum_b a_b s_b' that in K
(d(C^-1) = -C^-1 dC C^-1). No eigenvector is differentiated, so repeated eigenvalues do no harm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def solve_dense(x: Tensor, covariance: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
    """(scale K + noise I)^-1 x.

    Args:
        x: (batch, frames, features).
        covariance: K, (N d, N d), frame-major, symmetric positive semi-definite, float64.
        scale, noise: alpha_t^2 and sigma_t^2 > 0, (batch,), in the dtype of ``x``.
    """
    return _DenseSolve.apply(x, covariance, scale[:, None], noise[:, None])


def solve_separable(x: Tensor, temporal: Tensor, spatial: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
    """(scale Gamma kron Sigma + noise I)^-1 x, with Gamma (N, N) and Sigma (d, d); the rest as for a dense K."""
    return _SeparableSolve.apply(x, temporal, spatial, scale, noise)


class _DenseSolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, covariance: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        lam, u = (part.to(x.dtype) for part in torch.linalg.eigh(covariance))
        spectrum = scale * lam + noise
        solved = (x.flatten(1) @ u) / spectrum
        ctx.save_for_backward(u, spectrum, solved, scale)
        return (solved @ u.mT).reshape(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        u, spectrum, solved, scale = ctx.saved_tensors
        a = (gradient.flatten(1) @ u) / spectrum
        d_x = (a @ u.mT).reshape(gradient.shape) if ctx.needs_input_grad[0] else None
        return d_x, _back(u, (scale * a).mT @ solved), None, None


class _SeparableSolve(torch.autograd.Function):
    """Inside, sequences are (frames, features, batch): both rotations are plain products and all else runs along it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, temporal: Tensor, spatial: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        lam, u = (part.to(x.dtype) for part in torch.linalg.eigh(temporal))
        sig, v = (part.to(x.dtype) for part in torch.linalg.eigh(spatial))
        spectrum = torch.addcmul(noise, (lam[:, None] * sig)[..., None], scale)
        solved = _rotate(_batch_last(x), u.mT, v.mT) / spectrum
        ctx.save_for_backward(u, lam, v, sig, spectrum, solved, scale)
        return _batch_first(_rotate(solved, u, v))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        u, lam, v, sig, spectrum, solved, scale = ctx.saved_tensors
        a = _rotate(_batch_last(gradient), u.mT, v.mT) / spectrum
        d_x = _batch_first(_rotate(a, u, v)) if ctx.needs_input_grad[0] else None
        a = a * scale
        by_frame = a.flatten(1) @ (solved * sig[:, None]).flatten(1).mT
        by_feature = (lam[:, None, None] * (a @ solved.mT)).sum(dim=0)
        return d_x, _back(u, by_frame), _back(v, by_feature), None, None


def _batch_last(x: Tensor) -> Tensor:
    """(batch, frames, features) to (frames, features, batch)."""
    return x.flatten(1).t().contiguous().unflatten(0, x.shape[1:])


def _batch_first(y: Tensor) -> Tensor:
    """Inverse of :func:`_batch_last`."""
    return y.flatten(0, 1).t().contiguous().unflatten(1, y.shape[:2])


def _rotate(y: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """left y right' for every sequence of (frames, features, batch)."""
    return right @ (left @ y.flatten(1)).reshape(y.shape)


def _back(basis: Tensor, outer: Tensor) -> Tensor:
    """Minus the symmetric part of ``outer``, out of the eigenbasis, in float64."""
    symmetric = -0.5 * (outer + outer.mT)
    return (basis @ symmetric @ basis.mT).double()
