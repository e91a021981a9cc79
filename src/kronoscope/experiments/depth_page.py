"""The page of ``kronoscope reproduce depth``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..report import Column, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell

if TYPE_CHECKING:
    from .depth import Curve, DepthResult

ROLES = {
    "gradient-descent": "null",
    "heavy-ball": "baseline-3",
    "chebyshev": "learnt",
    "spectrum-optimal": "second",
    "preconditioned-chebyshev": "baseline",
    "spectral": "baseline-2",
    "floor": "floor",
}
LABELS = {
    "gradient-descent": "gradient descent",
    "heavy-ball": "heavy ball",
    "chebyshev": "Chebyshev",
    "spectrum-optimal": "spectrum-optimal, in float64",
    "preconditioned-chebyshev": "Chebyshev, preconditioned by cosines",
    "spectral": "spectral block",
    "floor": "Krylov floor",
}
NEAR = 1.3
EXPECTED = {"gradient-descent": (1.0, 0.05), "chebyshev": (0.5, 0.05)}


def page(result: DepthResult, tolerance: float, least: float) -> Report:
    """One claim, one figure, the table that could have failed, and networks that were run."""
    return Report(
        "How deep must a network be that solves for the score?",
        "A transformer that unrolls gradient descent needs blocks in proportion to the condition number κ; one that "
        "unrolls Chebyshev's iteration, in proportion to its root.",
        facts={
            "error": f"{tolerance:g}, relative root mean square under the noised law",
            "frames and features": "64 and 4",
            "condition number": f"moved by the diffusion time, {result.curves[0].condition_numbers[-1]:.0f} to "
            f"{result.curves[0].condition_numbers[0]:.2g}",
        },
        sections=[_curves(result, least), _table(result), _networks(result, tolerance)],
        verdict=_verdict(result),
    )


def _verdict(result: DepthResult) -> Verdict:
    curve, first = result.curves[0], result.checked[0]
    numbers = []
    for name, (wanted, slack) in EXPECTED.items():
        worst = max((c.slopes[name] for c in result.curves), key=lambda s: abs(s.value - wanted))
        good = abs(worst.value - wanted) <= slack
        told = f"slope expected {wanted:g} ± {slack:g}; the worst of {len(result.curves)} kernels"
        numbers.append(Number(f"{worst.value:.3f}", f"slope, {LABELS[name]}", told, "good" if good else "bad"))
    ratio = first.depths["gradient-descent"] / first.depths["chebyshev"]
    numbers.append(
        Number(
            f"{ratio:.1f}",
            f"times fewer layers at κ = {first.condition_number:.0f}",
            "Chebyshev instead of gradient descent; at least 30 are claimed",
            "good" if ratio >= 30 else "bad",
        )
    )
    count = first.depths["preconditioned-chebyshev"]
    numbers.append(
        Number(
            str(count),
            f"iterations where Chebyshev takes {first.depths['chebyshev']}",
            "with the fixed cosine preconditioner; at most 5 are claimed",
            "good" if count <= 5 else "bad",
        )
    )
    optimal = [o / f for o, f in zip(curve.depths["spectrum-optimal"], curve.depths["floor"], strict=True)]
    numbers.append(
        Number(
            f"{max(optimal):.1f}",
            "spectrum-optimal over the floor, at most",
            "the floor's own polynomial does not survive rounding in float64; see below",
            "neutral",
        )
    )
    return Verdict(numbers)


def _curves(result: DepthResult, least: float) -> Section:
    panels = [_panel(curve) for curve in result.curves]
    caption = (
        "Fewest layers for the error above, against the condition number, both logarithmic. Parallel to the steepest "
        "line is what gradient descent pays; Chebyshev's line climbs half as steeply. The floor is the least that any "
        "network can do whose coefficients do not depend on x and that touches the data through products with the "
        "covariance alone; the lines below it, preconditioned and spectral, have a cosine or an eigenvector basis "
        "written into their position table and so leave that class. The heavy ball pays for coefficients that are the "
        "same in every layer. Where a kernel's own smallest eigenvalue ends the "
        "growth of κ its lines stop early."
    )
    figure = Figure(panels, caption, "Depth against condition number for seven solvers.", columns=min(2, len(panels)))
    columns: list[Column | str] = ["kernel", "solver", Column("slope", decimals=3), Column("95 % from", decimals=3)]
    columns += [Column("to", decimals=3), Column("decades of κ", decimals=1)]
    rows: list[list[Cell]] = []
    roles: list[str | None] = []
    for curve in result.curves:
        for name, found in curve.slopes.items():
            rows.append([curve.kernel, LABELS[name], found.value, found.lower, found.upper, _decades(curve, least)])
            roles.append(ROLES[name])
    table = Table(
        columns,
        rows,
        f"Slopes of log depth against log κ, fitted where κ ≥ {least:g}; intervals from the scatter about the line. A "
        "slope that is not constant shows up as a wide interval, not as a wrong one: the floor and the preconditioned "
        "solver follow no power of κ.",
        row_roles=roles,
    )
    return Section("Layers against the condition number", "", [figure, table])


def _decades(curve: Curve, least: float) -> float:
    fitted = [kappa for kappa in curve.condition_numbers if kappa >= least]
    return math.log10(max(fitted) / min(fitted))


def _panel(curve: Curve) -> LinePanel:
    order = [name for name in ROLES if name in curve.depths]
    lines = [
        Line(LABELS[name], ROLES[name], curve.condition_numbers[::-1], curve.depths[name][::-1], markers=True)
        for name in order
    ]
    return LinePanel(curve.kernel, "condition number κ", "layers", lines, log_x=True, log_y=True)


def _table(result: DepthResult) -> Section:
    rows: list[list[Cell]] = []
    floors: list[list[Cell]] = []
    wrong = 0
    for one in result.checked:
        where: list[Cell] = [one.reference.name, one.reference.frames, one.reference.time]
        row = [*where, one.condition_number]
        for name, told in one.reference.depths.items():
            row += [told, one.depths[name]]
            wrong += told != one.depths[name]
        rows.append(row)
        floor, optimal = one.depths["floor"], one.depths["spectrum-optimal"]
        floors.append([*where, floor, optimal, optimal / floor])
    columns: list[Column | str] = ["kernel", Column("N", digits=4), "t", Column("κ", digits=5)]
    for label in ("gradient descent", "Chebyshev", "preconditioned"):
        columns += [Column(f"{label}, theory", digits=6), Column("here", digits=6)]
    caption = (
        "The depths that the theory page states (its section 4) beside those computed here from the tables of "
        f"coefficients: {wrong} of {3 * len(rows)} differ."
    )
    table = Table(columns, rows, caption)
    below: list[Column | str] = ["kernel", Column("N", digits=4), "t", Column("floor", digits=4)]
    below += [Column("spectrum-optimal, in float64", digits=4), Column("ratio", decimals=2)]
    optimal_table = Table(
        below,
        floors,
        "The same cases at the floor, and what can be run of it. Spectrum-optimal coefficients attain the floor in "
        "exact arithmetic: the floor is their error. In float64 they cannot: their polynomial is huge beside the "
        "outlying eigenvalues, so that rounding undoes it, and a table that survives rounding needs more layers. "
        f"Along the curves above it stays within {NEAR:g} times the floor up to κ = {_near(result):.0f}.",
    )
    return Section("The table of the theory", "", [table, optimal_table])


def _near(result: DepthResult) -> float:
    """The condition number up to which every kernel's spectrum-optimal depth is near its floor."""
    reached = []
    for curve in result.curves:
        pairs = zip(curve.depths["spectrum-optimal"], curve.depths["floor"], strict=True)
        far = [kappa for kappa, (o, f) in zip(curve.condition_numbers, pairs, strict=True) if o > NEAR * f]
        reached.append(max((k for k in curve.condition_numbers if k < min(far, default=math.inf)), default=1.0))
    return min(reached)


def _networks(result: DepthResult, tolerance: float) -> Section:
    rows: list[list[Cell]] = [[LABELS[one.iteration], one.blocks, one.bound, one.error] for one in result.networks]
    columns: list[Column | str] = ["compiled from", Column("blocks", digits=6), Column("proven bound", digits=3)]
    columns.append(Column("error of the network", digits=3))
    caption = (
        "The first row of the table as transformers with written weights, run on drawn sequences at that diffusion "
        f"time. Every error must be below its bound, and every bound below {tolerance:g}. A network is given the "
        "depth that is proven, for the worst direction and all later times, which is a little more than the fewest "
        "layers above; with a basis there is one block more, to leave it."
    )
    return Section(
        "As networks", "", [Table(columns, rows, caption, row_roles=[ROLES[n.iteration] for n in result.networks])]
    )
