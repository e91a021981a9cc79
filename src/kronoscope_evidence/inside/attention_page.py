"""Result, checks and page of the study of attention maps."""

from __future__ import annotations

from dataclasses import dataclass

from kronoscope._intervals import student_reach
from kronoscope.report import Bar, BarPanel, Column, Figure, Line, LinePanel, Report, Section, Table, Text
from kronoscope.report.records import Cell

from ..study import Check
from ..yardstick import FEATURES, FRAMES, LENGTHSCALE
from .networks import LABELS, OTHER_LENGTHSCALE, ROLES

TIME = 0.2  # the probe's default; checks, p-values and profiles are at this noise level
MOST_COMPILED_GAP = 1e-6
RIVALS = ("white", "permuted", "other")  # trained networks that a trained network's best head must pass
FEWEST_SEQUENCES = 32
REACH = student_reach(FEWEST_SEQUENCES - 1)
NAMES = {
    "unrolled": "unrolled",
    "position": "position-only",
    "dit linear": "DiT, linear path",
    "dit softmax": "DiT, softmax blocks",
}


@dataclass(frozen=True)
class Head:
    """Agreement of one head's map with covariances, as partial correlations over all pairs of frames.

    Attributes:
        gamma: With Gamma, beyond the null maps.
        other: With the covariance of another kernel, beyond the same maps.
        lag_share: Share of the map's variation over pairs of frames that its means along the lags explain.
        lag_means: With Gamma, of the means along the lags in place of the map.
        rest: With Gamma, beyond the distance of the frames and the head's own means along the lags.
    """

    gamma: float
    other: float
    lag_share: float
    lag_means: float
    rest: float


@dataclass(frozen=True)
class Rank:
    """Where a network's agreement with Gamma stands among untrained networks.

    Attributes:
        p_value: The smallest over the heads.
        family_p_value: The same corrected over the heads.
        moved: Number of heads beyond untrained ones at 5 %, corrected over the heads.
    """

    p_value: float
    family_p_value: float
    moved: int


@dataclass(frozen=True)
class Attention:
    """The attention of one network at one noise level.

    Attributes:
        name: Key of ``NAMES``.
        kind: "trained" or a null.
        t: Diffusion time.
        heads: One for each.
        rank: None at other times than ``TIME``, and for the unrolled network, which starts from the identity.
        profile: Of the head that agrees best: weights by signed lag, (2 N - 1,), over the largest.
        profile_error: Standard errors over sequences.
    """

    name: str
    kind: str
    t: float
    heads: tuple[Head, ...]
    rank: Rank | None
    profile: tuple[float, ...]
    profile_error: tuple[float, ...]

    @property
    def best_head(self) -> Head:
        """The head that agrees best with Gamma."""
        return max(self.heads, key=lambda head: abs(head.gamma))

    @property
    def best(self) -> float:
        """Its |partial correlation|."""
        return abs(self.best_head.gamma)


@dataclass(frozen=True)
class Untrained:
    """95 % point over untrained networks of the best head's agreement with Gamma, at one noise level."""

    name: str
    t: float
    best: float


@dataclass(frozen=True)
class Result:
    """All numbers of the study.

    Attributes:
        attention: Every network at every noise level.
        untrained: By network and noise level.
        num_untrained: How many untrained networks there are of each sort.
        gamma: The true correlation by lag.
        compiled_gap: Largest entry of |sum of a compiled network's heads - Gamma|.
    """

    attention: tuple[Attention, ...]
    untrained: tuple[Untrained, ...]
    num_untrained: int
    gamma: tuple[float, ...]
    compiled_gap: float

    def of(self, name: str, kind: str, t: float = TIME) -> Attention | None:
        """That network at that noise level, if it was probed."""
        return next((each for each in self.attention if (each.name, each.kind, each.t) == (name, kind, t)), None)

    def trained(self, name: str, t: float = TIME) -> Attention:
        """The trained network of that name."""
        return next(each for each in self.attention if (each.name, each.kind, each.t) == (name, "trained", t))

    def untrained_best(self, name: str, t: float = TIME) -> float | None:
        """The 95 % point over untrained networks; None where there are none."""
        return next((each.best for each in self.untrained if (each.name, each.t) == (name, t)), None)

    def null_best(self, name: str, t: float = TIME) -> float:
        """What a best head must exceed: each null network's best head, and 95 % of the untrained networks'."""
        nulls = [null.best for kind in RIVALS if (null := self.of(name, kind, t)) is not None]
        return max(*nulls, self.untrained_best(name, t) or 0.0)

    def passes(self, name: str, t: float = TIME) -> bool:
        """Whether the trained network's best head agrees with Gamma better than its nulls do."""
        return self.trained(name, t).best > self.null_best(name, t)

    @property
    def levels(self) -> tuple[float, ...]:
        """The noise levels, from the least."""
        return tuple(sorted({each.t for each in self.attention}))


