"""Figures of sequences and of their dependence, real beside generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from ..data import SequenceSet
from ..report import Column, Estimate, Figure, Line, LinePanel, MatrixPanel, Table
from ..report.records import Cell
from .dependence import GENERATED, HELD_OUT, ROLES, TRAINING, Comparison, Distance

MOST_FEATURES = 9
THIN_LINES = 14
WORST = 8
_TIME_UNITS = (("days", pd.Timedelta(days=1)), ("hours", pd.Timedelta(hours=1)), ("minutes", pd.Timedelta(minutes=1)))


@dataclass(frozen=True)
class Axis:
    """How frames are counted on a page: ``scale`` units from one frame to the next."""

    unit: str
    scale: float

    @classmethod
    def of(cls, sequences: SequenceSet) -> Axis:
        """In the largest unit of time that a step is a whole number of; in frames without times."""
        step = sequences.step
        if isinstance(step, pd.Timedelta):
            for unit, length in _TIME_UNITS:
                if step % length == pd.Timedelta(0):
                    return cls(unit, float(step / length))
            return cls("seconds", step.total_seconds())
        return cls("frames", 1.0) if step is None else cls("units of time", float(step))

    def places(self, number: int) -> list[float]:
        """Positions of the first ``number`` frames."""
        return [self.scale * i for i in range(number)]


def feature_groups(names: Sequence[str]) -> list[list[int]]:
    """Indices of the features that share a stem (``temp`` of temp_EWR, temp_JFK); each by itself where none do."""
    groups: dict[str, list[int]] = {}
    for j, name in enumerate(names):
        groups.setdefault(name.rpartition("_")[0] or name, []).append(j)
    # feature_0, feature_1, ... share a stem that means nothing
    return [[j] for j in range(len(names))] if len(groups) == 1 else list(groups.values())


def sequence_figure(
    real: np.ndarray, generated: np.ndarray, names: Sequence[str], units: dict[str, str], axis: Axis
) -> Figure:
    """The first feature of every group: some sequences, their mean and where 90 % of all lie; real left, new right."""
    panels = []
    for group in feature_groups(names)[:MOST_FEATURES]:
        j = group[0]
        both = np.concatenate([real[..., j].ravel(), generated[..., j].ravel()])
        low, high = (float(v) for v in (both.min(), both.max()))
        room = 0.04 * (high - low) or 1.0
        for title, values, role in (("real", real, "truth"), ("generated", generated, "learnt")):
            panels.append(
                LinePanel(
                    f"{names[j]}, {title}",
                    f"time ({axis.unit})" if axis.unit != "frames" else "frame",
                    with_unit(names[j], units),
                    _sequence_lines(values[..., j], role, axis),
                    y_limits=(low - room, high + room),
                )
            )
    stems = "one feature of each group" if len(panels) // 2 < len(names) else "every feature"
    return Figure(
        panels,
        f"Real sequences on the left, generated ones on the right, in the units of the file, on one scale ({stems}). "
        f"Thin: {min(THIN_LINES, len(real))} single sequences, evenly spaced through the set. Thick: the mean at each "
        "frame; shaded: where 90 % of all sequences lie. Look for the same shape of the mean, the same width of the "
        "band, and single lines that are as rough and as persistent as the real ones. Sequences are new: none on the "
        "right is meant to match one on the left.",
        "Thin curves of single sequences with mean and 90 % band, real and generated side by side.",
        columns=2,
    )


def _sequence_lines(values: np.ndarray, role: str, axis: Axis) -> list[Line]:
    x = axis.places(values.shape[1])
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    chosen = np.unique(np.linspace(0, len(values) - 1, THIN_LINES).round().astype(int))
    label = "real" if role == "truth" else "generated"
    lines = [Line(f"{label}, single sequences", role, x, values[i], thin=True) for i in chosen]
    return [*lines, Line(f"{label}: mean and 90 % of sequences", role, x, values.mean(axis=0), low, high)]


def lag_figure(comparison: Comparison, names: Sequence[str], axis: Axis, baselines: Sequence[str] = ()) -> Figure:
    """Autocorrelation of each feature by lag, with the band of the training sequences."""
    band = comparison.band
    lags = axis.places(len(band.center))
    panels = []
    for j, name in enumerate(names):
        lower, center, upper = (part[:, j, j].tolist() for part in (band.lower, band.center, band.upper))
        series = [Line("real, with 95 % bootstrap band", "truth", lags, center, lower, upper)]
        for other in (HELD_OUT, *baselines, GENERATED):
            if other in comparison.correlations:
                values = comparison.correlations[other][:, j, j].tolist()
                series.append(Line(other, ROLES[other], lags, values))
        panels.append(LinePanel(name, f"lag ({axis.unit})", "correlation", series))
    return Figure(
        panels,
        "Correlation of each feature with itself, by lag, after removing the mean of every frame; averaged over the "
        "frames. The generated curve should stay within the band, which says how far the real curve could move if "
        f"the training sequences were drawn again ({_blocks(comparison)}). A generator without memory would drop to 0 "
        "at the first lag.",
        "Correlation by lag of each feature, real with its band and generated.",
        columns=3,
    )


def spatial_figure(comparison: Comparison, names: Sequence[str]) -> Figure:
    """Correlation matrices of the features at lag 0."""
    shown = [(TRAINING, "real"), (GENERATED, "generated"), (HELD_OUT, "held-out")]
    panels = [
        _matrix(title, comparison.correlations[key][0], names, "correlation", (-1.0, 1.0))
        for key, title in shown
        if key in comparison.correlations
    ]
    return Figure(
        panels,
        "Correlation between the features within a frame, averaged over the frames. The pictures should look the same; "
        "how much the held-out one differs from the real one shows what chance alone does.",
        "Correlation matrices of the features: real, generated, and held-out where there is one.",
        columns=len(panels),
    )


def difference_figure(comparison: Comparison, names: Sequence[str], axis: Axis) -> Figure:
    """Generated less real at up to three lags, on a scale of their own."""
    lags = sorted({lag for lag in (0, 1, (len(comparison.band.center) - 1) // 2) if lag < len(comparison.band.center)})
    gap = comparison.correlations[GENERATED] - comparison.band.center
    reach = max(float(gap[lags].abs().max()), 1e-3)
    panels = [
        _matrix(f"lag {axis.scale * lag:g} {axis.unit}", gap[lag], names, "generated less real", (-reach, reach))
        for lag in lags
    ]
    half = float(((comparison.band.upper - comparison.band.lower) / 2)[comparison.band.counted()].median())
    return Figure(
        panels,
        "Generated less real correlation of the feature of the row with that of the column some time later. Read the "
        f"size against the real uncertainty: half the width of the 95 % band is typically {half:.2f}. Stripes or "
        "blocks of one colour would mean that a feature or a direction of time is missed.",
        "Matrices of the difference between generated and real correlations at three lags.",
        columns=len(panels),
    )


def _matrix(title: str, values: Tensor, names: Sequence[str], label: str, limits: tuple[float, float]) -> MatrixPanel:
    rows = values.clamp(*limits).tolist()  # a correlation of 1 may pass it by a round-off
    return MatrixPanel(title, rows, "feature", "feature", label, list(names), list(names), limits, diverging=True)


def worst_table(comparison: Comparison, names: Sequence[str], axis: Axis) -> Table:
    """The correlations that the generator misses most, in half-widths of the band."""
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
            "pair (the later one second)",
            Column("lag", axis.unit, digits=4),
            Column("real", decimals=3),
            Column("band from", decimals=3),
            Column("to", decimals=3),
            Column("generated", decimals=3),
            Column("distance", "half-widths", decimals=2),
        ],
        rows,
        f"The {len(rows)} correlations that the generated sequences miss most: distance from the middle of the band in "
        "half-widths, so that above 1 is outside. One in twenty of a perfect generator's entries lies outside too.",
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
            Column("generated less this", "paired"),
            Column("parameters", digits=7),
        ],
        rows,
        "How much of the dependence each set of sequences holds. Inside the band: share of the correlations (every "
        "pair of features at every lag) within the 95 % bootstrap band of the training sequences; more is better. "
        "Energy distance between whole sequences and those held out, in scaled coordinates; less is better, 0 is the "
        "same law. Generated less this: difference of two energy distances over the same held-out sequences; below 0, "
        "by more than about twice the error, the generated ones are nearer.",
        note=f"± one standard error. Bands: {_blocks(comparison)}. Energy: jackknife over {comparison.held_out_blocks} "
        "blocks of held-out sequences, and the finite number of draws. The training row is what the band was made of.",
        row_roles=[ROLES[row.name] for row in comparison.rows],
        highlight_rows=[0],
    )


def _blocks(comparison: Comparison) -> str:
    if comparison.block == 1:
        return "bootstrap of sequences"
    return f"bootstrap of blocks of {comparison.block} neighbouring sequences"


def with_unit(name: str, units: dict[str, str]) -> str:
    """``temp_EWR (°F)``; the name alone without a known unit."""
    unit = next((unit for stem, unit in units.items() if name.startswith(stem)), "")
    return f"{name} ({unit})" if unit else name


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value
