"""Result, checks and page of the study of conditionals."""

from __future__ import annotations

from dataclasses import dataclass

from kronoscope._intervals import student_reach
from kronoscope.report import Bar, BarPanel, Column, Estimate, Figure, Line, LinePanel, Report, Section, Table, Text
from kronoscope.report.records import Cell

from ..study import Check, Measured

DRAWS = 199  # the rank of a truth among so many draws gives 50, 90 and 95 % intervals exactly
LEVELS = (0.5, 0.9, 0.95)
LABELS = {
    "exact": "exact",
    "mmps": "moment matching (MMPS)",
    "dps": "gradient guidance (DPS)",
    "replacement": "replacement (RePaint)",
    "persistence": "nearest value carried",
    "marginal": "observed entries ignored",
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
COVERAGE_MARGIN = 0.03


@dataclass(frozen=True)
class Grade:
    """Scores of one method on one case; every mean is over sequences.

    Attributes:
        case, method: Which.
        crps: Continuous ranked probability score, mean over hidden entries.
        energy_score: Of all hidden entries together.
        distance: Energy distance to the exact conditional; 0 for a perfect method. For the exact method it is measured
            between two independent sets of draws.
        coverage: Share of hidden entries inside the central intervals, by level of ``LEVELS``.
    """

    case: str
    method: str
    crps: Measured
    energy_score: Measured
    distance: Measured
    coverage: tuple[Measured, ...]

    def covered(self, level: float) -> Measured:
        """Share of hidden entries inside the central interval of that level."""
        return self.coverage[LEVELS.index(level)]


@dataclass(frozen=True)
class Band:
    """Mean and 90 % interval along the frames."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Example:
    """Feature 0 of one sequence of a case, its observed frames, and the band of every method."""

    case: str
    truth: tuple[float, ...]
    observed: tuple[int, ...]
    bands: dict[str, Band]


@dataclass(frozen=True)
class Result:
    """All numbers of the study. ``gap``: largest difference of the exact path from dense conditioning, any case."""

    grades: tuple[Grade, ...]
    examples: tuple[Example, ...]
    gap: float
    sequences: int
    draws: int

    def of(self, method: str) -> dict[str, Grade]:
        """Grades of a method, by case."""
        return {grade.case: grade for grade in self.grades if grade.method == method}


def checks(result: Result) -> list[Check]:
    """The exact path is exact; moment matching covers and beats carrying the nearest value."""
    guided, carried, exact = result.of("mmps"), result.of("persistence"), result.of("exact")
    worst = min(guided.values(), key=lambda grade: grade.covered(0.95).value)
    cover = worst.covered(0.95)
    ratio = max(grade.crps.value / exact[case].crps.value for case, grade in guided.items())
    better = all(grade.crps.value < carried[case].crps.value for case, grade in guided.items())
    others = [*result.of("dps").values(), *result.of("replacement").values()]
    lowest = min(others, key=lambda grade: grade.covered(0.95).value)
    share = lowest.covered(0.95).value
    return [
        Check(
            "exact path against dense conditioning",
            result.gap,
            f"{result.gap:.0e}",
            f"largest difference of mean or covariance; at most {GAP_TARGET:g}",
            result.gap <= GAP_TARGET,
        ),
        Check(
            "of hidden values in MMPS's 95 % intervals",
            cover.value,
            f"{100 * cover.value:.0f} ± {100 * cover.standard_error:.0f} %",
            f"the worst case, {worst.case}",
            abs(cover.value - 0.95) <= max(COVERAGE_MARGIN, 2 * cover.standard_error),
        ),
        Check(
            "CRPS of MMPS over the exact one's",
            ratio,
            f"{ratio:.2f} ×",
            "the worst case; 1 is perfect. Every case must beat carrying the nearest value",
            better,
        ),
        Check(
            f"in the 95 % intervals of {LABELS[lowest.method]}",
            share,
            f"{100 * share:.0f} %",
            f"the worst of the other methods, {lowest.case}",
            None,
        ),
    ]


def page(result: Result) -> Report:
    """Intervals drawn, coverage counted, distances tabulated."""
    cases = list(dict.fromkeys(grade.case for grade in result.grades))
    return Report(
        "Do the samplers impute missing values correctly?",
        "Each method gets the exact score of a known process. Any difference from the exact conditional distribution "
        "is therefore an error of the method, not of a network.",
        facts={
            "sequences": f"{result.sequences} of each process, held out from every method",
            "draws": f"{result.draws} for each sequence and method",
            "sampler": "ancestral, 64 score calls; replacement takes each step 10 times, so 640",
            "gradients": "DPS one a call, MMPS up to 13, replacement none",
        },
        sections=[
            Section("One sequence of each", "", [_bands(example, result.draws) for example in result.examples]),
            Section("Do the intervals cover?", "", [_coverage(result, cases), _coverage_table(result)]),
            Section("How close is the distribution?", "", [_grades(result)]),
            Section("How it was done", "", [Text(_METHOD)]),
        ],
    )


_METHOD = (
    "Coverage counts where the hidden value ranks among the 199 draws, for which 50, 90 and 95 % are exact cuts. CRPS "
    "is that of the draws, corrected for their number, averaged over hidden entries. The energy score treats all "
    "hidden entries of a sequence together. The energy distance compares a method's draws with exact ones; for the "
    "exact method it compares two sets of exact draws, so it is 0 up to chance. Standard errors are over "
    "sequences.\n\n"
    "DPS assumes that the observed entries are independent given the noised sequence, which correlated frames are "
    "not. Its intervals can have the right width while its draws are far from the exact distribution, so read the "
    "distance as well as the coverage. MMPS includes the covariance that DPS leaves out, which for Gaussian data is "
    "exact up to the number of steps. Replacement connects hidden and observed entries through the score alone, and "
    "needs each step several times.\n\n"
    "The methods do not have equal cost (see the top of the page). Nothing was tuned to these cases: the settings are "
    "the library's defaults. The claim would be refuted if a guided method were no closer to the exact distribution "
    "than carrying the nearest value, or if its coverage were far from the stated level."
)


def _bands(example: Example, draws: int) -> Figure:
    frames = list(range(len(example.truth)))
    panels = []
    for method in SHOWN:
        band = example.bands[method]
        lines = [
            Line(LABELS[method], ROLES[method], frames, band.mean, band.low, band.high),
            Line("truth", "truth", frames, example.truth),
        ]
        if example.observed:
            values = [example.truth[i] for i in example.observed]
            lines.append(Line("observed", "held-out", example.observed, values, markers=True, thin=True))
        panels.append(LinePanel(LABELS[method], "frame", "feature 0 (standard deviations)", lines))
    caption = (
        f"{example.case}: the first feature of one sequence. The method got the marked entries (and those of the other "
        f"feature) and drew the rest {draws} times. The figure shows mean and 90 % interval. A band should be as wide "
        "as that of the exact method and hold the truth nine times in ten; a narrower band is overconfident."
    )
    return Figure(panels, caption, "Truth, observed entries and intervals of four methods.", columns=2)


def _coverage(result: Result, cases: list[str]) -> Figure:
    panels = []
    for case in cases:
        bars = []
        for grade in result.grades:
            if grade.case == case and grade.method != "marginal":
                share = grade.covered(0.9)
                value, reach = 100 * share.value, 100 * student_reach(result.sequences - 1) * share.standard_error
                bars.append(Bar(LABELS[grade.method], ROLES[grade.method], value, value - reach, value + reach))
        panels.append(BarPanel(case, "hidden values inside the 90 % interval (%)", bars))
    caption = (
        "Share of hidden values inside the central 90 % intervals, with 95 % intervals over sequences. Less than 90 is "
        "overconfident, more is too cautious. The exact method, and the nearest value with its exact spread, show how "
        "much the count varies by chance."
    )
    return Figure(panels, caption, "Coverage of 90 % intervals by method and case.", columns=min(3, len(panels)))


def _coverage_table(result: Result) -> Table:
    rows: list[list[Cell]] = [
        [
            grade.case,
            LABELS[grade.method],
            *(Estimate(100 * mean.value, 100 * mean.standard_error) for mean in grade.coverage),
        ]
        for grade in result.grades
    ]
    columns: list[Column | str] = ["case", "method", *(Column(f"inside {x} %", "%") for x in ("50", "90", "95"))]
    caption = "Measured coverage of the central intervals of every method. ± one standard error over sequences."
    return Table(columns, rows, caption, row_roles=[ROLES[grade.method] for grade in result.grades])


def _grades(result: Result) -> Table:
    rows: list[list[Cell]] = [
        [
            grade.case,
            LABELS[grade.method],
            *(Estimate(m.value, m.standard_error) for m in (grade.crps, grade.energy_score, grade.distance)),
        ]
        for grade in result.grades
    ]
    columns: list[Column | str] = ["case", "method", "CRPS", "energy score", "energy distance to the exact draws"]
    return Table(
        columns,
        rows,
        "Scores of the draws against the hidden values, and their distance from the exact conditional distribution; "
        "less is better. No forecast from the same entries can have a lower expected CRPS than the exact method.",
        note="In standard deviations of a typical feature. ± one standard error over sequences.",
        row_roles=[ROLES[grade.method] for grade in result.grades],
    )
