"""``kronoscope reproduce unet``: is a DiT or a U-Net nearer the true dependence in time, kernel by kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from kronoscope import metrics, probes
from kronoscope._errors import DivergenceError, InputError

from ..learning.jobs import (
    SAMPLES,
    Job,
    Row,
    fitted,
    job_of,
    num_parameters,
    run_sweep,
    training_operations,
    truth,
)
from ..learning.learners import LEARNERS, Training
from ..legacy import plain
from ..reproductions import Finding
from ..slopes import CONFIDENCE
from ..stages import Stage
from ..yardstick import MAX_TIME, MIN_TIME
from . import dit_unet_page

KERNELS = {
    "exponential": "PowerExponential(8.0)",
    "Matern 3/2": "Matern(8.0, 1.5)",
    "squared exponential": "PowerExponential(4.0, 2.0)",
    "polynomial": "RationalQuadratic(4.0, 0.5)",
    "oscillating": "PowerExponential(16.0) * Cosine(12.0)",
}
QUICK_KERNELS = ("exponential", "oscillating")
N, QUICK_N = 1000, 200
SEEDS, QUICK_SEEDS = 5, 1
TIME, READ_AT, MAX_LAG = 0.2, 10, 16
_COMMON: Training = {"warmup_steps": 30, "evaluate_every": 50, "held_out_draws": 1024}
BUDGETS: dict[str, Training] = {
    "same steps": {"max_steps": 250, **_COMMON},
    "same seconds": {"max_steps": 100_000, "max_seconds": 25.0, **_COMMON},
}
_QUICK: Training = {"warmup_steps": 20, "evaluate_every": 30, "held_out_draws": 256}
QUICK_BUDGETS: dict[str, Training] = {
    "same steps": {"max_steps": 120, **_QUICK},
    "same seconds": {"max_steps": 100_000, "max_seconds": 8.0, **_QUICK},
}
ENTRANTS = (
    ("dit", "same steps"),
    ("dit-plain", "same steps"),
    ("unet", "same steps"),
    ("dit", "same seconds"),
    ("unet", "same seconds"),
)
PAIRS = (("dit", "same steps"), ("dit", "same seconds"), ("dit-plain", "same steps"))


@dataclass(frozen=True, eq=False)
class Entrant:
    """A network on one budget, on one kernel, over the seeds.

    Attributes:
        learner, budget, kernel: Which.
        kl: Score error of each seed, nats a sequence; NaN where the training failed.
        gamma: Learnt correlation by lag, (seeds, lags); NaN where there is none.
        gap: Its largest distance from the truth, of each seed.
        steps, seconds, weights, operations: Means over the seeds; operations of floating point in training.
    """

    learner: str
    budget: str
    kernel: str
    kl: np.ndarray
    gamma: np.ndarray
    gap: np.ndarray
    steps: float
    seconds: float
    weights: float
    operations: float


@dataclass(frozen=True)
class Difference:
    """Score error of the U-Net less that of a DiT on the same draws: above 0, the DiT is nearer.

    Attributes:
        learner, budget, kernel: Which DiT.
        value: Mean over the seeds, nats a sequence.
        lower, upper: 0.95 interval by Student's t over the seeds; None with fewer than two.
        seeds: In which neither failed.
    """

    learner: str
    budget: str
    kernel: str
    value: float
    lower: float | None
    upper: float | None
    seeds: int

    @property
    def told(self) -> str:
        """Who is nearer."""
        if self.lower is None or self.upper is None:
            return "one seed: undecided"
        if self.lower > 0:
            return "DiT"
        return "U-Net" if self.upper < 0 else "undecided"


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that the page shows; ``white`` is the score error of taking everything for white noise, by kernel."""

    n: int
    seeds: int
    truth: dict[str, list[float]]
    white: dict[str, float]
    entrants: list[Entrant]
    differences: list[Difference]
    budgets: Mapping[str, Training]


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Train every network on every kernel, all on the same draws; compare them seed by seed."""
    names = QUICK_KERNELS if quick else tuple(KERNELS)
    n, seeds, budgets = (QUICK_N, QUICK_SEEDS, QUICK_BUDGETS) if quick else (N, SEEDS, BUDGETS)
    # Seeds outermost: a sweep that is cut off has whole seeds of every kernel.
    jobs = [
        job_of(who, n, seed + s, kernel=KERNELS[name], training=budgets[budget])
        for s in range(seeds)
        for name in names
        for who, budget in ENTRANTS
    ]
    rows = run_sweep("unet", jobs, measure, GammaRow, folder, stage)
    result = compare(rows, n, budgets)
    differences = [{**vars(one), "nearer": one.told} for one in result.differences if math.isfinite(one.value)]
    return Finding(
        dit_unet_page.page(result, quick), {"rows": plain(rows), "white": result.white, "differences": differences}
    )


@dataclass(frozen=True)
class GammaRow(Row):
    """A row with the correlation by lag that the network's Jacobian shows.

    Attributes:
        gamma: The correlation; None where there is none.
        gap: Its largest distance from the truth.
        no_gamma: Why there is none.
    """

    gamma: tuple[float, ...] | None = None
    gap: float | None = None
    no_gamma: str | None = None


def measure(job: Job) -> GammaRow:
    """Train one network; its score error and the correlation that its Jacobian shows."""
    learner, process, x = LEARNERS[job.learner], job.truth(), job.draw()
    try:
        model = fitted(learner, x, job)
    except DivergenceError as reason:
        return GammaRow(job, failed=str(reason))
    error = metrics.score_kl(model.score, process, MIN_TIME, MAX_TIME, num_samples=SAMPLES)
    probe = probes.jacobian(model.score, process, TIME, num_samples=READ_AT, dtype=torch.float32)
    outcome = model.record["training"]
    row = GammaRow(
        job,
        kl=error.value,
        standard_error=error.standard_error,
        seconds=outcome["seconds"],
        parameters=num_parameters(model),
        operations=training_operations(model, x),
        steps=outcome["steps"],
        best_step=outcome["best_step"],
    )
    try:
        gamma = probe.lag_profile(MAX_LAG).value
    except InputError as reason:  # a singular Jacobian
        return replace(row, no_gamma=str(reason))
    exact = process.temporal_covariance[0, : MAX_LAG + 1]
    if not bool(gamma.isfinite().all()):
        return replace(row, no_gamma="not finite")
    return replace(row, gamma=tuple(gamma.tolist()), gap=float((gamma - exact).abs().max()))


def compare(rows: Sequence[GammaRow], n: int, budgets: Mapping[str, Training]) -> Comparison:
    """Rows of the sweep, by entrant and paired over seeds."""
    shown = [name for name, text in KERNELS.items() if any(row.job.kernel == text for row in rows)]
    entrants = [entrant(rows, who, budget, name) for name in shown for who, budget in ENTRANTS]
    at = {(one.learner, one.budget, one.kernel): one for one in entrants}
    differences = [
        difference(at[who, budget, name], at["unet", budget, name]) for name in shown for who, budget in PAIRS
    ]
    laws = {name: truth(KERNELS[name], rows[0].job.frames, rows[0].job.features) for name in shown}
    exact = {name: law.temporal_covariance[0, : MAX_LAG + 1].tolist() for name, law in laws.items()}
    white = {
        name: metrics.score_kl(lambda x, t: -x, law, MIN_TIME, MAX_TIME, linear=True, dtype=torch.float64).value
        for name, law in laws.items()
    }
    return Comparison(n, len(entrants[0].kl), exact, white, entrants, differences, budgets)


def entrant(rows: Sequence[GammaRow], learner: str, budget: str, kernel: str) -> Entrant:
    """The rows of one network on one budget and kernel, by seed."""
    timed = budget == "same seconds"
    own = [
        row
        for row in sorted(rows, key=lambda row: row.job.seed)
        if (row.job.learner, row.job.kernel) == (learner, KERNELS[kernel])
        and ("max_seconds" in row.job.training) == timed
    ]

    def numbers(name: str) -> np.ndarray:
        values = [None if row.kl is None else getattr(row, name) for row in own]
        return np.array([math.nan if value is None else value for value in values], dtype=float)

    missing = (math.nan,) * (MAX_LAG + 1)
    gamma = np.array([row.gamma or missing for row in own])
    means = [_mean(numbers(name)) for name in ("steps", "seconds", "parameters", "operations")]
    return Entrant(learner, budget, kernel, numbers("kl"), gamma, numbers("gap"), *means)


def _mean(values: np.ndarray) -> float:
    """Of those that are there; NaN where none is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def difference(dit: Entrant, unet: Entrant) -> Difference:
    """U-Net less DiT, over the seeds in which neither failed."""
    pairs = (unet.kl - dit.kl)[np.isfinite(unet.kl - dit.kl)]
    mean = float(pairs.mean()) if len(pairs) else math.nan
    lower = upper = None
    if len(pairs) > 1:
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1) * pairs.std(ddof=1) / math.sqrt(len(pairs)))
        lower, upper = mean - half, mean + half
    return Difference(dit.learner, dit.budget, dit.kernel, mean, lower, upper, len(pairs))
