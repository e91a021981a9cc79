"""``kronoscope reproduce length``: score error against the number of frames, and networks on longer sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import metrics
from ..processes import SeparableGaussian
from ..report import Column, Estimate, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from . import sweeps
from .learning import (
    FIRST_DATA_SEED,
    LEARNERS,
    MAX_TIME,
    MIN_TIME,
    SAMPLES,
    Curve,
    Exponent,
    Row,
    curves,
    fitted,
    job,
    plain,
    point,
    run_jobs,
    truth,
)
from .learning_page import Axis, TakeAway, figure, how, matched, table, take_aways
from .longer import HOW, longer, longer_law
from .reproductions import Finding
from .stages import Stage

FRAMES, QUICK_FRAMES = (8, 16, 32, 64, 128), (4, 8, 16, 32)
TRAINED, QUICK_TRAINED = 32, 16
FACTORS = (1, 2, 4, 8)
N = 500
SEEDS, QUICK_SEEDS = 5, 3
QUICK_TRAINING: dict[str, dict[str, Any]] = {
    "unrolled": {"max_steps": 600, "evaluate_every": 600},
    "position": {"max_steps": 150, "evaluate_every": 50},
    "unet": {"max_steps": 100, "evaluate_every": 50},
}
EXTENDED = ("unrolled", "position", "unet")
LARGEST = 256  # frames x features of block-Toeplitz
ESTIMATORS = tuple(name for name, learner in LEARNERS.items() if learner.estimator)
AXIS = Axis("frames N", "N = ", "nats a frame")


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every learner at n = 500 for each N; then networks trained at one N and run on up to 8 times as many frames."""
    features, frames = (2, QUICK_FRAMES) if quick else (4, FRAMES)
    who = ("unrolled", *ESTIMATORS) if quick else ("unrolled", "position", "dit", "unet", *ESTIMATORS)
    seeds = range(seed, seed + (QUICK_SEEDS if quick else SEEDS))
    jobs = [
        job(one, N, s, frames=length, features=features, training=QUICK_TRAINING.get(one) if quick else None)
        for length in frames
        for one in who
        for s in seeds
        if one != "block-toeplitz" or length * features <= LARGEST
    ]
    trained = QUICK_TRAINED if quick else TRAINED
    extended = [
        job(one, N, s, frames=trained, features=features, training=QUICK_TRAINING[one] if quick else None)
        for one in EXTENDED
        for s in (seeds if one == "unrolled" or not quick else seeds[:1])
    ]
    told = {"quick": quick, "seed": seed}
    rows = run_jobs("length", jobs, told, folder and folder / "length", stage)
    longer_rows = run_jobs("longer", extended, told, folder and folder / "longer", stage, measure_longer)
    found = curves(rows, lambda row: row.job["frames"])
    return Finding(page(found, longer_rows, trained), {"rows": plain(rows), "longer": plain(longer_rows)})


def measure_longer(told: sweeps.Job) -> sweeps.Result:
    """Score errors, in nats, of a network trained at ``frames`` on 1, 2, 4 and 8 times as many, by that factor."""
    learner = LEARNERS[told["learner"]]
    process = truth(told["kernel"], told["frames"], told["features"])
    x = process.sample(told["n"], generator=torch.Generator().manual_seed(FIRST_DATA_SEED + told["seed"])).float()
    model = fitted(learner, x, told)
    errors = {str(k): _error(longer(model.network, k * told["frames"]), told, k, learner.linear) for k in FACTORS}
    if told["learner"] == "unrolled":
        errors |= {f"zero {k}": _error(_cut(model.network, told, k).score, told, k, True) for k in FACTORS}
    return {"longer": errors}


def _error(score: Any, told: sweeps.Job, factor: int, linear: bool) -> float:
    process = truth(told["kernel"], factor * told["frames"], told["features"])
    return metrics.score_kl(score, process, MIN_TIME, MAX_TIME, num_samples=SAMPLES, linear=linear).value


def _cut(network: Any, told: sweeps.Job, factor: int) -> SeparableGaussian:
    """The null: longer sequences made of independent stretches, each with the learnt law."""
    law = longer_law(network, told["frames"])
    temporal = torch.block_diag(*[law.temporal_covariance] * factor)
    return SeparableGaussian(temporal, law.spatial_covariance)


