"""``kronoscope reproduce time-to-quality``: score error against seconds of training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import diffusion, metrics
from .._typing import DiffusionTime
from ..report import Column, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from . import sweeps
from .learning import FIRST_DATA_SEED, LEARNERS, MAX_TIME, MIN_TIME, Row, fitted, job, measure, plain, run_jobs, truth
from .learning_page import TakeAway, how, take_aways
from .reproductions import Finding
from .stages import Stage

N, SAMPLES, LOOKS = 500, 1024, 12
SEEDS = 5
NETWORKS = ("unrolled", "unrolled-4", "position", "dit", "unet", "linear", "mlp")
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
STEPS = {"unrolled": 2500, "unrolled-4": 2500, "position": 3000, "dit": 1500, "unet": 1500, "linear": 3000, "mlp": 3000}
QUICK_STEPS = {"unrolled": 600, "unrolled-4": 900, "position": 240, "unet": 180, "linear": 600, "mlp": 240}
ESTIMATORS = ("stationary-separable", "block-toeplitz", "separable", "sample-covariance")


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Trainings that are measured on the way, without the clock; estimators as points."""
    steps: Mapping[str, int] = QUICK_STEPS if quick else STEPS
    shape = QUICK_SHAPE if quick else {}
    jobs = [
        job(who, N, seed + s, training={"max_steps": most, "evaluate_every": most // LOOKS, "patience": None}, **shape)
        for who, most in steps.items()
        for s in range(1 if quick else SEEDS)
    ]
    jobs += [job(who, N, seed + s, **shape) for who in ESTIMATORS for s in range(1 if quick else SEEDS)]
    rows = run_jobs("time-to-quality", jobs, {"quick": quick, "seed": seed}, folder, stage, measure_path)
    return Finding(page(rows, quick), {"rows": plain(rows)})


def measure_path(told: sweeps.Job) -> sweeps.Result:
    """[seconds, nats, step] of the averaged weights at each evaluation; seconds of measuring do not count."""
    learner = LEARNERS[told["learner"]]
    if learner.estimator:
        found = measure(told)
        return {"path": [] if found["kl"] is None else [[found["seconds"], found["kl"], 0]], "failed": found["failed"]}
    process = truth(told["kernel"], told["frames"], told["features"])
    x = process.sample(told["n"], generator=torch.Generator().manual_seed(FIRST_DATA_SEED + told["seed"])).float()
    fitted(learner, x, {**told, "training": {**told["training"], "max_steps": 1}})  # the first call is a slow one
    path: list[list[float]] = []
    began, measuring = time.monotonic(), 0.0

    def look(network: torch.nn.Module, step: int) -> None:
        nonlocal measuring
        now = time.monotonic()

        def score(y: torch.Tensor, t: DiffusionTime) -> torch.Tensor:
            return diffusion.score_from_epsilon(network(y, torch.as_tensor(t).expand(len(y))), y, t)

        error = metrics.score_kl(score, process, MIN_TIME, MAX_TIME, num_samples=SAMPLES, linear=learner.linear)
        path.append([now - began - measuring, error.value, step])
        measuring += time.monotonic() - now

    fitted(learner, x, told, on_evaluation=look)
    return {"path": path, "failed": None}


def page(rows: Sequence[Row], quick: bool) -> Report:
    """Paths of the first seed, the front that they leave, what to do with a budget of seconds."""
    seed = rows[0].job["seed"]
    shown = [row for row in rows if row.job["seed"] == seed and row.result["path"]]
    lines = {True: [], False: []}  # type: dict[bool, list[Line]]
    for row in shown:
        learner, path = LEARNERS[row.job["learner"]], row.result["path"]
        path = [one for one in path if one[0] > 0]
        line = Line(learner.label, learner.role, [a for a, _, _ in path], [b for _, b, _ in path], markers=True)
        lines[bool(learner.network)].append(line)
    panels = [
        LinePanel(title, "seconds", "score error (nats a sequence)", lines[which], log_x=True, log_y=True)
        for which, title in ((True, "networks, along their training"), (False, "estimators, when done"))
    ]
    caption = (
        f"Score error at n = {N} against seconds of learning on the machine that ran this, both axes logarithmic. A "
        "curve that turns upwards is overfitting: the truth, which a user does not have, says so here. The lower left "
        "is the front: nothing else is better in less time. Learning rates follow a schedule over the whole run, so a "
        "run that was meant to be shorter would have been better at its end than these are in passing."
    )
    figure = Figure(panels, caption, "Score error against seconds for networks and estimators.", columns=2)
    budgets = _budgets(shown)
    told = (
        "Errors are those of the averaged weights at twelve moments of each training; the time that measuring takes "
        "does not count. Exact for scores linear in x, Monte Carlo otherwise. The claim would have failed if a generic "
        "network had passed below the unrolled ones. Seconds depend on the machine and on what else ran."
    )
    if quick:
        told += " This quick version has small sequences, short trainings, one seed and no DiT."
    best = min(shown, key=lambda row: min(one[1] for one in row.result["path"]))
    nets = [row for row in shown if LEARNERS[row.job["learner"]].network]
    winner = min(nets, key=lambda row: row.result["path"][-1][1])
    last = winner.result["path"][-1]
    others = [row for row in nets if LEARNERS[row.job["learner"]].network != LEARNERS[winner.job["learner"]].network]
    rival = min(one[1] for row in others for one in row.result["path"])
    advice = [
        TakeAway(
            f"Among networks, give your seconds to {LEARNERS[winner.job['learner']].label}.",
            f"It is at {last[1]:.3g} nats after {last[0]:.1f} s; the best moment of any network of another kind is at "
            f"{rival:.3g}.",
            f"{LEARNERS[winner.job['learner']].label}, at the end",
        )
    ]
    return Report(
        "What do seconds of training buy?",
        "Networks with the solver's shape reach in seconds what generic ones do not reach at all.",
        facts={"truth": "exponential kernel of lengthscale 8", "sequences": N},
        sections=[
            Section("Score error against time", "", [figure, budgets, _all(rows)]),
            take_aways(advice),
            how(told),
        ],
        verdict=Verdict(
            [
                Number(f"{last[1]:.2g} nats", f"after {last[0]:.0f} s", LEARNERS[winner.job["learner"]].label),
                Number(
                    f"{rival:.2g} nats",
                    "the best moment of another kind of network",
                    "must be more, if the claim holds",
                    "good" if rival > last[1] and LEARNERS[winner.job["learner"]].network == "unrolled" else "bad",
                ),
                Number(
                    f"{min(one[1] for one in best.result['path']):.2g} nats",
                    "best of all, estimators too",
                    LEARNERS[best.job["learner"]].label,
                ),
            ]
        ),
    )


def _budgets(shown: Sequence[Row]) -> Table:
    longest = max(one[0] for row in shown for one in row.result["path"])
    budgets = [longest * share for share in (0.05, 0.2, 0.5, 1.0)]
    rows: list[list[Cell]] = []
    for row in shown:
        cells: list[Cell] = []
        for budget in budgets:
            inside = [one[1] for one in row.result["path"] if one[0] <= budget]
            cells.append(inside[-1] if inside else None)
        rows.append([LEARNERS[row.job["learner"]].label, *cells])
    columns: list[Column | str] = ["learner", *(Column(f"{budget:.2g} s", "nats") for budget in budgets)]
    caption = "Where each learner stands when a budget of seconds is spent; a dash is one that had nothing to show yet."
    return Table(columns, rows, caption, row_roles=[LEARNERS[row.job["learner"]].role for row in shown])


def _all(rows: Sequence[Row]) -> Table:
    told: list[list[Cell]] = []
    for row in rows:
        path = row.result["path"]
        name = LEARNERS[row.job["learner"]].label
        if path:
            best = min(path, key=lambda one: one[1])
            told.append([name, row.job["seed"], best[1], best[0], path[-1][1], path[-1][0]])
        else:
            told.append([name, row.job["seed"], None, None, None, None])
    columns: list[Column | str] = [
        "learner",
        "seed",
        Column("best", "nats"),
        Column("after", "s"),
        Column("last", "nats"),
    ]
    columns.append(Column("after", "s"))
    return Table(columns, told, "The best moment and the last of every run.")
