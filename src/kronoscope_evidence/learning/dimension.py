"""``kronoscope reproduce dimension``: score error against the number of features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kronoscope.report import Number, Report, Verdict

from ..legacy import plain, slope_number
from ..reproductions import Finding
from ..slopes import Slope
from ..stages import Stage
from .curves import Curve, best, curves, ratio
from .jobs import job_of, run_jobs
from .learners import ESTIMATORS, LEARNERS, NETWORKS, Training
from .page_parts import Axis, Rate, axis_section
from .words import (
    TakeAway,
    by_outcome,
    cost_of_training,
    error_text,
    how_it_was_done,
    is_beyond,
    learners_left_out,
    seconds_each,
    take_aways,
)

FEATURES, QUICK_FEATURES = (1, 2, 4, 8, 16), (1, 2, 4, 8)
N, FRAMES, QUICK_FRAMES = 500, 32, 12
SEEDS, QUICK_SEEDS = 5, 3
QUICK_TRAINING: Training = {"max_steps": 600, "evaluate_every": 600}
SMALL_ALONE = ("unrolled-4", "linear", "block-toeplitz")  # far longer than the others where N d is above LARGEST
LARGEST = 256
STEEP = 1.7
CLAIMS = {"unrolled": True, "separable": True, "sample-covariance": False}  # whether the exponent is below STEEP
AXIS = Axis("features d", "d = ")
RATE = Rate(
    "at most 3",
    "Expected, for networks: Theorem 2 of Fu et al. (docs/paper.md) bounds TV² by a multiple of ℓ^(1/ν) κ² N d³/n, and "
    "TV² is KL/π for nearby laws: the power 3 where Σ stays as well conditioned, logarithms dropped. For "
    "estimators: p/(2n), fitted to their numbers "
    "of parameters over the same d, where those are known.",
)


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every learner at n = 500 for each number of features; some up to N d = 256 alone."""
    who = ("unrolled", *ESTIMATORS) if quick else (*NETWORKS, *ESTIMATORS)
    frames = QUICK_FRAMES if quick else FRAMES
    jobs = [
        job_of(one, N, seed + s, frames=frames, features=d, training=QUICK_TRAINING if quick else None)
        for d in (QUICK_FEATURES if quick else FEATURES)
        for one in who
        for s in range(QUICK_SEEDS if quick else SEEDS)
        if one not in SMALL_ALONE or frames * d <= LARGEST
    ]
    rows = run_jobs("dimension", jobs, folder, stage)
    return Finding(page(curves(rows, lambda row: row.job.features), frames), {"rows": plain(rows)})


def page(found: Sequence[Curve], frames: int) -> Report:
    """The curve over d, and what it says about structure."""
    caption = (
        f"Score error at n = {N} against the number of features, both axes logarithmic. In the end every class grows "
        "like d². A separable one gets there only where the features' d²/2 parameters outgrow those of time (N if "
        "stationary, N²/2 if not): until then its line is flat. One without that structure has d² of them for every "
        "lag, or pair of frames, and is steep from the first feature on."
    )
    told = (
        f"{cost_of_training(found, AXIS.column)} Exponential kernel of lengthscale 8, {frames} frames; Σ by "
        f"one recipe for "
        "every d. Four heads, free matrices and block-Toeplitz, which take far longer than the others there, are left "
        f"out where N d is above {LARGEST}. The claim fails if the slopes are alike: if a separable "
        f"learner's is above {STEEP:g}, or the sample covariance's below. "
        f"{learners_left_out([c.learner for c in found], seconds_each(found))}"
    )
    words = "Score error against the number of features for networks and estimators."
    slopes = {curve.learner: curve.exponent for curve in found}
    return Report(
        "What does another feature cost?",
        _subtitle(slopes),
        facts={"truth": f"{frames} frames, exponential kernel of lengthscale 8", "sequences": N},
        sections=[
            take_aways([_structure(found)]),
            axis_section("Score error against d", found, AXIS, RATE, caption, words),
            how_it_was_done(told),
        ],
        verdict=Verdict([_number(slopes.get(name), name, flat) for name, flat in CLAIMS.items()]),
    )


def _number(slope: Slope | None, name: str, flat: bool) -> Number:
    expected = f"{'below' if flat else 'above'} {STEEP:g}, if the claim holds"
    return slope_number(slope, f"exponent of d, {LEARNERS[name].label}", expected, is_beyond(slope, STEEP, below=flat))


def _subtitle(slopes: dict[str, Slope | None]) -> str:
    knows = by_outcome(
        is_beyond(slopes.get("unrolled"), STEEP, below=True),
        "Little for the unrolled network, which knows space from time, until the features' covariance is the larger "
        "part",
        "As much for the unrolled network as for one that does not know space from time",
        "What it costs the unrolled network is not settled by these seeds",
    )
    free = by_outcome(
        is_beyond(slopes.get("sample-covariance"), STEEP, below=False),
        "; as much as all pairs of entries for the sample covariance.",
        "; less than all pairs of entries for the sample covariance, too.",
        "; what it costs the sample covariance is not settled.",
    )
    return knows + free


def _structure(found: Sequence[Curve]) -> TakeAway | None:
    """Whether learners that are told of structure beat, at the most features, those that are told none."""
    last = max(point.x for curve in found for point in curve.points)
    points = [(curve, curve.at(last)) for curve in found]
    structured, free = (
        best([(c.learner, p) for c, p in points if (c.definition.structure not in (None, "unstructured")) == known])
        for known in (True, False)
    )
    factor = None if structured is None or free is None else ratio(free[1], structured[1])
    holds = None if factor is None else factor.above(1)
    if structured is None or free is None or holds is None:
        return None
    return TakeAway(
        "With many features, look for structure before looking for data."
        if holds
        else "With many features, do not expect much of structure: here a learner without it is ahead.",
        f"At d = {last:g} the best learner that has a structure, {LEARNERS[structured[0]].label}, errs by "
        f"{error_text(structured[1])}; the best that has none, {LEARNERS[free[0]].label}, by "
        f"{error_text(free[1])}: {factor} times "
        "as much.",
        LEARNERS[(structured if holds else free)[0]].label,
        AXIS.head(last),
    )
