"""Exact linear algebra for covariances of sequences: Kronecker, Toeplitz, circulant."""

from .covariance import Covariance, DenseCovariance, KroneckerCovariance, SpectralCovariance
from .eigen import Eigendecomposition, eigendecomposition, symmetric
from .extension import maximum_entropy_lags
from .schur import toeplitz_log_det
from .stationary import ToeplitzKroneckerCovariance
from .toeplitz import Toeplitz, block_toeplitz

__all__ = [
    "Covariance",
    "DenseCovariance",
    "Eigendecomposition",
    "KroneckerCovariance",
    "SpectralCovariance",
    "Toeplitz",
    "ToeplitzKroneckerCovariance",
    "block_toeplitz",
    "eigendecomposition",
    "maximum_entropy_lags",
    "symmetric",
    "toeplitz_log_det",
]
