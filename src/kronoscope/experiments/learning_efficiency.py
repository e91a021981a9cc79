"""``kronoscope reproduce learning-efficiency``: score error against the number of sequences, for every learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report import Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .learning import LEARNERS, Curve, Row, curves, job, plain, point, run_jobs
from .learning_page import Axis, TakeAway, effective_table, figure, how, matched, nats, table, take_aways
from .reproductions import Finding
from .stages import Stage

SIZES, QUICK_SIZES = (200, 500, 2000, 10_000), (100, 400, 1600)
SEEDS, QUICK_SEEDS = 5, 3
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
QUICK_TRAINING: dict[str, Mapping[str, Any]] = {
    "unrolled": {"max_steps": 600, "evaluate_every": 600},
    "unrolled-4": {"max_steps": 900, "evaluate_every": 900},
    "position": {"max_steps": 200, "evaluate_every": 50},
    "dit": {"max_steps": 120, "evaluate_every": 40},
}
SLOW = ("position", "dit")  # one seed is all that --quick has time for
ESTIMATORS = tuple(name for name, learner in LEARNERS.items() if learner.estimator)
REGIMES: dict[str, Mapping[str, Any]] = {
    "the yardstick, n = 500": {},
    "few sequences: n = 50": {"n": 50},
    "long: N = 128": {"frames": 128},
    "smooth: squared exponential": {"kernel": "PowerExponential(5.656854249492381, 2.0)"},
    "oscillating: exponential × cosine": {"kernel": "PowerExponential(16.0) * Cosine(8.0)"},
    "short memory: lengthscale 1": {"kernel": "PowerExponential(1.0)"},
}
REGIME_NETWORKS = ("unrolled", "unrolled-4", "dit", "unet")
BROKEN = 3.0
AXIS = Axis("sequences n", "n = ")


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every learner on the same draws at every n; then each regime where something may break."""
    jobs, regimes = _jobs(quick, seed), _regimes(quick, seed)
    rows = run_jobs("learning-efficiency", [*jobs, *regimes], {"quick": quick, "seed": seed}, folder, stage)
    along, broken = rows[: len(jobs)], rows[len(jobs) :]
    return Finding(
        page(curves(along, lambda row: row.job["n"]), broken, quick), {"rows": plain(along), "regimes": plain(broken)}
    )


def _jobs(quick: bool, seed: int) -> list[dict[str, Any]]:
    if not quick:
        return [job(who, n, seed + s) for n in SIZES for who in LEARNERS for s in range(SEEDS)]
    return [
        job(who, n, seed + s, training=QUICK_TRAINING.get(who), **QUICK_SHAPE)
        for n in QUICK_SIZES
        for who in (*QUICK_TRAINING, *ESTIMATORS)
        for s in range(1 if who in SLOW else QUICK_SEEDS)
    ]


