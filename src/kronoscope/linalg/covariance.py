"""Covariances of sequences, as operators that solve with scale * K + noise * I for any scale and noise.

The marginal at diffusion time t has covariance C_t = alpha_t^2 K + sigma_t^2 I (docs/theory.md, section 2), so an
operator that does this serves every t. ``scale`` and ``noise`` are float64 tensors of shape () or (batch,);
sequences are (batch, frames, features), float64, on the operator's device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .draws import standard_normal
from .eigen import EPS, Eigendecomposition, refuse_singular

# Share of the largest eigenvalue that preconditioners add to all, since K may be singular. No solution depends on it.
LEAST_SHARE = 1e-9


class Covariance(ABC):
    """The covariance K of sequences of ``shape`` (frames, features)."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(frames, features)."""

    @abstractmethod
    def product(self, y: Tensor) -> Tensor:
        """K y, shape of ``y``."""

    @abstractmethod
    def solve(self, y: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        """(scale K + noise I)^-1 y, shape of ``y``; differentiable in ``y``.

        Raises:
            InputError: scale K + noise I is singular to working precision.
            ConvergenceError: An iterative solver stopped short of its tolerance.
        """

    @abstractmethod
    def precondition(self, y: Tensor) -> Tensor:
        """M^-1 y, with M a symmetric positive definite approximation of K whose inverse is cheap."""

    @abstractmethod
    def log_det(self, scale: Tensor, noise: Tensor) -> Tensor:
        """log det(scale K + noise I), shape of ``scale``.

        Raises:
            InputError: scale K + noise I is singular to working precision.
        """

    @abstractmethod
    def eigenvalue_bounds(self) -> tuple[float, float]:
        """Numbers that enclose all eigenvalues of K."""

    @abstractmethod
    def relative_error(self, ratio: float) -> float:
        """Estimate of the relative error of (K + ratio I)^-1 y by round-off, for y drawn from N(0, K + ratio I)."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` draws from N(0, K), (n, frames, features); draw i does not depend on n."""


class SpectralCovariance(Covariance):
    """A covariance whose eigendecomposition is at hand: one rotation serves any number of scales and noises."""

    @property
    @abstractmethod
    def eigenvalues(self) -> Tensor:
        """Of K, (frames, features)."""

    @abstractmethod
    def rotate(self, y: Tensor) -> Tensor:
        """Coordinates of ``y`` in the eigenvectors, shape of ``y``."""

    @abstractmethod
    def unrotate(self, y: Tensor) -> Tensor:
        """Inverse of :meth:`rotate`."""


class KroneckerCovariance(SpectralCovariance):
    """K = Gamma kron Sigma from the eigendecompositions of both: every operation is two rotations and a scaling.

    (scale K + noise I)^-1 y = U [ (U' y V) / (scale lam_i sig_j + noise) ] V'.
    """

    def __init__(self, temporal: Eigendecomposition, spatial: Eigendecomposition) -> None:
        self._temporal = temporal
        self._spatial = spatial
        self._values = temporal.values[:, None] * spatial.values[None, :]

    @property
    def shape(self) -> tuple[int, int]:
        frames, features = self._values.shape
        return frames, features

    @property
    def eigenvalues(self) -> Tensor:
        return self._values

    def product(self, y: Tensor) -> Tensor:
        return self.unrotate(self.rotate(y) * self._values)

    def solve(self, y: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        return self.unrotate(self.rotate(y) / self._noised_values(scale, noise))

    def precondition(self, y: Tensor) -> Tensor:
        return self.unrotate(self.rotate(y) / (self._values + LEAST_SHARE * self._values.max()))

    def log_det(self, scale: Tensor, noise: Tensor) -> Tensor:
        return self._noised_values(scale, noise).log().sum(dim=(-2, -1))

    def eigenvalue_bounds(self) -> tuple[float, float]:
        return float(self._values.min()), float(self._values.max())

    def relative_error(self, ratio: float) -> float:
        """max_ij (e_i |sig_j| + |lam_i| e_j) / (lam_i sig_j + ratio), with e the round-off of either factor.

        The rotations of y add 4 eps sqrt(kappa).
        """
        left, right = self._temporal, self._spatial
        off = left.round_off * right.values.abs()[None, :] + left.values.abs()[:, None] * right.round_off
        noised = self._values + ratio
        low, high = float(noised.min()), float(noised.max())
        return float((off / noised).max()) + 4 * EPS * math.sqrt(high / low) if low > 0 else math.inf

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        roots = self._temporal.root_values[:, None] * self._spatial.root_values[None, :]
        white = standard_normal(n, self.shape, generator, self._values.device)
        return self.unrotate(white * roots)

    def _noised_values(self, scale: Tensor, noise: Tensor) -> Tensor:
        values = scale[..., None, None] * self._values + noise[..., None, None]
        if values.numel():
            flat = values.detach().flatten(-2)
            for lowest, highest in zip(flat.amin(-1).reshape(-1).tolist(), flat.amax(-1).reshape(-1).tolist()):
                refuse_singular(lowest, highest, flat.shape[-1])
        return values

    def rotate(self, y: Tensor) -> Tensor:
        return self._temporal.vectors.mT @ y @ self._spatial.vectors

    def unrotate(self, y: Tensor) -> Tensor:
        return self._temporal.vectors @ y @ self._spatial.vectors.mT


class DenseCovariance(SpectralCovariance):
    """Any covariance of the flattened, frame-major sequence: the Kronecker case with one feature, reshaped."""

    def __init__(self, decomposition: Eigendecomposition, features: int) -> None:
        unit = torch.ones(1, 1, dtype=torch.float64, device=decomposition.values.device)
        self._flat = KroneckerCovariance(decomposition, Eigendecomposition(unit[0], unit))
        self._shape = (len(decomposition.values) // features, features)

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    @property
    def eigenvalues(self) -> Tensor:
        return self._flat.eigenvalues.reshape(self._shape)

    def rotate(self, y: Tensor) -> Tensor:
        return self._flat.rotate(y.flatten(1).unsqueeze(-1)).reshape(y.shape)

    def unrotate(self, y: Tensor) -> Tensor:
        return self._flat.unrotate(y.flatten(1).unsqueeze(-1)).reshape(y.shape)

    def product(self, y: Tensor) -> Tensor:
        return self._flat.product(y.flatten(1).unsqueeze(-1)).reshape(y.shape)

    def solve(self, y: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        return self._flat.solve(y.flatten(1).unsqueeze(-1), scale, noise).reshape(y.shape)

    def precondition(self, y: Tensor) -> Tensor:
        return self._flat.precondition(y.flatten(1).unsqueeze(-1)).reshape(y.shape)

    def log_det(self, scale: Tensor, noise: Tensor) -> Tensor:
        return self._flat.log_det(scale, noise)

    def eigenvalue_bounds(self) -> tuple[float, float]:
        return self._flat.eigenvalue_bounds()

    def relative_error(self, ratio: float) -> float:
        return self._flat.relative_error(ratio)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self._flat.sample(n, generator).reshape(n, *self._shape)
