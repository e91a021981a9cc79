"""Rows summarised over seeds: points with intervals, exponents, ratios on the same draws, Pareto fronts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kronoscope._intervals import student_reach
from kronoscope.report.numerals import significant

from ..slopes import CONFIDENCE, Slope, power
from .jobs import Row
from .learners import LEARNERS, Learner

OfRow = Callable[[Row], float]


@dataclass(frozen=True)
class Point:
    """A learner at one place of an axis, over the seeds.

    Attributes:
        x: Place on the axis.
        kl: Mean score error over the seeds that did not fail, nats; None if all failed.
        standard_error: Of the mean, over the seeds; None for a single one.
        lower, upper: Interval of confidence 0.95: Student's t on the logarithm of the mean, by the delta method.
        seeds: Number of seeds that did not fail.
        failed: Why the others failed, each reason once.
        effective: 2 n times the score error of a whole sequence.
        floor: Mean floor of the class, nats.
        seconds: Mean, of learning.
        parameters: Of the network or of the estimated law.
        operations: Floating-point operations of the training; None of an estimator.
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
    parameters: int | None
    operations: float | None = None
    errors: tuple[tuple[int, float], ...] = ()


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
    """A learner along an axis.

    Attributes:
        learner: Name in ``LEARNERS``.
        points: By rising x.
        exponent: b of KL ~ x^b, fitted through the logarithms of all seeds' errors; None where they are too few.
    """

    learner: str
    points: tuple[Point, ...]
    exponent: Slope | None

    @property
    def definition(self) -> Learner:
        """The learner's entry in ``LEARNERS``."""
        return LEARNERS[self.learner]

    @property
    def label(self) -> str:
        """As shown."""
        return self.definition.label

    @property
    def role(self) -> str:
        """Look in the figures."""
        return self.definition.role

    @property
    def is_network(self) -> bool:
        """Whether it is a network; otherwise it is an estimator."""
        return bool(self.definition.network)

    def at(self, x: float) -> Point | None:
        """The point at ``x``."""
        return next((point for point in self.points if point.x == x), None)

    @property
    def floor_exponent(self) -> float | None:
        """Slope of the logarithm of its class's floor along the same axis."""
        return _exponent([(point.x, point.floor) for point in self.points])

    @property
    def size_exponent(self) -> float | None:
        """Slope of the logarithm of its number of parameters along the same axis, which is that of p/(2n)."""
        return _exponent([(point.x, point.parameters) for point in self.points])


def curves(rows: Iterable[Row], place: OfRow, unit: OfRow = lambda row: 1.0) -> list[Curve]:
    """One curve per learner, in the order of ``LEARNERS``.

    Args:
        rows: Of several learners, places and seeds.
        place: The place of a row on the axis.
        unit: Nats of a sequence that make one unit of the axis of errors: N for errors a frame.
    """
    every = list(rows)
    summaries = []
    for name in LEARNERS:
        own = [row for row in every if row.job.learner == name]
        if own:
            places = sorted({place(row) for row in own})
            points = tuple(point(x, [row for row in own if place(row) == x], unit) for x in places)
            summaries.append(Curve(name, points, exponent(own, place, unit)))
    return summaries


def point(x: float, rows: Sequence[Row], unit: OfRow = lambda row: 1.0) -> Point:
    """Rows that differ by their seeds, as one point at ``x``; ``unit`` as in :func:`curves`."""
    learnt = [(row, row.kl / unit(row)) for row in rows if row.kl is not None]
    failed = tuple(dict.fromkeys(row.failed for row in rows if row.kl is None and row.failed is not None))
    floors = [row.floor / unit(row) for row in rows if row.floor is not None]
    operations = next((row.operations for row in rows if row.operations is not None), None)
    seconds = float(np.mean([row.seconds for row in rows]))
    floor = float(np.mean(floors)) if floors else None
    if not learnt:
        return Point(x, None, None, None, None, 0, failed, None, floor, seconds, None, operations)
    mean, spread, lower, upper = interval([error for _, error in learnt])
    first = learnt[0][0]
    return Point(
        x=x,
        kl=mean,
        standard_error=spread,
        lower=lower,
        upper=upper,
        seeds=len(learnt),
        failed=failed,
        effective=2 * first.job.n * mean * unit(first),
        floor=floor,
        seconds=seconds,
        parameters=first.parameters,
        operations=operations,
        errors=tuple((row.job.seed, error) for row, error in learnt),
    )


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None, float | None]:
    """Mean, its standard error, and its interval by Student's t on the logarithm; None from a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None, None
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    factor = math.exp(student_reach(len(values) - 1, CONFIDENCE) * spread / mean)
    return mean, spread, mean / factor, mean * factor


def exponent(rows: Sequence[Row], place: OfRow, unit: OfRow = lambda row: 1.0) -> Slope | None:
    """Slope of log KL on log x over all seeds; None from fewer than three errors or two places."""
    pairs = [(place(row), row.kl / unit(row)) for row in rows if row.kl]
    if len(pairs) < 3 or len({x for x, _ in pairs}) < 2:
        return None
    return power([x for x, _ in pairs], [y for _, y in pairs])


def _exponent(pairs: Sequence[tuple[float, float | None]]) -> float | None:
    """Of y = a x^b, without the missing; None from fewer than two places."""
    known = [(x, y) for x, y in pairs if y]
    if len({x for x, _ in known}) < 2:
        return None
    return power([x for x, _ in known], [y for _, y in known]).value


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
    a, b = (np.array([errors[seed] for seed in seeds]) for errors in (first, second))
    value = float(a.mean() / b.mean())
    if len(seeds) < 2:
        return Ratio(value, None, None)
    spread = float(np.std(a / a.mean() - b / b.mean(), ddof=1)) / math.sqrt(len(seeds))
    factor = math.exp(student_reach(len(seeds) - 1, CONFIDENCE) * spread)
    return Ratio(value, value / factor, value * factor)


def best(points: Sequence[tuple[str, Point | None]]) -> tuple[str, Point] | None:
    """The (name, point) of the least error."""
    known = [(name, point) for name, point in points if point is not None and point.kl is not None]
    return min(known, key=lambda pair: pair[1].kl or 0.0, default=None)


def front(places: Sequence[tuple[float, float]]) -> list[int]:
    """Pareto front: indices of the (cost, error) that no other beats in one and equals in the other, by rising cost."""
    least, kept = math.inf, []
    for index in sorted(range(len(places)), key=lambda i: places[i]):
        if places[index][1] < least:
            least = places[index][1]
            kept.append(index)
    return kept
