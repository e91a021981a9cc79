"""How many iterations, how many product layers: the smallest that keep the proven bound.

The tolerance is shared out: a quarter to the operator (truncation or interpolation), a quarter to products by ReLU
layers where there are such, the rest to the iteration.

Nothing is raised here. Every stage returns what it made, or None, and its refusals: reasons in words for people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from .._display import Displayed
from ..iterations import iterations_needed
from . import assembly, bounds
from .lowering import Lowered, lower
from .operators import KroneckerTerms
from .options import BASED, Options
from .products import Ranges
from .structure import Structure

PRODUCT_SHARE = 0.25  # of the tolerance, for products by ReLU layers
MOST_BLOCKS = 2**20
MOST_ITERATIONS = 2**22  # of a bound that is a sum over them
MOST_STEPS = 4096  # of a bound that is read off a grid: its cost grows with the square, with gates="relu" the cube
SHALLOW = ("chebyshev", "preconditioned-chebyshev", "spectral")  # the others are never shallower than the first
MOST_ROUNDING = 0.5  # of the tolerance: beyond it nothing is left to share out


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


def plan(structure: Structure, options: Options, basis: KroneckerTerms | None = None) -> tuple[Plan | None, list[str]]:
    """Decide everything, or say why it cannot be.

    Args:
        structure: Of the process.
        options: Options without refusals of their own.
        basis: Eigenvectors to use instead of those found here (see :func:`lower`).

    Returns:
        The plan, or None where there are refusals; every refusal with its reason.
    """
    sized, refusals, unprovable = _sized(structure, options, basis)
    if unprovable:
        refusals.append(f"{unprovable}; {_shallower(structure, options)}")
    if sized is None:
        return None, refusals
    too_deep = _too_deep(sized, options)
    if too_deep:
        refusals.append(f"{too_deep}; {_shallower(structure, options)}")
    out_of_reach = _out_of_reach(sized, options)
    if out_of_reach and (sized.parts["round-off"] > MOST_ROUNDING * options.tolerance or not refusals):
        refusals.append(out_of_reach)
    return (None, refusals) if refusals else (sized, [])


def _sized(structure: Structure, options: Options, basis: KroneckerTerms | None) -> tuple[Plan | None, list[str], str]:
    """The plan, however deep and inexact it turns out; refusals; and why this iteration cannot be proven, if so."""
    form, refusals = lower(structure, options, basis)
    if form is None:
        return None, refusals, ""
    share = PRODUCT_SHARE * options.tolerance
    reserved = share + bounds.TAIL_SHARE * options.tolerance if options.gates == "relu" else 0.0
    room = _room(form, options, reserved)
    if room <= 0:
        refusals.append(
            f"max_lag={options.max_lag} cuts off too much: the error of the truncated kernel alone is bounded by "
            f"{bounds.operator_error(form):.3g}, above tolerance {options.tolerance:g}"
        )
        room = options.tolerance / 2
    sized, unprovable = _with_iterations(form, options, room)
    ranges = None
    if options.gates == "relu" and not unprovable:
        ranges = bounds.choose_ranges(sized, options.tolerance, share, options.product_layers)
        unprovable = "" if ranges is not None else _too_few_layers(sized, options)
    if unprovable:
        return None, refusals, unprovable
    parts = bounds.prove(sized, options.heads, ranges, getattr(torch, options.dtype))
    return Plan(sized, ranges, parts), refusals, ""


def _room(form: Lowered, options: Options, reserved: float) -> float:
    """What is left of the tolerance for the iteration; 0 or less where cutting lags off takes all of it."""
    delta = bounds.operator_error(form)
    return (options.tolerance - delta - reserved) / (1 + delta)


def _with_iterations(form: Lowered, options: Options, room: float) -> tuple[Lowered, str]:
    """The form with the smallest K whose bound fits, and why that K cannot be proven, if so.

    Where round-off leaves no room, K is that of an exact arithmetic.
    """
    if form.operator is None:
        return form, ""
    delta, kappa = bounds.operator_error(form), bounds.condition_number(form)
    dtype, rounding, sized = getattr(torch, options.dtype), 0.0, form
    for _ in range(6):
        left = room - rounding / (1 + delta)
        count = int(iterations_needed(form.builder, kappa, left if left > 0 else room))
        unprovable = _unprovable(form, options, count, kappa)
        if unprovable:
            return form, unprovable
        sized = replace(form, num_iterations=count)
        before, rounding = rounding, bounds.round_off(sized, options.heads, None, dtype) * (1 + 1e-9)
        if rounding <= before:
            break
    return sized, ""


def _unprovable(form: Lowered, options: Options, count: int, kappa: float) -> str:
    """Why so many iterations are not proven: it would take hours, or more memory than there is."""
    most = MOST_ITERATIONS
    if form.builder == "chebyshev-steps":
        most = MOST_STEPS if options.gates == "modulated" else MOST_STEPS // 2
    if form.builder == "gradient-descent" or count <= most:
        return ""
    return (
        f"{options.iteration} needs {count} iterations for tolerance {options.tolerance:g} at condition number "
        f"{kappa:.4g}, and its error is proven for at most {most}"
    )


def _too_few_layers(sized: Lowered, options: Options) -> str:
    blocks = sized.num_iterations * (bounds.MOST_LAYERS + 2)
    layers = options.product_layers
    most = f"{bounds.MOST_LAYERS} product layers, {blocks} blocks in all, are"
    wanted = most if layers is None else f"product_layers={layers} is"
    return (
        f"tolerance {options.tolerance:g} is out of reach with gates='relu': {wanted} too few: the error of a product "
        "would leave the range that the next one takes"
    )


def _too_deep(planned: Plan, options: Options) -> str:
    """How deep, if deeper than is allowed."""
    depth, most = assembly.depth(planned.lowered, planned.ranges), min(options.max_depth, MOST_BLOCKS)
    if depth <= most:
        return ""
    allowed = f"at most {most}" if most < options.max_depth else f"{most}"
    return (
        f"max_depth is {allowed}, but {options.iteration} needs {depth} blocks for tolerance "
        f"{options.tolerance:g} at condition number {bounds.condition_number(planned.lowered):.4g}"
    )


def _out_of_reach(planned: Plan, options: Options) -> str:
    """By how much the bound misses the tolerance; with ``product_layers`` given it is not refused."""
    if planned.bound <= options.tolerance or options.product_layers is not None:
        return ""
    return (
        f"tolerance {options.tolerance:g} is out of reach at {options.dtype}: the bound is {planned.bound:.3g}, "
        f"of which {planned.parts['round-off']:.3g} is round-off, at condition number "
        f"{bounds.condition_number(planned.lowered):.4g}"
    )


def _shallower(structure: Structure, options: Options) -> str:
    """Which other iterations would do, with the depths that they take: each is planned to the end."""
    offers = []
    for iteration in SHALLOW:
        if iteration == options.iteration:
            continue
        other = replace(options, iteration=iteration, max_lag=None if iteration in BASED else options.max_lag)
        sized, refusals, _ = _sized(structure, other, None)
        if sized is not None and not (refusals or _too_deep(sized, other) or _out_of_reach(sized, other)):
            offers.append(f"iteration='{iteration}' needs {assembly.depth(sized.lowered, sized.ranges)}")
    return ", ".join(offers) if offers else "no supported iteration needs so few"
