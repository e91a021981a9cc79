"""Figures of sequences and of their dependence, real beside generated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..metrics import figures
from ..models.figures import MOST_FEATURES, Axis, feature_groups, sequence_figure, with_unit
from ..report import Column, Estimate, Figure, Table
from ..report.records import Cell
from .dependence import GENERATED, HELD_OUT, ROLES, TRAINING, Comparison, Distance

__all__ = [
    "MOST_FEATURES",
    "Axis",
    "dependence_table",
    "difference_figure",
    "feature_groups",
    "lag_figure",
    "sequence_figure",
    "spatial_figure",
    "with_unit",
    "worst_table",
]

WORST = 8


def lag_figure(comparison: Comparison, names: Sequence[str], axis: Axis, baselines: Sequence[str] = ()) -> Figure:
    """Autocorrelation of each feature by lag, with the band of the training sequences."""
    shown = [name for name in (HELD_OUT, *baselines, GENERATED) if name in comparison.correlations]
    others = {name: comparison.correlations[name] for name in shown}
    return figures.lag_figure(comparison.band, others, ROLES, names, axis.unit, axis.scale)


def spatial_figure(comparison: Comparison, names: Sequence[str]) -> Figure:
    """Correlation matrices of the features at lag 0."""
    titles = {TRAINING: "real", GENERATED: "generated", HELD_OUT: "held-out"}
    shown = {title: comparison.correlations[key] for key, title in titles.items() if key in comparison.correlations}
    return figures.feature_figure(shown, names)


def difference_figure(comparison: Comparison, names: Sequence[str], axis: Axis) -> Figure:
    """Generated minus real correlations at up to three lags, on a common scale."""
    lags = sorted({lag for lag in (0, 1, (len(comparison.band.center) - 1) // 2) if lag < len(comparison.band.center)})
    gap = comparison.correlations[GENERATED] - comparison.band.center
    reach = max(float(gap[lags].abs().max()), 1e-3)
    panels = [
        figures.correlation_panel(
            f"lag {axis.scale * lag:g} {axis.unit}", gap[lag], names, "generated minus real", (-reach, reach)
        )
        for lag in lags
    ]
    half = float(((comparison.band.upper - comparison.band.lower) / 2)[comparison.band.counted()].median())
    return Figure(
        panels,
        "Generated minus real correlation: the feature of the row with the feature of the column at the later "
        "time. Compare "
        "the size with the uncertainty of the real correlations: half the width of their 95 % band is "
        f"typically {half:.2f}. "
        "Stripes or blocks of one colour show a feature or a time asymmetry that is not reproduced.",
        "Matrices of the difference between generated and real correlations at three lags.",
        columns=len(panels),
    )


def worst_table(comparison: Comparison, names: Sequence[str], axis: Axis) -> Table:
    """The correlations with the largest errors, in half-widths of the band."""
    band, got = comparison.band, comparison.correlations[GENERATED]
    half = ((band.upper - band.lower) / 2).clamp_min(1e-12)
    miss = (got - (band.upper + band.lower) / 2).abs() / half
    miss[~band.counted()] = 0.0
    rows: list[list[Cell]] = []
    for index in miss.flatten().argsort(descending=True)[: min(WORST, int(band.counted().sum()))].tolist():
        lag, a, b = (int(i) for i in np.unravel_index(index, miss.shape))
        values = [float(t[lag, a, b]) for t in (band.center, band.lower, band.upper, got)]
        rows.append([f"{names[a]} → {names[b]}", _plain(axis.scale * lag), *values, float(miss[lag, a, b])])
    return Table(
        [
            "pair (second at the later time)",
            Column("lag", axis.unit, digits=4),
            Column("real", decimals=3),
            Column("band from", decimals=3),
            Column("to", decimals=3),
            Column("generated", decimals=3),
            Column("distance", "half-widths", decimals=2),
        ],
        rows,
        f"The {len(rows)} generated correlations with the largest errors. Distance: from the middle of the real "
        "band, in "
        "half-widths; above 1 is outside the band. Of a perfect generator, one correlation in twenty lies outside.",
    )


def dependence_table(comparison: Comparison) -> Table:
    """Share inside the band and energy distance of every set."""

    def cell(distance: Distance | None) -> Estimate | None:
        return None if distance is None else Estimate(distance.value, distance.standard_error)

    rows: list[list[Cell]] = [
        [row.name, row.sequences, 100 * row.share_inside, cell(row.energy), cell(row.difference), row.parameters]
        for row in comparison.rows
    ]
    return Table(
        [
            "sequences",
            Column("number", digits=6),
            Column("inside the band", "%", decimals=0),
            Column("energy distance", "to held-out"),
            Column("generated minus this", "paired"),
            Column("parameters", digits=7),
        ],
        rows,
        "How well each set of sequences reproduces the dependence. Inside the band: share of the correlations (every "
        "pair of features at every lag) within the 95 % bootstrap band of the training sequences; higher is better. "
        "Energy distance: between whole sequences and the held-out ones, in scaled coordinates; lower is "
        "better, 0 means the "
        "same distribution. Generated minus this: the paired difference of two energy distances. Where it is "
        "below 0 by more "
        "than about twice the error, the generated sequences are nearer.",
        note=f"± one standard error. Bands: {figures.resampled(comparison.band)}. Energy: jackknife over "
        f"{comparison.held_out_blocks} blocks of held-out sequences, and the finite number of draws. The training "
        "row is the set that the band was computed from.",
        row_roles=[ROLES[row.name] for row in comparison.rows],
        highlight_rows=[0],
    )


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value
