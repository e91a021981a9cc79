"""Variants of the unrolled transformer whose figures stand in docs/learning.md: few blocks, and missing values."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.benchmark import Timer

from kronoscope import diffusion, metrics, models
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence
from kronoscope_evidence.yardstick import MIN_TIME, spatial_covariance

SEEDS = int(os.environ.get("KRONOSCOPE_SEEDS", "3"))
ROWS = tuple(os.environ.get("KRONOSCOPE_ROWS", "blocks,missing").split(","))
FRAMES, FEATURES, BLOCKS = 8, 2, 8
SMALL = {"max_steps": 300, "batch_size": 512}
MASKED = {"max_steps": 400}
ROUNDS = 12


def run() -> Iterator[dict]:
    """Rows: eight blocks tied or not, steps told or learnt, beside their limit; then a third of all values missing.

    Score errors in nats, means over ``KRONOSCOPE_SEEDS`` draws (3 unless that is set), each learnt with another seed;
    the baseline of the blocks is their limit, that of missing values is as many values in complete sequences.
    ``KRONOSCOPE_ROWS`` takes a part ("blocks,missing").
    """
    if "blocks" in ROWS:
        yield from _blocks()
    if "missing" in ROWS:
        for heads in (1, 2):
            yield from _missing(heads)


def _blocks() -> Iterator[dict]:
    process = GaussianSequence(PowerExponential(4.0), spatial_covariance(FEATURES), times=FRAMES)
    variants: dict[str, dict[str, Any]] = {"implicit gradients: the limit": {}}
    for tied in ("tied", "untied"):
        for steps in ("spectrum", "learned"):
            told = {"gradients": "unrolled", "num_blocks": BLOCKS, "blocks": tied, "steps": steps}
            variants[f"{BLOCKS} blocks, {tied}, steps {steps}"] = told
    limit = None
    for name, options in variants.items():
        errors, asymmetries, model = [], [], None
        for seed in range(SEEDS):
            x = process.sample(400, generator=torch.Generator().manual_seed(5 + seed)).float()
            generator = torch.Generator().manual_seed(seed)
            model = models.fit(x, "unrolled", network_options=options, generator=generator, **SMALL)
            errors.append(metrics.score_kl(model.score, process, linear=True).value)
            asymmetries.append(_asymmetry(model))
        note = f"{model.record['training']['weights']} weights; asymmetry {statistics.fmean(asymmetries):.2g}"
        if limit is None:
            note += f"; condition number at t = {MIN_TIME:g} {_condition(process):.0f}"
        yield _row(name, errors, limit, f"{note}; {1e3 * _seconds(model, x):.1f} ms a train step's gradient")
        limit = statistics.fmean(errors) if limit is None else limit


def _condition(process: GaussianSequence) -> float:
    """Of the noised covariance at the smallest trained time."""
    covariance = process.covariance()
    noised = math.exp(-MIN_TIME) * covariance - math.expm1(-MIN_TIME) * torch.eye(len(covariance)).double()
    return float(torch.linalg.cond(noised))


def _asymmetry(model: models.Model) -> float:
    """|B - B'| / |B + B'| of s = -B x at the smallest trained time."""
    matrix, _ = diffusion.affine_map(model.score, MIN_TIME, FRAMES, FEATURES, dtype=torch.float32)
    return float((matrix - matrix.T).norm() / (matrix + matrix.T).norm())


def _seconds(model: models.Model, x: torch.Tensor) -> float:
    """Of forward and backward of one batch on one thread, the fastest of ``ROUNDS``."""
    network = model.network.requires_grad_(True)
    batch = x[:1].repeat(SMALL["batch_size"], 1, 1)
    told = {"network": network, "x": batch, "t": torch.ones(len(batch))}
    timer = Timer("network(x, t).square().mean().backward()", globals=told, num_threads=1)
    return min(timer.timeit(1).median for _ in range(ROUNDS))


def _missing(heads: int) -> Iterator[dict]:
    """A third of 600 sequences' values missing; the same with zeros there; 400 complete ones, which hold as many."""
    law = GaussianSequence(PowerExponential(3.0), torch.tensor([[1.0, 0.6], [0.6, 1.0]]), times=FRAMES)
    errors: dict[str, list[float]] = {"complete": [], "masked": [], "zeros in their place": []}
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(5 + seed)
        x = law.sample(600, generator=generator).float()
        holed = x.masked_fill(torch.rand(x.shape, generator=generator) < 1 / 3, math.nan)
        for name, values in zip(errors, (x[:400], holed, holed.nan_to_num()), strict=True):
            learnt = models.fit(
                values,
                "unrolled",
                missing="mask",
                network_options={"heads": heads},
                generator=torch.Generator().manual_seed(seed),
                **MASKED,
            )
            errors[name].append(metrics.score_kl(learnt.score, law, linear=True).value)
    complete = statistics.fmean(errors["complete"])
    for name, values in errors.items():
        yield _row(f"missing values, heads {heads}: {name}", values, None if name == "complete" else complete, "")


def _row(name: str, errors: list[float], baseline: float | None, note: str) -> dict:
    value = statistics.fmean(errors)
    spread = (
        f"± {statistics.stdev(errors) / len(errors) ** 0.5:.2g} over {len(errors)} draws" if errors[1:] else "1 draw"
    )
    row = {"name": name, "value": value, "unit": "nats", "baseline": baseline, "floor": None}
    return row | {"ratio": baseline and value / baseline, "note": "; ".join(filter(None, [spread, note]))}
