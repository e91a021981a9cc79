"""The page of ``kronoscope reproduce attention``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report import Bar, BarPanel, Column, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .learning_page import how
from .yardstick_networks import LABELS, ROLES

if TYPE_CHECKING:
    from .attention import AttentionResult, Reading

TARGET = 1e-6
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
        "is agreement with Gamma beyond the maps that positions alone give, beside networks that had no Gamma to "
        "learn.",
        facts={
            "truth": "exponential kernel, lengthscale 8, 32 frames, 4 features",
            "read at": "t = 0.2, maps averaged over sequences of the true law",
            "training": "the library's presets" + (", cut short" if quick else ""),
        },
        sections=[
            Section("Agreement beyond positions", "", [_bars(result), _table(result)]),
            Section("The best head by lag", "", [_profiles(result)]),
            how(
                "Over all pairs of frames, a head's map (its symmetric part) and Gamma are both freed of two null "
                "maps, the distance of the frames and the mean map of untrained networks, and then correlated. A "
                f"p-value is the rank of that correlation among {result.untrained} untrained networks from other "
                "seeds, which is exact whatever they know of the lag; relabelling the frames, the usual test, would "
                "call most untrained heads with a table of the lag significant. It is corrected over the heads by the "
                "largest. It says that training moved a head, not why: the same is asked of networks trained on white "
                "noise, and on sequences whose frames were shuffled. A best head that agrees with Gamma no better "
                "than theirs, or than those of 95 % of the untrained networks, has shown nothing, "
                "whatever its p-value. The claim would be refuted for a network whose best "
                "head does not pass its nulls; the verdict says for which that is so. Agreement with another kernel "
                "(lengthscale 2) shows how far the test can tell kernels apart: heads may share Gamma among them, and "
                "one head alone need not look like it, so the Jacobian (reproduce jacobian) is the sharper probe. An "
                "unrolled network starts from the identity whatever the seed, so it has nulls but no rank."
            ),
        ],
        verdict=_verdict(result),
    )


def _verdict(result: AttentionResult) -> Verdict:
    numbers = [
        Number(
            f"{result.compiled_gap:.0e}",
            "compiled network: sum of the heads less Gamma",
            f"the probe itself; target {TARGET:g}",
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
                    f"partial correlation with Gamma; its nulls reach {null:.2f}, "
                    + ("passed" if trained.best > null else "not passed"),
                    "good" if trained.best > null else "bad",
                )
            )
    return Verdict(numbers)


def _title(one: Reading) -> str:
    return f"{NAMES[one.name]}, {LABELS[one.kind]}"


def _bars(result: AttentionResult) -> Figure:
    panels = []
    for name, label in NAMES.items():
        bars = []
        for one in result.readings:
            if one.name == name:
                values = sorted(abs(value) for value in one.correlation)
                bars.append(Bar(LABELS[one.kind], ROLES[one.kind], values[-1], values[0], values[-1]))
        if name in result.untrained_best:
            label_of = f"95 % of {result.untrained} untrained"
            bars.append(Bar(label_of, "floor", result.untrained_best[name]))
        panels.append(BarPanel(label, "|partial correlation| with Gamma", bars, x_limits=(0.0, 1.02)))
    caption = (
        "Agreement of the best head with Gamma beyond the null maps; the lowest bar is the 95 % point over untrained "
        "networks. The whisker reaches down to the worst head. Each "
        "panel has its own nulls: the trained bar has to be longer than all others for the map to say anything."
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
        for one in result.readings
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
        row_roles=[ROLES[one.kind] for one in result.readings],
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
                reach = [1.96 * error for error in one.profile_error]
                low, high = ([v + s * r for v, r in zip(one.profile, reach)] for s in (-1, 1))
                lines.append(Line(LABELS[kind], ROLES[kind], lags, one.profile, low, high))
        panels.append(LinePanel(label, "signed lag (frames)", "weight over its largest", lines))
    caption = (
        "Attention weights of the best-agreeing head by signed lag, over their largest, beside Gamma; 95 % bands over "
        "sequences where the weights depend on them. Signs are free in networks without softmax: an inner factor may "
        "turn them back."
    )
    return Figure(panels, caption, "Lag profiles of the best heads beside Gamma.", columns=2)