def checks(result: Result) -> list[Check]:
    """The compiled network holds Gamma; the best head of each trained network passes its nulls."""
    numbers = [
        Check(
            "compiled network: sum of the heads minus Gamma",
            result.compiled_gap,
            f"{result.compiled_gap:.0e}",
            f"largest entry, heads weighted by their values; at most {MOST_COMPILED_GAP:g}",
            result.compiled_gap <= MOST_COMPILED_GAP,
        )
    ]
    for name, label in NAMES.items():
        best, levels = result.trained(name).best, result.levels
        passed = sum(result.passes(name, t) for t in levels)
        numbers.append(
            Check(
                f"best head of {label}",
                best,
                f"{best:.2f}",
                f"partial correlation with Gamma at t = {TIME:g}, one training each; its nulls reach "
                f"{result.null_best(name):.2f}; passed at {passed} of {len(levels)} noise levels",
                result.passes(name),
            )
        )
    return numbers


def page(result: Result) -> Report:
    """Agreement beyond positions, at other noise levels, and by lag."""
    return Report(
        "Do attention maps show the dependence, or only the positions?",
        "A map that falls with the distance of the frames looks like a covariance even if nothing was learnt. So the "
        "study measures agreement with Gamma beyond the maps that positions alone give. It compares trained networks "
        "with networks that had no Gamma to learn, or another one.",
        facts={
            "truth": f"exponential kernel, lengthscale {LENGTHSCALE:g}, {FRAMES} frames, {FEATURES} features",
            "probed at": f"t = {TIME:g} (one table: {', '.join(f'{t:g}' for t in result.levels)}); maps averaged over "
            "sequences of the truth",
            "networks": f"one training each; {result.num_untrained} untrained ones",
            "training": "the library's presets",
        },
        sections=[
            Section("Agreement beyond positions", "", [_bars(result), _table(result)]),
            Section("At other noise levels", "", [_levels(result)]),
            Section("The best head by lag", "", [_profiles(result), _lags(result)]),
            Section("How it was done", "", [Text(_method(result))]),
        ],
    )


def _method(result: Result) -> str:
    rest = max(abs(head.rest) for each in result.attention for head in each.heads)
    return (
        "Agreement is a partial correlation over all pairs of frames, between Gamma and the symmetric part of a head's "
        "map. Both are first freed of three null maps: the distance of the frames, the mean map of untrained networks, "
        "and that map's means along the lags. For an unrolled network only the distance is removed.\n\n"
        f"A p-value is the rank of that correlation among {result.num_untrained} untrained networks from other seeds, "
        "corrected over the heads by the largest. The rank is exact whatever untrained networks know of the lag, "
        "except that the null maps come from the same networks. The usual test relabels the frames; it would call "
        "most untrained heads with a table of the lag significant.\n\n"
        "A small p-value says that training moved a head, not why. Networks trained on white noise, on shuffled frames "
        "and on another kernel are therefore probed the same way. The claim is refuted for a network whose best head "
        "agrees with Gamma no better than theirs, or than that of 95 % of the untrained networks. Each of these is one "
        "training, so a narrow pass may be luck. An unrolled network starts from the identity whatever the seed, so it "
        "has nulls but no p-value.\n\n"
        f"Agreement with another kernel (lengthscale {OTHER_LENGTHSCALE:g}) shows how well the test tells kernels "
        "apart. Heads may share Gamma among them, so one head need not look like it. The Jacobian (`kronoscope "
        "reproduce jacobian`) is the sharper probe.\n\n"
        "Free means along the lags are not a null map here. Gamma of a stationary process is a function of the lag, so "
        "such means would absorb it. What is left of a head beyond its own means is agreement that is not stationary, "
        f"of which this truth has none: the largest over all heads is {rest:.0e}, which should be round-off."
    )


def _title(each: Attention) -> str:
    return f"{NAMES[each.name]}, {LABELS[each.kind]}"


