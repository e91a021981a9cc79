"""The exact score error of one separable law for another, from their factors alone: sequences of any length."""

from __future__ import annotations

import torch
from torch import Tensor

from kronoscope import diffusion
from kronoscope._errors import InputError
from kronoscope.processes import GaussianSequence, SeparableGaussian

Separable = GaussianSequence | SeparableGaussian


def separable_score_kl(law: SeparableGaussian, process: Separable, min_time: float, max_time: float) -> float:
    """``metrics.score_kl`` of the score of ``law``, in nats, without quadrature and without an (N d)^2 matrix.

    For the score of a law q of the truth p the error is KL(p_t0 | q_t0) - KL(p_T | q_T) (docs/theory.md, section 2).
    With the learnt Gamma_q = U diag(lam) U', Sigma_q = V diag(sig) V' and w_ij = 1 / (alpha^2 lam_i sig_j + sigma^2),

        KL(p_t | q_t) = 1/2 { sum_ij [ w_ij (alpha^2 (U' Gamma_p U)_ii (V' Sigma_p V)_jj + sigma^2) - 1 - log w_ij ]
                              - log det C_t }

    so the two laws need no common eigenvectors.

    Args:
        law: What was learnt, q.
        process: The truth, p.
        min_time: t0, above 0.
        max_time: T.

    Raises:
        InputError: Sizes disagree, or a mean is not zero.
    """
    shapes = [(each.num_frames, each.num_features) for each in (law, process)]
    if shapes[0] != shapes[1]:
        raise InputError(f"law must have (frames, features) {shapes[1]} like the process, got {shapes[0]}")
    for name, mean in (("law", law.mean), ("process", process.mean)):
        if torch.count_nonzero(mean):
            raise InputError(f"{name} must have mean zero, got entries up to {float(mean.abs().max()):.3g}")
    temporal, basis = torch.linalg.eigh(law.temporal_covariance)
    spatial, axes = torch.linalg.eigh(law.spatial_covariance)
    learnt = torch.outer(temporal, spatial)
    rotated = torch.outer(_variances(basis, process.temporal_covariance), _variances(axes, process.spatial_covariance))
    true = torch.outer(
        torch.linalg.eigvalsh(process.temporal_covariance), torch.linalg.eigvalsh(process.spatial_covariance)
    )

    def divergence(t: float) -> float:
        scale, noise = float(diffusion.alpha(t)) ** 2, float(diffusion.sigma_squared(t))
        of_law, of_process = scale * learnt + noise, scale * true + noise
        return 0.5 * float(((scale * rotated + noise) / of_law - 1).sum() + of_law.log().sum() - of_process.log().sum())

    return divergence(min_time) - divergence(max_time)


def _variances(basis: Tensor, covariance: Tensor) -> Tensor:
    """The diagonal of U' K U."""
    return (basis * (covariance @ basis)).sum(0)
