"""``kronoscope reproduce dimension``: score error against the number of features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..report import Number, Report, Section, Verdict
from .learning import LEARNERS, Curve, curves, job, plain, run_jobs
from .learning_page import Axis, TakeAway, figure, how, matched, nats, table, take_aways
from .reproductions import Finding
from .stages import Stage

FEATURES, QUICK_FEATURES = (1, 2, 4, 8, 16), (1, 2, 4, 8)
N, FRAMES, QUICK_FRAMES = 500, 32, 12
SEEDS, QUICK_SEEDS = 5, 3
QUICK_TRAINING = {"max_steps": 600, "evaluate_every": 600}
ESTIMATORS = tuple(name for name, learner in LEARNERS.items() if learner.estimator)
NETWORKS = ("unrolled", "position", "dit", "unet")
AXIS = Axis("features d", "d = ")


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every learner at n = 500 for each number of features; block-Toeplitz up to N d = 256."""
    who = ("unrolled", *ESTIMATORS) if quick else (*NETWORKS, *ESTIMATORS)
    frames = QUICK_FRAMES if quick else FRAMES
    jobs = [
        job(one, N, seed + s, frames=frames, features=d, training=QUICK_TRAINING if quick else None)
        for d in (QUICK_FEATURES if quick else FEATURES)
        for one in who
        for s in range(QUICK_SEEDS if quick else SEEDS)
        if one != "block-toeplitz" or frames * d <= 256
    ]
    rows = run_jobs("dimension", jobs, {"quick": quick, "seed": seed}, folder, stage)
    return Finding(page(curves(rows, lambda row: row.job["features"]), frames), {"rows": plain(rows)})


def page(found: Sequence[Curve], frames: int) -> Report:
    """The curve over d, and what it says about structure."""
    caption = (
        f"Score error at n = {N} against the number of features, both axes logarithmic. In the end every class grows "
        "like d². A separable one gets there only where the features' d²/2 parameters outgrow those of time (N if "
        "stationary, N²/2 if not): until then its line is flat. One without that structure has d² of them for every "
        "lag, or pair of frames, and is steep from the first feature on."
    )
    told = (
        f"{matched(found)} Exponential kernel of lengthscale 8, {frames} frames; Σ by one recipe for every d. Block-"
        "Toeplitz is left out where N d is above 256. The claim would have failed if the slopes had been alike."
    )
    words = "Score error against the number of features for networks and estimators."
    last = found[0].points[-1].x
    best = min((c for c in found if c.at(last) and c.at(last).kl), key=lambda c: c.at(last).kl)  # type: ignore
    worst = max((c for c in found if c.at(last) and c.at(last).kl), key=lambda c: c.at(last).kl)  # type: ignore
    advice = TakeAway(
        "With many features, look for structure before looking for data.",
        f"At d = {last:g}: {best.told.label} {nats(best.at(last))}, {worst.told.label} {nats(worst.at(last))}.",
        f"{best.told.label}, d = {last:g}",
    )
    numbers = [
        Number(
            f"{curve.exponent.value:.2f}",
            f"exponent of d, {curve.told.label}",
            f"95 % interval {curve.exponent.lower:.2f} to {curve.exponent.upper:.2f}; "
            + ("about 2" if curve.learner == "sample-covariance" else "below 2")
            + ", if the claim holds",
            "good" if (curve.exponent.value < 1.7) == (curve.learner != "sample-covariance") else "bad",
        )
        for curve in found
        if curve.exponent is not None and curve.learner in ("unrolled", "separable", "sample-covariance")
    ]
    return Report(
        "What does another feature cost?",
        "Little for a learner that knows space from time, until the features' covariance is the larger part; as much "
        "as all pairs of entries for one that does not.",
        facts={"truth": f"{frames} frames, exponential kernel of lengthscale 8", "sequences": N},
        sections=[
            Section(
                "Score error against d", "", [figure(found, AXIS, caption, words), table(found, AXIS, "In numbers.")]
            ),
            take_aways([advice]),
            how(told),
        ],
        verdict=Verdict(numbers),
    )
