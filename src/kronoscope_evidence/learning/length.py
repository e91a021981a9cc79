"""``kronoscope reproduce length``: score error against the number of frames, and networks on longer sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from kronoscope import metrics, models
from kronoscope._errors import DivergenceError
from kronoscope.models.extrapolation import longer, longer_law, spectral_law
from kronoscope.nn import UnrolledTransformer
from kronoscope.processes import SeparableGaussian

from ..reproductions import Finding
from ..stages import Stage
from . import sweeps
from .curves import curves
from .exact import separable_score_kl
from .learners import (
    ESTIMATORS,
    FIRST_DATA_SEED,
    LEARNERS,
    MAX_TIME,
    MIN_TIME,
    NETWORKS,
    SAMPLES,
    Row,
    fitted,
    job,
    plain,
    run_jobs,
    truth,
)
from .length_page import LIMIT, MILLI, NULL, SPECTRUM, page

FRAMES, QUICK_FRAMES = (8, 16, 32, 64, 128), (4, 8, 16, 32)
TRAINED, QUICK_TRAINED = 32, 16
FACTORS, QUICK_FACTORS = (1, 4, 8, 16, 32), (1, 4, 8)
N = 500
SEEDS, QUICK_SEEDS = 5, 3
QUICK_TRAINING: dict[str, dict[str, Any]] = {
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
        job(one, N, s, frames=length, features=features, training=QUICK_TRAINING.get(one) if quick else None)
        for length in frames
        for one in who
        for s in seeds
        if length * features <= LARGEST or not _is_dear(one)
    ]
    trained, factors = (QUICK_TRAINED, QUICK_FACTORS) if quick else (TRAINED, FACTORS)
    extended = [
        job(one, N, s, frames=trained, features=features, training=QUICK_TRAINING.get(one) if quick else None)
        | {"factors": list(factors)}
        for one in EXTENDED
        for s in (seeds if one in ("unrolled", LIMIT) or not quick else seeds[:1])
    ]
    told = {"quick": quick, "seed": seed}
    rows = run_jobs("length", jobs, told, folder and folder / "length", stage)
    longer_rows = run_jobs("longer", extended, told, folder and folder / "longer", stage, measure_longer)
    found = curves([_each_frame(row) for row in rows], lambda row: row.job["frames"])
    return Finding(page(found, longer_rows, N, LARGEST), {"rows": plain(rows), "longer": plain(longer_rows)})


def _is_dear(name: str) -> bool:
    return name == "block-toeplitz" or (bool(LEARNERS[name].network) and name not in LONG)


def _each_frame(row: Row) -> Row:
    """Millinats for each frame; log-log slopes lose 1 by it."""
    frames = row.job["frames"]
    shared = {name: row.result[name] and MILLI * row.result[name] / frames for name in ("kl", "floor")}
    return Row(row.job, row.result | shared | {"sequence": frames / MILLI})


def measure_longer(told: sweeps.Job) -> sweeps.Result:
    """Score errors of what was learnt at ``frames`` on ``factors`` times as many.

    Returns:
        longer: nats by "factor"; beside the unrolled network, by "spectrum factor" for its spectrum as it is, and by
            "zero factor" for the null; empty where training diverged.
        standard_errors: Of the measurement, nats, by the same names; 0 where exact.
        failed: Why there is nothing; only then.
    """
    learner = LEARNERS[told["learner"]]
    process = truth(told["kernel"], told["frames"], told["features"])
    x = process.sample(told["n"], generator=torch.Generator().manual_seed(FIRST_DATA_SEED + told["seed"])).float()
    if learner.estimator:
        law = models.ESTIMATORS[learner.estimator](min_time=MIN_TIME).fit(x)
        nats = {str(k): _exact(longer_law(law, k * told["frames"]), told, k) for k in told["factors"]}
        return {"longer": nats, "standard_errors": dict.fromkeys(nats, 0.0)}
    try:
        network = fitted(learner, x, told).network
    except DivergenceError as reason:
        return {"longer": {}, "standard_errors": {}, "failed": str(reason)}
    if isinstance(network, UnrolledTransformer):
        nats = {str(k): _exact(longer_law(network, k * told["frames"]), told, k) for k in told["factors"]}
        nats |= {f"{SPECTRUM} {k}": _exact(spectral_law(network, k * told["frames"]), told, k) for k in told["factors"]}
        nats |= {f"{NULL} {k}": _exact(_cut(network, told, k), told, k) for k in told["factors"]}
        return {"longer": nats, "standard_errors": dict.fromkeys(nats, 0.0)}
    found = {str(k): _measured(longer(network, k * told["frames"]), told, k, learner.linear) for k in told["factors"]}
    return {
        "longer": {k: error.value for k, error in found.items()},
        "standard_errors": {k: error.standard_error for k, error in found.items()},
    }


def _exact(law: SeparableGaussian, told: sweeps.Job, factor: int) -> float:
    process = truth(told["kernel"], factor * told["frames"], told["features"])
    return separable_score_kl(law, process, MIN_TIME, MAX_TIME)


def _measured(score: Any, told: sweeps.Job, factor: int, linear: bool) -> metrics.ScoreKL:
    """Exact where the score is linear and its matrix small, Monte Carlo else: long sequences need fewer of them."""
    frames = factor * told["frames"]
    process = truth(told["kernel"], frames, told["features"])
    return metrics.score_kl(
        score,
        process,
        MIN_TIME,
        MAX_TIME,
        num_samples=max(FEWEST_SAMPLES, SAMPLES // factor),
        linear=linear and frames * told["features"] <= EXACT_SIZE,
        batch_size=max(1, BATCH // frames),
    )


def _cut(network: UnrolledTransformer, told: sweeps.Job, factor: int) -> SeparableGaussian:
    """The null: longer sequences made of independent stretches, each with the learnt law."""
    law = longer_law(network, told["frames"])
    temporal = torch.block_diag(*[law.temporal_covariance] * factor)
    return SeparableGaussian(temporal, law.spatial_covariance)
