"""What the pages of the study of learning share: figures along an axis, the tables behind them, fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kronoscope.report import Column, Estimate, Figure, Line, LinePanel, Section, Table
from kronoscope.report.numerals import decimal, significant
from kronoscope.report.records import Cell

from .curves import Curve, Point, front
from .learners import CONFIDENCE
from .words import how as how  # pages outside the study read it here

EXPONENT = "exponent (95 % interval)"


@dataclass(frozen=True)
class Rate:
    """What exponents are to be read beside.

    Attributes:
        networks: The rate for networks in the style of the theory, as text.
        note: Its assumption.
        sizes: Whether estimators' rates are those of their numbers of parameters; else they have the networks'.
        shift: Added to slopes of numbers of parameters: -1 where errors are per frame and the axis is frames.
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
    lines = [one for curve in part if (one := line(curve)) is not None]
    floor = next((curve for curve in found if curve.told.structure == "stationary-separable"), None)
    points = [] if floor is None else [(point.x, point.floor) for point in floor.points if point.floor is not None]
    if points:
        label = "floor of the stationary separable class"
        lines.append(Line(label, "floor", [x for x, _ in points], [y for _, y in points], dashed=True))
    return lines


def line(curve: Curve) -> Line | None:
    """A curve with its band, where every point has an interval."""
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


def table(found: Sequence[Curve], axis: Axis, caption: str, changes: Mapping[str, str] | None = None) -> Table:
    """Every mean with its standard error over seeds; failures by name below.

    Args:
        found: The curves.
        axis: What is varied.
        caption: How to read it.
        changes: A last column by learner.
    """
    places = sorted({point.x for curve in found for point in curve.points})
    columns: list[Column | str] = ["learner", Column("weights or parameters", digits=7)]
    columns += [Column(axis.head(place), axis.unit.split(" a ")[0]) for place in places]
    if changes is not None:
        columns.append("last over first place (95 % interval)")
    rows: list[list[Cell]] = []
    failures: list[str] = []
    for curve in found:
        sizes = [point.weights for point in curve.points if point.weights is not None]
        cells = [cell(curve.at(place)) for place in places]
        rows.append([curve.told.label, sizes[0] if sizes else None, *cells])
        if changes is not None:
            rows[-1].append(changes.get(curve.learner))
        failures += [
            f"{curve.told.label} at {axis.head(point.x)}: {why}" for point in curve.points for why in point.failed
        ]
    note = _note(found, failures, len(places))
    return Table(columns, rows, caption, note=note, row_roles=[curve.told.role for curve in found])


def exponent_table(found: Sequence[Curve], axis: Axis, rate: Rate) -> Table:
    """The fitted exponent of every learner, that of the floor of its class, and the expected one."""
    rows: list[list[Cell]] = [
        [
            curve.told.label,
            None if curve.exponent is None else str(curve.exponent),
            None if curve.floor_exponent is None else decimal(curve.floor_exponent, 2),
            _expected(curve, rate),
        ]
        for curve in found
    ]
    caption = (
        f"Exponents along the axis of {axis.label}: the slope of log error on log {axis.column.split()[0]} through all "
        "seeds, beside those of the floor of the learner's class, where it is known, and of what is expected."
    )
    columns = ["learner", EXPONENT, "of its floor", "expected"]
    return Table(columns, rows, caption, note=rate.note, row_roles=[curve.told.role for curve in found])


def _note(found: Sequence[Curve], failures: Sequence[str], places: int) -> str:
    seeds = sorted({point.seeds for curve in found for point in curve.points if point.seeds})
    note = f"± one standard error over seeds ({_range(seeds)} of them); without ± there is one seed."
    if failures:
        note += " A dash is a failure. " + ". ".join(dict.fromkeys(failures)) + "."
    absent = [curve.told.label for curve in found if len(curve.points) < places]
    if absent:
        note += f" Not run at every place: {', '.join(absent)} (a dash too)."
    return note


