"""A value matrix beside Sigma: eigenvectors against random rotations, eigenvalues against random symmetric matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks, report
from .._display import Tabular
from .._errors import InputError
from .figures import alignment_figure, spectrum_figure

_DEGREES = 1e-5  # arccos of a cosine near 1 is this exact


@dataclass(frozen=True, eq=False, repr=False)
class Alignment(Tabular):
    """How far a value matrix has the eigenvectors of Sigma, beside random ones.

    Attributes:
        cosine: <V, S> / (|V| |S|) of the symmetric parts without their traces: 1 where they are proportional, -1 where
            one is a negative multiple of the other.
        p_value: Share of random rotations of Sigma whose |cosine| is as large: two-sided, as the sign of a value matrix
            can be moved into the map of its head.
        angles: Principal angles in degrees between the leading eigenspaces of V and Sigma, by dimension 1..d-1: the
            largest angle of each. V has the sign that makes the cosine positive.
        null_angles: Their medians over the random rotations, each with the sign that it asks for.
        angle_p_values: By dimension, the share of random rotations with an angle as small; not corrected for the
            dimensions.
        rotations: How many.
    """

    cosine: float
    p_value: float
    angles: tuple[float, ...]
    null_angles: tuple[float, ...]
    angle_p_values: tuple[float, ...]
    rotations: int

    def _facts(self) -> dict[str, object]:
        return {
            "cosine": self.cosine,
            "p value": self.p_value,
            "largest angle": f"{max(self.angles):.3g} degrees",
            "under random rotations": f"{max(self.null_angles):.3g} degrees",
            "rotations": self.rotations,
        }

    def plot(self) -> report.Plot:
        """Principal angles by dimension beside those of random rotations."""
        return report.plot(alignment_figure(self.angles, self.null_angles))

    def _columns(self) -> dict[str, Sequence[object]]:
        return {
            "dimension": list(range(1, len(self.angles) + 1)),
            "angle": self.angles,
            "median null angle": self.null_angles,
            "p value": self.angle_p_values,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Tabular):
    """How far a value matrix has the eigenvalues of Sigma up to scale, beside random symmetric matrices.

    Attributes:
        shares: Eigenvalues of the symmetric part of V by falling size, over the sum of their absolute values, (d,); V
            has the sign that makes ``distance`` the smaller.
        truth: The same of Sigma.
        distance: Half the sum of |shares - truth|: from 0, the same spectrum up to scale, to 1.
        null_distance: Its median over the random matrices.
        p_value: Share of random matrices that come as near.
        draws: How many.
    """

    shares: tuple[float, ...]
    truth: tuple[float, ...]
    distance: float
    null_distance: float
    p_value: float
    draws: int

    def _facts(self) -> dict[str, object]:
        return {
            "distance": self.distance,
            "null distance": self.null_distance,
            "p value": self.p_value,
            "features": len(self.shares),
            "draws": self.draws,
        }

    def plot(self) -> report.Plot:
        """Shares of the eigenvalues beside those of Sigma."""
        return report.plot(spectrum_figure(self.shares, self.truth))

    def _columns(self) -> dict[str, Sequence[object]]:
        return {"mode": list(range(1, len(self.shares) + 1)), "share": self.shares, "truth": self.truth}


def alignment(
    values: Tensor, covariance: Tensor, *, rotations: int = 2000, generator: torch.Generator | None = None
) -> Alignment:
    """Whether a value matrix has the eigenvectors of a spatial covariance, against random subspaces.

    Args:
        values: V, (d, d), d at least 2.
        covariance: Sigma, (d, d).
        rotations: Random orthogonal matrices Q (Haar); Q Sigma Q' is the null.
        generator: None means seed 0.

    Raises:
        InputError: Shapes that differ, entries that are not finite, or a matrix that is a multiple of the identity and
            so has no directions.
    """
    count = _checks.count("rotations", rotations, least=19)
    _check(values, covariance)
    first, second = _direction("values", values), _direction("covariance", covariance)
    generator = _checks.generator_or_seed_zero(generator)
    cosine = float((first * second).sum())
    observed = _angles(first, second)
    beyond, nulls = 1, []
    for _ in range(count):
        q, r = torch.linalg.qr(torch.randn(first.shape, dtype=torch.float64, generator=generator))
        turned = (q * r.diagonal().sign()) @ second @ (q * r.diagonal().sign()).T
        beyond += abs(float((first * turned).sum())) >= abs(cosine) - 1e-12
        nulls.append(_angles(first, turned))
    drawn = torch.stack(nulls)
    as_small = 1 + (drawn <= observed + _DEGREES).sum(dim=0)
    return Alignment(
        cosine=cosine,
        p_value=beyond / (count + 1),
        angles=tuple(observed.tolist()),
        null_angles=tuple(drawn.median(dim=0).values.tolist()),
        angle_p_values=tuple((as_small.double() / (count + 1)).tolist()),
        rotations=count,
    )


def spectrum(
    values: Tensor, covariance: Tensor, *, draws: int = 2000, generator: torch.Generator | None = None
) -> Spectrum:
    """Whether a value matrix has the eigenvalues of a spatial covariance up to scale, whatever its eigenvectors are.

        D = min over signs of 1/2 sum_i |v_i - s_i|,    v_i = lambda_i(V + V') / sum_j |lambda_j(V + V')|

    and s_i the same of Sigma, both by falling size. The null is the Gaussian orthogonal ensemble, the symmetric part of
    a matrix of independent standard normal numbers: an untrained value matrix. Shares have no scale, so its norm does
    not matter.

    Args:
        values: V, (d, d), d at least 2.
        covariance: Sigma, (d, d).
        draws: Random matrices.
        generator: None means seed 0.

    Raises:
        InputError: Shapes that differ, entries that are not finite, or a matrix without a symmetric part.
    """
    count = _checks.count("draws", draws, least=19)
    _check(values, covariance)
    generator = _checks.generator_or_seed_zero(generator)
    own, truth = _shares("values", values), _shares("covariance", covariance)
    random = torch.randn(count, len(values), len(values), dtype=torch.float64, generator=generator)
    drawn = _distance(_shares("draws", random), truth)
    distance = float(_distance(own, truth))
    turned = -own.flip(-1)
    return Spectrum(
        shares=tuple((own if float((own - truth).abs().sum()) / 2 <= distance else turned).tolist()),
        truth=tuple(truth.tolist()),
        distance=distance,
        null_distance=float(drawn.median()),
        p_value=(1 + int((drawn <= distance + 1e-12).sum())) / (count + 1),
        draws=count,
    )


def _check(values: Tensor, covariance: Tensor) -> None:
    if values.shape != covariance.shape or values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        raise InputError(
            f"values and covariance must both be (d, d) with d at least 2, "
            f"got {tuple(values.shape)} and {tuple(covariance.shape)}"
        )
    _checks.finite("values", values)
    _checks.finite("covariance", covariance)


def _direction(name: str, matrix: Tensor) -> Tensor:
    """Symmetric part without its trace, of norm 1."""
    even = (matrix.double() + matrix.double().T) / 2
    even = even - even.diagonal().mean() * torch.eye(len(even), dtype=torch.float64)
    norm = even.norm()
    if float(norm) <= 1e-10 * float(matrix.double().norm()):
        raise InputError(
            f"{name} is a multiple of the identity, so its eigenvectors are not unique and cannot be compared"
        )
    return even / norm


def _angles(left: Tensor, right: Tensor) -> Tensor:
    """Largest principal angle, degrees, between the eigenspaces of the k largest eigenvalues, k = 1..d-1.

    The first matrix has the sign that makes <left, right> positive.
    """
    sign = -1.0 if float((left * right).sum()) < 0 else 1.0
    first, second = (torch.linalg.eigh(m)[1].flip(-1) for m in (sign * left, right))
    angles = []
    for k in range(1, len(left)):
        smallest = torch.linalg.svdvals(first[:, :k].T @ second[:, :k]).min().clamp(max=1.0)
        angles.append(torch.rad2deg(torch.arccos(smallest)))
    return torch.stack(angles)


def _shares(name: str, matrix: Tensor) -> Tensor:
    """Eigenvalues of the symmetric part by falling size over the sum of their sizes, (..., d)."""
    even = (matrix.double() + matrix.double().mT) / 2
    if float(even.norm()) <= 1e-10 * float(matrix.double().norm()):
        raise InputError(f"{name} has no symmetric part, so it has no spectrum to compare")
    eigenvalues = torch.linalg.eigvalsh(even).flip(-1)
    return eigenvalues / eigenvalues.abs().sum(dim=-1, keepdim=True)


def _distance(shares: Tensor, truth: Tensor) -> Tensor:
    """Half the sum of |differences|, of the sign that is nearer."""
    return torch.minimum((shares - truth).abs().sum(dim=-1), (-shares.flip(-1) - truth).abs().sum(dim=-1)) / 2
