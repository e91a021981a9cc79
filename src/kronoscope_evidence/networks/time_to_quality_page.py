"""Result, checks and page of the study of error against seconds of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from kronoscope.report import Column, Figure, Line, LinePanel, Report, Section, Table
from kronoscope.report.numerals import significant
from kronoscope.report.records import Cell

from ..learning.curves import Point, Ratio, best, interval, point, ratio
from ..learning.jobs import Job, Row
from ..learning.learners import LEARNERS
from ..learning.page_parts import Candidate, front_line, front_table, interval_text, mean_cell, points_line
from ..learning.words import (
    Recommendation,
    by_outcome,
    error_text,
    how_it_was_done,
    learners_left_out,
    ratio_check,
    recommendations_section,
)
from ..study import Check

LOOKS = 12  # moments of a training that are measured
SHARES = (0.05, 0.2, 0.5, 1.0)  # of the longest training, as budgets of seconds
OVERFITTED = 1.1  # times the error of the best moment
LIKELIHOOD = "stationary-separable"
AT_END, AT_BEST = "at the end", "best moment"


@dataclass(frozen=True)
class Moment:
    """The error of a training at one moment: processor seconds, nats a sequence, train step."""

    seconds: float
    kl: float
    step: int


@dataclass(frozen=True)
class PathRow:
    """A training by its moments, an estimator's fit by one; none where it failed, with the reason."""

    job: Job
    path: tuple[Moment, ...]
    failed: str | None = None

    @property
    def best(self) -> Moment:
        """The moment of the least error, which only the truth shows."""
        return min(self.path, key=lambda moment: moment.kl)


Paths = dict[str, list[PathRow]]  # by learner, those that did not fail


@dataclass(frozen=True)
class Result:
    """All numbers of the study."""

    rows: tuple[PathRow, ...]

    @property
    def learners(self) -> list[str]:
        """In the order of ``LEARNERS``."""
        return [name for name in LEARNERS if any(row.job.learner == name for row in self.rows)]

    def paths(self) -> Paths:
        """By learner, those that did not fail."""
        paths = {name: [row for row in self.rows if row.job.learner == name and row.path] for name in self.learners}
        return {name: rows for name, rows in paths.items() if rows}

    def ends(self) -> dict[str, Point]:
        """By learner, the error when training is done."""
        return {name: _at(rows, lambda row: row.path[-1]) for name, rows in self.paths().items()}

    def best_moments(self) -> dict[str, Point]:
        """By learner, the mean over the seeds of the best moment of each."""
        return {name: _at(rows, lambda row: row.best) for name, rows in self.paths().items()}

    def unrolled(self) -> tuple[str, Point] | None:
        """The best unrolled network when it is done."""
        return best([(name, end) for name, end in self.ends().items() if LEARNERS[name].network == "unrolled"])

    def rival(self) -> tuple[str, Point] | None:
        """The best moment of a network of another kind."""
        moments = self.best_moments().items()
        return best([(name, moment) for name, moment in moments if LEARNERS[name].network not in ("", "unrolled")])

    def rival_ratio(self) -> Ratio | None:
        """Error of the rival's best moment over that of the unrolled network at its end."""
        own, rival = self.unrolled(), self.rival()
        return None if own is None or rival is None else ratio(rival[1], own[1])


def _at(rows: Sequence[PathRow], choose: Callable[[PathRow], Moment]) -> Point:
    return _point(0.0, [(row, choose(row)) for row in rows])


def _point(x: float, moments: Sequence[tuple[PathRow, Moment]]) -> Point:
    """A moment of each seed as a point."""
    return point(x, [Row(row.job, kl=moment.kl, seconds=moment.seconds) for row, moment in moments])


def checks(result: Result) -> list[Check]:
    """The rival's best moment beside the unrolled network, and that beside maximum likelihood."""
    own, quotient = result.unrolled(), result.rival_ratio()
    beside = None if own is None else ratio(own[1], result.ends().get(LIKELIHOOD))
    return [
        ratio_check(
            quotient,
            "times as much, best moment of another kind",
            "above 1, if the claim holds",
            None if quotient is None else quotient.above(1),
        ),
        ratio_check(
            beside,
            "times maximum likelihood of its class, unrolled, at the end",
            "on the same draws",
            None,
            claimed=False,
        ),
    ]


