"""From a process and an iteration to a lowered form that runs by itself: operator, basis, mean, interval, table.

``lower`` decides what stands for the covariance: which lags are kept, which knots, or which basis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import diffusion
from .._display import Displayed
from .._typing import DiffusionTime
from ..iterations import BUILDERS, Recurrence, run
from . import gates
from .operators import LARGEST_DENSE, KroneckerTerms
from .options import BASED, Options
from .structure import Structure

WITH_MOMENTUM = ("heavy-ball", "chebyshev")
OPERATOR_SHARE = 0.25  # of the tolerance, for lags that are cut off or interpolated
MOST_HEADS = 8192
_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True, eq=False, repr=False)
class Lowered(Displayed):
    """A solver of C_t s = -(x - alpha_t mu), in working coordinates y = W' x.

    Attributes:
        iteration: Name, from ``ITERATIONS``.
        num_iterations: K.
        operator: What stands for the covariance, in working coordinates; None where no product is needed (one step).
        basis: W, orthogonal; None is the identity.
        diagonal: Of the operator, (frames, features), for the preconditioner; None is none.
        mean: mu in working coordinates, (frames, features); None is zero.
        ends: Interval (2,) of the spectrum: of the operator, or, preconditioned, of M^-1 C_t at every t >= min_time.
        num_lags: J, the largest lag kept (knots, where the times are irregular).
        distance: A bound of |operator - covariance|, spectral norm; 0 with a basis.
        is_interpolated: Whether that comes from linear interpolation between knots, or from cutting lags off.
        spectrum: Eigenvalues of the covariance itself, (N d,).
        min_time, max_time: The diffusion times that the solver is for.
    """

    iteration: str
    num_iterations: int
    operator: KroneckerTerms | None
    basis: KroneckerTerms | None
    diagonal: Tensor | None
    mean: Tensor | None
    ends: Tensor
    num_lags: int
    distance: float
    is_interpolated: bool
    spectrum: Tensor
    min_time: float
    max_time: float

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, features)."""
        terms = self.basis or self.operator
        assert terms is not None
        return terms.shape

    @property
    def builder(self) -> str:
        """The table's name in ``iterations.BUILDERS``."""
        return "chebyshev" if self.iteration in BASED else self.iteration

    @property
    def num_products(self) -> int:
        """Products with the operator."""
        return 0 if self.operator is None else self.num_iterations - 1

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms of a step, in the names of ``gates.SIGNS``."""
        wanted = {
            gates.MOMENTUM: self.builder in WITH_MOMENTUM and self.num_iterations > 1,
            gates.RIGHT_SIDE: True,
            gates.MEAN: self.mean is not None,
            gates.SOLUTION: self.num_iterations > 1,
            gates.PRODUCT: self.operator is not None and self.num_iterations > 1,
        }
        return tuple(name for name in gates.SIGNS if wanted[name])

    def noised_ends(self, t: float) -> tuple[float, float]:
        """The interval at diffusion time t."""
        low, high = self.ends.tolist()
        if self.diagonal is not None:
            return low, high
        scale, noise = math.exp(-t), -math.expm1(-t)
        return scale * low + noise, scale * high + noise

    def recurrence(self, t: Tensor) -> Recurrence:
        """The table of coefficients, one row for each of t (times,)."""
        if self.diagonal is None:
            return gates.recurrence(self.builder, self.num_iterations, self.ends, t)
        low, high = self.ends[:, None].expand(-1, len(t))
        return BUILDERS[self.builder](low, high, self.num_iterations)

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """What the iteration computes, by the iterations' own runner and in float64: the reference for the network."""
        time = torch.as_tensor(t, dtype=torch.float64).reshape(-1).expand(len(x))
        scale, noise = (c.reshape(-1, 1, 1) for c in (torch.exp(-time), diffusion.sigma_squared(time)))
        right_side = -x.double() if self.basis is None else -self.basis.transpose.product(x.double())
        if self.mean is not None:
            right_side = right_side + scale.sqrt() * self.mean
        operator, diagonal = self.operator, self.diagonal

        def product(s: Tensor) -> Tensor:
            return noise * s if operator is None else scale * operator.product(s) + noise * s

        def precondition(r: Tensor) -> Tensor:
            return r if diagonal is None else r / (scale * diagonal + noise)

        solution = run(self.recurrence(time), product, right_side, precondition)
        return (solution if self.basis is None else self.basis.product(solution)).to(x.dtype)


