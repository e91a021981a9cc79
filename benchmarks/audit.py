"""The audit's error rates and powers, question by question, on processes whose law is known; its speed and memory.

``python -m benchmarks audit`` runs 2000 audits of equal laws in each of four settings and 200 of each planted defect:
about 40 minutes on two cores. ``python -m benchmarks.audit null 200``, ``power 20`` and ``speed`` run a part of that.
"""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch

import kronoscope as ks
from kronoscope.kernels import PowerExponential
from kronoscope_evidence.trials.planted import Autoregression, planted
from kronoscope_evidence.yardstick import spatial_covariance

NULL_RUNS, POWER_RUNS, DRAWS = 2000, 200, 199
NULL_SIZE = (100, 50, 16, 3)  # real and generated each, held out, frames, features; three times as many if consecutive
POWER_SIZE = (500, 250, 32, 4)
ENOUGH = 1000  # runs for bounds to say anything
ALPHA, BOUNDS, FAMILY_BOUND, LEAST_POWER = 0.05, (0.03, 0.07), 0.07, 0.9
FAMILY = "whole audit"
SETTINGS = [(heavy, consecutive) for heavy in (False, True) for consecutive in (False, True)]

Row = dict[str, Any]


def run() -> Iterator[Row]:
    """Type-I error, power and speed."""
    yield from null_rows(NULL_RUNS)
    yield from power_rows(POWER_RUNS)
    yield from speed_rows()


def null_rows(runs: int) -> Iterator[Row]:
    """Share of audits of equal laws that reject, by question, with independent and with consecutive sequences."""
    for heavy, consecutive in SETTINGS:
        counts: Counter[str] = Counter()
        for rejected in _each(partial(_null, heavy, consecutive), runs):
            counts.update(rejected)
        setting = f"{'Student-t' if heavy else 'Gaussian'}, {'consecutive' if consecutive else 'independent'}"
        for question, count in counts.items():
            rate = count / runs
            low, high = (0.0, FAMILY_BOUND) if question == FAMILY else BOUNDS
            error = math.sqrt(max(rate, 1 / runs) * (1 - rate) / runs)
            yield {
                "name": f"type-I error, {question}",
                "value": rate,
                "unit": "share",
                "baseline": ALPHA,
                "ratio": rate / ALPHA,
                "note": f"{setting}; ± {error:.4f}, {runs} runs"
                + ("" if runs < ENOUGH or low <= rate <= high else f"; OUTSIDE {low:g} to {high:g}"),
            }


def _null(heavy: bool, consecutive: bool, seed: int) -> dict[str, int]:
    """Which questions reject in one audit of equal laws; AR(1) sequences with coefficient 0.8."""
    n, held_out, frames, features = NULL_SIZE
    g = torch.Generator().manual_seed(seed)
    law = Autoregression(frames, features, heavy)
    if consecutive:
        long = law.consecutive(4 * n, g)
        result = ks.audit(
            long[: 3 * n], law.independent(3 * n, g), long[3 * n :], consecutive=True, generator=g, num_draws=DRAWS
        )
    else:
        real, made, unseen = (law.independent(size, g) for size in (n, n, held_out))
        result = ks.audit(real, made, unseen, generator=g, num_draws=DRAWS)
    return {FAMILY: int(not result.passed), **{q.name: int(q.p_value <= ALPHA) for q in result.questions}}


def power_rows(runs: int) -> Iterator[Row]:
    """Share of audits that fail for each planted defect, and the questions that see it."""
    _, _, frames, features = POWER_SIZE
    for k, defect in enumerate(planted(frames, features)):
        seen: Counter[str] = Counter()
        for rejected in _each(partial(_power, k), runs):
            seen.update(rejected)
        rate = seen.pop(FAMILY) / runs
        best = ", ".join(f"{question} {count / runs:.2f}" for question, count in seen.most_common(4) if count)
        low = rate < LEAST_POWER and defect.name != "none"
        yield {
            "name": f"power, {defect.name}",
            "value": rate,
            "unit": "share",
            "note": f"± {math.sqrt(rate * (1 - rate) / runs):.3f}, {runs} runs; rejected by {best}"
            + (f"; BELOW {LEAST_POWER:g}" if low else ""),
        }


def _power(which: int, seed: int) -> dict[str, int]:
    n, held_out, frames, features = POWER_SIZE
    if (frames, features) not in _DEFECTS:
        _DEFECTS[frames, features] = planted(frames, features)
    defect = _DEFECTS[frames, features][which]
    g = torch.Generator().manual_seed(10_000 + seed)
    x = defect.real(n, g)
    result = ks.audit(x, defect.generated(x, n, g), defect.real(held_out, g), generator=g, num_draws=DRAWS)
    return {FAMILY: int(not result.passed), **{q.name: int(q.rejected) for q in result.questions}}


_DEFECTS: dict[tuple[int, int], Any] = {}  # of a worker, which would build their covariances anew for every run


def speed_rows(n: int = 5000, frames: int = 64, features: int = 16) -> Iterator[Row]:
    """One audit of n against n sequences."""
    g = torch.Generator().manual_seed(0)
    truth = ks.GaussianSequence(PowerExponential(8.0, 1.0), spatial_covariance(features), times=frames)
    x, y = truth.sample(n, generator=g), truth.sample(n, generator=g)
    began = time.monotonic()
    ks.audit(x, y, generator=g)
    seconds = time.monotonic() - began
    size = f"{n} against {n}, N = {frames}, d = {features}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    note = f"999 relabellings, {torch.get_num_threads()} threads"
    yield {"name": f"audit, {size}", "value": seconds, "unit": "s", "note": f"target 60 s; {note}"}
    yield {"name": "peak memory of the process", "value": peak, "unit": "GB", "note": "target 4 GB"}


def _each(one: Callable[[int], dict[str, int]], runs: int) -> Iterator[dict[str, int]]:
    """``one(seed)`` for every seed, a process of one thread for each processor (or ``KRONOSCOPE_WORKERS``)."""
    workers = int(os.environ.get("KRONOSCOPE_WORKERS", os.cpu_count() or 1))
    if workers == 1:
        yield from map(one, range(runs))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(one, range(runs), chunksize=8)


if __name__ == "__main__":
    asked, *number = sys.argv[1:] or ["speed"]
    parts: dict[str, Callable[..., Iterator[Row]]] = {"null": null_rows, "power": power_rows, "speed": speed_rows}
    for row in parts[asked](*map(int, number)):
        print(f"{row['name']:45s} {row['value']:.4f} {row['unit']:6s} {row['note']}", flush=True)