def page(result: Result) -> Report:
    """What to do, the paths, budgets of seconds, the front, and every run."""
    quotient, job = result.rival_ratio(), result.rows[0].job
    bands = {name: band(rows) for name, rows in result.paths().items()}
    return Report(
        "How does the score error fall with training time?",
        by_outcome(
            None if quotient is None else quotient.above(1),
            "The unrolled network reaches an error that no generic network reaches at any moment of its training.",
            "A generic network has a smaller error than the unrolled one here.",
            "These runs do not settle whether a generic network reaches the error of the unrolled one.",
        ),
        facts={
            "truth": f"{job.frames} frames of {job.features} features, exponential kernel of lengthscale 8",
            "sequences": job.n,
        },
        sections=[
            recommendations_section([_spend(result), _without_training(result), *_stop_early(result)]),
            Section("Score error against time", "", [_figure(bands, job.n), _summary(result), _budgets(result)]),
            Section("The front", "", [_front(bands)]),
            Section("Every run", "", [_all(result)]),
            how_it_was_done(_method(result)),
        ],
    )


def _method(result: Result) -> str:
    seconds = [end.seconds for name, end in result.ends().items() if LEARNERS[name].network]
    return (
        f"Errors are those of the averaged parameters at {LOOKS} moments of each training. The time that measuring "
        "takes does not count. Errors are exact for scores that are linear in x, and Monte Carlo otherwise. The claim "
        "fails if a generic network has a smaller error than the unrolled ones at any moment. Seconds depend on the "
        "machine and on what else ran on it. Nothing is matched: each run is as long as its own steps. "
        f"{learners_left_out(result.learners, fmean(seconds) if seconds else 0.0)}"
    )


def band(rows: Sequence[PathRow]) -> list[Point]:
    """Mean and interval over seeds along a common grid of times, from log errors that are linear in log time.

    The grid covers the seconds that every seed has passed through. Runs without any in common, or of one moment, are
    the mean of their last moments.
    """
    paths = [(row, path) for row in rows if (path := [moment for moment in row.path if moment.seconds > 0])]
    if not paths:
        return []
    low, high = max(path[0].seconds for _, path in paths), min(path[-1].seconds for _, path in paths)
    if low >= high:
        last = _point(0.0, [(row, path[-1]) for row, path in paths])
        return [replace(last, x=last.seconds)]
    grid = np.geomspace(low, high, LOOKS)
    logs = [
        np.interp(
            np.log(grid),
            [math.log(moment.seconds) for moment in path],
            [math.log(moment.kl) for moment in path],
        )
        for _, path in paths
    ]
    return [
        _point(
            float(seconds),
            [(row, Moment(float(seconds), math.exp(log[i]), 0)) for (row, _), log in zip(paths, logs, strict=True)],
        )
        for i, seconds in enumerate(grid)
    ]


def _figure(bands: dict[str, list[Point]], n: int) -> Figure:
    panels = []
    for title, is_network in (("networks, along their training", True), ("estimators, when done", False)):
        own = {name: points for name, points in bands.items() if bool(LEARNERS[name].network) == is_network and points}
        lines: list[Line] = []
        for name, points in own.items():
            line = points_line(LEARNERS[name].label, LEARNERS[name].role, [(each.x, each) for each in points])
            lines += [] if line is None else [line]
        if lines:
            lines.append(front_line(_candidates(own)))
            x_label, y_label = "processor seconds", "score error (nats a sequence)"
            panels.append(LinePanel(title, x_label, y_label, lines, log_x=True, log_y=True))
    caption = (
        f"Score error at n = {n} against processor seconds of learning (all cores), both axes logarithmic. Lines are "
        "means over the seeds, at times that all seeds passed through, with 95 % bands where there are several. A "
        "curve that turns upwards shows overfitting, which a user sees only in a held-out loss. The dark dashed line "
        "is the front among the learners of its panel. Learning rates follow a schedule over the whole run, so a run "
        "planned to be shorter would end with a smaller error than these have at that time."
    )
    return Figure(panels, caption, "Score error against seconds for networks and estimators.", columns=2)


def _candidates(bands: dict[str, list[Point]]) -> list[Candidate]:
    return [Candidate(LEARNERS[name].label, each.x, each) for name, points in bands.items() for each in points]


def _front(bands: dict[str, list[Point]]) -> Table:
    caption = (
        "Pareto front in seconds, of networks and estimators together: no other has a lower mean error by that time. "
        "Where intervals overlap, the order is not settled."
    )
    return front_table(_candidates(bands), Column("after", "s", digits=3), caption)


def _summary(result: Result) -> Table:
    ends, moments = result.ends(), result.best_moments()
    columns: list[Column | str] = ["learner", Column(AT_BEST, "nats"), Column("after", "s"), Column(AT_END, "nats")]
    columns += ["95 % interval", Column("after", "s")]
    rows: list[list[Cell]] = [
        [
            LEARNERS[name].label,
            mean_cell(moments[name]),
            moments[name].seconds,
            mean_cell(end),
            interval_text(end),
            end.seconds,
        ]
        for name, end in ends.items()
    ]
    caption = (
        "Means over seeds, ± one standard error: the best moment of each run, which needs the truth and so is not "
        "known to a user, and the end of the run with its interval. Seconds are means too."
    )
    return Table(columns, rows, caption, row_roles=[LEARNERS[name].role for name in ends])


