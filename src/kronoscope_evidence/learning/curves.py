"""Rows of the study summed up over seeds: points with intervals, exponents, ratios on the same draws, fronts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kronoscope._intervals import student_reach
from kronoscope.report.numerals import decimal, significant

from .learners import CONFIDENCE, LEARNERS, Learner, Row

Place = Callable[[Row], float]


@dataclass(frozen=True)
class Point:
    """A learner at one place of an axis, over the seeds.

    Attributes:
        x: Place on the axis.
        kl: Mean score error over the seeds that did not fail, nats; None if all failed.
        standard_error: Of the mean, over the seeds; None for a single one.
        lower, upper: Interval of confidence 0.95: Student's t on the logarithm of the mean, by the delta method.
        seeds: That did not fail.
        failed: Why others failed, each reason once.
        effective: 2 n times the score error of a whole sequence.
        floor: Mean floor of the class, nats.
        seconds: Mean, of learning.
        weights: Of the network, or parameters of the estimator.
        operations: Of floating point in training, matrix products and convolutions; None of an estimator.
        errors: (seed, nats) of those that did not fail.
    """

    x: float
    kl: float | None
    standard_error: float | None
    lower: float | None
    upper: float | None
    seeds: int
    failed: tuple[str, ...]
    effective: float | None
    floor: float | None
    seconds: float
    weights: int | None
    operations: float | None = None
    errors: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Exponent:
    """KL ~ x^value, fitted through the logarithms of all seeds' errors, with its 0.95 interval."""

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{decimal(self.value, 2)} ({decimal(self.lower, 2)} to {decimal(self.upper, 2)})"


@dataclass(frozen=True)
class Ratio:
    """One mean error over another, with its 0.95 interval; None where fewer than two seeds are common."""

    value: float
    lower: float | None
    upper: float | None

    def above(self, limit: float) -> bool | None:
        """Whether it is above ``limit``; None where the interval holds ``limit``, or there is none."""
        if self.lower is None or self.upper is None or self.lower <= limit <= self.upper:
            return None
        return self.lower > limit

    def __str__(self) -> str:
        if self.lower is None or self.upper is None:
            return f"{significant(self.value)} (no interval)"
        return f"{significant(self.value)} ({significant(self.lower)} to {significant(self.upper)})"


@dataclass(frozen=True)
class Curve:
    """A learner along an axis."""

    learner: str
    points: tuple[Point, ...]
    exponent: Exponent | None

    @property
    def told(self) -> Learner:
        """Who it is."""
        return LEARNERS[self.learner]

    def at(self, x: float) -> Point | None:
        """The point at ``x``."""
        return next((point for point in self.points if point.x == x), None)

    @property
    def floor_exponent(self) -> float | None:
        """Slope of the logarithm of its class's floor along the same axis."""
        return slope([(point.x, point.floor) for point in self.points])

    @property
    def size_exponent(self) -> float | None:
        """Slope of the logarithm of its number of parameters along the same axis, which is that of p/(2n)."""
        return slope([(point.x, point.weights) for point in self.points])


def curves(rows: Iterable[Row], place: Place) -> list[Curve]:
    """One curve a learner along an axis, on which each row has its place, in the order of ``LEARNERS``."""
    every = list(rows)
    found = []
    for name in LEARNERS:
        own = [row for row in every if row.job["learner"] == name]
        if own:
            places = sorted({place(row) for row in own})
            points = tuple(point(x, [row for row in own if place(row) == x]) for x in places)
            found.append(Curve(name, points, exponent(own, place)))
    return found


def point(x: float, rows: Sequence[Row]) -> Point:
    """Rows that differ by their seeds, as one; "sequence" in a result is what makes nats a sequence of its ``kl``."""
    errors = tuple((row.job["seed"], row.kl) for row in rows if row.kl is not None)
    failed = tuple(dict.fromkeys(row.result["failed"] for row in rows if row.kl is None))
    floors = [row.result["floor"] for row in rows if row.result["floor"] is not None]
    sizes = [row.result.get("weights") or row.result.get("parameters") for row in rows if row.kl is not None]
    operations = next((row.result["operations"] for row in rows if "operations" in row.result), None)
    seconds = float(np.mean([row.result["seconds"] for row in rows]))
    floor = float(np.mean(floors)) if floors else None
    if not errors:
        return Point(x, None, None, None, None, 0, failed, None, floor, seconds, None, operations)
    mean, spread, lower, upper = interval([error for _, error in errors])
    effective = 2 * rows[0].job["n"] * mean * rows[0].result.get("sequence", 1.0)
    return Point(
        x, mean, spread, lower, upper, len(errors), failed, effective, floor, seconds, sizes[0], operations, errors
    )


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None, float | None]:
    """Mean, its standard error, and its interval by Student's t on the logarithm; None from a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None, None
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    factor = math.exp(_student(len(values) - 1) * spread / mean)
    return mean, spread, mean / factor, mean * factor


def exponent(rows: Sequence[Row], place: Place) -> Exponent | None:
    """Slope of log KL on log x over all seeds; None from fewer than three errors or two places."""
    pairs = [(math.log(place(row)), math.log(row.kl)) for row in rows if row.kl]
    if len(pairs) < 3 or len({x for x, _ in pairs}) < 2:
        return None
    fit = stats.linregress(np.array([x for x, _ in pairs]), np.array([y for _, y in pairs]))
    half = _student(len(pairs) - 2) * float(fit.stderr)
    return Exponent(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half)


def slope(pairs: Sequence[tuple[float, float | None]]) -> float | None:
    """Of log y on log x, by least squares, without the missing; None from fewer than two places."""
    known = [(math.log(x), math.log(y)) for x, y in pairs if y]
    if len({x for x, _ in known}) < 2:
        return None
    return float(np.polyfit([x for x, _ in known], [y for _, y in known], 1)[0])


def ratio(above: Point | None, below: Point | None) -> Ratio | None:
    """Mean error of one over that of another, over the seeds that both have; None where they have none in common.

    Draws belong to seeds, so errors are paired: with a_i/a - b_i/b the linear part of log(a/b), the interval is
    Student's t on the logarithm, by the delta method.
    """
    if above is None or below is None:
        return None
    first, second = dict(above.errors), dict(below.errors)
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    a, b = (np.array([one[seed] for seed in seeds]) for one in (first, second))
    value = float(a.mean() / b.mean())
    if len(seeds) < 2:
        return Ratio(value, None, None)
    spread = float(np.std(a / a.mean() - b / b.mean(), ddof=1)) / math.sqrt(len(seeds))
    factor = math.exp(_student(len(seeds) - 1) * spread)
    return Ratio(value, value / factor, value * factor)


def best(points: Sequence[tuple[str, Point | None]]) -> tuple[str, Point] | None:
    """The (name, point) of the least error."""
    known = [(name, one) for name, one in points if one is not None and one.kl is not None]
    return min(known, key=lambda pair: pair[1].kl or 0.0, default=None)


def front(places: Sequence[tuple[float, float]]) -> list[int]:
    """Pareto front: indices of the (cost, error) that no other beats in one and equals in the other, by rising cost."""
    least, kept = math.inf, []
    for index in sorted(range(len(places)), key=lambda i: places[i]):
        if places[index][1] < least:
            least = places[index][1]
            kept.append(index)
    return kept


def _student(freedom: int) -> float:
    return student_reach(freedom, CONFIDENCE)
