"""The solver under a mask: s_M = (C_t)_MM^-1 x_M for the entries M that each sequence has (docs/theory.md, section 5).

The entries M of a Gaussian sequence are Gaussian with the covariance C_MM, so this is their exact score, of the same
weights as that of whole sequences. With P = C_t^-1 and U the entries that are missing, it is P applied to the
sequence whose missing entries are filled so that s vanishes there:

    s = P (x + z),    z_U = -(P_UU)^-1 (P x)_U,    z_M = 0

which costs one solve of the size of U beside two products with P. The backward pass is one more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LARGEST_CHUNK = 2**24  # numbers in memory at once, beside the batch itself


def solve_masked(
    x: Tensor, mask: Tensor, weights: Tensor, values: Tensor, scale: Tensor, noise: Tensor, covariance: Tensor | None
) -> Tensor:
    """(scale K + noise I)_MM^-1 x_M, and 0 elsewhere.

    Args:
        x: (batch, frames, features).
        mask: Like ``x``, bool; True where there is a value.
        weights, values: Gamma (N, N) and Sigma (d, d) of a separable K; ignored with a dense one.
        scale, noise: alpha_t^2 and sigma_t^2 > 0, (batch,), in the dtype of ``x``.
        covariance: K, (N d, N d), of one that is not separable; None for Gamma kron Sigma.
    """
    if covariance is None:
        return _MaskedSolve.apply(x, mask, weights, values, scale, noise)
    flat = (len(x), -1, 1)
    return _MaskedSolve.apply(x.reshape(flat), mask.reshape(flat), covariance, None, scale, noise).reshape(x.shape)


class _MaskedSolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mask: Tensor, temporal: Tensor, spatial: Tensor | None, scale: Tensor, noise: Tensor
    ) -> Tensor:
        lam, u = (part.to(x.dtype) for part in torch.linalg.eigh(temporal))
        unit = x.new_ones(1)
        sig, v = (unit, unit[:, None]) if spatial is None else (p.to(x.dtype) for p in torch.linalg.eigh(spatial))
        spectrum = scale[:, None, None] * lam[:, None] * sig + noise[:, None, None]
        solve = _Precision(u, v, spectrum, mask)
        solved = solve(x)
        ctx.solve = solve
        ctx.save_for_backward(solved, temporal, spatial, scale)
        return solved

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        solved, temporal, spatial, scale = ctx.saved_tensors
        a = ctx.solve(gradient)
        weighted = (scale[:, None, None] * a).double()
        solved = solved.double()
        after = solved if spatial is None else solved @ spatial
        d_temporal = -torch.einsum("bia,bja->ij", weighted, after)
        d_spatial = None if spatial is None else _symmetric(-torch.einsum("bia,ij,bjc->ac", weighted, temporal, solved))
        return a, None, _symmetric(d_temporal), d_spatial, None, None


class _Precision:
    """x -> (C_t)_MM^-1 x_M of each sequence, in the eigenbasis of C_t."""

    def __init__(self, u: Tensor, v: Tensor, spectrum: Tensor, mask: Tensor) -> None:
        self.u, self.v, self.spectrum, self.mask = u, v, spectrum, mask
        flat = ~mask.flatten(1)
        most = int(flat.sum(dim=1).max())
        order = flat.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        self.places, self.there = order, flat.gather(1, order)  # (batch, most): those missing, padded
        self.factors = [self._factor(part) for part in self._chunks()] if most else []

    def __call__(self, x: Tensor) -> Tensor:
        given = torch.where(self.mask, x, 0)
        solved = self._whole(given)
        if self.factors:
            at = solved.flatten(1).gather(1, self.places) * self.there
            parts = zip(at.split([len(f) for f in self.factors]), self.factors, strict=True)
            fill = torch.cat([torch.cholesky_solve(part.to(f)[..., None], f)[..., 0] for part, f in parts])
            correction = torch.zeros_like(given.flatten(1)).scatter(1, self.places, fill.to(x) * self.there)
            solved = solved - self._whole(correction.reshape(x.shape))
        return torch.where(self.mask, solved, 0)

    def _whole(self, x: Tensor) -> Tensor:
        return self.u @ ((self.u.mT @ x @ self.v) / self.spectrum) @ self.v.mT

    def _chunks(self) -> list[slice]:
        each = max(1, LARGEST_CHUNK // (self.places.shape[1] * self.spectrum[0].numel()))
        return [slice(k, min(k + each, len(self.mask))) for k in range(0, len(self.mask), each)]

    def _factor(self, part: slice) -> Tensor:
        """Cholesky factors of P_UU in float64, the identity where there is padding."""
        frame, feature = self.places[part] // len(self.v), self.places[part] % len(self.v)
        rows = (self.u[frame][..., None] * self.v[feature][..., None, :]).flatten(2)  # (batch, most, N d)
        rows = rows * self.there[part, :, None]
        inner = (rows / self.spectrum[part].flatten(1)[:, None]) @ rows.mT
        return torch.linalg.cholesky(inner.double() + torch.diag_embed((~self.there[part]).double()))


def _symmetric(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.mT)
