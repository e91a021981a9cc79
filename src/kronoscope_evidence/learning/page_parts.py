"""Figures, tables and Pareto fronts that the pages of the studies of learning share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kronoscope.report import Column, Estimate, Figure, Line, LinePanel, Section, Table
from kronoscope.report.numerals import decimal, significant
from kronoscope.report.records import Cell

from ..slopes import CONFIDENCE
from .curves import Curve, Point, front
from .words import exponent_text

EXPONENT = "exponent (95 % interval)"


@dataclass(frozen=True)
class Rate:
    """The exponents that are expected.

    Attributes:
        networks: That which Theorem 2 of Fu et al. allows networks, as text.
        note: Where it comes from and what it assumes.
        sizes: Whether estimators' exponents are those of their numbers of parameters; else they are the networks'.
        shift: Added to exponents of numbers of parameters: -1 where errors are per frame and the axis is frames.
    """

    networks: str
    note: str
    sizes: bool = True
    shift: float = 0.0


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

    def head(self, place: float) -> str:
        """Label of the column at a place."""
        return f"{self.column}{place:g}"


def of_networks(curves: Sequence[Curve]) -> list[Curve]:
    """The curves of networks."""
    return [curve for curve in curves if curve.is_network]


def of_estimators(curves: Sequence[Curve]) -> list[Curve]:
    """The curves of estimators."""
    return [curve for curve in curves if not curve.is_network]


def axis_section(title: str, curves: Sequence[Curve], axis: Axis, rate: Rate, caption: str, alt: str) -> Section:
    """An axis as most pages show it: the figure, the means, the exponents, the effective parameters."""
    tables = (
        error_table(curves, axis, "Mean score errors."),
        exponent_table(curves, axis, rate),
        effective_table(curves, axis),
    )
    return Section(title, "", [error_figure(curves, axis, caption, alt), *tables])


def error_figure(curves: Sequence[Curve], axis: Axis, caption: str, alt: str) -> Figure:
    """Networks on the left, estimators on the right, each with the floor of the stationary separable class."""
    y_label = f"score error ({axis.unit})"
    parts = {"networks": of_networks(curves), "estimators on the same data": of_estimators(curves)}
    panels = [
        LinePanel(title, axis.label, y_label, _lines(part, curves), log_x=True, log_y=True)
        for title, part in parts.items()
        if part
    ]
    bands = (
        f" Bands are {100 * CONFIDENCE:.0f} % intervals of the mean over seeds. A line without a band has one seed. A "
        "missing point is a failure, which the table names."
    )
    return Figure(panels, caption + bands, alt, columns=2)


def _lines(part: Sequence[Curve], curves: Sequence[Curve]) -> list[Line]:
    lines = [line for curve in part if (line := curve_line(curve)) is not None]
    floor = next((curve for curve in curves if curve.definition.structure == "stationary-separable"), None)
    points = [] if floor is None else [(point.x, point.floor) for point in floor.points if point.floor is not None]
    if points:
        label = "floor of the stationary separable class"
        lines.append(Line(label, "floor", [x for x, _ in points], [y for _, y in points], dashed=True))
    return lines


def curve_line(curve: Curve) -> Line | None:
    """A curve, with its band where every point has an interval."""
    return points_line(curve.label, curve.role, [(point.x, point) for point in curve.points])


def points_line(label: str, role: str, points: Sequence[tuple[float, Point]]) -> Line | None:
    """Mean errors of points at their places, with a band where every point has an interval."""
    known = [(x, point) for x, point in points if point.kl is not None]
    if not known:
        return None
    x, y = [place for place, _ in known], [point.kl for _, point in known if point.kl is not None]
    lower = [point.lower for _, point in known if point.lower is not None]
    upper = [point.upper for _, point in known if point.upper is not None]
    if len(lower) < len(known):
        return Line(label, role, x, y, markers=True)
    return Line(label, role, x, y, lower, upper, markers=True)


def error_table(curves: Sequence[Curve], axis: Axis, caption: str, changes: Mapping[str, str] | None = None) -> Table:
    """Every mean with its standard error over seeds. Failures are named below.

    Args:
        curves: The curves.
        axis: What is varied.
        caption: How to read it.
        changes: A last column by learner.
    """
    places = sorted({point.x for curve in curves for point in curve.points})
    columns: list[Column | str] = ["learner", Column("parameters", digits=7)]
    columns += [Column(axis.head(place), axis.unit.split(" a ")[0]) for place in places]
    if changes is not None:
        columns.append("last over first place (95 % interval)")
    rows: list[list[Cell]] = []
    failures: list[str] = []
    for curve in curves:
        sizes = [point.parameters for point in curve.points if point.parameters is not None]
        cells = [mean_cell(curve.at(place)) for place in places]
        rows.append([curve.label, sizes[0] if sizes else None, *cells])
        if changes is not None:
            rows[-1].append(changes.get(curve.learner))
        failures += [
            f"{curve.label} at {axis.head(point.x)}: {reason}" for point in curve.points for reason in point.failed
        ]
    note = _note(curves, failures, len(places))
    return Table(columns, rows, caption, note=note, row_roles=[curve.role for curve in curves])


def _note(curves: Sequence[Curve], failures: Sequence[str], places: int) -> str:
    seeds = sorted({point.seeds for curve in curves for point in curve.points if point.seeds})
    counts = "none" if not seeds else f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    note = f"± one standard error over seeds ({counts} of them); without ± there is one seed."
    if failures:
        note += " A dash is a failure. " + ". ".join(dict.fromkeys(failures)) + "."
    absent = [curve.label for curve in curves if len(curve.points) < places]
    if absent:
        note += f" Not run at every place: {', '.join(absent)} (also a dash)."
    return note


def exponent_table(curves: Sequence[Curve], axis: Axis, rate: Rate) -> Table:
    """The fitted exponent of every learner, that of the floor of its class, and the expected one."""
    rows: list[list[Cell]] = [
        [
            curve.label,
            None if curve.exponent is None else exponent_text(curve.exponent),
            None if curve.floor_exponent is None else decimal(curve.floor_exponent, 2),
            _expected(curve, rate),
        ]
        for curve in curves
    ]
    caption = (
        f"Exponents of {axis.column.split()[0]}: the slope of log error on log {axis.column.split()[0]}, fitted to the "
        "errors of all seeds. Beside it: the exponent of the floor of the learner's class, where it is known, and the "
        "expected exponent."
    )
    columns = ["learner", EXPONENT, "of its floor", "expected"]
    return Table(columns, rows, caption, note=rate.note, row_roles=[curve.role for curve in curves])


def _expected(curve: Curve, rate: Rate) -> str | None:
    if curve.is_network or not rate.sizes:
        return rate.networks
    size = curve.size_exponent
    return None if size is None else decimal(size + rate.shift, 2)


def effective_table(curves: Sequence[Curve], axis: Axis, *, shared_limit: bool = False) -> Table:
    """p_eff = 2 n KL with its interval at every place, beside that of the class's floor where places share it."""
    places = sorted({point.x for curve in curves for point in curve.points})
    rows: list[list[Cell]] = []
    for curve in curves:
        rows.append([curve.label, *(effective_text(curve.at(place)) for place in places)])
        if shared_limit:
            rows[-1].append(_effective_floor(curve.points[-1]))
    caption = (
        "Effective parameters, 2 n × score error of a sequence, with 95 % intervals: an efficient estimator with as "
        "many parameters has the same error."
    )
    columns: list[Column | str] = ["learner", *(axis.head(place) for place in places)]
    if shared_limit:
        columns.append(Column("floor of its class", digits=4))
        caption += (
            " An efficient learner has the same number at every n, near the last column (where the floor of its class "
            "is known). A number that grows with n means a bias that more data do not reduce. A number that falls "
            "means a bias that more data reduce."
        )
    return Table(columns, rows, caption, row_roles=[curve.role for curve in curves])


