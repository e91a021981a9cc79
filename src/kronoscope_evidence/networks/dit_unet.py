"""``kronoscope reproduce unet``: whether a DiT or a U-Net learns dependence in time better, kernel by kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import torch

from kronoscope import metrics, probes
from kronoscope._errors import DivergenceError, InputError
from kronoscope._intervals import student_reach

from ..learning.jobs import SAMPLES, fitted, num_parameters, run_sweep, training_operations, truth
from ..learning.learners import LEARNERS, Training
from ..study import Run, Study
from ..yardstick import FEATURES, FRAMES, MAX_TIME, MIN_TIME
from .dit_unet_page import PAIRS, SECONDS, STEPS, Case, Difference, Entry, Result, Row, checks, page

KERNELS = {
    "exponential": "PowerExponential(8.0)",
    "Matérn 3/2": "Matern(8.0, 1.5)",
    "squared exponential": "PowerExponential(4.0, 2.0)",
    "polynomial": "RationalQuadratic(4.0, 0.5)",
    "oscillating": "PowerExponential(16.0) * Cosine(12.0)",
}
ENTRANTS = (("dit", STEPS), ("dit-plain", STEPS), ("unet", STEPS), ("dit", SECONDS), ("unet", SECONDS))
TIME, MAX_LAG = 0.2, 16  # of the Jacobian


@dataclass(frozen=True)
class Size:
    """Kernels by name, sequences, seeds, the two budgets, and the Monte Carlo samples of the two measurements."""

    kernels: tuple[str, ...]
    sequences: int
    seeds: int
    budgets: dict[str, Training]
    error_samples: int = SAMPLES
    jacobian_samples: int = 10


def measure(run: Run[Size]) -> Result:
    """Train every network on every kernel, all on the same draws; compare them seed by seed."""
    size = run.size
    # Seeds outermost: an interrupted sweep has whole seeds of every kernel.
    jobs = [
        Entry(
            learner,
            size.sequences,
            run.seed + seed,
            KERNELS[case],
            training=size.budgets[budget],
            budget=budget,
            case=case,
            error_samples=size.error_samples,
            jacobian_samples=size.jacobian_samples,
        )
        for seed in range(size.seeds)
        for case in size.kernels
        for learner, budget in ENTRANTS
    ]
    return compare(run_sweep("unet", jobs, train, Row, run.store, run.stage))


def train(job: Entry) -> Row:
    """Train one network; its score error and the correlation that its Jacobian shows."""
    x, process = job.draw(), job.truth()
    try:
        model = fitted(LEARNERS[job.learner], x, job)
    except DivergenceError as reason:
        return Row(job, failed=str(reason))
    error = metrics.score_kl(model.score, process, MIN_TIME, MAX_TIME, num_samples=job.error_samples)
    outcome = model.record["training"]
    gamma, reason_none = _correlation(
        probes.jacobian(model.score, process, TIME, num_samples=job.jacobian_samples, dtype=torch.float32)
    )
    exact = process.temporal_covariance[0, : MAX_LAG + 1].tolist()
    return Row(
        job,
        error.value,
        error.standard_error,
        gamma,
        None if gamma is None else max(abs(learnt - true) for learnt, true in zip(gamma, exact, strict=True)),
        reason_none,
        num_parameters(model),
        outcome["steps"],
        outcome["best_step"],
        outcome["seconds"],
        training_operations(model, x),
    )


def _correlation(jacobian: probes.JacobianProbe) -> tuple[tuple[float, ...] | None, str | None]:
    """The learnt correlation by lag, or why there is none."""
    try:
        gamma = jacobian.lag_profile(MAX_LAG).value
    except InputError as reason:  # a singular Jacobian
        return None, str(reason)
    return (tuple(gamma.tolist()), None) if bool(gamma.isfinite().all()) else (None, "not finite")


def compare(rows: Sequence[Row]) -> Result:
    """The rows with what they are compared with: the truth, white noise, and each other."""
    names = list(dict.fromkeys(row.job.case for row in rows))
    differences = [_difference(rows, learner, budget, case) for case in names for learner, budget in PAIRS]
    return Result(tuple(_case(name) for name in names), tuple(rows), tuple(differences))


def _case(name: str) -> Case:
    process = truth(KERNELS[name], FRAMES, FEATURES)
    white = metrics.score_kl(lambda x, t: -x, process, MIN_TIME, MAX_TIME, linear=True, dtype=torch.float64)
    gamma = tuple(process.temporal_covariance[0, : MAX_LAG + 1].tolist())
    return Case(name, KERNELS[name], gamma, white.value)


def _difference(rows: Sequence[Row], learner: str, budget: str, case: str) -> Difference:
    """U-Net less DiT, over the seeds in which neither failed."""

    def errors(name: str) -> dict[int, float]:
        asked = (name, budget, case)
        own = [row for row in rows if (row.job.learner, row.job.budget, row.job.case) == asked]
        return {row.job.seed: row.kl for row in own if row.kl is not None}

    dit, unet = errors(learner), errors("unet")
    values = [unet[seed] - dit[seed] for seed in dit if seed in unet]
    if len(values) < 2:
        return Difference(learner, budget, case, values[0] if values else None, None, None, len(values))
    mean = fmean(values)
    reach = student_reach(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Difference(learner, budget, case, mean, mean - reach, mean + reach, len(values))


def _budgets(steps: int, seconds: float, shared: Training) -> dict[str, Training]:
    return {STEPS: {"max_steps": steps, **shared}, SECONDS: {"max_steps": 100_000, "max_seconds": seconds, **shared}}


STUDY = Study(
    claim="For every kernel, either the DiT or the U-Net learns dependence in time with the smaller error.",
    full=Size(
        tuple(KERNELS), 1000, 5, _budgets(250, 25.0, {"warmup_steps": 30, "evaluate_every": 50, "held_out_draws": 1024})
    ),
    quick=Size(
        ("exponential", "oscillating"),
        200,
        1,
        _budgets(120, 8.0, {"warmup_steps": 20, "evaluate_every": 30, "held_out_draws": 256}),
    ),
    minutes=(47, 2),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
