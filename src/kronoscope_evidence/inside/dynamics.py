"""``kronoscope reproduce dynamics``: which modes of the data a network learns first, and when."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from kronoscope import diffusion
from kronoscope.processes import GaussianSequence

from ..learning.jobs import YARDSTICK, Job, fitted, job_of, run_sweep, truth
from ..learning.learners import LEARNERS, Training
from ..reproductions import Finding
from ..stages import Stage
from . import dynamics_page

TIME = 0.2
N, QUICK_N = 2000, 500
SEEDS, QUICK_SEEDS = 3, 1
EVERY = 20
SEQUENCES = 256
TRAINING: Training = {"max_steps": 800, "evaluate_every": EVERY, "held_out_draws": 256}
QUICK_TRAINING: Training = {"max_steps": 200, "evaluate_every": EVERY, "held_out_draws": 256}
LEVELS = (0.5, 0.1)
GROUPS = {"all modes": (0.0, math.inf), "variance above 1": (1.0, math.inf), "variance below 1": (0.0, 1.0)}
ALL = "all modes"
STARTS_WRONG = 0.05
PERMUTATIONS = 10_000


@dataclass(frozen=True, eq=False)
class Order:
    """When the modes of one training were learnt, against their variance.

    Attributes:
        among: Key of ``GROUPS``: which modes.
        level: Share of its first error that a mode's error must fall below, and stay below.
        variance: Of the modes that count, with the noise.
        steps: When they did; the last step plus one look where they never did, which ranks last.
        reached: Which ones did.
        correlation: Spearman's, of steps with variance.
        p_value: Share of permutations with a correlation at most this one: one-sided.
        null: 2.5 % and 97.5 % of the permutations' correlations.
    """

    among: str
    level: float
    variance: np.ndarray
    steps: np.ndarray
    reached: np.ndarray
    correlation: float
    p_value: float
    null: tuple[float, float]


@dataclass(frozen=True, eq=False)
class DynamicsResult:
    """All that the page shows.

    Attributes:
        process: The truth.
        n: Sequences learnt from.
        steps: Of the looks.
        errors: Relative score error, (seeds, looks, temporal modes, spatial modes): E(u's - u's*)^2 / E(u's*)^2.
        variance: alpha^2 lam_i sig_j + sigma^2, (temporal modes, spatial modes).
        orders: One for each of ``GROUPS`` and ``LEVELS``, over the mean of the seeds.
        by_seed: Spearman's correlation by level, of all modes of each seed alone.
    """

    process: GaussianSequence
    n: int
    steps: list[int]
    errors: np.ndarray
    variance: np.ndarray
    orders: list[Order]
    by_seed: dict[float, list[float]]


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Train DiTs, look at the score error of every mode as they go, and rank the modes by when they were learnt."""
    n, training = (QUICK_N, QUICK_TRAINING) if quick else (N, TRAINING)
    seeds = QUICK_SEEDS if quick else SEEDS
    jobs = [job_of("dit", n, seed + s, training=training) for s in range(seeds)]
    rows = run_sweep("dynamics", jobs, measure, ModesRow, folder, stage)
    process = truth(YARDSTICK, rows[0].job.frames, rows[0].job.features)
    steps = list(rows[0].looks)
    errors = np.array([row.errors for row in rows])
    variance = mode_variances(process).numpy()
    mean = errors.mean(axis=0)
    orders = [order(mean, steps, variance, level, seed, among) for among in GROUPS for level in LEVELS]
    by_seed = {level: [order(one, steps, variance, level, seed).correlation for one in errors] for level in LEVELS}
    result = DynamicsResult(process, n, steps, errors, variance, orders, by_seed)
    return Finding(dynamics_page.page(result, quick), _record(result))


@dataclass(frozen=True)
class ModesRow:
    """The relative score error of every mode at every look, by temporal mode and then by spatial mode."""

    job: Job
    looks: tuple[int, ...]
    errors: tuple[tuple[tuple[float, ...], ...], ...]


def measure(job: Job) -> ModesRow:
    """Train one network and look at it; the first look is before the first step."""
    x = job.draw()
    look = watch(job.truth())
    looks: list[int] = [0]
    untrained = fitted(LEARNERS[job.learner], x, job, max_steps=0)
    errors = [_rows(look(untrained.network))]

    def on_evaluation(network: nn.Module, step: int) -> None:
        if step:
            looks.append(step)
            errors.append(_rows(look(network)))

    fitted(LEARNERS[job.learner], x, job, on_evaluation=on_evaluation)
    return ModesRow(job, tuple(looks), tuple(errors))


def _rows(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


def mode_variances(process: GaussianSequence) -> Tensor:
    """alpha^2 lam_i sig_j + sigma^2 at ``TIME``, (N, d), both by falling eigenvalue."""
    temporal = torch.linalg.eigvalsh(process.temporal_covariance.double()).flip(-1)
    spatial = torch.linalg.eigvalsh(process.spatial_covariance.double()).flip(-1)
    alpha, noise = float(diffusion.alpha(TIME)), float(diffusion.sigma_squared(TIME))
    return alpha**2 * temporal[:, None] * spatial[None, :] + noise


def watch(process: GaussianSequence) -> Callable[[nn.Module], Tensor]:
    """A function of a network: the relative error of its score by mode, (N, d), on sequences that are always the same.

    The true score of a mode of variance c has mean square 1/c, which the error is divided by.
    """
    u = torch.linalg.eigh(process.temporal_covariance.double())[1].flip(-1)
    v = torch.linalg.eigh(process.spatial_covariance.double())[1].flip(-1)
    generator = torch.Generator().manual_seed(17)
    data = process.sample(SEQUENCES, generator=generator).double()
    time = torch.tensor(TIME, dtype=torch.float64)
    x = diffusion.noise(data, time, torch.randn(data.shape, dtype=torch.float64, generator=generator)).float()
    exact, scale = process.score(x.double(), TIME), mode_variances(process)

    def look(network: nn.Module) -> Tensor:
        t = torch.full((len(x),), TIME)
        with torch.no_grad():
            score = diffusion.score_from_epsilon(network(x, t), x, t)
        by_mode = u.T @ (score.double() - exact) @ v
        return by_mode.square().mean(dim=0) * scale

    return look


def order(
    errors: np.ndarray, steps: list[int], variance: np.ndarray, level: float, seed: int, among: str = ALL
) -> Order:
    """When each mode's error, (looks, N, d), fell for good below ``level`` of what it was, and the rank correlation.

    Modes whose first error is below ``STARTS_WRONG`` of the true mean square are left out: nothing to learn.
    """
    flat = errors.reshape(len(errors), -1)
    low, high = GROUPS[among]
    counted = (flat[0] > STARTS_WRONG) & (variance.reshape(-1) > low) & (variance.reshape(-1) <= high)
    curves, size = flat[:, counted], variance.reshape(-1)[counted]
    reached_at = np.array([_settled(curve <= level * curve[0]) for curve in curves.T])
    reached = reached_at < len(steps)
    when = np.array([*steps, steps[-1] + steps[-1] - steps[-2]], dtype=float)[reached_at]
    if len(set(when)) < 2:
        return Order(among, level, size, when, reached, 0.0, 1.0, (0.0, 0.0))
    found = float(stats.spearmanr(when, size).statistic)
    ranks, others = (stats.zscore(stats.rankdata(values)) for values in (when, size))
    shuffled = np.random.default_rng(seed).permuted(np.tile(ranks, (PERMUTATIONS, 1)), axis=1)
    permuted = shuffled @ others / len(others)
    p_value = (1 + int((permuted <= found + 1e-12).sum())) / (1 + PERMUTATIONS)
    lower, upper = np.quantile(permuted, [0.025, 0.975])
    return Order(among, level, size, when, reached, found, p_value, (float(lower), float(upper)))


def _settled(below: np.ndarray) -> int:
    """The first look from which on it is true to the end; the number of looks if it is not true at the last."""
    wrong = np.flatnonzero(~below)
    return 0 if not len(wrong) else int(wrong[-1]) + 1


def _record(result: DynamicsResult) -> dict:
    orders = [
        {
            "among": one.among,
            "level": one.level,
            "modes": len(one.steps),
            "reached": int(one.reached.sum()),
            "rank_correlation": one.correlation,
            "p_value": one.p_value,
            "null_interval": list(one.null),
            "by_seed": result.by_seed[one.level] if one.among == ALL else None,
            "variance": one.variance.tolist(),
            "steps": one.steps.tolist(),
        }
        for one in result.orders
    ]
    total = result.errors.mean(axis=(0, 2, 3))
    if not all(math.isfinite(value) for value in total):
        raise ArithmeticError("a score error is not finite")
    return {"t": TIME, "n": result.n, "looks": result.steps, "mean_relative_error": total.tolist(), "orders": orders}