def _expected(curve: Curve, rate: Rate) -> str | None:
    if curve.told.network or not rate.sizes:
        return rate.networks
    size = curve.size_exponent
    return None if size is None else decimal(size + rate.shift, 2)


def along(title: str, found: Sequence[Curve], axis: Axis, rate: Rate, caption: str, alt: str) -> Section:
    """An axis as most pages show it: the figure, the means in numbers, the exponents."""
    numbers = table(found, axis, "In numbers."), exponent_table(found, axis, rate), effective_table(found, axis)
    return Section(title, "", [figure(found, axis, caption, alt), *numbers])


def effective_table(found: Sequence[Curve], axis: Axis, *, shared_limit: bool = False) -> Table:
    """p_eff = 2 n KL with its interval at every place; beside that of the class's floor where places share it."""
    places = sorted({point.x for curve in found for point in curve.points})
    rows: list[list[Cell]] = []
    for curve in found:
        rows.append([curve.told.label, *(effective(curve.at(place)) for place in places)])
        if shared_limit:
            rows[-1].append(_effective_floor(curve.points[-1]))
    caption = (
        "Effective parameters, 2 n × score error of a sequence, with 95 % intervals: how many parameters an efficient "
        "statistician would have had to learn to do equally badly."
    )
    columns: list[Column | str] = ["learner", *(axis.head(place) for place in places)]
    if shared_limit:
        columns.append(Column("floor of its class", digits=4))
        caption += (
            " A learner on its limit has the same number at every n, near the last column (where the limit of its "
            "class is known); a number that grows with n means a bias that more data do not cure, one that falls means "
            "a bias that more data forgive."
        )
    return Table(columns, rows, caption, row_roles=[curve.told.role for curve in found])


def _effective_floor(last: Point) -> float | None:
    if last.floor is None or last.effective is None or last.kl is None:
        return None
    return last.effective * last.floor / last.kl


def effective(point: Point | None) -> str | None:
    """2 n KL with its interval, as text."""
    if point is None or point.kl is None or point.effective is None:
        return None
    if point.lower is None or point.upper is None:
        return significant(point.effective)
    scale = point.effective / point.kl
    lower, upper = significant(scale * point.lower), significant(scale * point.upper)
    return f"{significant(point.effective)} ({lower} to {upper})"


@dataclass(frozen=True)
class Candidate:
    """What may be on a front: a learner as it is called in a table, a cost and an error."""

    label: str
    cost: float
    point: Point


def front_line(found: Sequence[Candidate]) -> Line:
    """The Pareto front through the means, drawn as a staircase's corners."""
    kept = [found[i] for i in on_front(found)]
    return Line("front", "truth", [one.cost for one in kept], [one.point.kl or 0.0 for one in kept], dashed=True)


def on_front(found: Sequence[Candidate]) -> list[int]:
    """Indices of those that nothing of less or equal cost beats or equals in mean error, by rising cost."""
    return front([(one.cost, one.point.kl if one.point.kl is not None else float("inf")) for one in found])


def front_table(found: Sequence[Candidate], cost: Column, caption: str) -> Table:
    """The front, from cheap to dear."""
    kept = [found[i] for i in on_front(found)]
    rows: list[list[Cell]] = [[one.label, _whole(one.cost), cell(one.point), span(one.point)] for one in kept]
    columns: list[Column | str] = ["on the front", cost, Column("score error", "nats"), "95 % interval"]
    return Table(columns, rows, caption)


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def span(point: Point) -> str | None:
    """The interval of a mean as text."""
    return (
        None
        if point.lower is None or point.upper is None
        else f"{significant(point.lower)} to {significant(point.upper)}"
    )


def cell(point: Point | None) -> Cell:
    """A mean with its standard error; a dash for a failure."""
    if point is None or point.kl is None:
        return None
    return point.kl if point.standard_error is None else Estimate(point.kl, point.standard_error)


def _range(seeds: Sequence[int]) -> str:
    if not seeds:
        return "none"
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
