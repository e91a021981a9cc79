"""The failure map: every learner in every regime beside the best there, and whom that leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kronoscope.report import Section, Table
from kronoscope.report.records import Cell

from ..learning.curves import Ratio, best, point, ratio
from ..learning.jobs import Row
from ..learning.learners import LEARNERS
from ..learning.words import TakeAway

BROKEN = 3.0

Regimes = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class FailureMap:
    """Who breaks where.

    Attributes:
        names: Learners, names in ``LEARNERS``.
        regimes: What is varied, as shown.
        ratios: [learner][regime]: mean score error over that of the best learner there; None for a failure.
        broken: (learner, regime), as indices: failures, and those that are surely more than 3 times the best.
        messages: Of failures.
    """

    names: tuple[str, ...]
    regimes: tuple[str, ...]
    ratios: tuple[tuple[Ratio | None, ...], ...]
    broken: frozenset[tuple[int, int]]
    messages: tuple[str, ...]

    def section(self) -> Section:
        """The map as a table."""
        rows: list[list[Cell]] = [
            [LEARNERS[name].label, *(None if one is None else str(one).replace(" (no interval)", "") for one in own)]
            for name, own in zip(self.names, self.ratios, strict=True)
        ]
        caption = (
            "Where learners break: mean score error over that of the best learner in the same column, the yardstick "
            "varied in one thing at a time; in brackets the 95 % interval, paired by draws (none from a single seed). "
            f"Marked: a failure (a dash), or surely more than {BROKEN:g} times the best: the whole interval, or the "
            "one seed. Networks have the same train steps in every column, whatever its length. Read along a row for "
            "what a learner cannot stand, down a column for whom to trust there."
        )
        note = ". ".join(self.messages) + "." if self.messages else ""
        shown = Table(
            ["learner", *self.regimes],
            rows,
            caption,
            note=note,
            row_roles=[LEARNERS[name].role for name in self.names],
            highlight_cells=[(i, j + 1) for i, j in sorted(self.broken)],
        )
        return Section("Where learners break", "", [shown])

    def take_away(self) -> TakeAway | None:
        """Whom to take when the regime is not known; nothing where nobody breaks."""
        known = [(one.value, i, j) for i, j in self.broken if (one := self.ratios[i][j]) is not None]
        if not known:
            return None
        safe = [LEARNERS[name].label for i, name in enumerate(self.names) if all(i != k for k, _ in self.broken)]
        _, i, j = max(known)
        advice = (
            f"Where you do not know what your data are like, take what breaks nowhere in the map: {'; '.join(safe)}."
            if safe
            else "Where you do not know what your data are like, compare several: each learner breaks somewhere."
        )
        label = LEARNERS[self.names[i]].label
        because = (
            f"{'Each other' if safe else 'Each'} learner fails, or errs {BROKEN:g} times as much as the best, in some "
            f"column; most of all {label}, {self.regimes[j]}: {self.ratios[i][j]} times."
        )
        return TakeAway(advice, because, label, self.regimes[j])


def failure_map(regimes: Regimes) -> FailureMap:
    """The map of these rows."""
    names = list(dict.fromkeys(row.job.learner for rows in regimes.values() for row in rows))
    ratios: list[list[Ratio | None]] = [[] for _ in names]
    broken: set[tuple[int, int]] = set()
    messages: list[str] = []
    for column, (regime, group) in enumerate(regimes.items()):
        points = [point(0.0, [row for row in group if row.job.learner == name]) for name in names]
        least = best(list(zip(names, points, strict=True)))
        for i, one in enumerate(points):
            found = None if least is None else ratio(one, least[1])
            ratios[i].append(found)
            if one.kl is None or (found is not None and (found.lower or found.value) > BROKEN):
                broken.add((i, column))
            messages += [f"{LEARNERS[names[i]].label}, {regime}: {why}" for why in one.failed]
    return FailureMap(
        tuple(names), tuple(regimes), tuple(map(tuple, ratios)), frozenset(broken), tuple(dict.fromkeys(messages))
    )