def page(found: Sequence[Curve], longer_rows: Sequence[Row], trained: int) -> Report:
    """Error for each frame as sequences grow, then the same weights on longer sequences."""
    each = [_each_frame(curve) for curve in found]
    caption = (
        f"Score error for each frame at n = {N} against the number of frames, both axes logarithmic. A learner that is "
        "tied in the lag sees every lag once more in every further frame, so its error for a frame falls; one that has "
        "parameters for every pair of frames gets dearer with each."
    )
    words = "Score error for each frame against the number of frames."
    extended, ratios = _longer(longer_rows, trained)
    told = (
        f"{matched(found)} Exponential kernel of lengthscale 8. Block-Toeplitz is left out where N d is above "
        f"{LARGEST}. "
        f"Longer sequences: {'; '.join(f'{LEARNERS[k].label}: {v}' for k, v in HOW.items())}. The DiT "
        "and the perceptron have weights for frame numbers and cannot be run on more. The claim would have failed if "
        "the error for a frame had grown for the learners that are tied in the lag."
    )
    lag_tied = next(curve for curve in each if curve.learner == "unrolled")
    free = next(curve for curve in each if curve.learner == "sample-covariance")
    first, last = lag_tied.points[0], lag_tied.points[-1]
    advice = [
        TakeAway(
            "Do not cut long series short for a network that is tied in the lag.",
            f"Its error for a frame goes from {first.kl:.2g} nats at N = {first.x:g} to {last.kl:.2g} at {last.x:g}.",
            f"{lag_tied.told.label}, N = {last.x:g}",
        ),
        TakeAway(
            f"Train on {trained} frames and run on {2 * trained} only after looking at the table of longer sequences.",
            f"For each frame the unrolled network's error there is {ratios[2]:.1f} times that at {trained} frames, and "
            f"{ratios[8]:.1f} times at {8 * trained}.",
            f"{LEARNERS['unrolled'].label}, {2 * trained} frames",
        ),
    ]
    return Report(
        "What do longer sequences cost?",
        "For a learner that is tied in the lag they are a gift: every frame teaches every lag again. For the others "
        "every frame is one more thing to learn.",
        facts={"truth": "exponential kernel of lengthscale 8", "sequences": N, "error": "nats a frame"},
        sections=[
            Section("Error for a frame", "", [figure(each, AXIS, caption, words), table(each, AXIS, "In numbers.")]),
            Section("Trained short, run long", "", [extended]),
            take_aways(advice),
            how(told),
        ],
        verdict=Verdict([_exponent(lag_tied, -1), _exponent(free, 1)]),
    )


def _exponent(curve: Curve, sign: int) -> Number:
    slope = curve.exponent
    if slope is None:
        return Number("–", f"exponent of N for a frame, {curve.told.label}", "too few errors")
    expected = "falls" if sign < 0 else "grows"
    told = f"{expected}, if the claim holds; 95 % interval {slope.lower:.2f} to {slope.upper:.2f}"
    label = f"exponent of N for a frame, {curve.told.label}"
    return Number(f"{slope.value:.2f}", label, told, "good" if sign * slope.value > 0 else "bad")


def _each_frame(curve: Curve) -> Curve:
    """All nats over the number of frames; log-log slopes lose 1 by it."""

    def shared(value: float | None, frames: float) -> float | None:
        return None if value is None else value / frames

    points = tuple(
        replace(
            one,
            kl=shared(one.kl, one.x),
            standard_error=shared(one.standard_error, one.x),
            lower=shared(one.lower, one.x),
            upper=shared(one.upper, one.x),
            floor=shared(one.floor, one.x),
        )
        for one in curve.points
    )
    slope = curve.exponent
    less = None if slope is None else Exponent(slope.value - 1, slope.lower - 1, slope.upper - 1)
    return replace(curve, points=points, exponent=less)


def _longer(rows: Sequence[Row], trained: int) -> tuple[Table, dict[int, float]]:
    cells: list[list[Cell]] = []
    ratios: dict[int, float] = {}
    for name in (*EXTENDED, "zero"):
        own = [row for row in rows if row.job["learner"] == ("unrolled" if name == "zero" else name)]
        prefix = "zero " if name == "zero" else ""
        means = []
        for factor in FACTORS:
            each = [
                Row(row.job, {"kl": row.result["longer"][f"{prefix}{factor}"] / factor / trained, "failed": None,
                              "floor": None, "seconds": 0.0})
                for row in own
            ]  # fmt: skip
            means.append(point(factor, each))
        if name == "unrolled":
            ratios = {
                factor: (one.kl or 0.0) / (means[0].kl or 1.0) for factor, one in zip(FACTORS, means, strict=True)
            }
        label = "unrolled, stretches independent" if name == "zero" else LEARNERS[name].label
        shown: list[Cell] = [
            one.kl if one.standard_error is None or one.kl is None else Estimate(one.kl, one.standard_error)
            for one in means
        ]
        how_told = "the null: as if what was trained were repeated" if name == "zero" else HOW[name]
        cells.append([label, *shown, how_told])
    columns: list[Column | str] = ["trained network"]
    columns += [Column(f"{factor * trained} frames", "nats a frame") for factor in FACTORS]
    columns.append("what is done")
    caption = (
        f"Networks trained on sequences of {trained} frames, n = {N}, and run on longer ones: score error for each "
        "frame against the exact score there. A network that had learnt the dependence and not the length would keep "
        "its number. The last row is what a network is worth that knows nothing beyond its length."
    )
    return Table(columns, cells, caption, row_roles=["learnt", "baseline", "baseline-3", "null"]), ratios
