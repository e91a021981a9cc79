"""``kronoscope reproduce decay``: how the decay of the dependence in time sets the price of learning it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..report import Number, Report, Section, Verdict
from .learning import LEARNERS, Curve, Row, curves, job, plain, run_jobs
from .learning_page import Axis, TakeAway, figure, how, matched, nats, table, take_aways
from .reproductions import Finding
from .stages import Stage

SHAPES, LENGTHS = (0.5, 1.0, 1.5, 2.0), (1.0, 4.0, 16.0)
N, LENGTH = 500, 8.0
SEEDS, QUICK_SEEDS = 5, 3
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
QUICK_TRAINING = {"max_steps": 600, "evaluate_every": 600}
ESTIMATORS = tuple(name for name, learner in LEARNERS.items() if learner.estimator)
NETWORKS = ("unrolled", "unrolled-4", "position", "dit", "unet")
NU, ELL = Axis("exponent ν of the decay", "ν = "), Axis("lengthscale (frames)", "ℓ = ")


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every learner at n = 500 under exp(−(lag/8)^ν) for each ν, and exp(−lag/lengthscale) for each lengthscale."""
    shapes = _jobs([f"PowerExponential({LENGTH}, {nu})" for nu in SHAPES], quick, seed)
    lengths = _jobs([f"PowerExponential({length})" for length in LENGTHS], quick, seed + SEEDS)
    rows = run_jobs("decay", [*shapes, *lengths], {"quick": quick, "seed": seed}, folder, stage)
    by_shape, by_length = rows[: len(shapes)], rows[len(shapes) :]
    found = curves(by_shape, lambda row: _number(row, -1)), curves(by_length, lambda row: _number(row, 0))
    return Finding(page(*found, quick), {"shapes": plain(by_shape), "lengthscales": plain(by_length)})


def _jobs(names: Sequence[str], quick: bool, seed: int) -> list[dict[str, Any]]:
    who = ("unrolled", *ESTIMATORS) if quick else (*NETWORKS, *ESTIMATORS)
    told: dict[str, Any] = {"training": QUICK_TRAINING, **QUICK_SHAPE} if quick else {}
    seeds = QUICK_SEEDS if quick else SEEDS
    return [job(one, N, seed + s, kernel=kernel, **told) for kernel in names for one in who for s in range(seeds)]


def _number(row: Row, index: int) -> float:
    """The first or the last argument in the name of the kernel."""
    return float(row.job["kernel"].removeprefix("PowerExponential(").removesuffix(")").split(",")[index])


def page(shapes: Sequence[Curve], lengths: Sequence[Curve], quick: bool) -> Report:
    """Two axes of the decay, what they cost each learner, what to do."""
    size = "16 frames of 2 features" if quick else "32 frames of 4 features"
    caption = (
        "Score error at n = 500 against how the dependence falls off; logarithmic. {} The dashed floor says how much "
        "of that is in the data and how much in the learner: an efficient learner runs along it."
    )
    smooth = caption.format(
        "Left is rough with a long tail, right (ν = 2) so smooth that most directions lie under the noise."
    )
    far = caption.format("To the right frames far apart still move together.")
    told = (
        f"{matched(shapes)} Kernels exp(−(lag/{LENGTH:g})^ν), then exp(−lag/lengthscale). The claim would have failed "
        "if the unrolled network's error had risen with ν, or that of tapering had fallen."
    )
    words = "Score error against the decay for networks and estimators."
    return Report(
        "Which dependence is dear to learn?",
        "Smoothness hides parameters under the noise, so smooth dependence is cheap for whoever learns by likelihood "
        "or by denoising. Tapering and shrinkage, which count entries and not what noise leaves of them, pay for it.",
        facts={"truth": size, "error": "nats a sequence, t from 0.01 to 6", "sequences": N},
        sections=[
            Section("Smoothness", "", [figure(shapes, NU, smooth, words), table(shapes, NU, "In numbers.", False)]),
            Section("Reach", "", [figure(lengths, ELL, far, words), table(lengths, ELL, "In numbers.")]),
            take_aways(_take_aways(shapes, lengths)),
            how(told),
        ],
        verdict=_verdict(shapes),
    )


def _verdict(shapes: Sequence[Curve]) -> Verdict:
    by_name = {curve.learner: curve for curve in shapes}
    numbers = []
    for name, falls in (("unrolled", True), ("sample-covariance", True), ("tapered", False)):
        rough, smooth = by_name[name].points[0], by_name[name].points[-1]
        holds = (smooth.kl or 0.0) < (rough.kl or 0.0) if falls else (smooth.kl or 0.0) > (rough.kl or 0.0)
        expected = "less" if falls else "more"
        told = f"{nats(rough)} at ν = 0.5; {expected} at ν = 2, if the claim holds"
        numbers.append(Number(nats(smooth), f"{by_name[name].told.label}, ν = 2", told, "good" if holds else "bad"))
    return Verdict(numbers)


def _regrets(found: Sequence[Curve]) -> dict[str, tuple[float, float]]:
    """By learner, the largest error over that of the best learner at the same place, and the place."""
    places = sorted({point.x for curve in found for point in curve.points})
    best = {x: min(p.kl for c in found if (p := c.at(x)) is not None and p.kl is not None) for x in places}
    return {
        curve.learner: max((point.kl / best[point.x], point.x) for point in curve.points if point.kl is not None)
        for curve in found
    }


def _take_aways(shapes: Sequence[Curve], lengths: Sequence[Curve]) -> list[TakeAway]:
    told = []
    for what, axis, found in (("smoothness", NU, shapes), ("reach", ELL, lengths)):
        regrets = _regrets(found)
        safe, risky = (choose(regrets, key=lambda name: regrets[name][0]) for choose in (min, max))
        told.append(
            TakeAway(
                f"If the {what} of your data is unknown, trust {LEARNERS[safe].label} and not {LEARNERS[risky].label}.",
                f"At its worst place the former has {regrets[safe][0]:.2f} times the least error there, the latter "
                f"{regrets[risky][0]:.0f} times (at {axis.column}{regrets[risky][1]:g}).",
                f"{LEARNERS[risky].label}, {axis.column}{regrets[risky][1]:g}",
            )
        )
    return told
