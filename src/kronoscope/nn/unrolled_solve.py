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
    return _SeparableSolve.apply(x, temporal, spatial, scale[:, None, None], noise[:, None, None])


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
    @staticmethod
    def forward(ctx: Any, x: Tensor, temporal: Tensor, spatial: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        lam, u = (part.to(x.dtype) for part in torch.linalg.eigh(temporal))
        sig, v = (part.to(x.dtype) for part in torch.linalg.eigh(spatial))
        spectrum = scale * lam[:, None] * sig + noise
        solved = _rotate(x, u.mT, v) / spectrum
        ctx.save_for_backward(u, lam, v, sig, spectrum, solved, scale)
        return _rotate(solved, u, v.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        u, lam, v, sig, spectrum, solved, scale = ctx.saved_tensors
        a = _rotate(gradient, u.mT, v) / spectrum
        d_x = _rotate(a, u, v.mT) if ctx.needs_input_grad[0] else None
        a = scale * a
        by_frame = a.transpose(0, 1).flatten(1) @ (solved * sig).transpose(0, 1).flatten(1).mT
        by_feature = a.flatten(0, 1).mT @ (solved * lam[:, None]).flatten(0, 1)
        return d_x, _back(u, by_frame), _back(v, by_feature), None, None


def _rotate(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """left x right for every sequence, as two large products."""
    batch, frames, features = x.shape
    y = (x @ right).transpose(0, 1).reshape(frames, batch * features)
    return (left @ y).reshape(frames, batch, features).transpose(0, 1)


def _back(basis: Tensor, outer: Tensor) -> Tensor:
    """Minus the symmetric part of ``outer``, out of the eigenbasis, in float64."""
    symmetric = -0.5 * (outer + outer.mT)
    return (basis @ symmetric @ basis.mT).double()