def _regimes(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Their seeds begin where those along n end, so that no job is there twice."""
    who = (*(REGIME_NETWORKS[:1] if quick else REGIME_NETWORKS), *ESTIMATORS)
    seeds = [seed + SEEDS + s for s in range(1 if quick else 3)]
    shape = QUICK_SHAPE if quick else {}
    return [
        job(one, **{"n": 500, **shape, **regime}, seed=s, training=QUICK_TRAINING.get(one) if quick else None)
        for regime in REGIMES.values()
        for one in who
        for s in seeds
    ]


def page(found: Sequence[Curve], regimes: Sequence[Row], quick: bool) -> Report:
    """One claim, the curves, what they are worth in parameters, where learners break, what to do."""
    shape = "16 frames of 2 features" if quick else "32 frames of 4 features"
    told = (
        "Every learner gets the same draws and is trained by denoising score matching, or fitted by its formula at the "
        "smallest noise that networks see (t = 0.01). The score error is the integral of docs/theory.md, section 2, in "
        "nats: exact for scores that are linear in x, Monte Carlo for the DiT, the U-Net and the perceptron. "
        f"{matched(found)} The claim would have failed if the generic networks' curves had met the unrolled one's, or "
        "if its exponent had not been −1."
    )
    if quick:
        told += " In this quick version trainings are short, so that networks are further from their best than in full."
    return Report(
        "How many sequences does a learner need?",
        "The shape of a network, not its size, decides: one with the shape of the solver learns as fast as the "
        "statistics allow, p/(2n); generic ones need many times the sequences.",
        facts={"truth": f"{shape}, exponential kernel of lengthscale 8", "error": "nats a sequence, t from 0.01 to 6"},
        sections=[
            Section("Score error against n", "", [_figure(found), _table(found), effective_table(found, AXIS)]),
            _map(regimes),
            take_aways(_take_aways(found, regimes)),
            how(told),
        ],
        verdict=_verdict(found, quick),
    )


def _figure(found: Sequence[Curve]) -> Any:
    caption = (
        "Score error against the number of sequences, both axes logarithmic. Efficient learning is a straight line of "
        "slope −1, p/(2n); how high it lies says how many parameters p the learner behaves as if it had. The dashed "
        "line is the least that any estimator of a stationary separable law can reach on average."
    )
    return figure(found, AXIS, caption, "Score error against n for networks and estimators, with the floor.")


def _table(found: Sequence[Curve]) -> Table:
    caption = (
        "The same in numbers. The exponent is the slope of log error on log n through all seeds; p/(2n) is −1. Means "
        "over few draws may lie below the floor, which is one of expectations."
    )
    return table(found, AXIS, caption)


def _map(rows: Sequence[Row]) -> Section:
    names = list(dict.fromkeys(row.job["learner"] for row in rows))
    per = len(rows) // len(REGIMES)
    groups = {name: rows[i * per : (i + 1) * per] for i, name in enumerate(REGIMES)}
    cells: list[list[Cell]] = [[LEARNERS[name].label] for name in names]
    broken: list[tuple[int, int]] = []
    notes: list[str] = []
    for column, (regime, group) in enumerate(groups.items(), start=1):
        points = [point(0.0, [row for row in group if row.job["learner"] == name]) for name in names]
        best = min(one.kl for one in points if one.kl is not None)
        for i, one in enumerate(points):
            cells[i].append(None if one.kl is None else one.kl / best)
            if one.kl is None or one.kl > BROKEN * best:
                broken.append((i, column))
            notes += [f"{LEARNERS[names[i]].label}, {regime}: {why}" for why in one.failed]
    caption = (
        "Where learners break: score error over that of the best learner in the same column, the yardstick varied in "
        f"one thing at a time. Marked: more than {BROKEN:g} times the best, or a failure (a dash). Read along a row "
        "for what a learner cannot stand, down a column for whom to trust there."
    )
    note = ". ".join(dict.fromkeys(notes)) + "." if notes else ""
    columns = ["learner", *REGIMES]
    roles = [LEARNERS[name].role for name in names]
    shown = Table(columns, cells, caption, note=note, row_roles=roles, highlight_cells=broken)
    return Section("Where learners break", "", [shown])


def _verdict(found: Sequence[Curve], quick: bool) -> Verdict:
    by_name = {curve.learner: curve for curve in found}
    unrolled, dit = by_name["unrolled"], by_name["dit"]
    middle = unrolled.points[len(unrolled.points) // 2]
    other, slope = dit.at(middle.x), unrolled.exponent
    numbers = []
    if slope is not None:
        holds = slope.lower <= -1 <= slope.upper or abs(slope.value + 1) <= 0.1
        range_told = f"95 % interval {slope.lower:.2f} to {slope.upper:.2f}; p/(2n) is −1"
        numbers.append(Number(f"{slope.value:.2f}", "exponent of n, unrolled", range_told, "good" if holds else "bad"))
    if middle.kl is not None and middle.floor is not None:
        ratio = middle.kl / middle.floor
        numbers.append(
            Number(
                f"{ratio:.2f}",
                f"times the floor of its class, unrolled, n = {middle.x:g}",
                "1 is the limit of statistics, in expectation",
                "good" if ratio < 2 else "bad",
            )
        )
    if middle.kl is not None and other is not None and other.kl is not None:
        factor = other.kl / middle.kl
        numbers.append(
            Number(
                f"{factor:.0f}",
                f"times as much error of the DiT, n = {middle.x:g}",
                "its training is cut short in this quick version: read the full one"
                if quick
                else "with 1/n, as many times the sequences for the same error",
                "neutral" if quick else ("good" if factor > 1 else "bad"),
            )
        )
    return Verdict(numbers)


def _take_aways(found: Sequence[Curve], regimes: Sequence[Row]) -> list[TakeAway]:
    by_name = {curve.learner: curve for curve in found}
    first, last = found[0].points[0].x, found[0].points[-1].x
    told = []
    unrolled = by_name["unrolled"]
    rivals = [c for c in found if c.told.network and not c.learner.startswith("unrolled") and c.at(first)]
    best = min(rivals, key=lambda c: c.at(first).kl or float("inf"), default=None)  # type: ignore[union-attr]
    if best is not None:
        told.append(
            TakeAway(
                "For data that may be Gaussian, begin with the unrolled transformer.",
                f"At n = {first:g} it errs by {nats(unrolled.at(first))}, the best other network ({best.told.label}) "
                f"by {nats(best.at(first))}.",
                f"{unrolled.told.label}, n = {first:g}",
            )
        )
    four = by_name.get("unrolled-4")
    if four is not None:
        one, many = unrolled.at(last), four.at(last)
        ratio = many.kl / one.kl if one and many and one.kl and many.kl else float("inf")
        told.append(
            TakeAway(
                "If separability is in doubt, take four heads"
                + (": they cost hardly more sequences." if ratio < 1.3 else ", and expect to pay for it in sequences."),
                f"Where one head would have been right, four err by {nats(many)} at n = {last:g}, one by {nats(one)}.",
                f"{four.told.label}, n = {last:g}",
            )
        )
    plain_sample, tapered = by_name.get("sample-covariance"), by_name.get("tapered")
    shrunk = by_name.get("ledoit-wolf")
    if plain_sample and tapered and shrunk:
        ranked = sorted((plain_sample, tapered, shrunk), key=lambda c: c.points[0].kl or float("inf"))
        told.append(
            TakeAway(
                f"Without any structure, use {ranked[0].told.label} when sequences are few.",
                f"At n = {first:g}: " + ", ".join(f"{c.told.label} {nats(c.at(first))}" for c in ranked) + ".",
                f"{ranked[0].told.label}, n = {first:g}",
            )
        )
    failed = [c.told.label for c in found if any(one.failed for one in c.points)]
    if failed:
        told.append(
            TakeAway(
                "Expect a refusal, not a bad answer, from these where n is too small: " + ", ".join(failed) + ".",
                "Their likelihood has no maximum there; the note of the table has the messages.",
                failed[0],
            )
        )
    return told