def _effective_floor(last: Point) -> float | None:
    if last.floor is None or last.effective is None or last.kl is None:
        return None
    return last.effective * last.floor / last.kl


def effective_text(point: Point | None) -> str | None:
    """2 n KL with its interval."""
    if point is None or point.kl is None or point.effective is None:
        return None
    if point.lower is None or point.upper is None:
        return significant(point.effective)
    scale = point.effective / point.kl
    lower, upper = significant(scale * point.lower), significant(scale * point.upper)
    return f"{significant(point.effective)} ({lower} to {upper})"


@dataclass(frozen=True)
class Candidate:
    """A candidate for a Pareto front: a learner as a table names it, a cost and an error."""

    label: str
    cost: float
    point: Point


def front_line(candidates: Sequence[Candidate]) -> Line:
    """The Pareto front through the means."""
    kept = on_front(candidates)
    x, y = [each.cost for each in kept], [each.point.kl or 0.0 for each in kept]
    return Line("front", "truth", x, y, dashed=True)


def on_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that nothing of at most their cost beats or equals in mean error, by rising cost."""
    errors = [float("inf") if each.point.kl is None else each.point.kl for each in candidates]
    return [candidates[i] for i in front([(each.cost, error) for each, error in zip(candidates, errors, strict=True)])]


def front_table(candidates: Sequence[Candidate], cost: Column, caption: str) -> Table:
    """The front, by rising cost."""
    rows: list[list[Cell]] = [
        [
            each.label,
            int(each.cost) if float(each.cost).is_integer() else each.cost,
            mean_cell(each.point),
            interval_text(each.point),
        ]
        for each in on_front(candidates)
    ]
    columns: list[Column | str] = ["on the front", cost, Column("score error", "nats"), "95 % interval"]
    return Table(columns, rows, caption)


def interval_text(point: Point) -> str | None:
    """The interval of a mean."""
    if point.lower is None or point.upper is None:
        return None
    return f"{significant(point.lower)} to {significant(point.upper)}"


def mean_cell(point: Point | None) -> Cell:
    """A mean with its standard error; a dash for a failure."""
    if point is None or point.kl is None:
        return None
    return point.kl if point.standard_error is None else Estimate(point.kl, point.standard_error)
