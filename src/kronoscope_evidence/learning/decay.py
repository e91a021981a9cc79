"""``kronoscope reproduce decay``: score error against the smoothness and the reach of the dependence in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kronoscope.report import Report, Section, Table
from kronoscope.report.numerals import decimal

from ..study import Check, Run, Study
from .curves import Curve, Ratio, best, curves, ratio
from .jobs import Job, Row, job_of, run_jobs
from .learners import ESTIMATORS, LEARNERS, NETWORKS, Training
from .page_parts import Axis, Rate, axis_section, effective_table, error_figure, error_table
from .words import (
    Recommendation,
    cost_of_training,
    error_text,
    how_it_was_done,
    learners_left_out,
    ratio_check,
    recommendations_section,
    seconds_each,
)

LENGTHSCALE = 8.0  # of the kernels whose exponent varies
SEEDS = 5  # of the first axis: the seeds of the second begin after them
GENERIC = ("position", "dit", "dit-plain", "unet", "mlp")
CLAIMS = {"unrolled": True, "sample-covariance": True, "tapered": False}  # whether the error falls as nu grows
NU, ELL = Axis("exponent ν of the decay", "ν = "), Axis("lengthscale (frames)", "ℓ = ")
RATE = Rate(
    "at most 4.1",
    "Expected of networks: Theorem 2 of Fu et al. (docs/paper.md) bounds TV² by a multiple of ℓ^(1/ν) κ² N d³/n, and "
    "TV² is KL/π for nearby laws. At ν = 1 the factor ℓ^(1/ν) is the lengthscale, and κ² at t = 0.01 grows "
    "here like its power 3.1. Logarithms are dropped. The theorem's condition ℓ ≤ c^ν is not met on this axis. "
    "Expected of estimators: p/(2n), whose p does not depend on the lengthscale.",
)


@dataclass(frozen=True)
class Size:
    """Exponents and lengthscales; sequences, frames, features, seeds; learners, and trainings other than budgets."""

    exponents: tuple[float, ...]
    lengthscales: tuple[float, ...]
    n: int
    frames: int
    features: int
    seeds: int
    learners: tuple[str, ...]
    training: dict[str, Training] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Every learner for each exponent, at one lengthscale, and for each lengthscale, at exponent 1."""

    shapes: tuple[Row, ...]
    lengthscales: tuple[Row, ...]

    def along_exponent(self) -> list[Curve]:
        """Score error against nu."""
        return curves(self.shapes, lambda row: _arguments(row)[-1])

    def along_lengthscale(self) -> list[Curve]:
        """Score error against the lengthscale."""
        return curves(self.lengthscales, lambda row: _arguments(row)[0])


def _arguments(row: Row) -> list[float]:
    """The numbers in the name of the kernel."""
    return [float(text) for text in row.job.kernel.removeprefix("PowerExponential(").removesuffix(")").split(",")]


def jobs(size: Size, seed: int) -> tuple[list[Job], list[Job]]:
    """Those of the exponents, then those of the lengthscales, on other draws."""
    shapes = [f"PowerExponential({LENGTHSCALE}, {nu})" for nu in size.exponents]
    reaches = [f"PowerExponential({ell})" for ell in size.lengthscales]
    return _jobs(size, shapes, seed), _jobs(size, reaches, seed + SEEDS)


def _jobs(size: Size, kernels: Sequence[str], first_seed: int) -> list[Job]:
    return [
        job_of(
            name,
            size.n,
            first_seed + s,
            kernel=kernel,
            frames=size.frames,
            features=size.features,
            training=size.training.get(name),
        )
        for kernel in kernels
        for name in size.learners
        for s in range(size.seeds)
    ]


def measure(run: Run[Size]) -> Result:
    """Every learner under exp(-(lag/8)^nu) for each nu, and under exp(-lag/lengthscale) for each lengthscale."""
    shapes, lengthscales = jobs(run.size, run.seed)
    rows = run_jobs("decay", [*shapes, *lengthscales], run.store, run.stage)
    return Result(tuple(rows[: len(shapes)]), tuple(rows[len(shapes) :]))


def checks(result: Result) -> list[Check]:
    """For three learners, the error at the largest exponent over that at the smallest."""
    numbers = []
    by_name = {curve.learner: curve for curve in result.along_exponent()}
    for name, falls in CLAIMS.items():
        curve = by_name[name]
        rough, smooth = curve.points[0], curve.points[-1]
        change = _change(curve)
        grows = None if change is None else change.above(1)
        expected = f"{error_text(rough)} at ν = {rough.x:g}; {'below' if falls else 'above'} 1, if the claim holds"
        label = f"times the error at ν = {rough.x:g}, {curve.label} at ν = {smooth.x:g}"
        numbers.append(ratio_check(change, label, expected, None if grows is None else grows != falls))
    return numbers


def _change(curve: Curve) -> Ratio | None:
    """The error at the last place over that at the first, draws paired by the seed of their white noise."""
    return ratio(curve.points[-1], curve.points[0])


def recommendations(result: Result) -> list[Recommendation | None]:
    """What to trust, and what to train longer, along both axes."""
    axes = ("smoothness", NU, result.along_exponent()), ("reach", ELL, result.along_lengthscale())
    return [_what_to_trust(*axis) for axis in axes] + [_train_longer(*axis) for axis in axes]


def _what_to_trust(name: str, axis: Axis, summaries: Sequence[Curve]) -> Recommendation | None:
    regrets = _regrets(summaries)
    if len(regrets) < 2:
        return None
    safe, risky = (choose(regrets, key=lambda learner: regrets[learner][0].value) for choose in (min, max))
    (little, _), (much, place) = regrets[safe], regrets[risky]
    if little.upper is None or much.lower is None or much.lower <= little.upper:
        return None
    return Recommendation(
        f"If the {name} of your data is unknown, trust {LEARNERS[safe].label} and not {LEARNERS[risky].label}.",
        f"At its worst place {LEARNERS[safe].label} has {little} times the least error of all learners there. "
        f"{LEARNERS[risky].label} has {much} times (at {axis.head(place)}).",
        LEARNERS[risky].label,
        axis.head(place),
    )