def _bars(result: Result) -> Figure:
    panels = []
    for name, label in NAMES.items():
        bars = []
        for each in _at_default(result):
            if each.name == name:
                values = sorted(abs(head.gamma) for head in each.heads)
                bars.append(Bar(LABELS[each.kind], ROLES[each.kind], values[-1], values[0], values[-1]))
        untrained = result.untrained_best(name)
        if untrained is not None:
            bars.append(Bar(f"95 % of {result.num_untrained} untrained", "floor", untrained))
        panels.append(BarPanel(label, "|partial correlation| with Gamma", bars, x_limits=(0.0, 1.02)))
    caption = (
        "Agreement of the best head with Gamma beyond the null maps. The whisker reaches down to the worst head; it is "
        "not an interval. The lowest bar is the 95 % point over untrained networks; every other bar is one training. "
        "Each panel has its own nulls: a map shows something if the trained bar is the longest."
    )
    return Figure(panels, caption, "Best head's agreement with Gamma: trained and null networks.", columns=2)


def _table(result: Result) -> Table:
    rows: list[list[Cell]] = []
    for each in _at_default(result):
        other = max(abs(head.other) for head in each.heads)
        ranks: list[Cell] = [None] * 3
        if each.rank is not None:
            ranks = [each.rank.p_value, each.rank.family_p_value, each.rank.moved]
        rows.append([_title(each), len(each.heads), each.best, other, *ranks])
    columns: list[Column | str] = [
        "network",
        Column("heads", digits=3),
        Column("best head with Gamma", decimals=2),
        Column(f"with lengthscale {OTHER_LENGTHSCALE:g}", decimals=2),
        Column("smallest p", digits=2),
        Column("corrected over heads", digits=2),
        Column("heads moved", "5 %", digits=3),
    ]
    return Table(
        columns,
        rows,
        "Partial correlations beyond the null maps, and their p-values among untrained networks. Heads moved are those "
        "beyond untrained ones at 5 %, corrected over the heads. A small p of a network trained on white noise or "
        "shuffled frames means that training moves heads even without dependence to learn. An untrained network "
        "should have no small p.",
        row_roles=[ROLES[each.kind] for each in _at_default(result)],
    )


def _at_default(result: Result) -> list[Attention]:
    return [each for each in result.attention if each.t == TIME]


def _levels(result: Result) -> Table:
    rows: list[list[Cell]] = []
    missed = []
    for name, label in NAMES.items():
        row: list[Cell] = [label]
        for t in result.levels:
            if not result.passes(name, t):
                missed.append((len(rows), len(row)))
            row += [result.trained(name, t).best, result.null_best(name, t)]
        rows.append(row)
    columns: list[Column | str] = ["network"]
    for t in result.levels:
        columns += [Column(f"t = {t:g}, best head", decimals=2), Column("its nulls reach", decimals=2)]
    return Table(
        columns,
        rows,
        "Partial correlation with Gamma of the best trained head, and the most that its nulls reach, at little, some "
        f"and much noise. The checks use t = {TIME:g}, the probe's default, which was fixed before looking. Emphasised "
        "cells do not pass. A map that depends on neither content nor time is the same at every level.",
        note="One training each. The nulls are the networks trained on white noise, shuffled frames and another "
        "kernel, and the 95 % point over untrained ones.",
        highlight_cells=missed,
    )


def _lags(result: Result) -> Table:
    rows: list[list[Cell]] = [
        [_title(each), each.best, abs(each.best_head.lag_means), 100 * each.best_head.lag_share]
        for each in _at_default(result)
    ]
    columns: list[Column | str] = ["network", Column("best head with Gamma", decimals=2)]
    columns += [Column("its lag means alone", decimals=2), Column("a function of the lag", "%", digits=3)]
    return Table(
        columns,
        rows,
        "How much of the best head is a function of the lag alone. The third column is the agreement with Gamma of its "
        "means along the lags (its Toeplitz part). The last is the share of its variation over pairs of frames that "
        "these explain.",
        row_roles=[ROLES[each.kind] for each in _at_default(result)],
    )


def _profiles(result: Result) -> Figure:
    panels = []
    frames = len(result.gamma)
    lags = list(range(1 - frames, frames))
    truth = [result.gamma[abs(lag)] for lag in lags]
    for name, label in NAMES.items():
        lines = [Line("Gamma", "truth", lags, truth)]
        for kind in ("trained", *RIVALS):
            each = result.of(name, kind)
            if each is not None:
                reach = [REACH * error for error in each.profile_error]
                low, high = ([v + sign * r for v, r in zip(each.profile, reach)] for sign in (-1, 1))
                lines.append(Line(LABELS[kind], ROLES[kind], lags, each.profile, low, high))
        panels.append(LinePanel(label, "signed lag (frames)", "weight over its largest", lines))
    caption = (
        "Attention weights of the best head by signed lag, over their largest, beside Gamma, with 95 % bands over "
        "sequences where the weights depend on them. Without softmax the sign is free: an inner factor may turn it "
        "back."
    )
    return Figure(panels, caption, "Lag profiles of the best heads beside Gamma.", columns=2)
