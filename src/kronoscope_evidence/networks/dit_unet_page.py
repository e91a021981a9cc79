"""Result, checks and page of the comparison of DiT and U-Net."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

import numpy as np

from kronoscope.models.networks import preset
from kronoscope.report import Column, Estimate, Figure, Line, LinePanel, Report, Section, Table, Text
from kronoscope.report.records import Cell

from ..learning.jobs import SAMPLES, Job
from ..learning.learners import LEARNERS, Training, learning_rate
from ..study import Check

STEPS, SECONDS = "same steps", "same seconds"
LABELS = {name: LEARNERS[name].label for name in ("dit", "dit-plain", "unet")}
ROLES = {"dit": "learnt", "dit-plain": "baseline-2", "unet": "second"}
PAIRS = (("dit", STEPS), ("dit", SECONDS), ("dit-plain", STEPS))  # each less the U-Net on the same budget
SHOWN = 1.2  # largest |correlation| in the figures
DIT, UNET, UNDECIDED, ONE_SEED = "DiT", "U-Net", "undecided", "one seed: undecided"


@dataclass(frozen=True)
class Case:
    """One kernel.

    Attributes:
        name: As shown.
        kernel: As ``kernels.parse`` reads it.
        gamma: The true correlation by lag.
        white: Score error of taking every sequence for white noise, nats.
    """

    name: str
    kernel: str
    gamma: tuple[float, ...]
    white: float


@dataclass(frozen=True)
class Entry(Job):
    """A training of the comparison: a job with the names of its budget and kernel.

    Attributes:
        budget, case: The names.
        error_samples, jacobian_samples: Sequences at which the score error and the Jacobian are measured.
    """

    budget: str = STEPS
    case: str = ""
    error_samples: int = SAMPLES
    jacobian_samples: int = 10


@dataclass(frozen=True)
class Row:
    """One training. What a diverged training cannot have is None.

    Attributes:
        job: What was asked.
        kl, standard_error: Score error and its Monte Carlo error, nats a sequence.
        gamma: Correlation by lag in the network's Jacobian.
        gap: Its largest distance from the truth.
        no_gamma: Why the Jacobian shows no correlation.
        parameters, steps, best_step, seconds: Of the training.
        operations: Floating-point operations of the training, in matrix products and convolutions.
        failed: Why the training diverged.
    """

    job: Entry
    kl: float | None = None
    standard_error: float | None = None
    gamma: tuple[float, ...] | None = None
    gap: float | None = None
    no_gamma: str | None = None
    parameters: int | None = None
    steps: int | None = None
    best_step: int | None = None
    seconds: float | None = None
    operations: float | None = None
    failed: str | None = None


@dataclass(frozen=True)
class Difference:
    """Score error of the U-Net less that of a DiT on the same draws. Above 0 the DiT has the lower error.

    Attributes:
        learner, budget, case: Which DiT.
        value: Mean over the seeds in which neither failed, nats a sequence; None without any.
        lower, upper: 95 % interval by Student's t over the seeds; None with fewer than two.
        seeds: In which neither failed.
    """

    learner: str
    budget: str
    case: str
    value: float | None
    lower: float | None
    upper: float | None
    seeds: int

    @property
    def lower_error(self) -> str:
        """Which of the two has the lower error."""
        if self.lower is None or self.upper is None:
            return ONE_SEED
        return DIT if self.lower > 0 else UNET if self.upper < 0 else UNDECIDED


@dataclass(frozen=True)
class Result:
    """All numbers of the study."""

    cases: tuple[Case, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]

    def of(self, learner: str, budget: str, case: str | None = None) -> list[Row]:
        """The trainings of a network on a budget that did not diverge: on one kernel, or on all."""
        return [
            row
            for row in self.rows
            if (row.job.learner, row.job.budget) == (learner, budget)
            and case in (None, row.job.case)
            and row.failed is None
        ]

    def training(self, budget: str) -> Training:
        """The settings of a budget."""
        return next(row.job.training for row in self.rows if row.job.budget == budget)

    def parameters(self) -> dict[str, int]:
        """Of every network that was trained."""
        return {row.job.learner: row.parameters for row in self.rows if row.parameters is not None}


def checks(result: Result) -> list[Check]:
    """For every pair of networks: the median difference, and on how many kernels its sign is decided."""
    return [_check(result, learner, budget) for learner, budget in PAIRS]


def _check(result: Result, learner: str, budget: str) -> Check:
    """Holds where the interval of every kernel has the median's sign; refuted where every interval covers 0."""
    differences = [each for each in result.differences if (each.learner, each.budget) == (learner, budget)]
    label = f"median over kernels: U-Net less {LABELS[learner]}, {budget}"
    known = [each.value for each in differences if each.value is not None]
    if not known:
        return Check(label, math.nan, "none", "there is no pair of trainings that both ended", False)
    middle = median(known)
    dit, unet = (sum(each.lower_error == name for each in differences) for name in (DIT, UNET))
    undecided = len(differences) - dit - unet
    expected = (
        f"by 95 % intervals {LABELS[learner]} has the lower error on {dit} kernels, the U-Net on {unet}; {undecided} "
        f"of {len(differences)} undecided"
    )
    if undecided == len(differences):
        return Check(label, middle, f"undecided ({middle:+.2f} nats)", expected, False)
    same_sign = (dit if middle > 0 else unet) == len(differences)
    return Check(label, middle, f"{middle:+.2f} nats", expected, True if same_sign else None)


