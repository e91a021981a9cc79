"""Which lags to keep, how many iterations, how many product layers: the smallest that keep the proven bound.

The tolerance is shared out: a quarter to the operator (truncation or interpolation), a quarter to products by ReLU
layers where there are such, the rest to the iteration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .. import diffusion
from .._display import Displayed
from .._errors import InputError
from ..iterations import iterations_needed
from . import assembly, bounds
from .lowering import BASED, Lowered
from .operators import KroneckerTerms
from .options import Options
from .products import Ranges
from .reading import Reading

SHARE = 0.25
MOST_HEADS = 8192
MOST_BLOCKS = 2**20
MOST_ITERATIONS = 2**22  # of a bound that is a sum over them
MOST_STEPS = 4096  # of a bound that is read off a grid: its cost grows with the square, with gates="relu" the cube
SHALLOW = ("chebyshev", "preconditioned-chebyshev", "spectral")  # the others are never shallower than the first
MOST_ROUNDING = 0.5  # of the tolerance: beyond it nothing is left to share out
_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Displayed):
    """A lowered form, the ranges of its products (None where modulation multiplies), and its bound by parts."""

    lowered: Lowered
    ranges: Ranges | None
    parts: dict[str, float]

    def _facts(self) -> dict[str, object]:
        parts = {name: value for name, value in self.parts.items() if value}
        return {"iteration": self.lowered.iteration, "bound": self.bound, **parts}

    @property
    def bound(self) -> float:
        """Proven maximum over t of the relative root-mean-square score error."""
        return math.fsum(self.parts.values())


def plan(reading: Reading, options: Options, refusals: list[str], basis: KroneckerTerms | None = None) -> Plan | None:
    """Decide everything, or add to ``refusals`` why it cannot be; None after a refusal.

    Args:
        reading: The process.
        options: Options without refusals of their own.
        refusals: Reasons, in words for people.
        basis: Eigenvectors to use instead of those found here: signs, and rotations within an eigenspace, are free.
            It must fit the iteration; whether it is a basis of eigenvectors is for the caller to check.
    """
    try:
        found = _sized(reading, options, refusals, basis)
    except InputError as error:
        found = None
        refusals.append(f"{error}; {_shallower(reading, options)}")
    if found is None:
        return None
    too_deep = _too_deep(found, options)
    if too_deep:
        refusals.append(f"{too_deep}; {_shallower(reading, options)}")
    out_of_reach = _out_of_reach(found, options)
    if out_of_reach and (found.parts["round-off"] > MOST_ROUNDING * options.tolerance or not refusals):
        refusals.append(out_of_reach)
    return None if refusals else found


def _sized(reading: Reading, options: Options, refusals: list[str], basis: KroneckerTerms | None) -> Plan | None:
    """The plan, however deep and inexact it turns out; InputError where no number of product layers does."""
    form = _unsized(reading, options, refusals, basis)
    if form is None:
        return None
    share = SHARE * options.tolerance
    reserved = share + bounds.TAIL_SHARE * options.tolerance if options.gates == "relu" else 0.0
    sized = _with_iterations(form, options, reserved, refusals)
    ranges = None
    if options.gates == "relu":
        ranges = bounds.choose_ranges(sized, options.tolerance, share, options.product_layers)
    return Plan(sized, ranges, bounds.prove(sized, options.heads, ranges, getattr(torch, options.dtype)))


def _too_deep(found: Plan, options: Options) -> str:
    """How deep, if deeper than is allowed."""
    depth, most = assembly.depth(found.lowered, found.ranges), min(options.max_depth, MOST_BLOCKS)
    if depth <= most:
        return ""
    allowed = f"at most {most}" if most < options.max_depth else f"{most}"
    return (
        f"max_depth is {allowed}, but {options.iteration} needs {depth} blocks for tolerance "
        f"{options.tolerance:g} at condition number {bounds.condition_number(found.lowered):.4g}"
    )


def _out_of_reach(found: Plan, options: Options) -> str:
    """By how much the bound misses the tolerance; whoever chooses ``product_layers`` takes what comes of it."""
    if found.bound <= options.tolerance or options.product_layers is not None:
        return ""
    return (
        f"tolerance {options.tolerance:g} is out of reach at {options.dtype}: the bound is {found.bound:.3g}, of which "
        f"{found.parts['round-off']:.3g} is round-off, at condition number "
        f"{bounds.condition_number(found.lowered):.4g}"
    )


def _shallower(reading: Reading, options: Options) -> str:
    """Which other iterations would do, with the depths that they take: each is planned to the end."""
    offers = []
    for iteration in SHALLOW:
        max_lag, faults = None if iteration in BASED else options.max_lag, list[str]()
        other = replace(options, iteration=iteration, max_lag=max_lag)
        if iteration == options.iteration:
            continue
        try:
            found = _sized(reading, other, faults, None)
        except InputError:
            continue
        if found is not None and not (faults or _too_deep(found, other) or _out_of_reach(found, other)):
            offers.append(f"iteration='{iteration}' needs {assembly.depth(found.lowered, found.ranges)}")
    return ", ".join(offers) if offers else "no iteration here would do with so few"


def _with_iterations(form: Lowered, options: Options, reserved: float, refusals: list[str]) -> Lowered:
    """The form with the smallest K whose bound fits; with the K of an exact arithmetic if round-off leaves no room."""
    if form.operator is None:
        return form
    delta, kappa = bounds.operator_error(form), bounds.condition_number(form)
    room = (options.tolerance - delta - reserved) / (1 + delta)
    if room <= 0:
        refusals.append(
            f"max_lag={options.max_lag} cuts off too much: the error of the truncated kernel alone is bounded by "
            f"{delta:.3g}, above tolerance {options.tolerance:g}"
        )
        room = options.tolerance / 2
    dtype, rounding, sized = getattr(torch, options.dtype), 0.0, form
    for _ in range(6):
        left = room - rounding / (1 + delta)
        count = int(iterations_needed(form.builder, kappa, left if left > 0 else room))
        _refuse_unprovable(form, options, count, kappa)
        sized = replace(form, num_iterations=count)
        before, rounding = rounding, bounds.round_off(sized, options.heads, None, dtype) * (1 + 1e-9)
        if rounding <= before:
            break
    return sized


def _refuse_unprovable(form: Lowered, options: Options, count: int, kappa: float) -> None:
    """Refuse iterations whose proof would take hours or more memory than there is."""
    most = MOST_ITERATIONS
    if form.builder == "chebyshev-steps":
        most = MOST_STEPS if options.gates == "modulated" else MOST_STEPS // 2
    if form.builder != "gradient-descent" and count > most:
        raise InputError(
            f"{options.iteration} needs {count} iterations for tolerance {options.tolerance:g} at condition number "
            f"{kappa:.4g}, and its error is proven for at most {most}"
        )


def _unsized(reading: Reading, options: Options, refusals: list[str], basis: KroneckerTerms | None) -> Lowered | None:
    """The lowered form but for the number of iterations."""
    floor = math.expm1(options.min_time)
    if options.iteration in BASED:
        return _based(reading, options, floor, refusals, basis)
    exact = reading.covariance.eigenvalues().flatten()
    lowest = max(0.0, float(exact.min()) - _slack(exact))
    if lowest + floor <= 0:
        refusals.append(_singular(exact))
        return None
    kept = _kept(reading, options, lowest + floor, refusals)
    if kept is None:
        return None
    operator, distance, num_lags = kept
    spectrum = operator.eigenvalues().flatten()
    ends = torch.stack([spectrum.min() - _slack(spectrum), spectrum.max() + _slack(spectrum)])
    if float(ends[0]) + floor <= 0:
        refusals.append(
            f"max_lag={options.max_lag} makes the kernel indefinite: its smallest eigenvalue is {float(ends[0]):.4g}, "
            f"more than the noise at min_time={options.min_time:g} can lift; a larger max_lag, at most "
            f"{reading.covariance.shape[0] - 1}, keeps it positive definite"
        )
        return None
    interpolated = reading.at_lags is None and options.heads != "table"
    return Lowered(
        options.iteration, 1, operator, None, None, reading.mean, ends, num_lags, distance, interpolated,
        exact.clamp(min=0.0), options.min_time, options.max_time,
    )  # fmt: skip


def _kept(
    reading: Reading, options: Options, lowest: float, refusals: list[str]
) -> tuple[KroneckerTerms, float, int] | None:
    """The operator, a bound of its distance from the covariance, and how many lags (or knots) it keeps.

    By Weyl's inequality the smallest eigenvalue falls by at most the distance, so distance / (lowest - distance) <=
    share keeps both the error and the positive definiteness.
    """
    frames = reading.covariance.shape[0]
    allowed = SHARE * options.tolerance * lowest / (1 + SHARE * options.tolerance)
    if options.heads == "table":
        if options.max_lag is not None:
            refusals.append("max_lag belongs to heads of the lag; heads='table' keeps every entry")
        return reading.covariance, 0.0, frames - 1
    if reading.at_lags is not None:
        tails = reading.tails()
        num_lags = int((tails <= allowed).nonzero()[0])
        if options.max_lag is not None:
            num_lags = min(options.max_lag, frames - 1)
        operator, distance = reading.toeplitz(num_lags)
        if options.heads == "arc" and operator.lags is not None and not operator.lags.is_even:
            refusals.append(
                "heads='arc' sees the absolute lag, but this covariance is not the same forwards and backwards; "
                "heads='affine' has signed lags"
            )
            return None
        return operator, distance, num_lags
    if reading.times is None:
        refusals.append(
            f"heads={options.heads!r} needs a stationary kernel, and this covariance is no function of the lag; "
            "heads='table' or iteration='spectral' takes any"
        )
        return None
    if options.heads != "affine":
        refusals.append(
            f"heads={options.heads!r} needs a regular grid of times; heads='affine' interpolates, 'table' is exact"
        )
        return None
    if options.max_lag is not None:
        refusals.append("max_lag needs a regular grid of times; on irregular ones the tolerance decides the knots")
    operator, distance = reading.interpolated(allowed)
    assert operator.lags is not None
    knots = len(operator.lags.knots)
    if knots > MOST_HEADS:
        refusals.append(
            f"interpolating the kernel at these irregular times needs {knots} heads, more than {MOST_HEADS}; "
            "heads='table' needs 2 for each term, and iteration='spectral' as many"
        )
        return None
    return operator, distance, knots // 2 - 1


def _based(
    reading: Reading, options: Options, floor: float, refusals: list[str], basis: KroneckerTerms | None
) -> Lowered | None:
    """Solvers in another basis: the exact eigenvectors, or the cosine transform times the eigenvectors of C(0)."""
    if options.max_lag is not None:
        refusals.append(f"max_lag belongs to heads of the lag, and iteration={options.iteration!r} has none")
    covariance, dtype = reading.covariance, getattr(torch, options.dtype)
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
        refusals.append(_singular(spectrum))
        return None
    if operator is not None:
        ends = preconditioned_ends(operator, diagonal, options.min_time)
    mean = None if reading.mean is None else basis.transpose.product(reading.mean[None])[0]
    return Lowered(
        options.iteration, 1, operator, basis, diagonal, mean, ends, frames - 1, 0.0, False,
        spectrum.clamp(min=0.0), options.min_time, options.max_time,
    )  # fmt: skip


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
    found = torch.cat(values)
    slack = 64 * _EPS * len(found) * float(found.max())
    return torch.stack([found.min() - slack, found.max() + slack])


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