def _regrets(summaries: Sequence[Curve]) -> dict[str, tuple[Ratio, float]]:
    """By learner, the largest error over that of the best learner at the same place, and the place."""
    places = sorted({point.x for curve in summaries for point in curve.points})
    least = {x: best([(curve.learner, curve.at(x)) for curve in summaries]) for x in places}
    regrets = {}
    for curve in summaries:
        ratios = [(ratio(p, b[1]), p.x) for p in curve.points if (b := least[p.x]) is not None]
        known = [(value, x) for value, x in ratios if value is not None]
        if len(known) == len(places):  # a learner that failed somewhere is not to be trusted
            regrets[curve.learner] = max(known, key=lambda pair: pair[0].value)
    return regrets


def _train_longer(name: str, axis: Axis, summaries: Sequence[Curve]) -> Recommendation | None:
    """Where more of it costs a generic network, but not maximum likelihood of the class that holds the truth."""
    by_name = {curve.learner: curve for curve in summaries}
    changes = {curve.learner: _change(curve) for curve in summaries if curve.learner in GENERIC}
    dearer = {learner: change for learner, change in changes.items() if change is not None and change.above(1)}
    limit = _change(by_name["stationary-separable"]) if "stationary-separable" in by_name else None
    if not dearer or limit is None or limit.above(1):
        return None
    worst = max(dearer, key=lambda learner: dearer[learner].value)
    first, last = by_name[worst].points[0], by_name[worst].points[-1]
    return Recommendation(
        f"The more {name}, the longer train a generic network. More sequences are not needed.",
        f"The error of {LEARNERS[worst].label} goes from {error_text(first)} at {axis.head(first.x)} to "
        f"{error_text(last)} at {axis.head(last.x)}: {dearer[worst]} times. That of maximum likelihood of the class "
        f"changes by {limit} times.",
        LEARNERS[worst].label,
        axis.head(last.x),
    )


def page(result: Result) -> Report:
    """Two axes of the decay, and what they cost each learner."""
    shapes, lengthscales = result.along_exponent(), result.along_lengthscale()
    job = result.shapes[0].job
    caption = (
        f"Score error at n = {job.n} against the decay of the dependence, both axes logarithmic. {{}} The dashed floor "
        "is the least error that the data allow on average. The distance to it is the learner's own."
    )
    rough = "Left: rough, with a long tail. Right (ν = 2): so smooth that the noise covers most directions."
    reach = "To the right, frames far apart are still dependent."
    method = (
        f"{cost_of_training(shapes, NU.column)} The kernels are exp(−(lag/{LENGTHSCALE:g})^ν), then "
        "exp(−lag/lengthscale). The claim would be refuted if the unrolled network's error rose with ν, or if that of "
        f"tapering fell. {learners_left_out([curve.learner for curve in shapes], seconds_each(shapes))}"
    )
    alt = "Score error against the decay for networks and estimators."
    figure = error_figure(shapes, NU, caption.format(rough), alt)
    return Report(
        "Which dependence is hard to learn?",
        "Smooth dependence has many directions with so little variance that the noise covers them. The "
        "error of a good learner does not contain their parameters. That of tapering does: it estimates every entry.",
        facts={
            "truth": f"{job.frames} frames of {job.features} features",
            "error": "nats a sequence, t from 0.01 to 6",
            "sequences": job.n,
        },
        sections=[
            recommendations_section(recommendations(result)),
            Section("Smoothness", "", [figure, _smoothness(shapes), effective_table(shapes, NU)]),
            axis_section("Reach", lengthscales, ELL, RATE, caption.format(reach), alt),
            how_it_was_done(method),
        ],
    )


def _smoothness(summaries: Sequence[Curve]) -> Table:
    """The errors and their change from end to end; no power of nu is expected, so no exponent is fitted."""
    changes: dict[str, str] = {}
    for curve in summaries:
        change = _change(curve)
        first, last = curve.points[0].floor, curve.points[-1].floor
        floor = f"; floor {last / first:.2f}" if first and last else ""
        if change is not None:
            changes[curve.learner] = f"{change}{floor}"
    slopes = [f"{c.label} {decimal(c.floor_exponent, 2)}" for c in summaries if c.floor_exponent is not None]
    caption = (
        "Mean score errors. The last column is the change of the error from the first ν to the last, and that of the "
        "floor of the class. In Theorem 1 of Fu et al. (docs/paper.md), at a fixed accuracy ε, heads grow "
        "like (ℓ log 1/ε)^(1/ν). A larger ν needs fewer heads, but the error is not a power of ν, so none is fitted."
    )
    if slopes:
        caption += f" For reference, the log-log slope of the floor itself against ν: {', '.join(slopes)}."
    return error_table(summaries, NU, caption, changes=changes)


STUDY = Study(
    claim="Networks with the solver's structure learn smooth dependence from few sequences.",
    full=Size((0.5, 1.0, 1.5, 2.0), (1.0, 4.0, 16.0), 500, 32, 4, SEEDS, (*NETWORKS, *ESTIMATORS)),
    quick=Size(
        (0.5, 1.0, 1.5, 2.0),
        (1.0, 4.0, 16.0),
        500,
        16,
        2,
        3,
        ("unrolled", *ESTIMATORS),
        {"unrolled": {"max_steps": 600, "evaluate_every": 600}},
    ),
    minutes=(55, 1),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
