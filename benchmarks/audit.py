"""The audit's error rates and powers, question by question, on processes whose law is known; its speed and memory.

``python -m benchmarks audit`` takes some minutes. The figures of docs/theory.md, section 8, come from
``python -m benchmarks.audit null 2000`` and ``python -m benchmarks.audit power 200``: half an hour of one core each.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

import kronoscope as ks
from kronoscope.audit import AuditResult
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

NULL_RUNS, POWER_RUNS, DRAWS = 200, 20, 199
NULL_SIZE = (100, 100, 50, 16, 3)  # real, generated, held out, frames, features
POWER_SIZE = (500, 500, 250, 32, 4)
ALPHA, DEGREES = 0.05, 5
FAMILY = "whole audit"

Sampler = Callable[[int, torch.Generator], Tensor]
Row = dict[str, Any]


def run() -> list[Row]:
    """Type-I error, power and speed, the first two over fewer runs than the figures of the docs."""
    return [*null_rows(NULL_RUNS), *power_rows(POWER_RUNS), *speed_rows()]


def spatial(features: int) -> Tensor:
    """The yardstick's Sigma."""
    a = torch.randn(features, features, generator=torch.Generator().manual_seed(0)).double()
    covariance = a @ a.T / features + 0.3 * torch.eye(features, dtype=torch.float64)
    return covariance * features / covariance.trace()


def law(lengthscale: float, exponent: float, frames: int, features: int) -> GaussianSequence:
    """Exponential kernel with the yardstick's Sigma."""
    return GaussianSequence(PowerExponential(lengthscale, exponent), spatial(features), times=frames)


def autoregression(heavy: bool, frames: int, features: int, coefficient: float = 0.8) -> Sampler:
    """AR(1) sequences with Gaussian or Student-t innovations (5 degrees of freedom), started 30 frames before."""
    root = torch.linalg.cholesky(spatial(features))

    def series(n: int, length: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, length, features, generator=generator, dtype=torch.float64)
        if heavy:
            chi = torch.randn(n, length, features, DEGREES, generator=generator, dtype=torch.float64).square().mean(-1)
            noise = noise / chi.sqrt()
        noise = noise @ root.T
        x = noise.clone()
        for i in range(1, length):
            x[:, i] += coefficient * x[:, i - 1]
        return x

    def sample(n: int, generator: torch.Generator) -> Tensor:
        return series(n, frames + 30, generator)[:, 30:]

    sample.series = series  # type: ignore[attr-defined]
    return sample