def lower(
    structure: Structure, options: Options, basis: KroneckerTerms | None = None
) -> tuple[Lowered | None, list[str]]:
    """The lowered form, of one iteration still, and every reason against it.

    Args:
        structure: Of the process.
        options: Options without refusals of their own.
        basis: Eigenvectors to use instead of those found here: signs, and rotations within an eigenspace, are free.
            It must fit the iteration; whether it is a basis of eigenvectors is for the caller to check.

    Returns:
        The form, or None where a reason leaves none; reasons in words for people.
    """
    (frames, features), terms = structure.covariance.shape, len(structure.covariance.temporal)
    if terms > 1 and frames * features > LARGEST_DENSE:
        return None, [f"num_frames * num_features must be at most {LARGEST_DENSE} here, got {frames * features}"]
    floor = math.expm1(options.min_time)
    if options.iteration in BASED:
        return _in_basis(structure, options, floor, basis)
    exact = structure.covariance.eigenvalues().flatten()
    lowest = max(0.0, float(exact.min()) - _slack(exact))
    if lowest + floor <= 0:
        return None, [_singular(exact)]
    kept, refusals = _kept(structure, options, lowest + floor)
    if kept is None:
        return None, refusals
    operator, distance, num_lags = kept
    spectrum = operator.eigenvalues().flatten()
    ends = torch.stack([spectrum.min() - _slack(spectrum), spectrum.max() + _slack(spectrum)])
    if float(ends[0]) + floor <= 0:
        indefinite = (
            f"max_lag={options.max_lag} makes the kernel indefinite: its smallest eigenvalue is {float(ends[0]):.4g}, "
            f"which the noise at min_time={options.min_time:g} does not compensate; give a larger max_lag, at most "
            f"{frames - 1}"
        )
        return None, [*refusals, indefinite]
    interpolated = structure.at_lags is None and options.heads != "table"
    lowered = Lowered(
        options.iteration, 1, operator, None, None, structure.mean, ends, num_lags, distance, interpolated,
        exact.clamp(min=0.0), options.min_time, options.max_time,
    )  # fmt: skip
    return lowered, refusals


def _kept(
    structure: Structure, options: Options, lowest: float
) -> tuple[tuple[KroneckerTerms, float, int] | None, list[str]]:
    """The operator, a bound of its distance from the covariance, and how many lags (or knots) it keeps; and refusals.

    By Weyl's inequality the smallest eigenvalue falls by at most the distance, so distance / (lowest - distance) <=
    share keeps both the error and the positive definiteness.
    """
    frames = structure.covariance.shape[0]
    allowed = OPERATOR_SHARE * options.tolerance * lowest / (1 + OPERATOR_SHARE * options.tolerance)
    if options.heads == "table":
        unused = "max_lag belongs to heads of the lag; heads='table' keeps every entry"
        return (structure.covariance, 0.0, frames - 1), [] if options.max_lag is None else [unused]
    if structure.at_lags is not None:
        num_lags = int((structure.tails() <= allowed).nonzero()[0])
        if options.max_lag is not None:
            num_lags = min(options.max_lag, frames - 1)
        operator, distance = structure.toeplitz(num_lags)
        if options.heads == "arc" and operator.lags is not None and not operator.lags.is_even:
            return None, [
                "heads='arc' sees the absolute lag, but this covariance is not the same forwards and backwards; "
                "heads='affine' has signed lags"
            ]
        return (operator, distance, num_lags), []
    if structure.times is None:
        return None, [
            f"heads={options.heads!r} needs a stationary kernel, and this covariance is not a function of the lag; "
            "give heads='table' or iteration='spectral'"
        ]
    if options.heads != "affine":
        return None, [
            f"heads={options.heads!r} needs a regular grid of times; heads='affine' interpolates, 'table' is exact"
        ]
    return _interpolated(structure, options, allowed)


