"""``kronoscope reproduce length``: score error against the number of frames, and networks on longer sequences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from kronoscope import metrics, models
from kronoscope._errors import DivergenceError
from kronoscope.models.extrapolation import longer, longer_law, spectral_law
from kronoscope.nn import UnrolledTransformer
from kronoscope.processes import SeparableGaussian

from ..legacy import plain
from ..reproductions import Finding
from ..stages import Stage
from ..yardstick import MAX_TIME, MIN_TIME
from .curves import curves
from .exact import separable_score_kl
from .jobs import SAMPLES, fitted, job_of, run_jobs, run_sweep
from .learners import ESTIMATORS, LEARNERS, NETWORKS, Training
from .length_page import LIMIT, MILLI, NULL, OWN, SPECTRUM, ExtensionJob, ExtensionRow, LongerError, page

FRAMES, QUICK_FRAMES = (8, 16, 32, 64, 128), (4, 8, 16, 32)
TRAINED, QUICK_TRAINED = 32, 16
FACTORS, QUICK_FACTORS = (1, 4, 8, 16, 32), (1, 4, 8)
N = 500
SEEDS, QUICK_SEEDS = 5, 3
QUICK_TRAINING: dict[str, Training] = {
    "unrolled": {"max_steps": 600, "evaluate_every": 600},
    "position": {"max_steps": 150, "evaluate_every": 50},
    "unet": {"max_steps": 100, "evaluate_every": 50},
}
EXTENDED = ("unrolled", LIMIT, "position", "unet")
LARGEST = 256  # frames x features of block-Toeplitz, and of networks that are dear on long sequences
LONG = ("unrolled",)
FEWEST_SAMPLES, EXACT_SIZE, BATCH = 256, 512, 32_768


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every learner at n = 500 for each N; then what is learnt at one N on up to 32 times as many frames."""
    features, frames = (2, QUICK_FRAMES) if quick else (4, FRAMES)
    who = ("unrolled", *ESTIMATORS) if quick else (*NETWORKS, *ESTIMATORS)
    seeds = range(seed, seed + (QUICK_SEEDS if quick else SEEDS))
    jobs = [
        job_of(one, N, s, frames=length, features=features, training=QUICK_TRAINING.get(one) if quick else None)
        for length in frames
        for one in who
        for s in seeds
        if length * features <= LARGEST or not _is_dear(one)
    ]
    trained, factors = (QUICK_TRAINED, QUICK_FACTORS) if quick else (TRAINED, FACTORS)
    extended = [
        ExtensionJob(
            **vars(
                job_of(
                    one, N, s, frames=trained, features=features, training=QUICK_TRAINING.get(one) if quick else None
                )
            ),
            factors=tuple(factors),
        )
        for one in EXTENDED
        for s in (seeds if one in ("unrolled", LIMIT) or not quick else seeds[:1])
    ]
    rows = run_jobs("length", jobs, folder and folder / "length", stage)
    longer_rows = run_sweep("longer", extended, measure_longer, ExtensionRow, folder and folder / "longer", stage)
    by_frames = curves(rows, lambda row: row.job.frames, lambda row: row.job.frames / MILLI)
    return Finding(page(by_frames, longer_rows, N, LARGEST), {"rows": plain(rows), "longer": plain(longer_rows)})


def _is_dear(name: str) -> bool:
    return name == "block-toeplitz" or (bool(LEARNERS[name].network) and name not in LONG)


def measure_longer(job: ExtensionJob) -> ExtensionRow:
    """Score errors of what was learnt at ``frames`` on ``factors`` times as many."""
    learner, x = LEARNERS[job.learner], job.draw()
    if learner.estimator:
        law = models.ESTIMATORS[learner.estimator](min_time=MIN_TIME).fit(x)
        return ExtensionRow(job, _exact(OWN, job, lambda factor: longer_law(law, factor * job.frames)))
    try:
        network = fitted(learner, x, job).network
    except DivergenceError as reason:
        return ExtensionRow(job, (), str(reason))
    if isinstance(network, UnrolledTransformer):
        errors = _exact(OWN, job, lambda factor: longer_law(network, factor * job.frames))
        errors += _exact(SPECTRUM, job, lambda factor: spectral_law(network, factor * job.frames))
        return ExtensionRow(job, errors + _exact(NULL, job, lambda factor: _cut(network, job.frames, factor)))
    return ExtensionRow(job, tuple(_measured(network, job, factor, learner.linear) for factor in job.factors))


def _exact(method: str, job: ExtensionJob, law: Callable[[int], SeparableGaussian]) -> tuple[LongerError, ...]:
    """Of a law by factor, from the factors of its covariance."""
    return tuple(
        LongerError(method, k, separable_score_kl(law(k), job.truth(k), MIN_TIME, MAX_TIME), 0.0) for k in job.factors
    )


def _measured(network: nn.Module, job: ExtensionJob, factor: int, linear: bool) -> LongerError:
    """Exact where the score is linear and its matrix small, Monte Carlo else: long sequences need fewer of them."""
    error = metrics.score_kl(
        longer(network, factor * job.frames),
        job.truth(factor),
        MIN_TIME,
        MAX_TIME,
        num_samples=max(FEWEST_SAMPLES, SAMPLES // factor),
        linear=linear and factor * job.size <= EXACT_SIZE,
        batch_size=max(1, BATCH // (factor * job.frames)),
    )
    return LongerError(OWN, factor, error.value, error.standard_error)


def _cut(network: UnrolledTransformer, frames: int, factor: int) -> SeparableGaussian:
    """The null: longer sequences made of independent stretches, each with the learnt law."""
    law = longer_law(network, frames)
    temporal = torch.block_diag(*[law.temporal_covariance] * factor)
    return SeparableGaussian(temporal, law.spatial_covariance)
