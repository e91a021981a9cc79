"""``kronoscope reproduce decay``: how the decay of the dependence in time sets the price of learning it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kronoscope.report import Number, Report, Section, Table, Verdict
from kronoscope.report.numerals import decimal

from ..legacy import plain, ratio_number
from ..reproductions import Finding
from ..stages import Stage
from .curves import Curve, Ratio, best, curves, ratio
from .jobs import Job, Row, job_of, run_jobs
from .learners import ESTIMATORS, LEARNERS, NETWORKS, Training
from .page_parts import Axis, Rate, axis_section, effective_table, error_figure, error_table
from .words import (
    TakeAway,
    by_outcome,
    cost_of_training,
    error_text,
    how_it_was_done,
    learners_left_out,
    seconds_each,
    take_aways,
)

SHAPES, LENGTHS = (0.5, 1.0, 1.5, 2.0), (1.0, 4.0, 16.0)
N, LENGTH = 500, 8.0
SEEDS, QUICK_SEEDS = 5, 3
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
QUICK_TRAINING: Training = {"max_steps": 600, "evaluate_every": 600}
GENERIC = ("position", "dit", "dit-plain", "unet", "mlp")
CLAIMS = {"unrolled": True, "sample-covariance": True, "tapered": False}  # whether the error falls as ν grows
NU, ELL = Axis("exponent ν of the decay", "ν = "), Axis("lengthscale (frames)", "ℓ = ")
RATE = Rate(
    "at most 4.1",
    "Expected, for networks: Theorem 2 of Fu et al. (docs/paper.md) bounds TV² by a multiple of ℓ^(1/ν) κ² N d³/n, and "
    "TV² is KL/π for nearby laws. ℓ^(1/ν) is the lengthscale, and κ² at t = 0.01 grows here like its power "
    "3.1; logarithms are dropped. The theorem's condition ℓ ≤ c^ν is not met on this sweep. For estimators: p/(2n), "
    "whose p does not depend on the lengthscale.",
)


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every learner at n = 500 under exp(−(lag/8)^ν) for each ν, and exp(−lag/lengthscale) for each lengthscale."""
    shapes = _jobs([f"PowerExponential({LENGTH}, {nu})" for nu in SHAPES], quick, seed)
    lengths = _jobs([f"PowerExponential({length})" for length in LENGTHS], quick, seed + SEEDS)
    rows = run_jobs("decay", [*shapes, *lengths], folder, stage)
    by_shape, by_length = rows[: len(shapes)], rows[len(shapes) :]
    found = curves(by_shape, lambda row: _number(row, -1)), curves(by_length, lambda row: _number(row, 0))
    return Finding(page(*found, quick), {"shapes": plain(by_shape), "lengthscales": plain(by_length)})


def _jobs(names: Sequence[str], quick: bool, seed: int) -> list[Job]:
    who = ("unrolled", *ESTIMATORS) if quick else (*NETWORKS, *ESTIMATORS)
    told: dict[str, Any] = {"training": QUICK_TRAINING, **QUICK_SHAPE} if quick else {}
    seeds = QUICK_SEEDS if quick else SEEDS
    return [job_of(one, N, seed + s, kernel=kernel, **told) for kernel in names for one in who for s in range(seeds)]


def _number(row: Row, index: int) -> float:
    """The first or the last argument in the name of the kernel."""
    return float(row.job.kernel.removeprefix("PowerExponential(").removesuffix(")").split(",")[index])


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
    changes = {name: _change(shapes, name) for name in CLAIMS}
    told = (
        f"{cost_of_training(shapes, NU.column)} Kernels exp(−(lag/{LENGTH:g})^ν), then exp(−lag/lengthscale). "
        f"The claim fails "
        "if the unrolled network's error rises with ν, or that of tapering falls. "
        f"{learners_left_out([c.learner for c in shapes], seconds_each(shapes))}"
    )
    words = "Score error against the decay for networks and estimators."
    return Report(
        "Which dependence is dear to learn?",
        _subtitle(changes),
        facts={"truth": size, "error": "nats a sequence, t from 0.01 to 6", "sequences": N},
        sections=[
            take_aways(_take_aways(shapes, lengths)),
            Section(
                "Smoothness",
                "",
                [error_figure(shapes, NU, smooth, words), _smoothness(shapes), effective_table(shapes, NU)],
            ),
            axis_section("Reach", lengths, ELL, RATE, far, words),
            how_it_was_done(told),
        ],
        verdict=Verdict(_verdict(shapes, changes)),
    )


def _curve(found: Sequence[Curve], name: str) -> Curve:
    return next(curve for curve in found if curve.learner == name)


def _change(found: Sequence[Curve], name: str) -> Ratio | None:
    """The error at the last place over that at the first, draws paired by the seed of their white noise."""
    points = _curve(found, name).points
    return ratio(points[-1], points[0])


def _holds(change: Ratio | None, falls: bool) -> bool | None:
    grown = None if change is None else change.above(1)
    return None if grown is None else grown != falls