def null_rows(runs: int) -> Iterator[Row]:
    """Share of audits of equal laws that reject, by question, with independent and with consecutive sequences."""
    n, m, h, frames, features = NULL_SIZE
    for name, heavy in (("Gaussian AR(1)", False), ("Student-t AR(1)", True)):
        sample = autoregression(heavy, frames, features)

        def independent(g: torch.Generator, sample: Sampler = sample) -> AuditResult:
            return ks.audit(sample(n, g), sample(m, g), sample(h, g), generator=g, num_draws=DRAWS)

        def consecutive(g: torch.Generator, sample: Any = sample) -> AuditResult:
            long = sample.series(1, 30 + 4 * n * frames, g)[0, 30:].unflatten(0, (-1, frames))
            real, held_out = long[: 3 * n], long[3 * n :]
            return ks.audit(real, sample(3 * m, g), held_out, consecutive=True, generator=g, num_draws=DRAWS)

        yield from _type_one(f"{name}, independent sequences", independent, runs)
        yield from _type_one(f"{name}, consecutive sequences", consecutive, runs // 2)


def _type_one(name: str, audit: Callable[[torch.Generator], AuditResult], runs: int) -> Iterator[Row]:
    counts: dict[str, int] = {}
    for seed in range(runs):
        result = audit(torch.Generator().manual_seed(seed))
        for question in result.questions:
            counts[question.name] = counts.get(question.name, 0) + (question.p_value <= ALPHA)
        counts[FAMILY] = counts.get(FAMILY, 0) + (not result.passed)
    for question, count in counts.items():
        rate = count / runs
        error = math.sqrt(max(rate, 1 / runs) * (1 - rate) / runs)
        yield {
            "name": f"type-I error, {question}",
            "value": rate,
            "unit": "share",
            "baseline": ALPHA,
            "ratio": rate / ALPHA,
            "note": f"{name}; ± {error:.4f}, {runs} runs",
        }


def defects() -> dict[str, tuple[Sampler, Callable[[Tensor, int, torch.Generator], Tensor]]]:
    """By name: what draws real sequences, and what makes generated ones (given the real ones)."""
    _, _, _, frames, features = POWER_SIZE
    truth = law(8.0, 1.0, frames, features)
    deviation = spatial(features).diagonal().sqrt()
    flat = GaussianSequence(PowerExponential(8.0, 1.0), torch.eye(features, dtype=torch.float64), times=1)
    root = torch.linalg.cholesky(spatial(features))
    short = PowerExponential(1.0, 1.0)
    off = 0.3 * (torch.ones(features, features) - torch.eye(features)).double()
    eye = torch.eye(features, dtype=torch.float64)
    crossed = GaussianSequence(short, eye + off, times=frames)
    gamma = crossed.temporal_covariance
    same = torch.kron(torch.eye(frames, dtype=torch.float64), eye + off)
    uncrossed = torch.linalg.cholesky(torch.kron(gamma, eye) + same - torch.eye(frames * features))
    mixed = [
        GaussianSequence(PowerExponential(2.0, 1.0), torch.diag(torch.tensor([1.0, 0.5, 0.2, 0.1])), times=frames),
        GaussianSequence(PowerExponential(16.0, 1.0), torch.diag(torch.tensor([0.1, 0.2, 0.5, 1.0])), times=frames),
    ]

    def real(n: int, g: torch.Generator) -> Tensor:
        return truth.sample(n, generator=g)

    def woven(n: int, g: torch.Generator) -> Tensor:
        return mixed[0].sample(n, generator=g) + mixed[1].sample(n, generator=g)

    product = ks.estimators.Separable().fit(woven(20000, torch.Generator().manual_seed(1)))

    def other(lengthscale: float, exponent: float) -> Callable[[Tensor, int, torch.Generator], Tensor]:
        wrong = law(lengthscale, exponent, frames, features)
        return lambda x, m, g: wrong.sample(m, generator=g)

    def independent(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        return flat.sample(m * frames, generator=g).reshape(m, frames, features) @ root.T

    def without_cross(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        z = torch.randn(m, frames * features, generator=g, dtype=torch.float64)
        return (z @ uncrossed.T).reshape(m, frames, features)

    def clamped(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        return real(m, g).clamp(-2.5 * deviation, 2.5 * deviation)

    def shuffled(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        order = torch.rand(m, frames, generator=g).argsort(dim=1)
        return real(m, g).gather(1, order[..., None].expand(-1, -1, features))

    def swapped(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        return real(m, g)[..., [1, 0, *range(2, features)]]

    def copied(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        return x[torch.randint(len(x), (m,), generator=g)] + 0.05 * real(m, g)

    def collapsed(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        modes = real(m // 10, g)[torch.randint(m // 10, (m,), generator=g)]
        return math.sqrt(0.98) * modes + math.sqrt(0.02) * real(m, g)

    return {
        "none (equal laws)": (real, lambda x, m, g: real(m, g)),
        "independent frames": (real, independent),
        "cross-lag dependence removed": (lambda n, g: crossed.sample(n, generator=g), without_cross),
        "decay exponent 1.1 for 1": (real, other(8.0, 1.1)),
        "lengthscale 10 % too long": (real, other(8.8, 1.0)),
        "lengthscale 10 % too short": (real, other(7.2, 1.0)),
        "variance shrunk by 5 %": (real, lambda x, m, g: math.sqrt(0.95) * real(m, g)),
        "tails clamped at 2.5 sd": (real, clamped),
        "time shuffled": (real, shuffled),
        "features swapped": (real, swapped),
        "separable for non-separable": (woven, lambda x, m, g: product.sample(m, generator=g)),
        "training data copied": (real, copied),
        "collapsed onto 50 modes": (real, collapsed),
    }


def power_rows(runs: int) -> Iterator[Row]:
    """Share of audits that fail for each planted defect, and the questions that see it."""
    n, m, h, *_ = POWER_SIZE
    for name, (real, make) in defects().items():
        failed, seen = 0, dict[str, int]()
        for seed in range(runs):
            g = torch.Generator().manual_seed(10_000 + seed)
            x = real(n, g)
            result = ks.audit(x, make(x, m, g), real(h, g), generator=g, num_draws=DRAWS)
            failed += not result.passed
            for question in result.questions:
                seen[question.name] = seen.get(question.name, 0) + question.rejected
        best = sorted(seen.items(), key=lambda item: -item[1])[:4]
        rate = failed / runs
        yield {
            "name": f"power, {name}",
            "value": rate,
            "unit": "share",
            "note": f"± {math.sqrt(rate * (1 - rate) / runs):.3f}, {runs} runs; rejected by "
            + ", ".join(f"{question} {count / runs:.2f}" for question, count in best),
        }


def speed_rows(n: int = 5000, frames: int = 64, features: int = 16) -> Iterator[Row]:
    """One audit of n against n sequences."""
    g = torch.Generator().manual_seed(0)
    truth = law(8.0, 1.0, frames, features)
    x, y = truth.sample(n, generator=g), truth.sample(n, generator=g)
    began = time.monotonic()
    ks.audit(x, y, generator=g)
    seconds = time.monotonic() - began
    size = f"{n} against {n}, N = {frames}, d = {features}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    note = f"999 relabellings, {torch.get_num_threads()} threads"
    yield {"name": f"audit, {size}", "value": seconds, "unit": "s", "note": f"target 60 s; {note}"}
    yield {"name": "peak memory of the process", "value": peak, "unit": "GB", "note": "target 4 GB"}


if __name__ == "__main__":
    asked, *number = sys.argv[1:] or ["speed"]
    parts: dict[str, Callable[..., Iterator[Row]]] = {"null": null_rows, "power": power_rows, "speed": speed_rows}
    np.set_printoptions(precision=4)
    for row in parts[asked](*map(int, number)):
        print(f"{row['name']:45s} {row['value']:.4f} {row['unit']:6s} {row['note']}", flush=True)
