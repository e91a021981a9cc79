"""The two factors of a separable law, as the theory reads them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .. import _checks
from .._errors import InputError
from ..processes import GaussianLaw, GaussianSequence, SeparableGaussian, require_law

MOST_FRAMES = 2048


@dataclass(frozen=True, eq=False)
class Factors:
    """Gamma with the mean of its diagonal 1, and Sigma with the factor: Gamma kron Sigma is the law's covariance.

    Attributes:
        temporal: Gamma, (N, N), float64, on the CPU.
        spatial: Sigma, (d, d), float64, on the CPU.
        is_kernel: Whether Gamma is that of a kernel, and so positive semi-definite by definition.
    """

    temporal: Tensor
    spatial: Tensor
    is_kernel: bool


def separable(process: GaussianLaw) -> Factors:
    """The factors of ``process``.

    Raises:
        TypeError: It is not a Gaussian law.
        InputError: Its covariance is not a Kronecker product, is zero, or has more than 2048 frames.
    """
    require_law("process", process)
    if not isinstance(process, (GaussianSequence, SeparableGaussian)):
        raise InputError(
            "process must have a separable covariance, such as ks.GaussianSequence, "
            f"got {_checks.kind(process)}: the theorems are about Gamma kron Sigma"
        )
    if process.num_frames > MOST_FRAMES:
        raise InputError(f"process must have at most {MOST_FRAMES} frames here, got {process.num_frames}")
    temporal, spatial = process.temporal_covariance.cpu(), process.spatial_covariance.cpu()
    level = float(temporal.diagonal().mean())
    if level <= 0 or float(spatial.diagonal().max()) <= 0:
        raise InputError("process must have a covariance that is not zero")
    return Factors(temporal / level, spatial * level, isinstance(process, GaussianSequence))
