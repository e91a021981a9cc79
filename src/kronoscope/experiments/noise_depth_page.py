"""The page of ``kronoscope reproduce noise-depth``."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ..report import Column, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .depth_page import LABELS, ROLES

if TYPE_CHECKING:
    from .noise_depth import Curve, NoiseDepthResult

SHOWN = ("gradient-descent", "chebyshev", "preconditioned-chebyshev", "floor")
GENERATED_ROLES = ("null", "learnt", "baseline-3")


def page(result: NoiseDepthResult, tolerance: float) -> Report:
    """One claim, its curves, and a sampler that lives on it."""
    return Report(
        "How much depth does each noise level need?",
        "Noise lifts the smallest eigenvalue, so the condition number and with it the depth fall along diffusion time: "
        "a sampler can spend its blocks where they count, at the end.",
        facts={
            "error": f"{tolerance:g}, relative root mean square under the noised law",
            "curves": "64 frames, 4 features",
            "generation": f"{result.frames} frames, {result.features} features, squared exponential, lengthscale 4",
        },
        sections=[_curves(result), _generation(result)],
        verdict=_verdict(result),
    )


def _verdict(result: NoiseDepthResult) -> Verdict:
    rows = [curve.depths["chebyshev"] for curve in result.curves]
    falls = all(later <= earlier for row in rows for earlier, later in pairwise(row))
    first = rows[0]
    fixed, staged, even = result.generated
    return Verdict(
        [
            Number(
                f"{first[0]} to {first[-1]}",
                "blocks by Chebyshev, from t = 0.001 to 6",
                f"{result.curves[0].kernel}; must never rise, for any kernel",
                "good" if falls else "bad",
            ),
            Number(
                f"{fixed.blocks / staged.blocks:.1f}",
                "times fewer blocks in a whole run",
                f"{staged.blocks} instead of {fixed.blocks}, one network for each stretch of time",
                "good" if staged.blocks < fixed.blocks else "bad",
            ),
            Number(
                f"{staged.kl:.1e}",
                "nats that this costs",
                f"exact; {fixed.kl:.1e} with full depth everywhere",
                "good" if staged.kl <= 0.1 * staged.to_data else "bad",
            ),
            Number(
                f"{even.kl:.1e}",
                "nats with as many blocks spread evenly",
                "the null: if depth did not matter more at little noise, this would be as good",
                "good" if even.kl > 2 * staged.kl else "bad",
            ),
        ]
    )


def _curves(result: NoiseDepthResult) -> Section:
    caption = (
        "Fewest layers for the error above at each diffusion time, both axes logarithmic. Left is data, right is "
        "noise, where two or three layers do because there is little left to solve. A line that rose anywhere would "
        "refute the claim. Kernels with a smallest eigenvalue of their own flatten towards the left; smooth ones keep "
        "climbing, as only the noise keeps them from being singular."
    )
    panels = [_panel(curve) for curve in result.curves]
    figure = Figure(panels, caption, "Depth against diffusion time for four solvers.", columns=min(2, len(panels)))
    return Section("Depth along the noise", "", [figure])


def _panel(curve: Curve) -> LinePanel:
    lines = [Line(LABELS[name], ROLES[name], curve.times, curve.depths[name]) for name in SHOWN]
    return LinePanel(curve.kernel, "diffusion time t", "layers", lines, log_x=True, log_y=True)


def _generation(result: NoiseDepthResult) -> Section:
    rows: list[list[Cell]] = [[one.name, one.deepest, one.blocks, one.kl, one.to_data] for one in result.generated]
    columns: list[Column | str] = [
        "networks",
        Column("blocks, deepest", digits=5),
        Column("blocks in one run", digits=6),
    ]
    columns += [Column("KL to the run with the exact score", "nats"), Column("KL to the data", "nats")]
    caption = (
        "A sampler (DPM-Solver++ 2M, on the log-SNR grid from t = 6 to 0.01) with compiled networks as its score: "
        "exact laws of what it generates, carried in closed form, no sequence drawn. The first column of nats is what "
        "the networks cost; the last contains the sampler's own error, which is the same for all three. Staged depth "
        "must cost no more nats than full depth by much, and far less than the same number of blocks spread evenly."
    )
    table = Table(columns, rows, caption, row_roles=GENERATED_ROLES)
    stretches: list[list[Cell]] = [[low, high, depth] for low, high, depth in result.stage_depths]
    told = Table(
        ["from t", "to t", Column("blocks", digits=5)], stretches, "The stretches and the depth proven for each."
    )
    return Section("A sampler with depth by noise level", "", [table, told])
