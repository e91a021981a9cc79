"""The basis that stored weights hold: read off the last block, and checked against the covariance.

Eigenvectors are not unique. Their signs are free, and so is every rotation within an eigenspace; where two eigenvalues
nearly agree, round-off decides. Two machines therefore write different weights for one process, and both are right. So
a stored network is compared with a compilation in *its own* basis W, and W is checked by what makes a basis right:

    |W'W - I| and |A W - W diag(lambda)| / |A|    both at most round-off,

which no choice of signs or rotations changes and which no gap between eigenvalues amplifies.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._errors import InputError
from .layout import Layout
from .lowering import cosine_basis, marginal_covariance
from .operators import KroneckerTerms, norm
from .options import BASED

ROUNDING = 64.0  # in units of round-off times the root of the size


def stored_basis(weights: dict[str, Tensor], iteration: str, shape: tuple[int, int]) -> KroneckerTerms | None:
    """W of a stored network, as ``table_heads`` wrote it into the last block; None where the iteration has none.

    Args:
        weights: The stored tensors by name.
        iteration: From ``options.ITERATIONS``.
        shape: (frames, features).

    Raises:
        InputError: The last block holds no such heads.
    """
    if iteration not in BASED:
        return None
    frames, features = shape
    numbers = [int(parts[1]) for parts in map(_parts, weights) if parts[0] == "blocks" and parts[1].isdigit()]
    last = f"blocks.{max(numbers, default=0)}"
    query, value = (weights.get(f"{last}.{part}") for part in ("query", "value"))
    wanted = Layout({"input": features, "solution": features})["solution"]
    if query is None or value is None or query.ndim != 3 or value.ndim != 3 or len(query) != len(value):
        raise InputError(f"it has no heads that leave the basis in {last}")
    if query.shape[1] != frames or query.shape[2] < frames or value.shape[1] != features or value.shape[2] < frames:
        raise InputError(f"the heads of {last} have other shapes than a basis of {frames} frames")
    tables, spatial = query[:, :, -frames:].mT.double(), value[:, :, wanted].double()
    if spatial.shape[1:] != (features, features):
        raise InputError(f"the heads of {last} have other shapes than a basis of {features} features")
    if len(tables) <= 2 and not _are_units(spatial, features):
        return KroneckerTerms(tables[:1], spatial[:1])  # the second head holds minus the first
    return _collected(tables, spatial)


def basis_faults(basis: KroneckerTerms, covariance: KroneckerTerms, iteration: str, dtype: torch.dtype) -> list[str]:
    """Why a basis is not one of eigenvectors of the covariance (or the cosine transform times those of C(0)).

    Args:
        basis: W.
        covariance: Of the process.
        iteration: From ``options.BASED``.
        dtype: In which W was rounded.
    """
    if iteration == "spectral" and len(covariance.temporal) > 1:
        return _eigen_faults("eigenvectors", basis.dense(), covariance.dense(), dtype)
    if len(basis.temporal) != 1:
        return ["its basis is not a Kronecker product"]
    times, features = basis.temporal[0], basis.spatial[0]
    if iteration == "spectral":
        return [
            *_eigen_faults("eigenvectors between frames", times, covariance.temporal[0], dtype),
            *_eigen_faults("eigenvectors between features", features, covariance.spatial[0], dtype),
        ]
    faults = _eigen_faults("eigenvectors between features", features, marginal_covariance(covariance), dtype)
    gap = float((times - cosine_basis(len(times))).abs().max())
    if not gap <= ROUNDING * torch.finfo(dtype).eps:
        faults.append(f"its basis between frames is not the cosine transform: off by {gap:.1e}")
    return faults


def _eigen_faults(name: str, vectors: Tensor, matrix: Tensor, dtype: torch.dtype) -> list[str]:
    allowed = ROUNDING * torch.finfo(dtype).eps * len(vectors) ** 0.5
    identity = torch.eye(len(vectors), dtype=torch.float64)
    faults, values = [], torch.linalg.eigvalsh(matrix)
    gap = norm(vectors.mT @ vectors - identity)
    if not gap <= allowed:
        faults.append(f"its {name} are not orthonormal: off by {gap:.1e}")
    gap = norm(matrix @ vectors - vectors * values) / max(float(values.abs().max()), 1e-300)
    if not gap <= allowed:
        faults.append(f"its {name} are not those of the covariance: off by {gap:.1e}")
    return faults


def _are_units(spatial: Tensor, features: int) -> bool:
    """Whether every matrix is plus or minus a unit matrix of more than one feature, as in a basis of d^2 terms."""
    flat = spatial.flatten(1)
    return features > 1 and bool(((flat.abs() == 1).sum(1) == 1).all() and ((flat != 0).sum(1) == 1).all())


def _collected(tables: Tensor, spatial: Tensor) -> KroneckerTerms:
    """d^2 terms of unit matrices from heads of single signs; a head that belongs to none of them is left out."""
    features = spatial.shape[1]
    temporal = torch.zeros(features**2, *tables.shape[1:], dtype=torch.float64)
    seen = set()
    for table, flat in zip(tables, spatial.flatten(1)):
        place = int(flat.abs().argmax())
        if place not in seen:
            temporal[place] = table * flat[place].sign()
            seen.add(place)
    units = torch.eye(features**2, dtype=torch.float64).reshape(-1, features, features)
    return KroneckerTerms(temporal, units)


def _parts(name: str) -> list[str]:
    return [*name.split("."), ""]
