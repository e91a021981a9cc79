"""The page of ``kronoscope reproduce width-depth``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report import Column, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell

if TYPE_CHECKING:
    from .width_depth import Frontier, Sized, WidthDepthResult

ROLES = {
    "gradient descent": "null",
    "Chebyshev": "learnt",
    "Chebyshev, one head": "second",
    "preconditioned Chebyshev": "baseline",
    "spectral block": "baseline-2",
}


def page(result: WidthDepthResult) -> Report:
    """One claim with two halves: what does not buy depth, and what does."""
    return Report(
        "What can depth be traded for?",
        "Hardly for heads: below a number of lags no depth helps, and soon above it no head saves a block. For width "
        "it can be: coordinates that name the frame put a basis into the weights, and two to a dozen blocks do.",
        facts={
            "heads": f"{result.frames} frames, 1 feature, Chebyshev, affine heads, tolerance 0.1, t from 0.1",
            "width": "2 features, exponential kernel of lengthscale 8, tolerance 0.01, t from 0.01",
        },
        sections=[_heads(result), _width(result)],
        verdict=_verdict(result),
    )


def _verdict(result: WidthDepthResult) -> Verdict:
    saved = [max(depth for _, depth in f.proven) / min(depth for _, depth in f.proven) for f in result.frontiers]
    knee = [_knee(f.proven) for f in result.frontiers]
    last = {one.name: one for one in result.sized if one.frames == max(s.frames for s in result.sized)}
    chebyshev, spectral = last["Chebyshev"], last["spectral block"]
    held = sum(one.error <= one.bound for one in result.sized)
    every = all(frontier.bound_held for frontier in result.frontiers) and held == len(result.sized)
    return Verdict(
        [
            Number(f"{max(saved):.1f}", "times less depth by more heads, at most", f"{len(saved)} kernels, all lags"),
            Number(
                f"{max(knee):.1f}",
                "times the fewest heads, and depth is within a fifth of its least",
                "a trade would need this to be large",
                "good" if max(knee) <= 2 else "bad",
            ),
            Number(
                f"{chebyshev.depth} to {spectral.depth}",
                "blocks, for a wider stream",
                f"at {chebyshev.frames} frames: width {chebyshev.width} to {spectral.width}",
                "good" if spectral.depth < chebyshev.depth else "bad",
            ),
            Number("all" if every else "not all", "errors below their bounds", "on drawn sequences", _standing(every)),
        ]
    )


def _standing(holds: bool) -> str:
    return "good" if holds else "bad"


def _knee(points: list[tuple[int, int]]) -> float:
    least = min(depth for _, depth in points)
    return min(heads for heads, depth in points if depth <= 1.2 * least) / min(heads for heads, _ in points)


def _heads(result: WidthDepthResult) -> Section:
    figure = Figure(
        [_panel(frontier) for frontier in result.frontiers],
        "Blocks against heads at one tolerance; every point is another number of lags kept. The compiled networks "
        "(proven) and the fewest Chebyshev steps when the error is known exactly (possible). A fair exchange of depth "
        "for heads would be a straight line from top left to bottom right. What is seen is a corner: where the line "
        "begins, the cut kernel alone uses up the tolerance, and to the right of it the depth is that of the whole "
        "kernel, since the condition number no longer changes. Where heads seem to buy depth (a rise at the left "
        "end), it is that little tolerance is left for the iteration.",
        "Depth against heads for three kernels: corners, not slopes.",
        columns=2,
    )
    return Section("Heads do not buy depth", "", [figure])


def _panel(frontier: Frontier) -> LinePanel:
    lines = []
    for label, role, points in (("proven", "learnt", frontier.proven), ("possible", "truth", frontier.possible)):
        if points:
            lines.append(Line(label, role, [h for h, _ in points], [d for _, d in points], markers=True))
    most = max(depth for line in (frontier.proven, frontier.possible) for _, depth in line)
    return LinePanel(frontier.kernel, "heads M", "blocks L", lines, y_limits=(0, 1.1 * most))


def _width(result: WidthDepthResult) -> Section:
    panels = [
        LinePanel(
            "",
            "frames N",
            label,
            [_line(result, name, field) for name in ROLES],
            log_x=True,
            log_y=True,
            x_ticks=sorted({one.frames for one in result.sized}),
        )
        for label, field in (("blocks L", "depth"), ("width of the stream D", "width"))
    ]
    figure = Figure(
        panels,
        "The same score at growing length of the sequences: left the depth, right the width of the residual stream. "
        "The networks whose width does not grow are those whose depth does, like the root of κ at best. "
        "A table of positions (one head) is width that buys heads and no depth; a cosine basis with a preconditioner, "
        "or the exact eigenvectors, is width that buys depth.",
        "Depth and width against the number of frames for five networks.",
        columns=2,
    )
    frames = max(one.frames for one in result.sized)
    rows: list[list[Cell]] = [
        [one.name, one.depth, one.num_heads, one.width, one.parameters, one.bound, one.error]
        for one in result.sized
        if one.frames == frames
    ]
    columns: list[Column | str] = ["network", Column("L", digits=5), Column("M", digits=5), Column("D", digits=5)]
    columns += [Column("weights", digits=8), "proven bound", "error of the network"]
    caption = (
        f"The networks of {frames} frames: blocks, heads, width, weights (tied ones once), and the error on drawn "
        "sequences, which must be below its bound and the bound below 0.01."
    )
    return Section("Width does", "", [figure, Table(columns, rows, caption, row_roles=list(ROLES.values()))])


def _line(result: WidthDepthResult, name: str, field: str) -> Line:
    found: list[Sized] = [one for one in result.sized if one.name == name]
    values = [getattr(one, field) for one in found]
    return Line(name, ROLES[name], [one.frames for one in found], values, markers=True)
