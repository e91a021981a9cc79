"""The map of failures: every learner in every regime beside the best one there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kronoscope.report import Section, Table
from kronoscope.report.records import Cell

from ..learning.curves import Ratio, best, point, ratio
from ..learning.jobs import YARDSTICK, Row
from ..learning.learners import LEARNERS
from ..learning.words import Recommendation

BROKEN = 3.0  # times the best learner's error


@dataclass(frozen=True)
class Regime:
    """The yardstick with one thing changed.

    Attributes:
        name: As shown.
        n: Sequences.
        kernel: As ``kernels.parse`` reads it.
        frames: Of a sequence; None is the study's number.
    """

    name: str
    n: int = 500
    kernel: str = YARDSTICK
    frames: int | None = None


REGIMES = (
    Regime("the reference process, n = 500"),
    Regime("few sequences: n = 50", n=50),
    Regime("long: N = 128", frames=128),
    Regime("smooth: squared exponential", kernel="PowerExponential(5.656854249492381, 2.0)"),
    Regime("oscillating: exponential × cosine", kernel="PowerExponential(16.0) * Cosine(8.0)"),
    Regime("short memory: lengthscale 1", kernel="PowerExponential(1.0)"),
)


@dataclass(frozen=True)
class RegimeRows:
    """What was measured in one regime."""

    regime: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class FailureMap:
    """Where learners break.

    Attributes:
        learners: Names in ``LEARNERS``.
        regimes: As shown.
        ratios: [learner][regime]: mean score error over that of the best learner there; None for a failure.
        broken: (learner, regime), as indices: failures, and those that are surely more than 3 times the best.
        messages: Of failures.
    """

    learners: tuple[str, ...]
    regimes: tuple[str, ...]
    ratios: tuple[tuple[Ratio | None, ...], ...]
    broken: frozenset[tuple[int, int]]
    messages: tuple[str, ...]

    @property
    def safe(self) -> list[str]:
        """Labels of the learners that break in no regime."""
        broken = {learner for learner, _ in self.broken}
        return [LEARNERS[name].label for index, name in enumerate(self.learners) if index not in broken]

    def section(self) -> Section:
        """The map as a table."""
        rows: list[list[Cell]] = [
            [LEARNERS[name].label, *(None if each is None else _text(each) for each in ratios)]
            for name, ratios in zip(self.learners, self.ratios, strict=True)
        ]
        caption = (
            "Mean score error over that of the best learner in the same column. Each column changes one thing of the "
            "reference process. Brackets hold the 95 % interval, paired by draws; a single seed has none. "
            "Marked cells are "
            f"failures (a dash) and errors that are surely more than {BROKEN:g} times the best: the whole interval is, "
            "or the single seed. Networks have the same number of train steps in every column. A row shows where a "
            "learner breaks, a column which learners to use there."
        )
        table = Table(
            ["learner", *self.regimes],
            rows,
            caption,
            note=". ".join(self.messages) + "." if self.messages else "",
            row_roles=[LEARNERS[name].role for name in self.learners],
            highlight_cells=[(learner, regime + 1) for learner, regime in sorted(self.broken)],
        )
        return Section("Where learners break", "", [table])

    def take_away(self) -> Recommendation | None:
        """Which learners to use when the regime is not known; None where none breaks."""
        known = [
            (each.value, learner, regime)
            for learner, regime in self.broken
            if (each := self.ratios[learner][regime]) is not None
        ]
        if not known:
            return None
        _, learner, regime = max(known)
        advice = (
            "If you do not know what your data are like, use a learner that breaks nowhere in the map: "
            f"{'; '.join(self.safe)}."
            if self.safe
            else "If you do not know what your data are like, compare several learners: each one breaks somewhere."
        )
        label = LEARNERS[self.learners[learner]].label
        because = (
            f"{'Every other' if self.safe else 'Every'} learner fails in some column, or has {BROKEN:g} times the "
            f"error of the best. The largest ratio is that of {label}, {self.regimes[regime]}: "
            f"{self.ratios[learner][regime]} times."
        )
        return Recommendation(advice, because, label, self.regimes[regime])


def failure_map(regimes: Sequence[RegimeRows]) -> FailureMap:
    """The map of these rows."""
    names = list(dict.fromkeys(row.job.learner for each in regimes for row in each.rows))
    ratios: list[list[Ratio | None]] = [[] for _ in names]
    broken: set[tuple[int, int]] = set()
    messages: list[str] = []
    for column, each in enumerate(regimes):
        points = [point(0.0, [row for row in each.rows if row.job.learner == name]) for name in names]
        least = best(list(zip(names, points, strict=True)))
        for index, own in enumerate(points):
            beside = None if least is None else ratio(own, least[1])
            ratios[index].append(beside)
            if own.kl is None or (beside is not None and (beside.lower or beside.value) > BROKEN):
                broken.add((index, column))
            messages += [f"{LEARNERS[names[index]].label}, {each.regime}: {reason}" for reason in own.failed]
    return FailureMap(
        tuple(names),
        tuple(each.regime for each in regimes),
        tuple(map(tuple, ratios)),
        frozenset(broken),
        tuple(dict.fromkeys(messages)),
    )


def _text(each: Ratio) -> str:
    return str(each).replace(" (no interval)", "")
