"""``kronoscope reproduce dynamics``: which modes of the data a network learns first, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from kronoscope import diffusion
from kronoscope.processes import GaussianSequence

from ..learning.jobs import Job, fitted, job_of, run_sweep
from ..learning.learners import LEARNERS, Training
from ..study import Run, Study
from ..yardstick import yardstick
from .dynamics_page import ALL, GROUPS, PERMUTATIONS, SEQUENCES, STARTS_WRONG, TIME, Matrix, Order, Result, checks, page

LEVELS = (0.5, 0.1)


@dataclass(frozen=True)
class Size:
    """Sequences to learn from, seeds, and the training."""

    n: int
    seeds: int
    training: Training


@dataclass(frozen=True)
class ModesRow:
    """The relative score error of every mode at every look, by temporal mode and then by spatial mode."""

    job: Job
    looks: tuple[int, ...]
    errors: tuple[Matrix, ...]


def measure(run: Run[Size]) -> Result:
    """Train DiTs, measure the score error of every mode as they go, and rank the modes by when they were learnt.

    Raises:
        ArithmeticError: A score error is not finite.
    """
    jobs = [job_of("dit", run.size.n, run.seed + s, training=run.size.training) for s in range(run.size.seeds)]
    rows = run_sweep("dynamics", jobs, watch_training, ModesRow, run.store, run.stage)
    steps, errors = rows[0].looks, np.array([row.errors for row in rows])
    if not np.isfinite(errors).all():
        raise ArithmeticError("a score error is not finite")
    mean, variance = errors.mean(axis=0), mode_variances(yardstick()).numpy()
    orders = []
    for among in GROUPS:
        for level in LEVELS:
            by_seed = [order(each, steps, variance, level, run.seed).correlation for each in errors]
            over_seeds = order(mean, steps, variance, level, run.seed, among)
            orders.append(replace(over_seeds, by_seed=tuple(by_seed) if among == ALL else ()))
    by_look = tuple(_rows(look) for look in mean)
    return Result(run.size.n, run.size.seeds, steps, by_look, _rows(variance), tuple(orders))


def watch_training(job: Job) -> ModesRow:
    """Train one network and measure the modes at every evaluation; the first look is before the first step."""
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


def _rows(values: Tensor | np.ndarray) -> Matrix:
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
    errors: np.ndarray, steps: Sequence[int], variance: np.ndarray, level: float, seed: int, among: str = ALL
) -> Order:
    """When each mode's error, (looks, N, d), fell for good below ``level`` of what it was, and the rank correlation.

    Modes whose first error is below ``STARTS_WRONG`` of the true mean square are left out: nothing to learn.
    """
    flat, sizes = errors.reshape(len(errors), -1), variance.reshape(-1)
    low, high = GROUPS[among]
    counted = (flat[0] > STARTS_WRONG) & (sizes > low) & (sizes <= high)
    settled = np.array([_settled(curve <= level * curve[0]) for curve in flat[:, counted].T])
    when = np.array([*steps, steps[-1] + steps[-1] - steps[-2]], dtype=float)[settled]
    correlation, p_value, null = _rank_correlation(when, sizes[counted], seed)
    return Order(
        among=among,
        level=level,
        variance=tuple(sizes[counted].tolist()),
        steps=tuple(when.tolist()),
        reached=tuple((settled < len(steps)).tolist()),
        correlation=correlation,
        p_value=p_value,
        null=null,
    )


def _rank_correlation(when: np.ndarray, variance: np.ndarray, seed: int) -> tuple[float, float, tuple[float, float]]:
    """Spearman's correlation, its one-sided p-value and the middle 95 % of it among permutations."""
    if len(set(when)) < 2:
        return 0.0, 1.0, (0.0, 0.0)
    correlation = float(stats.spearmanr(when, variance).statistic)
    ranks, others = (stats.zscore(stats.rankdata(values)) for values in (when, variance))
    shuffled = np.random.default_rng(seed).permuted(np.tile(ranks, (PERMUTATIONS, 1)), axis=1)
    permuted = shuffled @ others / len(others)
    p_value = (1 + int((permuted <= correlation + 1e-12).sum())) / (1 + PERMUTATIONS)
    lower, upper = np.quantile(permuted, [0.025, 0.975])
    return correlation, p_value, (float(lower), float(upper))


def _settled(below: np.ndarray) -> int:
    """The first look from which on it is true to the end; the number of looks if it is not true at the last."""
    wrong = np.flatnonzero(~below)
    return 0 if not len(wrong) else int(wrong[-1]) + 1


EVERY = 20
STUDY = Study(
    claim="Modes of larger variance are learnt first.",
    full=Size(2000, 3, {"max_steps": 800, "evaluate_every": EVERY, "held_out_draws": 256}),
    quick=Size(500, 1, {"max_steps": 200, "evaluate_every": EVERY, "held_out_draws": 256}),
    minutes=(8, 1),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
