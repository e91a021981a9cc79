"""Exact scores, draws and densities of long sequences, with ratios to dense algebra and to linear_operator."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import linear_operator
import numpy as np
import scipy.signal
import torch
from linear_operator.operators import DenseLinearOperator, KroneckerProductLinearOperator, ToeplitzLinearOperator
from torch import Tensor

from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

LENGTHSCALE, TIME, TOLERANCE = 32.0, 0.1, 1e-8
MILLION = 2**20

_MEMORY = """
import pathlib, re, torch
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence
law = GaussianSequence(PowerExponential({lengthscale}), torch.eye(4) + 0.3, times={frames}, tolerance={tolerance})
x = torch.randn(1, {frames}, 4, dtype=torch.float64)
peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
before = peak()
law.score(x, {t})
print(before, peak())
"""


def run() -> list[dict[str, Any]]:
    """All rows; about a minute on two idle cores, most of it the dense baselines and the million-frame log_prob."""
    return [*_million(), *_against_eigendecomposition(), *_against_linear_operator()]


def _law(frames: int, features: int) -> GaussianSequence:
    spatial = torch.eye(features, dtype=torch.float64) + 0.3
    return GaussianSequence(PowerExponential(LENGTHSCALE), spatial, times=frames, tolerance=TOLERANCE)


def _million() -> list[dict[str, Any]]:
    law = _law(MILLION, 4)
    sampling = _seconds(lambda: law.sample(1), repeats=3)
    x = law.sample(1)
    seconds = _seconds(lambda: law.score(x, TIME), repeats=3)
    transforms, floor = _fourier_floor(lambda: law.score(x, TIME))
    density = _seconds(lambda: _law(MILLION, 4).log_prob(x, TIME), repeats=1, warm=False)
    before, peak = _peak_gigabytes()
    size = "N = 2^20, d = 4"
    return [
        _row(
            f"exact score, {size}", seconds, "s", floor=floor, note=f"target 4 s; floor = its {transforms} FFTs alone"
        ),
        _row(
            f"residual of that score, {size}",
            _independent_residual(law, x),
            "relative",
            baseline=TOLERANCE,
            note="recomputed by the O(N) recursion of the exponential kernel; baseline = the tolerance",
        ),
        _row(
            f"peak memory of that score, {size}",
            peak,
            "GB",
            floor=before,
            note="of a process of its own, torch's import included; target 2 GB; floor = before the score",
        ),
        _row(
            f"sampling one sequence, {size}", sampling, "s", note="target 2 s; circulant embedding, set-up remembered"
        ),
        _row(f"log_prob of one sequence, {size}", density, "s", note="superfast Schur determinant, nothing remembered"),
    ]


def _against_eigendecomposition() -> list[dict[str, Any]]:
    law = _law(4096, 8)
    x = law.sample(16)
    seconds = _seconds(lambda: _law(4096, 8).score(x, TIME), repeats=5)
    gamma, spatial = law.temporal_covariance, law.spatial_covariance

    def by_eigendecomposition() -> Tensor:
        lam, u = torch.linalg.eigh(gamma)
        sig, v = torch.linalg.eigh(spatial)
        denominators = math.exp(-TIME) * lam[:, None] * sig - math.expm1(-TIME)
        return -(u @ ((u.mT @ x @ v) / denominators) @ v.mT)

    start = time.perf_counter()
    reference = by_eigendecomposition()
    dense = time.perf_counter() - start
    difference = float((law.score(x, TIME) - reference).norm() / reference.norm())
    note = f"baseline = torch.linalg.eigh with its set-up (target ratio 20); scores differ by {difference:.1e}"
    return [_row("exact score, N = 4096, d = 8, 16 sequences", seconds, "s", baseline=dense, note=note)]


def _against_linear_operator() -> list[dict[str, Any]]:
    frames, features = 4096, 4
    law = _law(frames, features)
    x = law.sample(1)
    ours = _seconds(lambda: law.score(x, TIME), repeats=3)
    sig, v = torch.linalg.eigh(law.spatial_covariance)
    column = law.kernel.at_lag(torch.arange(frames)).to(torch.float64)
    toeplitz = ToeplitzLinearOperator(math.exp(-TIME) * sig[:, None] * column)
    system = toeplitz.add_diagonal(torch.tensor(-math.expm1(-TIME), dtype=torch.float64))
    right = (x[0] @ v).mT.unsqueeze(-1)
    with (
        warnings.catch_warnings(),
        linear_operator.settings.cg_tolerance(TOLERANCE),
        linear_operator.settings.max_cg_iterations(500),
        linear_operator.settings.max_cholesky_size(1),
    ):
        warnings.simplefilter("ignore")  # it warns where it stops short; the residual in the note says so
        start = time.perf_counter()
        solution = -(system.solve(right)[..., 0].mT @ v.mT)
        theirs = time.perf_counter() - start
    residuals = (_residual(law, x, law.score(x, TIME)), _residual(law, x, solution[None]))
    note = "baseline = ToeplitzLinearOperator, 500 CG iterations at most; residuals {:.1e} and {:.1e}".format(
        *residuals
    )
    return [
        _row(f"exact score, N = {frames}, d = {features}", ours, "s", baseline=theirs, note=note),
        _against_kronecker_operator(),
    ]


def _against_kronecker_operator() -> dict[str, Any]:
    law = _law(1024, 4)
    x = law.sample(16)
    right = x.flatten(1).mT
    noise = torch.tensor(-math.expm1(-TIME), dtype=torch.float64)

    def theirs() -> Tensor:
        gamma = DenseLinearOperator(math.exp(-TIME) * law.temporal_covariance)
        product = KroneckerProductLinearOperator(gamma, DenseLinearOperator(law.spatial_covariance))
        return -product.add_diagonal(noise).solve(right)

    baseline = _seconds(theirs, repeats=3)
    ours = _seconds(lambda: _law(1024, 4).score(x, TIME), repeats=3)
    difference = float((law.score(x, TIME).flatten(1).mT - theirs()).norm() / right.norm())
    note = f"with set-up; baseline = KroneckerProductLinearOperator; scores differ by {difference:.1e} of |x|"
    return _row("exact score, N = 1024, d = 4, 16 sequences", ours, "s", baseline=baseline, note=note)


def _row(
    name: str, value: float, unit: str, baseline: float | None = None, floor: float | None = None, note: str = ""
) -> dict[str, Any]:
    """One line of the table; the ratio is baseline over value, or value over floor where there is no baseline."""
    ratio = baseline / value if baseline is not None else value / floor if floor else None
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
        "floor": floor,
        "note": note,
    }


def _seconds(work: Callable[[], object], repeats: int, warm: bool = True) -> float:
    """Median wall-clock seconds, after one run that is not counted if ``warm``."""
    if warm:
        work()
    return statistics.median(_once(work) for _ in range(repeats))


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _fourier_floor(work: Callable[[], object]) -> tuple[int, float]:
    """How many FFTs ``work`` calls, and the seconds that these alone take, each timed on data of the same shape."""
    plain = {"rfft": torch.fft.rfft, "irfft": torch.fft.irfft}
    calls: list[tuple[str, torch.Size, int]] = []

    def recorder(kind: str) -> Callable[..., Tensor]:
        def record(values: Tensor, n: int | None = None, **options: Any) -> Tensor:
            calls.append((kind, values.shape, n or values.shape[-1]))
            return plain[kind](values, n=n, **options)

        return record

    try:
        torch.fft.rfft, torch.fft.irfft = recorder("rfft"), recorder("irfft")
        work()
    finally:
        torch.fft.rfft, torch.fft.irfft = plain["rfft"], plain["irfft"]
    total = 0.0
    for kind, shape, n in set(calls):
        values = torch.randn(shape, dtype=torch.complex128 if kind == "irfft" else torch.float64)
        once = _seconds(lambda kind=kind, values=values, n=n: plain[kind](values, n=n), repeats=3)
        total += once * calls.count((kind, shape, n))
    return len(calls), total


def _independent_residual(law: GaussianSequence, x: Tensor) -> float:
    return _residual(law, x, law.score(x, TIME))


def _residual(law: GaussianSequence, x: Tensor, score: Tensor) -> float:
    """|C_t s + x| / |x| with Gamma s from the recursions f_i = r f_(i-1) + s_i in both directions, no FFT."""
    s, r = score[0].numpy(), math.exp(-1 / LENGTHSCALE)
    forward = scipy.signal.lfilter([1.0], [1.0, -r], s, axis=0)
    backward = scipy.signal.lfilter([1.0], [1.0, -r], s[::-1], axis=0)[::-1]
    image = math.exp(-TIME) * (forward + backward - s) @ law.spatial_covariance.numpy() - math.expm1(-TIME) * s
    return float(np.linalg.norm(image + x[0].numpy()) / np.linalg.norm(x.numpy()))


def _peak_gigabytes() -> tuple[float, float]:
    """Peak resident memory of a fresh process, before and after one score (Linux: getrusage would inherit ours)."""
    code = _MEMORY.format(lengthscale=LENGTHSCALE, frames=MILLION, tolerance=TOLERANCE, t=TIME)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return int(printed[0]) * 1024 / 1e9, int(printed[1]) * 1024 / 1e9