def page(result: Result) -> Report:
    """The differences, the correlations that the networks have learnt, and the budgets."""
    job = result.rows[0].job
    sizes = ", ".join(f"{LABELS[learner]} {count:,}" for learner, count in result.parameters().items())
    return Report(
        "DiT or U-Net: which learns dependence in time with less error?",
        "Both are trained on the same draws of Gaussian sequences. Their true score is known, so the error of each "
        "network is a number of nats, kernel by kernel.",
        facts={
            "trained on": f"{job.n} sequences of {job.frames} frames and {job.features} features",
            "seeds": len({row.job.seed for row in result.rows}),
            "budgets": f"{result.training(STEPS)['max_steps']} steps each; "
            f"{result.training(SECONDS)['max_seconds']:g} seconds each",
            "parameters": sizes,
        },
        sections=[
            Section("Score errors", "", [_difference_table(result), _error_table(result)]),
            Section("Learnt correlations", "", [_profiles(result, STEPS), _profiles(result, SECONDS)]),
            Section("How it was done", "", [Text("\n\n".join(_method(result)))]),
        ],
    )


def _method(result: Result) -> list[str]:
    return [
        "The score error is that of docs/theory.md, section 2, between t = 0.01 and 6. It is measured by Monte Carlo "
        "at the same sequences for all networks. The correlation comes from the mean Jacobian at t = 0.2. The "
        f"parameters kept are those of the lowest held-out loss. {_size_words(result.parameters())} The library's DiT "
        "has a path that is linear in x, which suits Gaussian data. The DiT as for images has none; it shows how much "
        "of the DiT's result comes from that path and how much from attention.",
        "A step takes each network a different time, so budgets are matched twice: in steps and in seconds. Seconds "
        "depend on the machine and on what else ran on it. "
        f"{_operation_words(result)}The budgets are small: they show the error early in training, not in the end. "
        f"{_rate_words()}",
        "An interval that covers 0 refutes the sign of a difference. Such a kernel counts as undecided, and a pair of "
        "networks that is undecided on every kernel fails its check. Each interval is for one kernel: among twenty "
        "kernels without any difference, about one would look decided.",
    ]


def _size_words(parameters: dict[str, int]) -> str:
    if "unet" not in parameters:
        return ""
    others = {learner: size for learner, size in parameters.items() if learner != "unet"}
    shares = [f"{LABELS[learner]} {100 * size / parameters['unet']:.0f} %" for learner, size in others.items()]
    return f"As shares of the U-Net's parameters the others have: {', '.join(shares)}."


def _operation_words(result: Result) -> str:
    """Operations of the DiT's trainings over the U-Net's, on either budget."""
    shares = []
    for budget in (STEPS, SECONDS):
        ratios = []
        for case in result.cases:
            dit, unet = (
                _mean([row.operations for row in result.of(learner, budget, case.name)]) for learner in ("dit", "unet")
            )
            if dit is not None and unet is not None:
                ratios.append(dit / unet)
        if ratios:
            shares.append(f"{fmean(ratios):.2g} ({budget})")
    if not shares:
        return ""
    return (
        "Operations are counted in matrix products and convolutions: the DiT's trainings took "
        f"{' and '.join(shares)} times as many as the U-Net's. "
    )


