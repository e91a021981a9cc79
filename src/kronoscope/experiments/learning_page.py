"""What the pages of the study of learning share: figures along an axis, the table behind them, take-aways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..report import Column, Estimate, Figure, Line, LinePanel, Section, Table, Text
from ..report.records import Cell
from .learning import CONFIDENCE, SECONDS, Curve, Exponent, Point

FAR = 10.0


@dataclass(frozen=True)
class TakeAway:
    """A sentence that can be acted on, and the row of the table that backs it."""

    advice: str
    because: str
    row: str


@dataclass(frozen=True)
class Axis:
    """What is varied.

    Attributes:
        label: Of the figure, with the unit.
        column: Head of a column of the table, before the value: "n = ".
        unit: Of the score error.
    """

    label: str
    column: str
    unit: str = "nats a sequence"


def networks(found: Sequence[Curve]) -> list[Curve]:
    """The curves of networks."""
    return [curve for curve in found if curve.told.network]


def classical(found: Sequence[Curve]) -> list[Curve]:
    """The curves of estimators."""
    return [curve for curve in found if curve.told.estimator]


def figure(found: Sequence[Curve], axis: Axis, caption: str, alt: str) -> Figure:
    """Networks on the left, estimators on the right, each with the floor of the stationary separable class."""
    y_label = f"score error ({axis.unit})"
    panels = [
        LinePanel(title, axis.label, y_label, _lines(part, found), log_x=True, log_y=True)
        for title, part in (("networks", networks(found)), ("estimators on the same data", classical(found)))
        if part
    ]
    bands = (
        f" Bands are {100 * CONFIDENCE:.0f} % intervals of the mean over seeds; a line without a band has one seed, "
        "and a missing point is a failure that the table names."
    )
    return Figure(panels, caption + bands, alt, columns=2)


def _lines(part: Sequence[Curve], found: Sequence[Curve]) -> list[Line]:
    lines = [line for curve in part if (line := _line(curve)) is not None]
    floor = next((curve for curve in found if curve.told.structure == "stationary-separable"), None)
    points = [] if floor is None else [(point.x, point.floor) for point in floor.points if point.floor is not None]
    if points:
        label = "floor of the stationary separable class"
        lines.append(Line(label, "floor", [x for x, _ in points], [y for _, y in points], dashed=True))
    return lines


def _line(curve: Curve) -> Line | None:
    points = [point for point in curve.points if point.kl is not None]
    if not points:
        return None
    x = [point.x for point in points]
    y = [point.kl for point in points if point.kl is not None]
    lower = [point.lower for point in points if point.lower is not None]
    upper = [point.upper for point in points if point.upper is not None]
    if len(lower) < len(points):
        return Line(curve.told.label, curve.told.role, x, y, markers=True)
    return Line(curve.told.label, curve.told.role, x, y, lower, upper, markers=True)


def table(found: Sequence[Curve], axis: Axis, caption: str, exponents: bool = True) -> Table:
    """Every mean with its standard error over seeds; failures by name below."""
    places = sorted({point.x for curve in found for point in curve.points})
    columns: list[Column | str] = ["learner", Column("weights or parameters", digits=7)]
    columns += [Column(f"{axis.column}{_number(place)}", axis.unit.removesuffix(" a sequence")) for place in places]
    if exponents:
        columns.append("exponent (95 % interval)")
    rows: list[list[Cell]] = []
    failures: list[str] = []
    for curve in found:
        sizes = [point.weights for point in curve.points if point.weights is not None]
        cells = [_cell(curve.at(place)) for place in places]
        rows.append([curve.told.label, sizes[0] if sizes else None, *cells])
        if exponents:
            rows[-1].append(_exponent(curve.exponent))
        failures += [
            f"{curve.told.label} at {axis.column}{_number(point.x)}: {why}"
            for point in curve.points
            for why in point.failed
        ]
    seeds = sorted({point.seeds for curve in found for point in curve.points if point.seeds})
    note = f"± one standard error over seeds ({_range(seeds)} of them); without ± there is one seed."
    if failures:
        note += " A dash is a failure. " + ". ".join(dict.fromkeys(failures)) + "."
    return Table(columns, rows, caption, note=note, row_roles=[curve.told.role for curve in found])


def effective_table(found: Sequence[Curve], axis: Axis) -> Table:
    """p_eff = 2 n KL beside that of the class's floor."""
    places = sorted({point.x for curve in found for point in curve.points})
    columns: list[Column | str] = ["learner", *(Column(f"{axis.column}{_number(p)}", digits=4) for p in places)]
    columns.append(Column("floor of its class", digits=4))
    rows: list[list[Cell]] = []
    for curve in found:
        points = [curve.at(place) for place in places]
        last = curve.points[-1]
        ratio = None if last.floor is None or last.effective is None or last.kl is None else last.floor / last.kl
        floor = None if ratio is None or last.effective is None else last.effective * ratio
        rows.append([curve.told.label, *(None if one is None else one.effective for one in points), floor])
    caption = (
        "Effective parameters, 2 n × score error: how many parameters an efficient statistician would have had to "
        "learn to do equally badly. A learner on its limit has the same number at every n, near the last column (where "
        "the limit of its class is known); a number that grows with n means a bias that more data do not cure, one "
        "that falls means a bias that more data forgive."
    )
    return Table(columns, rows, caption, row_roles=[curve.told.role for curve in found])


def take_aways(found: Sequence[TakeAway]) -> Section:
    """What to do about it."""
    rows: list[list[Cell]] = [[one.advice, one.because, one.row] for one in found]
    caption = "Each sentence is read off the row that is named beside it, by the program that made this page."
    lead = "Measured on Gaussian sequences, whose truth is known; other laws may rank learners differently."
    return Section("Take-aways", lead, [Table(["what to do", "because", "row"], rows, caption)])


def how(sentences: str) -> Section:
    """How it was done and how it could have failed."""
    return Section("How it was done", "", [Text(sentences)])


def matched(found: Sequence[Curve]) -> str:
    """Who is matched with whom, in words."""
    sizes = {c.told.label: next((p.weights for p in c.points if p.weights), 0) for c in networks(found)}
    told = ", ".join(f"{label} {size}" for label, size in sizes.items())
    seconds = {c.told.label: max(p.seconds for p in c.points) for c in networks(found)}
    times = ", ".join(f"{label} {value:.0f} s" for label, value in seconds.items())
    words = f"Weights: {told}. Longest mean training: {times}, on the machine that ran this."
    if {"dit", "unet"} <= {curve.learner for curve in found}:
        words += (
            f" Networks are matched in time: each has the train steps that take about {SECONDS} s on one core at 32 "
            "frames of 4 features, which cuts the generic ones short of their best (docs/learning.md has their long "
            "trainings). The DiT and the U-Net are matched in weights as well."
        )
    return words


def nats(point: Point | None) -> str:
    """A mean as text."""
    if point is None or point.kl is None:
        return "a failure"
    return f"{point.kl:.3g} nats"


def _cell(point: Point | None) -> Cell:
    if point is None or point.kl is None:
        return None
    return point.kl if point.standard_error is None else Estimate(point.kl, point.standard_error)


def _exponent(found: Exponent | None) -> Cell:
    return None if found is None else f"{found.value:.2f} ({found.lower:.2f} to {found.upper:.2f})"


def _number(value: float) -> str:
    return f"{value:g}"


def _range(seeds: Sequence[int]) -> str:
    if not seeds:
        return "none"
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
