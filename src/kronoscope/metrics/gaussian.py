"""Distances between Gaussian laws of sequences: exact, dense, float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks, diffusion
from .._errors import InputError
from ..processes import GaussianLaw, require_law
from ..processes.law import MOST_ERROR


def gaussian_kl(p: GaussianLaw, q: GaussianLaw, t: float = 0.0) -> float:
    """KL(p_t | q_t) in nats between the marginals of two laws under the same noise.

    1/2 sum_i (mu_i - 1 - log mu_i) + 1/2 ||L^-1 (m_p - m_q)||^2 with q_t's covariance L L' and mu_i the eigenvalues
    of L^-1 P L^-T; written so, it keeps its relative accuracy for laws that nearly agree.

    Args:
        p: The law of the expectation.
        q: The other law.
        t: Diffusion time, 0 for the laws themselves.

    Raises:
        InputError: The sizes disagree, or one of the marginals is singular, or so near that round-off would spoil
            the KL.
    """
    _same_size(p, q)
    time = _checks.non_negative("t", t)
    root_p, root_q = _cholesky("p", _marginal(p, time), time), _cholesky("q", _marginal(q, time), time)
    for name, law in (("p", p), ("q", q)):
        if law.score_error(time) > MOST_ERROR:
            raise InputError(
                f"{name} has a nearly singular covariance at t = {time:g}, with the condition number "
                f"{law.condition_number(time):.1e}: the KL would be off by round-off; take a greater t"
            )
    whitened = torch.linalg.solve_triangular(root_q, root_p, upper=False)
    excess = torch.linalg.svdvals(whitened).square() - 1
    gap = float(diffusion.alpha(time)) * (p.mean - q.mean).reshape(-1, 1)
    shift = torch.linalg.solve_triangular(root_q, gap, upper=False)
    return 0.5 * float((excess - excess.log1p()).sum() + shift.square().sum())


def bures_wasserstein(p: GaussianLaw, q: GaussianLaw) -> float:
    """The 2-Wasserstein distance W2(p, q) itself, not its square; in the units of the data.

    W2^2 = ||m_p - m_q||^2 + min_U ||P^(1/2) - Q^(1/2) U||_F^2 over orthogonal U, which equals
    tr P + tr Q - 2 tr (P^(1/2) Q P^(1/2))^(1/2) without its cancellation. Singular covariances are allowed.

    Args:
        p: A law.
        q: Another, of the same sizes.

    Raises:
        InputError: The sizes disagree.

    Source: Bhatia, Jain, Lim, "On the Bures-Wasserstein distance between positive definite matrices",
    Expo. Math. 2019, theorem 1.
    """
    _same_size(p, q)
    root_p, root_q = _square_root(p.covariance()), _square_root(q.covariance())
    left, _, right = torch.linalg.svd(root_q @ root_p)
    gap = (root_p - root_q @ (left @ right)).square().sum() + (p.mean - q.mean).square().sum()
    return math.sqrt(float(gap))


def total_variation_bound(kl: float) -> float:
    """Upper bound on the total variation distance of two laws from their KL in nats, the sharper of two.

    min( sqrt(kl/2), sqrt(1 - exp(-kl)) ), by Pinsker and by Bretagnolle and Huber (1979); below 1 always.

    Example:
        >>> total_variation_bound(0.02)
        0.1
    """
    value = _checks.non_negative("kl", kl)
    return min(math.sqrt(value / 2), math.sqrt(-math.expm1(-value)))


def _same_size(p: GaussianLaw, q: GaussianLaw) -> None:
    require_law("p", p)
    require_law("q", q)
    sizes = [(law.num_frames, law.num_features) for law in (p, q)]
    if sizes[0] != sizes[1]:
        raise InputError(f"p and q must have the same (frames, features), got {sizes[0]} and {sizes[1]}")


def _marginal(law: GaussianLaw, t: float) -> Tensor:
    covariance = float(diffusion.alpha(t)) ** 2 * law.covariance()
    return covariance + float(diffusion.sigma_squared(t)) * torch.eye(len(covariance), dtype=torch.float64)


def _cholesky(name: str, covariance: Tensor, t: float) -> Tensor:
    root, info = torch.linalg.cholesky_ex(covariance)
    if int(info):
        raise InputError(f"{name} has a singular covariance at t = {t:g}: the KL is not finite; take a greater t")
    return root


def _square_root(covariance: Tensor) -> Tensor:
    """Symmetric square root; eigenvalues that round-off left below zero count as zero."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
