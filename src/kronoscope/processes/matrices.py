"""Gaussian laws that are given by covariance matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import count, tensor
from .._errors import InputError
from ..linalg import Covariance, DenseCovariance, KroneckerCovariance, eigendecomposition, symmetric
from .coordinates import rounded
from .law import GaussianLaw


class FlatGaussian(GaussianLaw):
    """Shared code of laws whose covariance K is decomposed densely.

    Args:
        name: What to call K in error messages.
        covariance: K, (N d, N d), frame-major.
        num_features: d.
        mean: (N, d); None means zero.
        num_parameters: How many parameters were fitted, if any.
        dtype: In which the entries of K were rounded; None means that of ``covariance``.
    """

    def __init__(
        self,
        name: str,
        covariance: Tensor,
        num_features: int,
        mean: Tensor | None,
        num_parameters: int | None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._given = dtype or covariance.dtype
        self._matrix = symmetric(name, covariance)
        self._solver = DenseCovariance(eigendecomposition(name, covariance, dtype), num_features)
        super().__init__(mean, num_parameters, self._solver.shape, self._matrix)

    def _rescaled(self, mean: Tensor, scale: Tensor) -> GaussianLaw:
        each = scale.repeat(self.num_frames)
        matrix = rounded(self._matrix / torch.outer(each, each), self._given)
        return DenseGaussian(matrix, self.num_features, mean, self.num_parameters)

    @property
    def _is_separable(self) -> bool:
        return False

    @property
    def operator(self) -> Covariance:
        return self._solver

    @property
    def kronecker_factors(self) -> tuple[Tensor, Tensor]:
        return self._matrix, torch.ones_like(self._matrix[:1, :1])


class DenseGaussian(FlatGaussian):
    """N(mean, K) with any covariance of the flattened, frame-major sequence.

    Args:
        covariance: K, (N d, N d), symmetric and positive semi-definite (singular is allowed).
        num_features: d.
        mean: (N, d); None means zero.
        num_parameters: How many parameters were fitted, if any.

    Raises:
        InputError: ``covariance`` is not a covariance, or its size is not a multiple of ``num_features``.
    """

    def __init__(
        self,
        covariance: Tensor,
        num_features: int,
        mean: Tensor | None = None,
        num_parameters: int | None = None,
    ) -> None:
        covariance, features = tensor("covariance", covariance), count("num_features", num_features)
        rows = len(symmetric("covariance", covariance))
        if rows % features:
            raise InputError(f"covariance has {rows} rows, not a multiple of num_features = {features}")
        super().__init__("covariance", covariance, features, mean, num_parameters)


class SeparableGaussian(GaussianLaw):
    """N(mean, Gamma kron Sigma).

    Args:
        temporal_covariance: Gamma, (N, N), symmetric and positive semi-definite (singular is allowed).
        spatial_covariance: Sigma, (d, d), the same.
        mean: (N, d); None means zero.
        num_parameters: How many parameters were fitted, if any.

    Raises:
        InputError: A matrix is not a covariance.
    """

    def __init__(
        self,
        temporal_covariance: Tensor,
        spatial_covariance: Tensor,
        mean: Tensor | None = None,
        num_parameters: int | None = None,
    ) -> None:
        temporal = tensor("temporal_covariance", temporal_covariance)
        spatial = tensor("spatial_covariance", spatial_covariance, device=temporal.device)
        self._temporal = symmetric("temporal_covariance", temporal)
        self._spatial = symmetric("spatial_covariance", spatial)
        self._solver = KroneckerCovariance(
            eigendecomposition("temporal_covariance", temporal),
            eigendecomposition("spatial_covariance", spatial),
        )
        self._given = spatial.dtype
        super().__init__(mean, num_parameters, self._solver.shape, self._temporal)

    def _rescaled(self, mean: Tensor, scale: Tensor) -> GaussianLaw:
        spatial = rounded(self._spatial / torch.outer(scale, scale), self._given)
        return SeparableGaussian(self._temporal, spatial, mean, self.num_parameters)

    @property
    def temporal_covariance(self) -> Tensor:
        """Gamma, (N, N), float64."""
        return self._temporal

    @property
    def spatial_covariance(self) -> Tensor:
        """Sigma, (d, d), float64."""
        return self._spatial

    @property
    def operator(self) -> Covariance:
        return self._solver

    @property
    def kronecker_factors(self) -> tuple[Tensor, Tensor]:
        return self._temporal, self._spatial
