"""Gaussian process sequences: a kernel over the times, a covariance over the features."""

from __future__ import annotations

from functools import cached_property

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .. import _checks
from ..kernels import Kernel
from ..linalg import (
    Covariance,
    KroneckerCovariance,
    Toeplitz,
    ToeplitzKroneckerCovariance,
    eigendecomposition,
    symmetric,
)
from .coordinates import rounded
from .law import DENSE_LIMIT, GaussianLaw
from .times import described_times, is_regular, sequence_times

STRUCTURED_ABOVE = 2048


class GaussianSequence(GaussianLaw):
    """x ~ N(mean, Gamma kron Sigma) with Gamma_ij = kernel(h_i, h_j) (docs/theory.md, section 1).

    Args:
        kernel: Covariance function of the times.
        spatial_covariance: Sigma, (d, d), symmetric and positive semi-definite (singular is allowed).
        times: A number of frames N, for the times 0..N-1, or the times themselves: a strictly increasing 1-D array,
            in the units of the kernel's lengthscale; irregular is allowed.
        mean: (N, d); None means zero.
        tolerance: Relative residual of the iterative solver; it is used for stationary kernels on regular grids of more
            than 2048 frames (docs/theory.md, section 6). Shorter or irregular sequences are eigendecomposed, and so are
            those of up to 2^14 frames where it misses this tolerance.

    Raises:
        InputError: ``spatial_covariance`` is not a covariance, ``times`` are not finite and strictly increasing, or
            shapes disagree.

    Example:
        >>> from kronoscope.kernels import PowerExponential
        >>> process = GaussianSequence(PowerExponential(lengthscale=8.0), torch.eye(2), times=16)
        >>> process.score(process.sample(3), t=0.1).shape
        torch.Size([3, 16, 2])
    """

    def __init__(
        self,
        kernel: Kernel,
        spatial_covariance: Tensor,
        times: int | ArrayLike | Tensor = 64,
        mean: Tensor | None = None,
        *,
        tolerance: float = 1e-10,
    ) -> None:
        if not isinstance(kernel, Kernel):
            raise TypeError(f"kernel must be a kronoscope kernel, got {type(kernel).__name__}")
        spatial = _checks.tensor("spatial_covariance", spatial_covariance)
        self._kernel = kernel
        self._tolerance = _checks.positive("tolerance", tolerance)
        self._spatial = symmetric("spatial_covariance", spatial)
        self._spatial_eigen = eigendecomposition("spatial_covariance", spatial)
        self._given = spatial.dtype
        self._times = sequence_times(times).to(spatial.device)
        super().__init__(mean, None, (len(self._times), len(spatial)), self._spatial)

    def _rescaled(self, mean: Tensor, scale: Tensor) -> GaussianLaw:
        spatial = rounded(self._spatial / torch.outer(scale, scale), self._given)
        return GaussianSequence(self._kernel, spatial, self._times, mean, tolerance=self._tolerance)

    def _structure(self) -> dict[str, object]:
        return {"kernel": self._kernel, "times": described_times(self._times), "variance": self._variance()}

    def _leading(self, frames: int) -> tuple[Tensor, Tensor]:
        return self._kernel.covariance(self._times[:frames]), self._spatial

    def _variance(self) -> float:
        """Mean variance of an entry."""
        at_zero = self._kernel(self._times, self._times).mean()
        return float(at_zero * self._spatial.diagonal().mean())

    @property
    def kernel(self) -> Kernel:
        """The covariance function of the times."""
        return self._kernel

    @property
    def times(self) -> Tensor:
        """h_1 < ... < h_N, shape (frames,), float64."""
        return self._times

    @property
    def temporal_covariance(self) -> Tensor:
        """Gamma, (N, N), float64.

        Raises:
            InputError: N is above 2^14.
        """
        self._refuse_above("temporal_covariance", "num_frames", self.num_frames, DENSE_LIMIT)
        return self._kernel.covariance(self._times)

    @property
    def spatial_covariance(self) -> Tensor:
        """Sigma, (d, d), float64."""
        return self._spatial

    @cached_property
    def operator(self) -> Covariance:
        if self.num_frames > STRUCTURED_ABOVE and self._kernel.is_stationary and is_regular(self._times):
            step = (self._times[-1] - self._times[0]) / (self.num_frames - 1)
            return ToeplitzKroneckerCovariance(
                Toeplitz(self.num_frames, lambda lags: self._at_lags(step, lags)), self._spatial_eigen, self._tolerance
            )
        return KroneckerCovariance(eigendecomposition("kernel", self.temporal_covariance), self._spatial_eigen)

    def _at_lags(self, step: Tensor, lags: int) -> Tensor:
        return self._kernel.at_lag(step * torch.arange(lags, dtype=torch.float64, device=step.device))

    @property
    def kronecker_factors(self) -> tuple[Tensor, Tensor]:
        return self.temporal_covariance, self._spatial
