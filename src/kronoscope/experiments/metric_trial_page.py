"""The page of ``kronoscope reproduce metric-trial``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..report import Column, Estimate, Figure, MatrixPanel, Number, Report, Section, Table, Text, Verdict
from ..report.records import Cell

if TYPE_CHECKING:
    from .metric_trial import TrialResult

ENOUGH = 0.9


def page(result: TrialResult, alpha: float) -> Report:
    """One claim, one picture of all rates, the best of either side by defect, and the error rates."""
    size = result.size
    return Report(
        "Which number can be trusted for what?",
        "A published metric that looks the same for real and for generated sequences says little: most see only the "
        "defect that they were made for. The audit sees all of them, at a known rate of false alarms.",
        facts={
            "sequences": f"{size.sequences} real and as many generated, {size.sequences // 2} held out",
            "frames and features": f"{size.frames} and {size.features}",
            "runs": f"{size.runs} with each defect, {size.null_runs} of equal laws with each of three real laws",
            "runs of metrics that train a network": f"{size.trained_runs} and {size.trained_null_runs}",
            "level": f"{100 * alpha:g} %",
        },
        sections=[_picture(result), _by_defect(result), _errors(result), _method()],
        verdict=_verdict(result, alpha),
    )


def _best(result: TrialResult, names: tuple[str, ...], defect: str) -> tuple[str, float]:
    name = max(names, key=lambda one: result.power[one][defect])
    return name, result.power[name][defect]


def _verdict(result: TrialResult, alpha: float) -> Verdict:
    whole = result.questions[0]
    least = min(result.defects, key=lambda one: result.power[whole][one])
    rate, runs = result.type_one[whole]
    total = len(result.defects)
    seen = sum(result.power[whole][one] >= ENOUGH for one in result.defects)
    counts = {name: sum(result.power[name][one] >= ENOUGH for one in result.defects) for name in result.papers}
    best = max(counts, key=lambda name: counts[name])
    margin = 3 * math.sqrt(alpha * (1 - alpha) / runs)
    return Verdict([
        Number(f"{seen} of {total}", "defects that the audit finds", f"with power at least {ENOUGH:g}",
               "good" if seen == total else "bad"),
        Number(f"{counts[best]} of {total}", "that the best published metric finds", f"{best}, at its best threshold",
               "neutral"),
        Number(f"{100 * rate:.1f} %", "false alarms of the whole audit",
               f"at most {100 * alpha:g} % is claimed; {runs} audits of equal laws",
               "good" if rate <= alpha + margin else "bad"),
        Number(f"{result.power[whole][least]:.2f}", "least power of the audit", least,
               "good" if result.power[whole][least] >= ENOUGH else "bad"),
    ])  # fmt: skip


def _picture(result: TrialResult) -> Section:
    names = (*result.questions, *result.papers)
    panel = MatrixPanel(
        "",
        [[result.power[name][defect] for defect in result.defects] for name in names],
        "planted defect",
        "number",
        "share of runs in which it shows",
        x_ticks=[str(k + 1) for k in range(len(result.defects))],
        y_ticks=list(names),
        limits=(0.0, 1.0),
    )
    listed = "; ".join(f"{k + 1} {name}" for k, name in enumerate(result.defects))
    caption = (
        f"Power, by number (rows) and defect (columns): {listed}. The first row is the audit as a whole, corrected for "
        "all its questions; then each question by itself; the last "
        f"{len(result.papers)} rows are published metrics. "
        "Level is the colour of a row that sees nothing: it shows in one run of twenty. A dark row is worth reading; "
        "a pale cell is a defect that the number lets pass."
    )
    alt = "Heat map of the power of every question and metric against every defect."
    return Section("What each number sees", "", [Figure([panel], caption, alt)])


def _by_defect(result: TrialResult) -> Section:
    whole, *questions = result.questions
    rows: list[list[Cell]] = []
    for defect in result.defects:
        name, power = _best(result, tuple(questions), defect)
        row: list[Cell] = [defect, result.power[whole][defect], f"{name} ({power:.2f})"]
        rows.append(row + [result.power[paper][defect] for paper in result.papers])
    columns: list[Column | str] = ["defect", Column("whole audit", decimals=2), "best question (power)"]
    columns += [Column(name, decimals=2) for name in result.papers]
    caption = (
        f"Power by defect. A rate of {ENOUGH:g} or more can be trusted; with {result.size.runs} runs its standard "
        f"error is at most {0.5 / math.sqrt(result.size.runs):.3f}, for metrics that train a network "
        f"{0.5 / math.sqrt(result.size.trained_runs):.2f}."
    )
    return Section("Which number for which defect", "", [Table(columns, rows, caption)])


def _errors(result: TrialResult) -> Section:
    rows: list[list[Cell]] = []
    for name, (rate, runs) in result.type_one.items():
        error = math.sqrt(max(rate, 1 / runs) * (1 - rate) / runs)
        kind = "published metric" if name in result.papers else "audit"
        rows.append([name, kind, Estimate(rate, error), runs])
    caption = (
        "Share of runs of equal laws in which the number shows a difference. Questions stand for themselves here, "
        "before the correction for their number, and should be at the level; the whole audit at most there. "
        "Metrics are at the level by construction, up to the runs that set their threshold."
    )
    return Section("False alarms", "", [Table(["number", "kind", "share", Column("runs", digits=6)], rows, caption)])


def _method() -> Section:
    text = (
        "A published metric comes without a threshold. Here each has the best that there can be: the value that it "
        "exceeds in 5 % of runs of equal laws, which takes hundreds of data sets of the same size from the true law. "
        "With one data set nobody has that, so these powers are upper bounds. The audit calibrates itself on the "
        "very sequences that it judges.\n\nThe real law is an exponential kernel of lengthscale 8 with correlated "
        "features, except where a defect needs another: a lengthscale of 1 for the removed cross-lag dependence, and a "
        "sum of a fast and a slow part for the missing non-separability."
    )
    return Section("How the metrics were calibrated", "", [Text(text)])
