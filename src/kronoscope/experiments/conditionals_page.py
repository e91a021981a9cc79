"""The page of ``kronoscope reproduce conditionals``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report import Bar, BarPanel, Column, Estimate, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .learning_page import how

if TYPE_CHECKING:
    from .conditionals import ConditionalsResult, Example, Grade

LABELS = {
    "exact": "exact",
    "mmps": "moment matching (MMPS)",
    "dps": "gradient guidance (DPS)",
    "replacement": "replacement (RePaint)",
    "persistence": "nearest value carried",
    "marginal": "what is seen ignored",
}
ROLES = {
    "exact": "floor",
    "mmps": "learnt",
    "dps": "second",
    "replacement": "baseline",
    "persistence": "baseline-2",
    "marginal": "null",
}
SHOWN = ("exact", "mmps", "dps", "replacement")
GAP_TARGET = 1e-8


def page(result: ConditionalsResult) -> Report:
    """One claim, its intervals drawn, its coverage counted."""
    cases = list(dict.fromkeys(one.case for one in result.grades))
    return Report(
        "Can the samplers fill in what is missing?",
        "Each method is given the exact score of a known process, so whatever differs from the exact conditional law "
        "is the method's own error and not a network's.",
        facts={
            "sequences": f"{result.sequences} of each process, other ones than any method saw",
            "draws": "199 for each sequence and method",
            "sampler": "ancestral, 64 score calls; replacement takes each step 10 times, so 640",
            "gradients": "DPS one a call, MMPS up to 13, replacement none",
        },
        sections=[
            Section("One sequence of each", "", [_bands(one) for one in result.examples]),
            Section("Are the intervals honest?", "", [_coverage(result, cases), _coverage_table(result)]),
            Section("How near is the law?", "", [_grades(result)]),
            how(
                "Coverage counts where the hidden value ranks among the 199 draws, for which 50, 90 and 95 % are exact "
                "cuts. CRPS is that of the draws, corrected for their number, mean over hidden entries; the energy "
                "score treats all hidden entries of a sequence together. The energy distance compares a method's draws "
                "with exact ones; that of the exact method against other exact draws is 0 but for chance. Standard "
                "errors are over sequences. DPS takes the observed entries for independent given the noised sequence, "
                "which correlated frames are not: its intervals may be as wide as they should be and its draws still "
                "far from the law, so look at the distance and not at coverage alone. MMPS solves with the covariance "
                "that DPS leaves out, which for Gaussian data is exact but for the number of steps. "
                "Replacement lets the hidden entries see the "
                "others through the score alone, and agrees with them only as steps are taken again. "
                "The efforts are not equal (see the head of the page), and nothing was tuned to these cases: the "
                "settings are the library's defaults. "
                "The claim would have failed if a guided method were no nearer the exact law than carrying the "
                "nearest value, or covered far from what it promised."
            ),
        ],
        verdict=_verdict(result),
    )


def _verdict(result: ConditionalsResult) -> Verdict:
    guided = [one for one in result.grades if one.method == "mmps"]
    carried = {one.case: one for one in result.grades if one.method == "persistence"}
    exact = {one.case: one for one in result.grades if one.method == "exact"}
    worst = min(guided, key=lambda one: one.coverage[0.95].value)
    beats = all(one.crps.value < carried[one.case].crps.value for one in guided)
    share = max(one.crps.value / exact[one.case].crps.value for one in guided)
    others = [one for one in result.grades if one.method in ("dps", "replacement")]
    low = min(others, key=lambda one: one.coverage[0.95].value)
    cover = worst.coverage[0.95]
    return Verdict(
        [
            Number(
                f"{result.gap:.0e}",
                "exact path against dense conditioning",
                f"largest difference of mean or covariance; at most {GAP_TARGET:g}",
                "good" if result.gap <= GAP_TARGET else "bad",
            ),
            Number(
                f"{100 * cover.value:.0f} ± {100 * cover.standard_error:.0f} %",
                "of hidden values in MMPS's 95 % intervals",
                f"the worst case, {worst.case}",
                "good" if abs(cover.value - 0.95) <= max(0.03, 2 * cover.standard_error) else "bad",
            ),
            Number(
                f"{share:.2f} ×",
                "CRPS of MMPS over the exact one's",
                "the worst case; 1 is perfect",
                "good" if beats else "bad",
            ),
            Number(
                f"{100 * low.coverage[0.95].value:.0f} %",
                f"in the 95 % intervals of {LABELS[low.method]}",
                f"the worst of the other methods, {low.case}",
            ),
        ]
    )


def _bands(example: Example) -> Figure:
    frames = list(range(len(example.truth)))
    panels = []
    for method in SHOWN:
        mean, low, high = example.bands[method]
        lines = [
            Line(LABELS[method], ROLES[method], frames, mean, low, high),
            Line("truth", "truth", frames, example.truth),
        ]
        if example.observed:
            at = example.observed
            lines.append(Line("seen", "held-out", at, [example.truth[i] for i in at], markers=True, thin=True))
        panels.append(LinePanel(LABELS[method], "frame", "feature 0 (standard deviations)", lines))
    caption = (
        f"{example.case}: the first feature of one sequence. The method saw the marked entries (and those of the "
        "other feature) and drew the rest 199 times; shown are mean and 90 % interval. Bands should be as wide as "
        "those of the exact method and hold the truth nine times in ten; a band that is too narrow promises what the "
        "data do not tell."
    )
    return Figure(panels, caption, "Truth, observed entries and intervals of four methods.", columns=2)


def _coverage(result: ConditionalsResult, cases: list[str]) -> Figure:
    panels = []
    for case in cases:
        bars = []
        for one in result.grades:
            if one.case == case and one.method != "marginal":
                share = one.coverage[0.9]
                reach = 1.96 * share.standard_error
                value = 100 * share.value
                bars.append(Bar(LABELS[one.method], ROLES[one.method], value, value - 100 * reach, value + 100 * reach))
        panels.append(BarPanel(case, "hidden values inside the 90 % interval (%)", bars))
    caption = (
        "Share of hidden values inside the central 90 % intervals, with 95 % intervals over sequences. Honest is 90; "
        "less is overconfident, more is timid. The exact method and carrying the nearest value with its exact spread "
        "show what chance does to the count."
    )
    return Figure(panels, caption, "Coverage of 90 % intervals by method and case.", columns=min(3, len(panels)))


def _cell(value: float, error: float) -> Estimate:
    return Estimate(100 * value, 100 * error)


def _coverage_table(result: ConditionalsResult) -> Table:
    rows: list[list[Cell]] = [
        [one.case, LABELS[one.method], *(_cell(s.value, s.standard_error) for s in one.coverage.values())]
        for one in result.grades
    ]
    columns: list[Column | str] = ["case", "method", *(Column(f"inside {x} %", "%") for x in ("50", "90", "95"))]
    return Table(
        columns,
        rows,
        "Measured coverage of the central intervals of every method. ± one standard error over sequences.",
        row_roles=[ROLES[one.method] for one in result.grades],
    )


def _grades(result: ConditionalsResult) -> Table:
    def row(one: Grade) -> list[Cell]:
        found = (one.crps, one.energy_score, one.distance)
        return [one.case, LABELS[one.method], *(Estimate(m.value, m.standard_error) for m in found)]

    columns: list[Column | str] = ["case", "method", "CRPS", "energy score", "energy distance to the exact law"]
    return Table(
        columns,
        [row(one) for one in result.grades],
        "Scores of the draws against what was hidden, and their distance from the exact conditional law; less is "
        "better everywhere. The exact method's row is the best that can be had, since no forecast that sees the same "
        "entries can have a lower expected CRPS.",
        note="In standard deviations of a typical feature. ± one standard error over sequences.",
        row_roles=[ROLES[one.method] for one in result.grades],
    )
