"""What n sequences can teach at best: the information floor of a structure, and the exact cost of having none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import special
from torch import Tensor

from .. import _checks
from .._errors import InputError
from ..diffusion import alpha, sigma_squared
from ..processes import GaussianLaw, GaussianSequence, SeparableGaussian

# Fisher information of the data is inverted: beyond this condition number its digits would be round-off.
_MAX_CONDITION = 1e12


def score_kl_floor(
    process: GaussianLaw, structure: str, n: int, min_time: float = 1e-2, max_time: float = 6.0
) -> float:
    """The score error, in nats, that the best estimator of a structure reaches from n sequences (leading order).

        floor = tr[(F_t0 - F_T) F_0^-1] / (2n),    F_t[a,b] = 1/2 tr(C_t^-1 d_a C_t C_t^-1 d_b C_t)

    with derivatives along the structure's own parameters, at the process' parameters, mean known
    (docs/theory.md, section 5). At most p / (2n), for p parameters. Exact, up to the o(1/n) of the expansion.

    Args:
        process: The law of the data; separable unless ``structure`` is "unstructured", with a covariance that is not
            singular and that belongs to the structure.
        structure: "unstructured", "separable", "stationary-separable" or "block-toeplitz".
        n: Number of sequences.
        min_time: t0; 0 or greater.
        max_time: T; greater than ``min_time``.

    Raises:
        InputError: Bad input, a process outside the structure, or one too near singular for F_0 to be inverted.
    """
    count = _checks.count("n", n)
    low, high = _checks.non_negative("min_time", min_time), _checks.positive("max_time", max_time)
    if low >= high:
        raise InputError(f"min_time must be less than max_time, got {low:g} and {high:g}")
    if structure not in _STRUCTURES:
        raise InputError(f"structure must be one of {', '.join(_STRUCTURES)}, got {structure!r}")
    learnt = _STRUCTURES[structure](process)
    return (learnt(low) - learnt(high)) / (2 * count)


def sample_covariance_kl(n: int, dimension: int) -> float:
    """Exact E KL(p | p_hat), nats, for a Gaussian of ``dimension`` m with known mean and p_hat the sample covariance.

        1/2 [ m n / (n - m - 1) - m - m log(n / 2) + sum_{i<=m} psi((n - i + 1) / 2) ]

    Infinite for n <= m + 1 (docs/theory.md, section 5).

    Args:
        n: Number of independent samples.
        dimension: m; N d for sequences.

    Example:
        >>> round(sample_covariance_kl(n=500, dimension=128), 2)
        13.18
    """
    n, m = _checks.count("n", n), _checks.count("dimension", dimension)
    if n <= m + 1:
        return math.inf
    digammas = special.digamma((n - np.arange(m)) / 2).sum()
    return float(0.5 * (m * n / (n - m - 1) - m - m * math.log(n / 2) + digammas))


_Learnt = Callable[[float], float]  # tr(F_t F_0^-1) at diffusion time t


class _Eigenbasis:
    """Gamma kron Sigma by its eigendecompositions, and the weights that make Fisher information at time t."""

    def __init__(self, process: GaussianLaw) -> None:
        if not isinstance(process, (GaussianSequence, SeparableGaussian)):
            raise TypeError(f"process must be a GaussianSequence or SeparableGaussian, got {type(process).__name__}")
        self.temporal = process.temporal_covariance
        self.lam, self.vectors = torch.linalg.eigh(self.temporal)
        self.sig = torch.linalg.eigvalsh(process.spatial_covariance)
        _refuse_near_singular(torch.outer(self.lam, self.sig))

    def precision(self, t: float) -> Tensor:
        """alpha^2 / (alpha^2 lam_i sig_j + sigma^2), (frames, features)."""
        scale = float(alpha(t)) ** 2
        return scale / (scale * torch.outer(self.lam, self.sig) + float(sigma_squared(t)))

    def lag_directions(self) -> Tensor:
        """U' S_k U for the shifts S_k by k = 0 .. N-1 frames, (lags, frames, frames).

        Raises:
            InputError: Gamma is not Toeplitz, so that no stationary structure contains the process.
        """
        frames = len(self.lam)
        if float((self.temporal[1:, 1:] - self.temporal[:-1, :-1]).abs().max() if frames > 1 else 0.0) > 1e-10:
            raise InputError(
                "process must be stationary on regular times for this structure: its covariance is not Toeplitz"
            )
        shifted = torch.zeros(frames, frames, frames, dtype=torch.float64)
        for lag in range(frames):
            shifted[lag, : frames - lag] = self.vectors[lag:]  # S_k U
        return self.vectors.mT @ shifted


def _refuse_near_singular(eigenvalues: Tensor) -> None:
    low, high = float(eigenvalues.min()), float(eigenvalues.max())
    if low * _MAX_CONDITION <= high:
        raise InputError(
            f"process must not be singular for a floor: its eigenvalues run from {low:.3g} to {high:.3g}, and "
            "the information of the data cannot be inverted"
        )


def _unstructured(process: GaussianLaw) -> _Learnt:
    eigenvalues = torch.linalg.eigvalsh(process.covariance())
    _refuse_near_singular(eigenvalues)

    def learnt(t: float) -> float:
        # Directions in the eigenbasis are orthogonal, each with F_t / F_0 = rho_i rho_j.
        scale = float(alpha(t)) ** 2
        rho = scale * eigenvalues / (scale * eigenvalues + float(sigma_squared(t)))
        return float(rho.sum() ** 2 + rho.square().sum()) / 2

    return learnt


def _separable(process: GaussianLaw) -> _Learnt:
    basis = _Eigenbasis(process)
    frames = len(basis.lam)
    # Off the diagonal the directions of Gamma are orthogonal to all others; on it they couple with Sigma's.
    # One is left out, since the scale of Gamma is that of Sigma.
    diagonal = torch.diag_embed(torch.eye(frames, dtype=torch.float64)[1:])

    def off_diagonal(t: float) -> float:
        precision = basis.precision(t)
        information = (precision * basis.sig.square()) @ precision.mT
        return _sum_above_diagonal(information * torch.outer(basis.lam, basis.lam) / len(basis.sig))

    coupled = _coupled(basis, diagonal)
    return lambda t: coupled(t) + off_diagonal(t)


def _stationary_separable(process: GaussianLaw) -> _Learnt:
    basis = _Eigenbasis(process)
    shifts = basis.lag_directions()[1:]
    return _coupled(basis, shifts + shifts.mT)


def _coupled(basis: _Eigenbasis, temporal_directions: Tensor) -> _Learnt:
    """Directions A_a kron Sigma (A_a in Gamma's eigenbasis) together with all of Gamma kron B."""
    flat, diagonals = temporal_directions.flatten(1), temporal_directions.diagonal(dim1=1, dim2=2)

    def information(t: float) -> Tensor:
        precision = basis.precision(t)
        weights = (precision * basis.sig.square()) @ precision.mT
        temporal = (flat * weights.flatten()) @ flat.mT
        cross = diagonals @ (precision.square() * torch.outer(basis.lam, basis.sig))
        spatial = torch.diag(basis.lam.square() @ precision.square())
        return 0.5 * torch.cat([torch.cat([temporal, cross], 1), torch.cat([cross.mT, spatial], 1)])

    def learnt(t: float) -> float:
        # Off-diagonal directions of Sigma are orthogonal to the rest.
        precision = basis.precision(t)
        off = precision.mT @ (precision * basis.lam.square()[:, None])
        ratio = _sum_above_diagonal(off * torch.outer(basis.sig, basis.sig) / len(basis.lam))
        return _trace_ratio(information(t), information(0.0)) + ratio

    return learnt


def _block_toeplitz(process: GaussianLaw) -> _Learnt:
    basis = _Eigenbasis(process)
    shifts = basis.lag_directions()
    two_sided = torch.cat([shifts, shifts[1:].mT]).flatten(1)
    symmetric = (shifts + shifts.mT).flatten(1)

    def information(t: float, p: int, q: int) -> Tensor:
        # C_pq(k) for features p, q of Sigma's eigenbasis couples with C_pq(l) alone; p = q forces symmetry in k.
        precision = basis.precision(t)
        directions = symmetric if p == q else two_sided
        return (directions * torch.outer(precision[:, p], precision[:, q]).flatten()) @ directions.mT

    def learnt(t: float) -> float:
        features = len(basis.sig)
        pairs = [(p, q) for p in range(features) for q in range(p, features)]
        return sum(_trace_ratio(information(t, p, q), information(0.0, p, q)) for p, q in pairs)

    return learnt


def _trace_ratio(information: Tensor, of_data: Tensor) -> float:
    """tr(information of_data^-1), after scaling the diagonal of ``of_data`` to 1."""
    root = of_data.diagonal().rsqrt()
    factor = torch.linalg.cholesky(of_data * torch.outer(root, root))
    return float(torch.cholesky_solve(information * torch.outer(root, root), factor).trace())


def _sum_above_diagonal(matrix: Tensor) -> float:
    return float(matrix.triu(1).sum())


_STRUCTURES: dict[str, Callable[[GaussianLaw], _Learnt]] = {
    "unstructured": _unstructured,
    "separable": _separable,
    "stationary-separable": _stationary_separable,
    "block-toeplitz": _block_toeplitz,
}
