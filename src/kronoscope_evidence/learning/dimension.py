"""``kronoscope reproduce dimension``: score error against the number of features."""

from __future__ import annotations

from dataclasses import dataclass, field

from kronoscope.report import Report

from ..study import Check, Run, Study
from .curves import Curve, best, curves, ratio
from .jobs import Job, Row, job_of, run_jobs
from .learners import ESTIMATORS, LEARNERS, NETWORKS, Training
from .page_parts import Axis, Rate, axis_section
from .words import (
    Recommendation,
    cost_of_training,
    error_text,
    exponent_check,
    how_it_was_done,
    is_beyond,
    learners_left_out,
    recommendations_section,
    seconds_each,
)

SMALL_ALONE = ("unrolled-4", "linear", "block-toeplitz")  # they take far longer than the others above LARGEST
LARGEST = 256  # frames x features
STEEP = 1.7
CLAIMS = {"unrolled": True, "separable": True, "sample-covariance": False}  # whether the exponent is below STEEP
AXIS = Axis("features d", "d = ")
RATE = Rate(
    "at most 3",
    "Expected of networks: Theorem 2 of Fu et al. (docs/paper.md) bounds TV² by a multiple of ℓ^(1/ν) κ² N d³/n, and "
    "TV² is KL/π for nearby laws. The power of d is 3 where Σ stays as well conditioned. Logarithms are dropped. "
    "Expected of estimators: p/(2n), fitted to their numbers of parameters p over the same d, where these are known.",
)


@dataclass(frozen=True)
class Size:
    """Numbers of features, sequences, frames and seeds; the learners, and trainings that differ from their budgets."""

    features: tuple[int, ...]
    n: int
    frames: int
    seeds: int
    learners: tuple[str, ...]
    training: dict[str, Training] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Every learner at every number of features, seed by seed."""

    rows: tuple[Row, ...]

    def curves(self) -> list[Curve]:
        """Score error against the number of features."""
        return curves(self.rows, lambda row: row.job.features)


def jobs(size: Size, seed: int) -> list[Job]:
    """Every learner on the same draws for each number of features."""
    return [
        job_of(name, size.n, seed + s, frames=size.frames, features=d, training=size.training.get(name))
        for d in size.features
        for name in size.learners
        for s in range(size.seeds)
        if name not in SMALL_ALONE or size.frames * d <= LARGEST
    ]


def measure(run: Run[Size]) -> Result:
    """Train or fit every learner at each number of features."""
    return Result(tuple(run_jobs("dimension", jobs(run.size, run.seed), run.store, run.stage)))


def checks(result: Result) -> list[Check]:
    """The exponents of d of two learners that separate space from time and of one that does not."""
    exponents = {curve.learner: curve.exponent for curve in result.curves()}
    return [
        exponent_check(
            exponents.get(name),
            f"exponent of d, {LEARNERS[name].label}",
            f"{'below' if below else 'above'} {STEEP:g}, if the claim holds",
            is_beyond(exponents.get(name), STEEP, below=below),
        )
        for name, below in CLAIMS.items()
    ]


def recommendation(summaries: list[Curve]) -> Recommendation | None:
    """Whether learners that assume a structure beat the others at the most features."""
    last = max(point.x for curve in summaries for point in curve.points)
    points = [(curve.definition.structure, curve.learner, curve.at(last)) for curve in summaries]
    structured, free = (
        best([(name, p) for structure, name, p in points if (structure not in (None, "unstructured")) == assumes])
        for assumes in (True, False)
    )
    factor = None if structured is None or free is None else ratio(free[1], structured[1])
    holds = None if factor is None else factor.above(1)
    if structured is None or free is None or holds is None:
        return None
    return Recommendation(
        "With many features, look for structure before you collect more data."
        if holds
        else "With many features, do not expect much of structure: here a learner without it has the smaller error.",
        f"At d = {last:g} the best learner with a structure is {LEARNERS[structured[0]].label}, with an error of "
        f"{error_text(structured[1])}. The best without is {LEARNERS[free[0]].label}, with {error_text(free[1])}: "
        f"{factor} times as much.",
        LEARNERS[(structured if holds else free)[0]].label,
        AXIS.head(last),
    )


def page(result: Result) -> Report:
    """The curves over d."""
    summaries, job = result.curves(), result.rows[0].job
    caption = (
        f"Score error at n = {job.n} against the number of features, both axes logarithmic. For large d the error of "
        "every class grows like d². A separable class reaches that growth only where the d²/2 parameters of the "
        "features outnumber those of time (N if stationary, N²/2 if not); its line is flat before. A class without "
        "that structure has d² parameters for every lag, or for every pair of frames, and is steep from the start."
    )
    method = (
        f"{cost_of_training(summaries, AXIS.column)} The kernel is exponential with lengthscale 8, on {job.frames} "
        "frames; Σ follows one recipe for every d. Four heads, free matrices and block-Toeplitz take far longer than "
        f"the others for large d; they are left out where N d is above {LARGEST}. The claim would be refuted by slopes "
        f"that are alike: by a separable learner's above {STEEP:g}, or the sample covariance's below. "
        f"{learners_left_out([curve.learner for curve in summaries], seconds_each(summaries))}"
    )
    alt = "Score error against the number of features for networks and estimators."
    return Report(
        "How does the score error depend on the number of features?",
        "A class that separates space from time has d²/2 parameters for its features. One that does not has d² for "
        "every lag, or for every pair of frames. The errors should grow accordingly.",
        facts={"truth": f"{job.frames} frames, exponential kernel of lengthscale 8", "sequences": job.n},
        sections=[
            recommendations_section([recommendation(summaries)]),
            axis_section("Score error against d", summaries, AXIS, RATE, caption, alt),
            how_it_was_done(method),
        ],
    )


STUDY = Study(
    claim="For learners with a separable covariance, an additional feature raises the score error little.",
    full=Size((1, 2, 4, 8, 16), 500, 32, 5, (*NETWORKS, *ESTIMATORS)),
    quick=Size(
        (1, 2, 4, 8), 500, 12, 3, ("unrolled", *ESTIMATORS), {"unrolled": {"max_steps": 600, "evaluate_every": 600}}
    ),
    minutes=(43, 1),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
