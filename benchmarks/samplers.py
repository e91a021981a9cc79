"""Exact KL of every sampler against the number of score calls, on the yardstick of docs/theory.md, section 5."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from kronoscope import metrics, sampling
from kronoscope.processes import DenseGaussian, GaussianSequence
from kronoscope_evidence.yardstick import yardstick

CALLS = (16, 32, 64, 128)
TARGETS = {32: 1e-3, 64: 1e-4}


def run() -> list[dict]:
    """Rows: KL in nats of each sampler to the law at t0 = 0.01 (baseline: Euler-Maruyama), then timings.

    The floor is the limit of many calls, which no better step removes: the start from N(0, I) at T = 8 instead of the
    marginal there, carried by the exact probability-flow ODE, which for a Gaussian scales each principal axis by
    sqrt(c_t0 / c_T). Near it a discretisation error may offset a little of the start's.
    """
    process = yardstick()
    floor = start_error(process, sampling.builders.MIN_TIME, sampling.builders.MAX_TIME)
    rows = []
    for calls in CALLS:
        baseline = sampling.law_error(sampling.euler_maruyama(calls), process)
        for name, build in sampling.SAMPLERS.items():
            value = sampling.law_error(build(calls), process)
            target = f"; target for the best sampler {TARGETS[calls]:g}" if calls in TARGETS else ""
            note = "exact; floor: limit of the deterministic samplers in many calls" + target
            rows.append(_row(f"{name}, {calls} calls", value, "nats", baseline, floor, note))
    return [*rows, *_optimised(process, floor), *_timings(process)]


def _optimised(process: GaussianSequence, floor: float) -> list[dict]:
    """Optimised times, and times with weights, beside the uniform grid."""
    rows = []
    for calls in (8, 16):
        uniform = sampling.law_error(sampling.dpm_solver(calls), process)
        for extrapolation, what in ((False, "times"), (True, "times and weights")):
            ends = sampling.builders.MIN_TIME, sampling.builders.MAX_TIME
            table = sampling.optimised(calls, process, *ends, extrapolation=extrapolation)
            value = sampling.law_error(table, process)
            note = "exact; baseline: the uniform grid" + ("; target 1e-4" if calls == 16 else "")
            rows.append(_row(f"dpm-solver, {what} optimised, {calls} calls", value, "nats", uniform, floor, note))
    return rows


def start_error(process: GaussianSequence, low: float, high: float) -> float:
    """KL(generated | exact) in nats of the exact probability-flow ODE started from N(0, I) at ``high``."""
    variance, axes = torch.linalg.eigh(process.covariance())
    at_low, at_high = (1 + (variance - 1) * torch.exp(torch.tensor(-t, dtype=torch.float64)) for t in (low, high))
    generated = DenseGaussian((axes * (at_low / at_high)) @ axes.T, process.num_features)
    return metrics.gaussian_kl(generated, DenseGaussian((axes * at_low) @ axes.T, process.num_features))


def _timings(process: GaussianSequence) -> list[dict]:
    table = sampling.dpm_solver(32)
    x = process.sample(1000).float()
    scores = 32 * _median_seconds(lambda: process.score(x, 0.1))
    draw = _median_seconds(lambda: sampling.sample(process.score, (1000, 32, 4), table))
    law = _median_seconds(lambda: sampling.law_error(sampling.dpm_solver(64), process))
    return [
        _row(
            "1000 sequences, dpm-solver, 32 calls",
            draw,
            "s",
            scores,
            scores,
            "baseline and floor: 32 score calls alone",
        ),
        _row("law_error, dpm-solver, 64 calls, N d = 128", law, "s", 2.0, None, "baseline: the 2 s it may take"),
    ]


def _median_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _row(name: str, value: float, unit: str, baseline: float, floor: float | None, note: str) -> dict:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "baseline": baseline,
        "ratio": value / baseline,
        "floor": floor,
        "note": note,
    }
