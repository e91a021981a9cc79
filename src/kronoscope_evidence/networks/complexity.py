"""``kronoscope reproduce complexity``: score error against the size of the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..learning.curves import curves
from ..learning.jobs import job_of, run_jobs
from ..learning.learners import LEARNERS, NetworkOptions, Training
from ..legacy import plain
from ..reproductions import Finding
from ..stages import Stage
from .complexity_page import page

N = 500
SEEDS, QUICK_SEEDS = 5, 1
SIZES: dict[str, Sequence[NetworkOptions]] = {
    "unrolled": [{"heads": heads} for heads in (1, 2, 4, 8)],
    "position": [{"width": width} for width in (16, 32, 64, 96)],
    "dit": [{"width": width} for width in (16, 32, 64, 96)],
    "unet": [{"width": width} for width in (8, 16, 32, 48)],
    "linear": [{"num_nodes": nodes} for nodes in (4, 8, 16)],
    "mlp": [{"width": width} for width in (32, 128, 256)],
}
QUICK_SIZES: dict[str, Sequence[NetworkOptions]] = {
    "unrolled": [{"heads": heads} for heads in (1, 2, 4)],
    "position": [{"width": width, "num_blocks": 2} for width in (8, 16, 32)],
    "unet": [{"width": width} for width in (8, 16)],
    "linear": [{"num_nodes": nodes} for nodes in (4, 8)],
    "mlp": [{"width": width} for width in (32, 128)],
}
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
QUICK_TRAINING: dict[str, Training] = {
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
        job_of(who, N, seed + s, options=options, training=QUICK_TRAINING[who] if quick else None, **_shape(quick))
        for who, several in sizes.items()
        for options in several
        for s in range(QUICK_SEEDS if quick else SEEDS)
    ]
    estimator = [job_of("stationary-separable", N, seed + s, **_shape(quick)) for s in range(3 if quick else SEEDS)]
    rows = run_jobs("complexity", [*jobs, *estimator], folder, stage)
    sized = [row for row in rows if row.kl is not None]
    found = curves(sized, lambda row: float(row.parameters or 0))
    failed = [
        f"{LEARNERS[row.job.learner].label}, {row.job.options}, seed {row.job.seed}: {row.failed}"
        for row in rows
        if row.kl is None
    ]
    return Finding(page(found, quick, N, failed), {"rows": plain(rows)})


def _shape(quick: bool) -> dict[str, Any]:
    return QUICK_SHAPE if quick else {}
