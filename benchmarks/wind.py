"""Irish daily wind (Haslett and Raftery 1989): held-out likelihood of what denoising score matching learns.

The file is given by ``KRONOSCOPE_WIND=irish_wind.csv``: daily mean speeds in knots at 12 stations, 1961 to 1978, with
a column ``date``. Preparation, split and the figures to beat: docs/theory.md, section 7.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kronoscope import InputError, estimators, models
from kronoscope.processes import DenseGaussian

YEARS, LAST_YEARS = 15, 3
METRES_A_SECOND = 0.5148
HEADS = (2, 3, 4, 6)
TARGETS = {5: 40.70, 10: 77.75}
TRAINING = {"max_steps": 1500, "batch_size": 512, "validation": 0.02}
SEEDS = int(os.environ.get("KRONOSCOPE_SEEDS", "3"))
NULL_RUNS = 100


def run() -> Iterator[dict]:
    """Rows: separability, then held-out nats a block of every law at N = 5 and 10, against their targets."""
    path = os.environ.get("KRONOSCOPE_WIND")
    if not path:
        yield _row("skipped", None, "", None, "set KRONOSCOPE_WIND to the path of irish_wind.csv")
        return
    days = prepared(path)
    yield _separability(days)
    for frames in TARGETS:
        yield from _likelihoods(days, frames)


@cache
def prepared(path: str) -> Tensor:
    """Standardised anomalies (days, stations): root of the speed, less a shared cycle, all fitted to 15 years."""
    table = pd.read_csv(path, parse_dates=["date"])
    root = np.sqrt(table.drop(columns="date").to_numpy() * METRES_A_SECOND)
    year = 2 * np.pi * np.arange(len(root))[:, None] / 365.25
    design = np.concatenate(
        [np.ones_like(year), *(wave(k * year) for k in (1, 2) for wave in (np.cos, np.sin))], axis=1
    )
    first = slice(0, training_days())
    cycle, *_ = np.linalg.lstsq(design[first], root[first].mean(axis=1), rcond=None)
    rest = root - (design @ cycle)[:, None]
    return torch.from_numpy((rest - rest[first].mean(axis=0)) / rest[first].std(axis=0))


def training_days() -> int:
    """1961 to 1975."""
    return int(YEARS * 365.25)


def blocks(days: Tensor, frames: int) -> Tensor:
    """Non-overlapping blocks (n, frames, stations)."""
    return days[: len(days) // frames * frames].reshape(-1, frames, days.shape[1])


def windows(days: Tensor, frames: int) -> Tensor:
    """Every window of so many days, (n, frames, stations)."""
    return days.unfold(0, frames, 1).mT.contiguous()


def _separability(days: Tensor) -> dict:
    """Likelihood-ratio statistic of separability, beside its law under separability (white noise will do)."""
    x = blocks(days, 5)
    generator = torch.Generator().manual_seed(0)
    null = torch.tensor([_ratio(torch.randn(x.shape, generator=generator).double()) for _ in range(NULL_RUNS)])
    statistic = _ratio(x)
    p_value = (int((null >= statistic).sum()) + 1) / (NULL_RUNS + 1)
    note = f"null {float(null.mean()):.0f} ± {float(null.std()):.0f} over {NULL_RUNS}; p <= {p_value:.3f}"
    return _row("separability, likelihood ratio, N = 5", statistic, "", 4748.0, note)


def _ratio(x: Tensor) -> float:
    full, separable = estimators.SampleCovariance().fit(x), estimators.Separable().fit(x)
    return 2 * float((full.log_prob(x) - separable.log_prob(x)).sum())


def _likelihoods(days: Tensor, frames: int) -> Iterator[dict]:
    train, test = days[: training_days()], blocks(days[training_days() :], frames)
    target = TARGETS[frames]
    cuts = {"blocks": blocks(train, frames), "windows": windows(train, frames)}
    for estimator, cut in (
        (estimators.SampleCovariance, "blocks"),
        (estimators.Separable, "blocks"),
        (estimators.BlockToeplitz, "blocks"),
        (estimators.BlockToeplitz, "windows"),
    ):
        reference = -estimator().fit(cuts[cut]).log_prob(test)
        yield _row(f"{estimator.__name__}, N = {frames}", float(reference.mean()), "nats", target, f"training {cut}")
    heads = _chosen_heads(train, frames)
    scores, seconds = [], []
    for seed in range(SEEDS):
        began = time.monotonic()
        scores.append(-_learn(train, frames, heads, seed).log_prob(test))
        seconds.append(time.monotonic() - began)
    gaps = torch.stack([score - reference for score in scores])
    spread = [float(score.mean()) for score in scores]
    error = float(gaps.mean(dim=0).std()) / len(test) ** 0.5
    note = (
        f"{heads} heads, {min(spread):.2f} to {max(spread):.2f} over {SEEDS} seeds, {max(seconds):.0f} s; less "
        f"block-Toeplitz of windows {float(gaps.mean()):+.3f} ± {error:.3f}, paired"
    )
    yield _row(f"denoising score matching, unrolled, N = {frames}", float(np.mean(spread)), "nats", target, note)


def _chosen_heads(train: Tensor, frames: int) -> int:
    """The number of heads that does best on the last three training years, learnt from those before."""
    split = len(train) - int(LAST_YEARS * 365.25)
    later = blocks(train[split:], frames)
    return min(HEADS, key=lambda heads: -float(_learn(train[:split], frames, heads, 0).log_prob(later).mean()))


def _learn(days: Tensor, frames: int, heads: int, seed: int) -> DenseGaussian:
    """Overlapping windows, plain denoising score matching; the law of the learnt covariance."""
    x = windows(days, frames).float()
    generator = torch.Generator().manual_seed(seed)
    model = models.fit(x, "unrolled", network_options={"heads": heads}, generator=generator, **TRAINING)
    try:
        return DenseGaussian(model.network.covariance(), x.shape[2])
    except InputError as error:
        raise InputError(f"{heads} heads, N = {frames}: {error}") from None


def _row(name: str, value: float | None, unit: str, baseline: float | None, note: str) -> dict:
    ratio = value / baseline if value is not None and baseline is not None else None
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
        "floor": None,
        "note": note,
    }