def _smoothness(found: Sequence[Curve]) -> Table:
    """No power of ν is expected, so no exponent: the change from end to end, and the floor's beside it."""
    changes: dict[str, str] = {}
    for curve in found:
        change = _change(found, curve.learner)
        first, last = curve.points[0].floor, curve.points[-1].floor
        floor = f"; floor {last / first:.2f}" if first and last else ""
        if change is not None:
            changes[curve.learner] = f"{change}{floor}"
    slopes = [f"{c.label} {decimal(c.floor_exponent, 2)}" for c in found if c.floor_exponent is not None]
    caption = (
        "In numbers. Last column: how the error changes from the first ν to the last, and how the floor of the class "
        "does. In Theorem 1 of Fu et al. (docs/paper.md) heads grow like (ℓ log 1/ε)^(1/ν), which is no "
        "power of ν, so that none is fitted; it assumes a fixed accuracy ε and says that a larger ν needs fewer heads."
    )
    if slopes:
        caption += f" For reference, the log-log slope of the floor itself against ν: {', '.join(slopes)}."
    return error_table(found, NU, caption, changes=changes)


def _subtitle(changes: dict[str, Ratio | None]) -> str:
    unrolled = by_outcome(
        _holds(changes["unrolled"], True),
        "Smoothness hides parameters under the noise: smooth dependence is cheaper for the unrolled network",
        "Smooth dependence is not cheaper here, but dearer for the unrolled network",
        "Whether smooth dependence is cheaper for the unrolled network, these seeds do not settle",
    )
    tapered = by_outcome(
        _holds(changes["tapered"], False),
        "; tapering, which counts entries and not what noise leaves of them, pays for it.",
        "; tapering gains from smoothness too.",
        "; what it does to tapering is not settled.",
    )
    return unrolled + tapered


def _verdict(shapes: Sequence[Curve], changes: dict[str, Ratio | None]) -> list[Number]:
    numbers = []
    for name, falls in CLAIMS.items():
        curve = _curve(shapes, name)
        rough, smooth = curve.points[0], curve.points[-1]
        expected = f"{error_text(rough)} at ν = {rough.x:g}; {'below' if falls else 'above'} 1, if the claim holds"
        label = f"times its error there, {curve.label}, ν = {smooth.x:g}"
        numbers.append(ratio_number(changes[name], label, expected, _holds(changes[name], falls)))
    return numbers


def _regrets(found: Sequence[Curve]) -> dict[str, tuple[Ratio, float]]:
    """By learner, the largest error over that of the best learner at the same place, and the place."""
    places = sorted({point.x for curve in found for point in curve.points})
    least = {x: best([(curve.learner, curve.at(x)) for curve in found]) for x in places}
    regrets = {}
    for curve in found:
        against = [(ratio(p, b[1]), p.x) for p in curve.points if (b := least[p.x]) is not None]
        known = [(one, x) for one, x in against if one is not None]
        if len(known) == len(places):  # one that failed somewhere is not to be trusted blindly
            regrets[curve.learner] = max(known, key=lambda pair: pair[0].value)
    return regrets


def _take_aways(shapes: Sequence[Curve], lengths: Sequence[Curve]) -> list[TakeAway | None]:
    axes = ("smoothness", NU, shapes), ("reach", ELL, lengths)
    return [*(_trust(*one) for one in axes), *(_train_longer(*one) for one in axes)]


def _train_longer(what: str, axis: Axis, found: Sequence[Curve]) -> TakeAway | None:
    """What more of it costs generic networks, where it costs nothing of the class that holds the truth."""
    changes = {c.learner: _change(found, c.learner) for c in found if c.learner in GENERIC}
    dearer = {name: one for name, one in changes.items() if one is not None and one.above(1)}
    limit = _change(found, "stationary-separable")
    if not dearer or limit is None or limit.above(1):
        return None
    name = max(dearer, key=lambda one: dearer[one].value)
    first, last = _curve(found, name).points[0], _curve(found, name).points[-1]
    return TakeAway(
        f"The more {what}, the longer train a generic network: it is no dearer in sequences.",
        f"The error of {LEARNERS[name].label} goes from {error_text(first)} at {axis.head(first.x)} to "
        f"{error_text(last)} at "
        f"{axis.head(last.x)}: {dearer[name]} times; that of maximum likelihood of the class: {limit} times.",
        LEARNERS[name].label,
        axis.head(last.x),
    )


def _trust(what: str, axis: Axis, found: Sequence[Curve]) -> TakeAway | None:
    regrets = _regrets(found)
    if len(regrets) < 2:
        return None
    safe, risky = (choose(regrets, key=lambda name: regrets[name][0].value) for choose in (min, max))
    (little, _), (much, place) = regrets[safe], regrets[risky]
    if little.upper is None or much.lower is None or much.lower <= little.upper:
        return None
    return TakeAway(
        f"If the {what} of your data is unknown, trust {LEARNERS[safe].label} and not {LEARNERS[risky].label}.",
        f"At its worst place the former has {little} times the least error there, the latter {much} times (at "
        f"{axis.head(place)}).",
        LEARNERS[risky].label,
        axis.head(place),
    )