def _rate_words() -> str:
    rates = ", ".join(f"{label} {learning_rate(name):g}" for name, label in LABELS.items())
    return (
        f"Learning rates: {rates}. They were chosen among those that `python -m benchmarks tuning` tries, in trainings "
        f"of {preset('dit').training.max_steps} steps on other numbers of sequences (docs/learning.md lists them). "
        "None was chosen for these budgets, so each network might do better with another rate."
    )


def _difference_table(result: Result) -> Table:
    rows: list[list[Cell]] = [
        [
            each.case,
            LABELS[each.learner],
            each.budget,
            each.value,
            "none" if each.lower is None or each.upper is None else f"{each.lower:.2f} to {each.upper:.2f}",
            each.seeds,
            each.lower_error,
        ]
        for each in result.differences
        if each.seeds
    ]
    columns: list[Column | str] = ["kernel", "DiT", "matched in", Column("U-Net less DiT", "nats", decimals=2)]
    columns += ["95 % interval", "seeds", "lower error"]
    return Table(
        columns,
        rows,
        "Score error of the U-Net less that of the DiT, paired by the draw of data. Above 0 the DiT has the lower "
        "error.",
        note="Intervals by Student's t over the seeds, for each kernel by itself; not corrected for their number.",
    )


def _error_table(result: Result) -> Table:
    rows: list[list[Cell]] = []
    roles = []
    for case in result.cases:
        for learner, budget in dict.fromkeys((row.job.learner, row.job.budget) for row in result.rows):
            trained = result.of(learner, budget, case.name)
            rows.append(
                [
                    case.name,
                    LABELS[learner],
                    budget,
                    _estimate([row.kl for row in trained]),
                    _estimate([row.gap for row in trained]),
                    _mean([row.steps for row in trained]),
                    _mean([row.seconds for row in trained]),
                    case.white,
                ]
            )
            roles.append(ROLES[learner])
    columns: list[Column | str] = ["kernel", "network", "matched in", Column("score error", "nats")]
    columns += [Column("largest error of gamma"), Column("steps", digits=4), Column("training", "s")]
    columns += [Column("white noise", "nats")]
    caption = (
        "Every network by itself; gamma is the correlation by lag. The last column is the null: the error of an "
        "untrained network, which takes every sequence for white noise."
    )
    failures = "".join(
        f" {LABELS[row.job.learner]}, {row.job.case}, {row.job.budget}, seed {row.job.seed}: {reason}."
        for row in result.rows
        if (reason := row.failed or row.no_gamma) is not None
    )
    return Table(columns, rows, caption, note=f"± one standard error over seeds.{failures}", row_roles=roles)


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that there are."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _estimate(values: Sequence[float | None]) -> Cell:
    """The mean of those that there are, with its standard error from two on."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return _mean(known)
    return Estimate(fmean(known), stdev(known) / math.sqrt(len(known)))


def _profiles(result: Result, budget: str) -> Figure:
    panels = []
    for case in result.cases:
        lags = list(range(len(case.gamma)))
        lines = [Line("truth", "truth", lags, case.gamma)]
        lines += [
            line for learner in LABELS if (line := _profile(learner, result.of(learner, budget, case.name))) is not None
        ]
        lines.append(Line("untrained", "null", lags, [1.0] + [0.0] * (len(lags) - 1)))
        panels.append(LinePanel(case.name, "lag (frames)", "correlation", lines, y_limits=(-SHOWN, SHOWN)))
    caption = (
        f"Learnt correlation between frames by lag, {budget}: the median over the seeds, and a band from the least to "
        f"the largest. Values are cut off at ±{SHOWN:g}. The truth is the black line; an untrained network has no "
        "correlation."
    )
    return Figure(panels, caption, f"Learnt correlation by lag for every kernel, {budget}.", columns=3)


def _profile(learner: str, rows: Sequence[Row]) -> Line | None:
    profiles = np.array([row.gamma for row in rows if row.gamma is not None])
    if not len(profiles):
        return None
    lags = list(range(profiles.shape[1]))
    low, middle, high = (np.quantile(profiles.clip(-SHOWN, SHOWN), q, axis=0).tolist() for q in (0.0, 0.5, 1.0))
    if len(profiles) == 1:
        return Line(LABELS[learner], ROLES[learner], lags, middle)
    return Line(LABELS[learner], ROLES[learner], lags, middle, low, high)
