"""``kronoscope reproduce complexity``: score error against the size of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report import Column, Estimate, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .learning import LEARNERS, Curve, curves, job, plain, run_jobs
from .learning_page import TakeAway, how, matched, nats, networks, take_aways
from .reproductions import Finding
from .stages import Stage

N = 500
SEEDS, QUICK_SEEDS = 5, 1
SIZES: dict[str, Sequence[Mapping[str, Any]]] = {
    "unrolled": [{"heads": heads} for heads in (1, 2, 4, 8)],
    "position": [{"width": width} for width in (16, 32, 64, 96)],
    "dit": [{"width": width} for width in (16, 32, 64, 96)],
    "unet": [{"width": width} for width in (8, 16, 32, 48)],
    "linear": [{"num_nodes": nodes} for nodes in (4, 8, 16)],
    "mlp": [{"width": width} for width in (32, 128, 256)],
}
QUICK_SIZES: dict[str, Sequence[Mapping[str, Any]]] = {
    "unrolled": [{"heads": heads} for heads in (1, 2, 4)],
    "position": [{"width": width, "num_blocks": 2} for width in (8, 16, 32)],
    "unet": [{"width": width} for width in (8, 16)],
    "linear": [{"num_nodes": nodes} for nodes in (4, 8)],
    "mlp": [{"width": width} for width in (32, 128)],
}
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
QUICK_TRAINING: dict[str, Mapping[str, Any]] = {
    "unrolled": {"max_steps": 900, "evaluate_every": 900},
    "position": {"max_steps": 300, "evaluate_every": 50},
    "unet": {"max_steps": 200, "evaluate_every": 50},
    "linear": {"max_steps": 600},
    "mlp": {"max_steps": 300, "evaluate_every": 50},
}


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every network in several sizes on the same draws."""
    sizes = QUICK_SIZES if quick else SIZES
    jobs = [
        job(who, N, seed + s, options=options, training=QUICK_TRAINING[who] if quick else None, **_shape(quick))
        for who, several in sizes.items()
        for options in several
        for s in range(QUICK_SEEDS if quick else SEEDS)
    ]
    estimator = [job("stationary-separable", N, seed + s, **_shape(quick)) for s in range(3 if quick else SEEDS)]
    rows = run_jobs("complexity", [*jobs, *estimator], {"quick": quick, "seed": seed}, folder, stage)
    sized = [row for row in rows if row.kl is not None]
    found = curves(sized, lambda row: float(row.result.get("weights") or row.result["parameters"]))
    return Finding(page(found, quick), {"rows": plain(rows)})


def _shape(quick: bool) -> dict[str, Any]:
    return QUICK_SHAPE if quick else {}


def page(found: Sequence[Curve], quick: bool) -> Report:
    """Size against error, and the front that no size beats."""
    nets = networks(found)
    lines = [
        Line(c.told.label, c.told.role, [p.x for p in c.points], [p.kl for p in c.points if p.kl], markers=True)
        for c in nets
    ]
    best = next(c for c in found if c.learner == "stationary-separable").points[0]
    lines.append(
        Line("stationary separable, maximum likelihood", "floor", _ends(nets), [best.kl or 0.0] * 2, dashed=True)
    )
    caption = (
        f"Score error at n = {N} against the number of weights, both axes logarithmic. If size decided, all points "
        "would lie on one line. Steps and batches are each network's own and do not change with its size. The dashed "
        "line is what the right structure makes of the same data."
    )
    shown = Figure(
        [LinePanel("", "weights", "score error (nats a sequence)", lines, log_x=True, log_y=True)],
        caption,
        "Score error against weights for each kind of network, a line each.",
    )
    told = f"{matched(found)} The claim would have failed if sizes of one kind had differed more than the kinds do."
    if quick:
        told += " This quick version trains briefly, once, and leaves out the DiT: what size buys here is partly speed."
    within = {c.learner: max(p.kl or 0.0 for p in c.points) / min(p.kl or 1.0 for p in c.points) for c in nets}
    between = max(_least(c) for c in nets) / min(_least(c) for c in nets)
    best_kind = min(nets, key=_least)
    advice = TakeAway(
        "Choose the kind of network before its size.",
        f"The best sizes of two kinds differ by a factor of up to {between:.0f}, sizes of one kind by at most "
        f"{max(within.values()):.1f} ({LEARNERS[max(within, key=lambda k: within[k])].label}).",
        f"{best_kind.told.label}, {nats(min(best_kind.points, key=lambda p: p.kl or float('inf')))}",
    )
    return Report(
        "Does a larger network learn more?",
        "Some, but between kinds of networks the error differs far more than between sizes of one kind.",
        facts={"truth": "exponential kernel of lengthscale 8", "sequences": N},
        sections=[
            Section("Score error against weights", "", [shown, _table(nets)]),
            take_aways([advice]),
            how(told),
        ],
        verdict=Verdict(
            [
                Number(f"{between:.0f}", "times, between the kinds", "best size of each"),
                Number(
                    f"{max(within.values()):.1f}",
                    "times at most, within a kind",
                    "the claim needs this to be the smaller one",
                    "good" if max(within.values()) < between else "bad",
                ),
            ]
        ),
    )


def _least(curve: Curve) -> float:
    return min(point.kl for point in curve.points if point.kl is not None)


def _ends(nets: Sequence[Curve]) -> list[float]:
    places = [point.x for curve in nets for point in curve.points]
    return [min(places), max(places)]


def _table(nets: Sequence[Curve]) -> Table:
    rows: list[list[Cell]] = []
    for curve in nets:
        for one in curve.points:
            error = None if one.kl is None else one.kl
            shown: Cell = error if one.standard_error is None or error is None else Estimate(error, one.standard_error)
            rows.append([curve.told.label, int(one.x), shown, one.effective, one.seconds])
    columns: list[Column | str] = ["network", Column("weights", digits=7), Column("score error", "nats")]
    columns += [Column("effective parameters", digits=4), Column("training", "s", digits=3)]
    caption = "The same in numbers: weights counted, and effective parameters 2 n × error, which are not the weights."
    roles = [curve.told.role for curve in nets for _ in curve.points]
    return Table(columns, rows, caption, row_roles=roles)
