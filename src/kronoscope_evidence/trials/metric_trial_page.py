"""Result, checks and page of the trial of metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kronoscope.report import Column, Estimate, Figure, MatrixPanel, Report, Section, Table, Text
from kronoscope.report.records import Cell

from ..study import Check

ALPHA = 0.05
ENOUGH = 0.9


@dataclass(frozen=True)
class Size:
    """How much is drawn.

    Attributes:
        sequences: Real, and as many generated; half as many are held out.
        frames, features: Of a sequence.
        runs: With each defect.
        null_runs: Of equal distributions, with each distribution of the real sequences.
        trained_runs, trained_null_runs: The same for metrics that train a network.
    """

    sequences: int
    frames: int
    features: int
    runs: int
    null_runs: int
    trained_runs: int
    trained_null_runs: int


@dataclass(frozen=True)
class FalseAlarms:
    """Share of runs of equal distributions in which a number reports a difference."""

    number: str
    published: bool
    rate: float
    runs: int


@dataclass(frozen=True)
class Power:
    """Share of runs in which a number detects each defect, in the order of the defects."""

    number: str
    shares: tuple[float, ...]

    @property
    def detected(self) -> int:
        """How many defects it detects with enough power."""
        return sum(share >= ENOUGH for share in self.shares)


@dataclass(frozen=True)
class Result:
    """Rejection rates by number and defect.

    Attributes:
        size: What was drawn.
        defects: Their names.
        questions: How many of the numbers are the audit's, the whole audit first; the others are published metrics.
        false_alarms, power: One entry a number, in the same order.
    """

    size: Size
    defects: tuple[str, ...]
    questions: int
    false_alarms: tuple[FalseAlarms, ...]
    power: tuple[Power, ...]

    @property
    def published(self) -> tuple[Power, ...]:
        """Power of the published metrics."""
        return self.power[self.questions :]


def checks(result: Result) -> list[Check]:
    """What the audit detects, what the best published metric detects, and the audit's false alarms."""
    whole, alarms, total = result.power[0], result.false_alarms[0], len(result.defects)
    best = max(result.published, key=lambda power: power.detected)
    margin = 3 * math.sqrt(ALPHA * (1 - ALPHA) / alarms.runs)
    least = min(whole.shares)
    return [
        Check(
            "defects that the audit detects",
            whole.detected,
            f"{whole.detected} of {total}",
            f"with power at least {ENOUGH:g}",
            whole.detected == total,
        ),
        Check(
            "that the best published metric detects",
            best.detected,
            f"{best.detected} of {total}",
            f"{best.number}, at its best threshold",
            None,
        ),
        Check(
            "false alarms of the whole audit",
            alarms.rate,
            f"{100 * alarms.rate:.1f} %",
            f"the claim is at most {100 * ALPHA:g} %; {alarms.runs} audits of equal distributions",
            alarms.rate <= ALPHA + margin,
        ),
        Check(
            "least power of the audit",
            least,
            f"{least:.2f}",
            result.defects[whole.shares.index(least)],
            least >= ENOUGH,
        ),
    ]


def page(result: Result) -> Report:
    """A picture of all rates, the best of either side by defect, and the error rates."""
    size = result.size
    return Report(
        "Which metric detects which defect?",
        "A published metric that has the same value for real and for generated sequences says little: most detect only "
        "the defect that they were made for. The audit detects all of them, at a known rate of false alarms.",
        facts={
            "sequences": f"{size.sequences} real and as many generated, {size.sequences // 2} held out",
            "frames and features": f"{size.frames} and {size.features}",
            "runs": f"{size.runs} with each defect, {size.null_runs} of equal distributions with each of three truths",
            "runs of metrics that train a network": f"{size.trained_runs} and {size.trained_null_runs}",
            "level": f"{100 * ALPHA:g} %",
        },
        sections=[_picture(result), _by_defect(result), _errors(result), Section("Calibration", "", [Text(_METHOD)])],
    )


_METHOD = (
    "A published metric comes without a threshold. Here each gets the best possible one: the value that it exceeds in "
    "5 % of runs of equal distributions, which takes hundreds of data sets of the same size from the truth. With one "
    "data set nobody has that, so these powers are upper bounds. The audit calibrates itself on the sequences that it "
    "judges.\n\n"
    "The truth is an exponential kernel of lengthscale 8 with correlated features, except where a defect needs "
    "another: a lengthscale of 1 for the removed cross-lag dependence, and a sum of a fast and a slow part for the "
    "missing non-separability."
)


def _picture(result: Result) -> Section:
    panel = MatrixPanel(
        "",
        [list(power.shares) for power in result.power],
        "planted defect",
        "number",
        "share of runs that detect it",
        x_ticks=[str(k + 1) for k in range(len(result.defects))],
        y_ticks=[power.number for power in result.power],
        limits=(0.0, 1.0),
    )
    listed = "; ".join(f"{k + 1} {name}" for k, name in enumerate(result.defects))
    caption = (
        f"Power, by number (rows) and defect (columns): {listed}. The first row is the whole audit, corrected for all "
        f"its questions; then each question by itself; the last {len(result.published)} rows are published metrics. A "
        "number that detects nothing still rejects in one run of twenty. A dark cell can be trusted; a pale cell is a "
        "defect that the number misses."
    )
    alt = "Heat map of the power of every question and metric against every defect."
    return Section("What each number detects", "", [Figure([panel], caption, alt)])


def _by_defect(result: Result) -> Section:
    questions = result.power[1 : result.questions]
    rows: list[list[Cell]] = []
    for k, defect in enumerate(result.defects):
        best = max(questions, key=lambda power: power.shares[k])
        row: list[Cell] = [defect, result.power[0].shares[k], f"{best.number} ({best.shares[k]:.2f})"]
        rows.append(row + [power.shares[k] for power in result.published])
    columns: list[Column | str] = ["defect", Column("whole audit", decimals=2), "best question (power)"]
    columns += [Column(power.number, decimals=2) for power in result.published]
    caption = (
        f"Power by defect. A rate of {ENOUGH:g} or more can be trusted. With {result.size.runs} runs its standard "
        f"error is at most {0.5 / math.sqrt(result.size.runs):.3f}; for metrics that train a network it is at most "
        f"{0.5 / math.sqrt(result.size.trained_runs):.2f}."
    )
    return Section("Which number for which defect", "", [Table(columns, rows, caption)])


def _errors(result: Result) -> Section:
    rows: list[list[Cell]] = []
    for alarms in result.false_alarms:
        error = math.sqrt(max(alarms.rate, 1 / alarms.runs) * (1 - alarms.rate) / alarms.runs)
        kind = "published metric" if alarms.published else "audit"
        rows.append([alarms.number, kind, Estimate(alarms.rate, error), alarms.runs])
    caption = (
        "Share of runs of equal distributions in which the number reports a difference. A question by itself, before "
        "the correction for their number, should be at the level; the whole audit at most there. Metrics are at the "
        "level by construction, up to the error of their threshold."
    )
    return Section("False alarms", "", [Table(["number", "kind", "share", Column("runs", digits=6)], rows, caption)])
