"""The page of ``kronoscope reproduce attention``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kronoscope._intervals import student_reach
from kronoscope.report import Bar, BarPanel, Column, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from kronoscope.report.records import Cell

from ..learning.page_parts import how
from ..yardstick_networks import LABELS, ROLES

if TYPE_CHECKING:
    from .attention import AttentionResult, Reading

TARGET = 1e-6
TIME = 0.2  # the probe's default
NAMES = {
    "unrolled": "unrolled",
    "position": "position-only",
    "dit linear": "DiT, linear path",
    "dit softmax": "DiT, softmax blocks",
}


def page(result: AttentionResult, quick: bool) -> Report:
    """One claim, the maps by lag, the agreement beside that of the nulls."""
    return Report(
        "Do attention maps hold the dependence, or the positions alone?",
        "A map that falls with the distance looks like a covariance whether or not anything was learnt. So what counts "
        "is agreement with Gamma beyond the maps that positions alone give, beside networks that had no Gamma, or "
        "another, to learn.",
        facts={
            "truth": "exponential kernel, lengthscale 8, 32 frames, 4 features",
            "read at": f"t = {TIME:g} (one table: {', '.join(f'{t:g}' for t in result.levels)}), maps averaged over "
            "sequences of the true law",
            "networks": f"one training each; {result.untrained} untrained ones",
            "training": "the library's presets" + (", cut short" if quick else ""),
        },
        sections=[
            Section("Agreement beyond positions", "", [_bars(result), _table(result)]),
            Section("At other noise levels", "", [_levels(result)]),
            Section("The best head by lag", "", [_profiles(result), _lags(result)]),
            how(
                "Over all pairs of frames, a head's map (its symmetric part) and Gamma are both freed of three null "
                "maps, the distance of the frames, the mean map of untrained networks and that map's means along the "
                "lags (an unrolled network's of the distance alone), and then correlated. A "
                f"p-value is the rank of that correlation among {result.untrained} untrained networks from other "
                "seeds, which is exact whatever they know of the lag, but for the null maps being taken from the same "
                "networks; relabelling the frames, the usual test, would "
                "call most untrained heads with a table of the lag significant. It is corrected over the heads by the "
                "largest. It says that training moved a head, not why: the same is asked of networks trained on white "
                "noise, and on sequences whose frames were shuffled. A best head that agrees with Gamma no better "
                "than theirs, or than those of 95 % of the untrained networks, has shown nothing, "
                "whatever its p-value. The claim would be refuted for a network whose best "
                "head does not pass its nulls; the verdict says for which that is so. The trained network and each "
                "null that it is held against are one training each, so a narrow pass may be the luck of a seed. "
                "Agreement with another kernel "
                "(lengthscale 2) shows how far the test can tell kernels apart: heads may share Gamma among them, and "
                "one head alone need not look like it, so the Jacobian (reproduce jacobian) is the sharper probe. An "
                "unrolled network starts from the identity whatever the seed, so it has nulls but no rank.\n\n"
                "Free means along the lags, a number for each, are no null map here: Gamma of a stationary process is "
                "itself a function of the lag, so they would absorb it whole, and what is left of a head beyond its "
                "own means is agreement that is not stationary, of which this truth has none. The largest such rest "
                f"over all heads of the page is {_rest(result):.0e}; it should be round-off. So a head that "
                "agrees with Gamma here does so through its means along the lags, and only the other networks tell "
                "these from what positions alone give."
            ),
        ],
        verdict=_verdict(result),
    )


def _verdict(result: AttentionResult) -> Verdict:
    numbers = [
        Number(
            f"{result.compiled_gap:.0e}",
            "compiled network: sum of the heads less Gamma",
            f"largest entry, heads weighed by their values; target {TARGET:g}",
            "good" if result.compiled_gap <= TARGET else "bad",
        )
    ]
    for name, label in NAMES.items():
        trained = result.of(name, "trained")
        if trained is not None:
            null = result.null_best(name)
            numbers.append(
                Number(
                    f"{trained.best:.2f}",
                    f"best head of {label}",
                    f"partial correlation with Gamma at t = {TIME:g}, one training each; its nulls reach {null:.2f}, "
                    + ("passed" if trained.best > null else "not passed")
                    + f"; passed at {_passed(result, name)} of {len(result.levels)} noise levels",
                    "good" if trained.best > null else "bad",
                )
            )
    return Verdict(numbers)


def _passed(result: AttentionResult, name: str) -> int:
    """At how many noise levels the best trained head passes its nulls."""
    found = [(result.of(name, "trained", t), result.null_best(name, t)) for t in result.levels]
    return sum(one is not None and one.best > null for one, null in found)


def _rest(result: AttentionResult) -> float:
    return max(abs(value) for one in result.readings for value in one.left)


def _title(one: Reading) -> str:
    return f"{NAMES[one.name]}, {LABELS[one.kind]}"


def _bars(result: AttentionResult) -> Figure:
    panels = []
    for name, label in NAMES.items():
        bars = []
        for one in result.readings:
            if (one.name, one.t) == (name, TIME):
                values = sorted(abs(value) for value in one.correlation)
                bars.append(Bar(LABELS[one.kind], ROLES[one.kind], values[-1], values[0], values[-1]))
        if (name, TIME) in result.untrained_best:
            label_of = f"95 % of {result.untrained} untrained"
            bars.append(Bar(label_of, "floor", result.untrained_best[name, TIME]))
        panels.append(BarPanel(label, "|partial correlation| with Gamma", bars, x_limits=(0.0, 1.02)))
    caption = (
        "Agreement of the best head with Gamma beyond the null maps; the lowest bar is the 95 % point over untrained "
        "networks. The whisker reaches down to the worst head; it is no interval, and every bar but the "
        "lowest is one training. Each panel has its own nulls: the trained bar has to be longer than all "
        "others for the map to say anything."
    )
    return Figure(panels, caption, "Best head's agreement with Gamma: trained and null networks.", columns=2)


def _table(result: AttentionResult) -> Table:
    rows: list[list[Cell]] = [
        [
            _title(one),
            len(one.correlation),
            one.best,
            max(abs(value) for value in one.other),
            one.p_value,
            one.family_p_value,
            one.moved,
        ]
        for one in _shown(result)
    ]
    columns: list[Column | str] = [
        "network",
        Column("heads", digits=3),
        Column("best head with Gamma", decimals=2),
        Column("with lengthscale 2", decimals=2),
        Column("least p", digits=2),
        Column("corrected over heads", digits=2),
        Column("heads moved", "5 %", digits=3),
    ]
    return Table(
        columns,
        rows,
        "Partial correlations beyond the null maps, and their p-values among untrained networks. A small p of a "
        "network trained on white or shuffled sequences means that training moves heads whether or not there is "
        "dependence to learn; an untrained network should have none. Heads moved: those beyond untrained ones at 5 %, "
        "corrected over the heads.",
        row_roles=[ROLES[one.kind] for one in _shown(result)],
    )


def _shown(result: AttentionResult) -> list[Reading]:
    return [one for one in result.readings if one.t == TIME]


def _levels(result: AttentionResult) -> Table:
    rows: list[list[Cell]] = []
    missed = []
    for name, label in NAMES.items():
        if result.of(name, "trained") is None:
            continue
        row: list[Cell] = [label]
        for t in result.levels:
            trained, null = result.of(name, "trained", t), result.null_best(name, t)
            if trained is None or trained.best <= null:
                missed.append((len(rows), len(row)))
            row += [None if trained is None else trained.best, null]
        rows.append(row)
    columns: list[Column | str] = ["network"]
    for t in result.levels:
        columns += [Column(f"t = {t:g}, best head", decimals=2), Column("its nulls reach", decimals=2)]
    return Table(
        columns,
        rows,
        "Partial correlation with Gamma of the best trained head, and the most that its nulls reach, at little, some "
        f"and much noise. The verdict is of t = {TIME:g}, the probe's default, settled before looking; stressed is "
        "what does not pass. A map without content or time is the same at every level.",
        note="One training each; the nulls are the networks trained on white noise, shuffled frames and another "
        "kernel, and the 95 % point over untrained ones.",
        highlight_cells=missed,
    )


def _lags(result: AttentionResult) -> Table:
    rows: list[list[Cell]] = [
        [_title(one), one.best, abs(one.lag_means[one.best_head]), 100 * one.by_lag[one.best_head]]
        for one in _shown(result)
    ]
    columns: list[Column | str] = ["network", Column("best head with Gamma", decimals=2)]
    columns += [Column("its lag means alone", decimals=2), Column("a function of the lag", "%", digits=3)]
    return Table(
        columns,
        rows,
        "How much of the best-agreeing head is a function of the lag alone: the agreement with Gamma of its means "
        "along the lags (its Toeplitz part) in its place, and the share of its variation over pairs of frames that "
        "these explain.",
        row_roles=[ROLES[one.kind] for one in _shown(result)],
    )


def _profiles(result: AttentionResult) -> Figure:
    panels = []
    frames = len(result.gamma)
    lags = list(range(1 - frames, frames))
    truth = [result.gamma[abs(lag)] for lag in lags]
    for name, label in NAMES.items():
        lines = [Line("Gamma", "truth", lags, truth)]
        for kind in ("trained", "white", "permuted", "other"):
            one = result.of(name, kind)
            if one is not None:
                reach = [student_reach(31) * error for error in one.profile_error]  # of 32 sequences or more
                low, high = ([v + s * r for v, r in zip(one.profile, reach)] for s in (-1, 1))
                lines.append(Line(LABELS[kind], ROLES[kind], lags, one.profile, low, high))
        panels.append(LinePanel(label, "signed lag (frames)", "weight over its largest", lines))
    caption = (
        "Attention weights of the best-agreeing head by signed lag, over their largest, beside Gamma; 95 % bands over "
        "sequences where the weights depend on them. Signs are free in networks without softmax: an inner factor may "
        "turn them back."
    )
    return Figure(panels, caption, "Lag profiles of the best heads beside Gamma.", columns=2)
