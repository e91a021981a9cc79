"""The page of ``kronoscope reproduce time-to-quality``: paths of training with bands over seeds, budgets, the front."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kronoscope.report import Column, Figure, Line, LinePanel, Report, Section, Table, Verdict
from kronoscope.report.numerals import significant
from kronoscope.report.records import Cell

from ..learning.curves import Point, Ratio, best, interval, point, ratio
from ..learning.jobs import Job, Row
from ..learning.learners import LEARNERS
from ..learning.page_parts import Candidate, front_line, front_table, interval_text, mean_cell
from ..learning.words import TakeAway, by_outcome, error_text, how_it_was_done, learners_left_out, take_aways
from ..legacy import ratio_number

LOOKS = 12
SHARES = (0.05, 0.2, 0.5, 1.0)
AT_END, AT_BEST = "at the end", "best moment"


@dataclass(frozen=True)
class Moment:
    """The score error in nats, at a train step and after as many processor seconds of training."""

    seconds: float
    kl: float
    step: int = 0


@dataclass(frozen=True)
class PathRow:
    """A job and the moments of its training, or why there are none."""

    job: Job
    path: tuple[Moment, ...]
    failed: str | None


Path = Sequence[Moment]
Runs = Mapping[str, Sequence[PathRow]]  # by learner, those that have a path, each with its seed


def page(rows: Sequence[PathRow], quick: bool, n: int) -> Report:
    """Bands over seeds, budgets of seconds, the front that they leave, what to do with it."""
    names = [name for name in LEARNERS if any(row.job.learner == name for row in rows)]
    runs = {name: [r for r in rows if r.job.learner == name and r.path] for name in names}
    runs = {name: several for name, several in runs.items() if several}
    bands = {name: band(several) for name, several in runs.items()}
    ends = {name: _at(several, lambda path: path[-1]) for name, several in runs.items()}
    moments = {name: _at(several, _best_moment) for name, several in runs.items()}
    own, rival = _two_kinds(ends, moments)
    factor = ratio(rival and rival[1], own and own[1])
    holds = None if factor is None else factor.above(1)
    nets = [one for name in runs if LEARNERS[name].network for one in [ends[name].seconds]]
    told = (
        f"Errors are those of the averaged weights at {LOOKS} moments of each training; the time that measuring takes "
        "does not count. Exact for scores linear in x, Monte Carlo otherwise. The claim fails if a generic network "
        "passes below the unrolled ones. Seconds depend on the machine and on what else ran, and nothing is matched: "
        f"each run is as long as its own steps. {learners_left_out(names, sum(nets) / max(1, len(nets)))}"
    )
    if quick:
        told += " This quick version has small sequences, short trainings, one seed and no DiT."
    return Report(
        "What do seconds of training buy?",
        by_outcome(
            holds,
            "The unrolled network reaches what no generic one reaches at any moment of its training.",
            "A generic network passes below the unrolled one here.",
            "Whether a generic network comes as near as the unrolled one, these runs do not settle.",
        ),
        facts={"truth": "exponential kernel of lengthscale 8", "sequences": n},
        sections=[
            take_aways([_spend(own, rival, factor), _no_training(ends, own), *_stop_early(ends, moments)]),
            Section("Score error against time", "", [_figure(bands, n), _summary(ends, moments), _budgets(runs)]),
            Section("The front", "", [_front(bands)]),
            Section("Every run", "", [_all(rows)]),
            how_it_was_done(told),
        ],
        verdict=Verdict(
            [
                ratio_number(
                    factor, "times as much, best moment of another kind", "above 1, if the claim holds", holds
                ),
                ratio_number(
                    None if own is None else ratio(own[1], _beside(ends)),
                    "times maximum likelihood of its class, unrolled, at the end",
                    "on the same draws",
                    None,
                    claimed=False,
                ),
            ]
        ),
    )


def _best_moment(path: Path) -> Moment:
    return min(path, key=lambda moment: moment.kl)


def _sum(x: float, pairs: Sequence[tuple[PathRow, Moment]]) -> Point:
    """(row, [seconds, nats, ..]) over seeds as a point."""
    return point(
        x,
        [Row(row.job, kl=moment.kl, seconds=moment.seconds) for row, moment in pairs],
    )


def _at(several: Sequence[PathRow], choose: Callable[[Path], Moment]) -> Point:
    return _sum(0.0, [(row, choose(row.path)) for row in several])


def band(several: Sequence[PathRow]) -> list[Point]:
    """Mean and interval over seeds along a common grid of times, from logarithms of error linear in those of time.

    The grid covers the seconds that every seed has passed through; runs without any in common, or of one moment, are
    the mean of their last moments.
    """
    paths = [(row, [moment for moment in row.path if moment.seconds > 0]) for row in several]
    paths = [(row, path) for row, path in paths if path]
    if not paths:
        return []
    low, high = max(path[0].seconds for _, path in paths), min(path[-1].seconds for _, path in paths)
    if low >= high:
        last = _sum(0.0, [(row, path[-1]) for row, path in paths])
        return [replace(last, x=last.seconds)]
    grid = np.geomspace(low, high, LOOKS)
    logs = [
        np.interp(np.log(grid), [math.log(m.seconds) for m in path], [math.log(m.kl) for m in path])
        for _, path in paths
    ]
    return [
        _sum(float(t), [(row, Moment(float(t), math.exp(log[i]))) for (row, _), log in zip(paths, logs, strict=True)])
        for i, t in enumerate(grid)
    ]


def _two_kinds(
    ends: Mapping[str, Point], moments: Mapping[str, Point]
) -> tuple[tuple[str, Point] | None, tuple[str, Point] | None]:
    """The best unrolled network when it is done, and the best moment of networks of another kind."""
    own = best([(name, one) for name, one in ends.items() if LEARNERS[name].network == "unrolled"])
    others = [(name, one) for name, one in moments.items() if LEARNERS[name].network not in ("", "unrolled")]
    return own, best(others)


def _beside(ends: Mapping[str, Point]) -> Point | None:
    return ends.get("stationary-separable")


def _figure(bands: Mapping[str, Sequence[Point]], n: int) -> Figure:
    lines: dict[bool, list[Line]] = {True: [], False: []}
    for name, points in bands.items():
        learner = LEARNERS[name]
        if points:
            lines[bool(learner.network)].append(_line(learner.label, learner.role, points))
    for which in (True, False):
        part = [one for one in _candidates(bands) if bool(LEARNERS[_name(one.label)].network) == which]
        if part:
            lines[which].append(front_line(part))
    titles = {True: "networks, along their training", False: "estimators, when done"}
    panels = [
        LinePanel(title, "processor seconds", "score error (nats a sequence)", lines[which], log_x=True, log_y=True)
        for which, title in titles.items()
        if lines[which]
    ]
    caption = (
        f"Score error at n = {n} against processor seconds of learning (all cores), both axes logarithmic; mean "
        "over seeds, at times that all of them passed through, with 95 % bands where there are several. A curve that "
        "turns upwards is overfitting: the truth, which a user does not have, says so here. The dark dashed line is "
        "the front among those of its panel. Learning rates follow a schedule over the whole run, so a run that was "
        "meant to be shorter would have been better at its end than these are in passing."
    )
    return Figure(panels, caption, "Score error against seconds for networks and estimators.", columns=2)


def _line(label: str, role: str, points: Sequence[Point]) -> Line:
    x, y = [one.x for one in points], [one.kl or 0.0 for one in points]
    lower = [one.lower for one in points if one.lower is not None]
    upper = [one.upper for one in points if one.upper is not None]
    if len(lower) < len(points):
        return Line(label, role, x, y, markers=True)
    return Line(label, role, x, y, lower, upper, markers=True)


def _candidates(bands: Mapping[str, Sequence[Point]]) -> list[Candidate]:
    return [Candidate(LEARNERS[name].label, one.x, one) for name, points in bands.items() for one in points]


def _name(label: str) -> str:
    return next(name for name, learner in LEARNERS.items() if learner.label == label)


def _front(bands: Mapping[str, Sequence[Point]]) -> Table:
    caption = (
        "Pareto front in seconds, of networks and estimators together: no other has a lower mean error by that time. "
        "Where intervals overlap, the order is not settled."
    )
    return front_table(_candidates(bands), Column("after", "s", digits=3), caption)


def _summary(ends: Mapping[str, Point], moments: Mapping[str, Point]) -> Table:
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
        "Means over seeds, ± one standard error: the best moment of each run, which the truth chose and a user cannot, "
        "and the end of it, with its interval. Seconds are means too."
    )
    return Table(columns, rows, caption, row_roles=[LEARNERS[name].role for name in ends])


def _budgets(runs: Runs) -> Table:
    """What each seed has when a budget is spent; a dash until all seeds have something."""
    longest = max(row.path[-1].seconds for several in runs.values() for row in several)
    budgets = [longest * share for share in SHARES]
    rows: list[list[Cell]] = []
    for name, several in runs.items():
        cells: list[Cell] = []
        for budget in budgets:
            inside = [[m.kl for m in row.path if m.seconds <= budget] for row in several]
            cells.append(_cell([one[-1] for one in inside]) if all(inside) else None)
        rows.append([LEARNERS[name].label, *cells])
    columns: list[Column | str] = ["learner", *(Column(f"{significant(budget, 2)} s", "nats") for budget in budgets)]
    caption = (
        "Where each learner stands when a budget of seconds is spent: mean over seeds with its 95 % interval (none "
        "from one seed); a dash is one of which some seed had nothing to show yet."
    )
    return Table(columns, rows, caption, row_roles=[LEARNERS[name].role for name in runs])


def _cell(values: Sequence[float]) -> str:
    mean, _, lower, upper = interval(values)
    if lower is None or upper is None:
        return significant(mean)
    return f"{significant(mean)} ({significant(lower)} to {significant(upper)})"


def _spend(own: tuple[str, Point] | None, rival: tuple[str, Point] | None, factor: Ratio | None) -> TakeAway | None:
    holds = None if factor is None else factor.above(1)
    if own is None or rival is None or holds is None:
        return None
    name, at = (own[0], AT_END) if holds else (rival[0], AT_BEST)
    return TakeAway(
        f"Among networks, give your seconds to {LEARNERS[name].label}.",
        f"{LEARNERS[own[0]].label} is at {error_text(own[1])} after {own[1].seconds:.1f} s; the best moment "
        f"of any network "
        f"of another kind ({LEARNERS[rival[0]].label}, after {rival[1].seconds:.1f} s) is at {error_text(rival[1])}: "
        f"{factor} times as much.",
        LEARNERS[name].label,
        at,
    )


def _no_training(ends: Mapping[str, Point], own: tuple[str, Point] | None) -> TakeAway | None:
    """Whether maximum likelihood of the right class is as good, in less time."""
    likelihood = _beside(ends)
    factor = None if own is None else ratio(own[1], likelihood)
    if own is None or likelihood is None or factor is None or factor.lower is None or factor.above(1) is False:
        return None
    if likelihood.seconds >= own[1].seconds:
        return None
    label = LEARNERS["stationary-separable"].label
    return TakeAway(
        f"If you know that the law is {label}, fit it by maximum likelihood and train nothing.",
        f"It is at {error_text(likelihood)} after {likelihood.seconds:.1f} s, {LEARNERS[own[0]].label} at "
        f"{factor} times as "
        f"much after {own[1].seconds:.1f} s.",
        label,
        AT_END,
    )


def _stop_early(ends: Mapping[str, Point], moments: Mapping[str, Point]) -> list[TakeAway]:
    """Networks whose end is surely worse than their best moment by a tenth or more: hold data out and stop."""
    told = []
    for name, end in ends.items():
        worse = ratio(end, moments[name])
        if LEARNERS[name].network and worse is not None and worse.above(1.1):
            label = LEARNERS[name].label
            told.append(
                TakeAway(
                    f"Stop {label} by held-out loss: it overfits.",
                    f"At the end it is at {worse} times the error of its best moment, which came after "
                    f"{moments[name].seconds:.1f} of {end.seconds:.1f} s.",
                    label,
                    AT_END,
                )
            )
    return told


def _all(rows: Sequence[PathRow]) -> Table:
    told: list[list[Cell]] = []
    for row in rows:
        path = row.path
        name = LEARNERS[row.job.learner].label
        if path:
            least = _best_moment(path)
            told.append([name, row.job.seed, least.kl, least.seconds, path[-1].kl, path[-1].seconds])
        else:
            told.append([name, row.job.seed, None, None, None, None])
    columns: list[Column | str] = ["learner", "seed", Column("best", "nats"), Column("after", "s")]
    columns += [Column("last", "nats"), Column("after", "s")]
    return Table(columns, told, "The best moment and the last of every run; a dash is a failure.", note=_failures(rows))


def _failures(rows: Sequence[PathRow]) -> str:
    return " ".join(
        f"{LEARNERS[row.job.learner].label}, seed {row.job.seed}: {row.failed}." for row in rows if row.failed
    )