def _budgets(result: Result) -> Table:
    """The error of each learner when a budget is spent; a dash until all seeds have been measured once."""
    paths = result.paths()
    longest = max(row.path[-1].seconds for rows in paths.values() for row in rows)
    budgets = [longest * share for share in SHARES]
    cells: list[list[Cell]] = []
    for name, rows in paths.items():
        spent = [[[moment.kl for moment in row.path if moment.seconds <= budget] for row in rows] for budget in budgets]
        cells.append(
            [LEARNERS[name].label, *(_mean([e[-1] for e in errors]) if all(errors) else None for errors in spent)]
        )
    columns: list[Column | str] = ["learner", *(Column(f"{significant(budget, 2)} s", "nats") for budget in budgets)]
    caption = (
        "The error of each learner when a budget of seconds is spent: mean over seeds with its 95 % interval (none "
        "from one seed). A dash means that some seed had not been measured by then."
    )
    return Table(columns, cells, caption, row_roles=[LEARNERS[name].role for name in paths])


def _mean(values: Sequence[float]) -> str:
    mean, _, lower, upper = interval(values)
    if lower is None or upper is None:
        return significant(mean)
    return f"{significant(mean)} ({significant(lower)} to {significant(upper)})"


def _spend(result: Result) -> Recommendation | None:
    own, rival, quotient = result.unrolled(), result.rival(), result.rival_ratio()
    holds = None if quotient is None else quotient.above(1)
    if own is None or rival is None or holds is None:
        return None
    name, column = (own[0], AT_END) if holds else (rival[0], AT_BEST)
    return Recommendation(
        f"Among networks, train {LEARNERS[name].label}.",
        f"{LEARNERS[own[0]].label} has {error_text(own[1])} after {own[1].seconds:.1f} s. The best moment of any "
        f"network of another kind ({LEARNERS[rival[0]].label}, after {rival[1].seconds:.1f} s) has "
        f"{error_text(rival[1])}: {quotient} times as much.",
        LEARNERS[name].label,
        column,
    )


def _without_training(result: Result) -> Recommendation | None:
    """Whether maximum likelihood of the right class is as good, in less time."""
    own, likelihood = result.unrolled(), result.ends().get(LIKELIHOOD)
    quotient = None if own is None else ratio(own[1], likelihood)
    if own is None or likelihood is None or quotient is None or quotient.lower is None:
        return None
    if quotient.above(1) is False or likelihood.seconds >= own[1].seconds:
        return None
    label = LEARNERS[LIKELIHOOD].label
    return Recommendation(
        f"If you know that the covariance is {label}, fit it by maximum likelihood and train nothing.",
        f"It has {error_text(likelihood)} after {likelihood.seconds:.1f} s. {LEARNERS[own[0]].label} has {quotient} "
        f"times as much after {own[1].seconds:.1f} s.",
        label,
        AT_END,
    )


def _stop_early(result: Result) -> list[Recommendation]:
    """Networks whose end is surely worse than their best moment by a tenth or more: hold data out and stop."""
    advice = []
    moments = result.best_moments()
    for name, end in result.ends().items():
        worse = ratio(end, moments[name])
        if LEARNERS[name].network and worse is not None and worse.above(OVERFITTED):
            label = LEARNERS[name].label
            because = (
                f"At the end its error is {worse} times the error of its best moment, which came after "
                f"{moments[name].seconds:.1f} of {end.seconds:.1f} s."
            )
            advice.append(Recommendation(f"Stop {label} by held-out loss: it overfits.", because, label, AT_END))
    return advice


def _all(result: Result) -> Table:
    cells: list[list[Cell]] = []
    for row in result.rows:
        label = LEARNERS[row.job.learner].label
        moments: list[Cell] = [None] * 4
        if row.path:
            moments = [row.best.kl, row.best.seconds, row.path[-1].kl, row.path[-1].seconds]
        cells.append([label, row.job.seed, *moments])
    columns: list[Column | str] = ["learner", "seed", Column("best", "nats"), Column("after", "s")]
    columns += [Column("last", "nats"), Column("after", "s")]
    failures = " ".join(
        f"{LEARNERS[row.job.learner].label}, seed {row.job.seed}: {row.failed}." for row in result.rows if row.failed
    )
    return Table(columns, cells, "The best and the last moment of every run. A dash is a failure.", note=failures)
