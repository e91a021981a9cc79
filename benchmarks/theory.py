"""Lemma 1 and Theorem 1 of Fu et al. (2025) against what they bound: every measured error below its bound."""

from __future__ import annotations

import math
import statistics
import time

import torch

from kronoscope import theory
from kronoscope.kernels import CircularPowerExponential, PowerExponential
from kronoscope.processes import GaussianSequence

ROUND_OFF = 1e-9  # relative, by which a measured norm may exceed a bound that is attained
TOLERANCE, MIN_TIME = 0.01, 0.1
CASES = [(1.0, 0.3), (1.0, 0.45), (1.0, 0.6), (2.0, 0.2), (2.0, 0.3), (2.0, 0.4)]
"""(nu, ell) on the circle of period 2 N, where ell <= c^nu."""


def random_case(seed: int, frames: int, features: int) -> tuple[GaussianSequence, float, int, int]:
    """A process, t, J and K, all random; the kernel has a lengthscale of 0.2 to 60 frames."""
    source = torch.Generator().manual_seed(seed)
    u = torch.rand(5, generator=source, dtype=torch.float64).tolist()
    root = torch.randn(features, features, generator=source, dtype=torch.float64)
    kernel = PowerExponential(0.2 * 300 ** u[0], 1 + u[1])
    spatial = root @ root.T * 10 ** (2 * u[2] - 1)
    return (
        GaussianSequence(kernel, spatial, times=frames),
        10 ** (-3 + 3.5 * u[3]),
        1 + int(frames * u[4] ** 2),
        1 + int(1000 ** float(torch.rand(1, generator=source))),
    )


def lemma1_cases(count: int, frames: int, features: int) -> list[tuple[theory.Lemma1, float]]:
    """The first ``count`` random cases whose truncation is positive semi-definite, with the seconds they took."""
    cases: list[tuple[theory.Lemma1, float]] = []
    seed = 0
    while len(cases) < count:
        began = time.perf_counter()
        result = theory.lemma1(*random_case(seed, frames, features))
        seconds = time.perf_counter() - began
        seed += 1
        if result.applies:
            cases.append((result, seconds))
    return cases


def paper_process(nu: float, ell: float, frames: int = 16, features: int = 2) -> GaussianSequence:
    """The circle of the paper with Sigma = I."""
    kernel = CircularPowerExponential(ell ** (1 / nu), nu, 2.0 * frames)
    return GaussianSequence(kernel, torch.eye(features, dtype=torch.float64), times=frames)


def run(processes: int = 100, frames: int = 128, features: int = 8) -> list[dict]:
    """Rows: the worst ratio of measured to bound over random processes, its seconds, and Theorem 1 by nu and ell."""
    cases = lemma1_cases(processes, frames, features)
    ratios = [case.measured / case.bound for case, _ in cases]
    sharper = [case.measured / case.sharper for case, _ in cases]
    seconds = [took for _, took in cases]
    above = sum(ratio > 1 + ROUND_OFF for ratio in ratios)
    what = f"{processes} random processes, N = {frames}, d = {features}"
    rows = [
        _row("lemma1: largest measured / bound", max(ratios), "", 1.0, f"{what}; above the bound: {above}", above),
        _row("lemma1: median where optimisation is the larger part", _median(cases, False), "", 1.0, what),
        _row("lemma1: median where truncation is the larger part", _median(cases, True), "", 1.0, what),
        _row("lemma1: largest measured / sharper bound", max(sharper), "", 1.0, what, max(sharper) > 1 + ROUND_OFF),
        _row("lemma1: slowest", max(seconds), "s", 1.0, f"{what}; median {statistics.median(seconds):.2g} s"),
    ]
    for nu, ell in CASES:
        result = theory.theorem1(paper_process(nu, ell), TOLERANCE, MIN_TIME)
        compiled = result.compiled
        assert compiled is not None
        error = compiled.error
        note = f"{result.verdict}; +- {compiled.standard_error:.1e}; L {compiled.depth}, M {compiled.heads}"
        failed = not result.applies or error + 3 * compiled.standard_error > TOLERANCE
        rows.append(_row(f"theorem1: nu = {nu:g}, ell = {ell:g}", error, "", TOLERANCE, note, failed))
    return rows


def _median(cases: list[tuple[theory.Lemma1, float]], truncation: bool) -> float:
    """Median of measured / bound over the cases in which that part of the bound is the larger one."""
    chosen = [case for case, _ in cases if (case.truncation_error > case.optimisation_error) == truncation]
    return statistics.median(case.measured / case.bound for case in chosen) if chosen else math.nan


def _row(name: str, value: float, unit: str, limit: float, note: str, failed: float = 0) -> dict:
    ratio = value / limit if math.isfinite(value) else None
    return {
        "name": name, "value": value, "unit": unit, "baseline": limit, "ratio": ratio, "note": note,
        "failed": int(failed),
    }  # fmt: skip