def _interpolated(
    structure: Structure, options: Options, allowed: float
) -> tuple[tuple[KroneckerTerms, float, int] | None, list[str]]:
    """As :func:`_kept`, on irregular times."""
    refusals = []
    if options.max_lag is not None:
        refusals.append("max_lag needs a regular grid of times; on irregular ones the tolerance decides the knots")
    operator, distance = structure.interpolated(allowed)
    assert operator.lags is not None
    knots = len(operator.lags.knots)
    if knots > MOST_HEADS:
        refusals.append(
            f"interpolating the kernel at these irregular times needs {knots} heads, more than {MOST_HEADS}; "
            "heads='table' needs 2 for each term, and iteration='spectral' as many"
        )
        return None, refusals
    return (operator, distance, knots // 2 - 1), refusals


def _in_basis(
    structure: Structure, options: Options, floor: float, basis: KroneckerTerms | None
) -> tuple[Lowered | None, list[str]]:
    """Solvers in another basis: the exact eigenvectors, or the cosine transform times the eigenvectors of C(0)."""
    refusals = []
    if options.max_lag is not None:
        refusals.append(f"max_lag belongs to heads of the lag, and iteration={options.iteration!r} has none")
    covariance, dtype = structure.covariance, getattr(torch, options.dtype)
    frames = covariance.shape[0]
    if options.iteration == "spectral":
        vectors, diagonal = covariance.eigenvectors()
        basis = (basis or vectors).rounded(dtype)  # as the weights hold it: a stored basis gives the same plan again
        spectrum, operator, ends = diagonal.flatten(), None, torch.ones(2, dtype=torch.float64)
        diagonal = diagonal.clamp(min=0.0)
    else:
        if basis is None:
            _, features = torch.linalg.eigh(marginal_covariance(covariance))
            basis = KroneckerTerms(cosine_basis(frames)[None], features[None])
        basis = basis.rounded(dtype)
        operator = covariance.in_basis(basis)
        spectrum, diagonal = covariance.eigenvalues().flatten(), operator.diagonal()
    if max(0.0, float(spectrum.min()) - _slack(spectrum)) + floor <= 0:
        return None, [*refusals, _singular(spectrum)]
    if operator is not None:
        ends = preconditioned_ends(operator, diagonal, options.min_time)
    mean = None if structure.mean is None else basis.transpose.product(structure.mean[None])[0]
    lowered = Lowered(
        options.iteration, 1, operator, basis, diagonal, mean, ends, frames - 1, 0.0, False,
        spectrum.clamp(min=0.0), options.min_time, options.max_time,
    )  # fmt: skip
    return lowered, refusals


def marginal_covariance(covariance: KroneckerTerms) -> Tensor:
    """C(0), of the features within the first frame: (features, features)."""
    marginal = torch.einsum("r,rab->ab", covariance.temporal[:, 0, 0], covariance.spatial)
    return 0.5 * (marginal + marginal.mT)


def cosine_basis(frames: int) -> Tensor:
    """The orthonormal cosine transform (type II), its basis vectors in the columns, (frames, frames)."""
    n = torch.arange(frames, dtype=torch.float64)
    basis = torch.cos(math.pi / frames * torch.outer(n + 0.5, n)) * math.sqrt(2 / frames)
    basis[:, 0] /= math.sqrt(2)
    return basis


def preconditioned_ends(operator: KroneckerTerms, diagonal: Tensor, t: float) -> Tensor:
    """Smallest and largest eigenvalue of M^-1/2 C_t M^-1/2, M the diagonal of C_t, (2,), widened by their round-off."""
    scale, noise = math.exp(-t), float(diffusion.sigma_squared(t))
    values = []
    if len(operator.temporal) == 1:
        for spatial in torch.diagonal(operator.spatial[0]):
            values.append(_relative(scale * spatial * operator.temporal[0], noise))
    else:
        values.append(_relative(scale * operator.dense(), noise))
    spectrum = torch.cat(values)
    slack = 64 * _EPS * len(spectrum) * float(spectrum.max())
    return torch.stack([spectrum.min() - slack, spectrum.max() + slack])


def _relative(scaled: Tensor, noise: float) -> Tensor:
    noised = scaled + noise * torch.eye(len(scaled), dtype=torch.float64)
    root = noised.diagonal().rsqrt()
    return torch.linalg.eigvalsh(root[:, None] * noised * root)


def _slack(spectrum: Tensor) -> float:
    """What round-off may have moved an eigenvalue by."""
    return 4 * _EPS * math.sqrt(len(spectrum)) * float(spectrum.abs().max())


def _singular(spectrum: Tensor) -> str:
    return (
        f"min_time must be greater than 0: the spectrum is not bounded below (eigenvalues from "
        f"{float(spectrum.min()):.3g} to {float(spectrum.max()):.3g}), so there is no score at t = 0"
    )
