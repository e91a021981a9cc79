"""Exact linear algebra for covariances of sequences: Kronecker, Toeplitz, circulant."""

from .covariance import Covariance, DenseCovariance, KroneckerCovariance
from .eigen import Eigendecomposition, eigendecomposition, symmetric

__all__ = [
    "Covariance",
    "DenseCovariance",
    "Eigendecomposition",
    "KroneckerCovariance",
    "eigendecomposition",
    "symmetric",
]
