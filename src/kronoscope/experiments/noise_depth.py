"""``kronoscope reproduce noise-depth``: the depth needed along the noise, and generation by networks that use it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .. import metrics, sampling
from .._typing import DiffusionTime
from ..compiler import CompiledScore, compile_score
from ..iterations import residual_bound
from ..kernels import Kernel, PowerExponential
from ..processes import DenseGaussian, GaussianSequence
from ..sampling import SamplerTable
from . import noise_depth_page
from .depth_cases import KERNELS, Spectra, condition_number, depths, process_of
from .reproductions import Finding
from .stages import Stage

TOLERANCE = 1e-3
FRAMES = 64
TIMES = (1e-3, 6.0)
SAMPLER_TIMES = (1e-2, 6.0)
SAMPLED: Kernel = PowerExponential(4.0, 2.0)
STAGES = (1e-2, 3e-2, 1e-1, 0.3, 1.0, 6.0)


@dataclass(frozen=True)
class Curve:
    """Depths of every solver along diffusion time, for one kernel."""

    kernel: str
    times: list[float]
    condition_numbers: list[float]
    depths: dict[str, list[int]]


@dataclass(frozen=True)
class Generated:
    """A sampler run with one kind of network.

    Attributes:
        name: Which network.
        blocks: In all score calls of one run.
        deepest: In one call.
        kl: Exact, of the law that is generated from the law that the exact score generates, in nats.
        to_data: Exact, from the law of the process at the last time, in nats.
    """

    name: str
    blocks: int
    deepest: int
    kl: float
    to_data: float


@dataclass(frozen=True)
class NoiseDepthResult:
    """All that the page shows."""

    curves: list[Curve]
    generated: list[Generated]
    stage_depths: list[tuple[float, float, int]]
    frames: int
    features: int


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """Depth by diffusion time; then a sampler with one network for all times, and with one for each stretch of them."""
    del seed  # nothing here is drawn
    points, names = (9, 2) if quick else (33, len(KERNELS))
    with stage("depth along the noise") as show:
        curves = []
        for number, name in enumerate(list(KERNELS)[:names]):
            curves.append(_curve(name, points))
            show((number + 1) / names, name)
    frames, calls = (16, 16) if quick else (32, 32)
    spatial = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    process = GaussianSequence(SAMPLED, spatial, times=frames)
    table = sampling.dpm_solver(calls, *SAMPLER_TIMES)
    with stage("generation"):
        staged = [_compile(process, low, high) for low, high in pairwise(STAGES)]
        blocks = [_at(staged, t).network.depth for t in table.times]
        networks = {
            "one network for all times": [_compile(process, *SAMPLER_TIMES)],
            "one network for each stretch": staged,
            "as many blocks, spread evenly": [_of_depth(process, round(sum(blocks) / len(blocks)))],
        }
        generated = [_generate(name, process, table, found) for name, found in networks.items()]
    told = [(one.options.min_time, one.options.max_time, one.network.depth) for one in staged]
    result = NoiseDepthResult(curves, generated, told, frames, process.num_features)
    return Finding(noise_depth_page.page(result, TOLERANCE), _record(result))


def _curve(name: str, points: int) -> Curve:
    spectra = Spectra.of(process_of(KERNELS[name], FRAMES))
    times = np.geomspace(*TIMES, points).tolist()
    found = [depths(spectra, t, TOLERANCE) for t in times]
    kappas = [condition_number(spectra, t) for t in times]
    return Curve(name, times, kappas, {solver: [row[solver] for row in found] for solver in found[0]})


def _compile(process: GaussianSequence, low: float, high: float, tolerance: float = TOLERANCE) -> CompiledScore:
    return compile_score(process, "chebyshev", tolerance, low, heads="table", max_time=high)


def _of_depth(process: GaussianSequence, blocks: int) -> CompiledScore:
    """The network for all times with that many blocks: its tolerance is what they reach."""
    reached = residual_bound("chebyshev", process.condition_number(SAMPLER_TIMES[0]), blocks)
    return _compile(process, *SAMPLER_TIMES, tolerance=float(reached) * (1 + 1e-6))


def _at(networks: list[CompiledScore], t: float) -> CompiledScore:
    """The network for a diffusion time, of several in ascending order of theirs."""
    return [one for one in networks if one.options.min_time <= t * (1 + 1e-9)][-1]


def _generate(name: str, process: GaussianSequence, table: SamplerTable, networks: list[CompiledScore]) -> Generated:
    def score(x: Tensor, t: DiffusionTime) -> Tensor:
        return _at(networks, float(torch.as_tensor(t).max())).score(x, t)

    sizes = process.num_frames, process.num_features
    made, exact = (sampling.law(table, one, *sizes) for one in (score, process.score))
    end = table.end_time
    noised = math.exp(-end) * process.covariance() - math.expm1(-end) * torch.eye(math.prod(sizes), dtype=torch.float64)
    data = DenseGaussian(noised, process.num_features)
    blocks = [_at(networks, t).network.depth for t in table.times]
    return Generated(name, sum(blocks), max(blocks), metrics.gaussian_kl(made, exact), metrics.gaussian_kl(made, data))


def _record(result: NoiseDepthResult) -> dict:
    return {
        "curves": [vars(one) for one in result.curves],
        "stretches": [list(one) for one in result.stage_depths],
        "generated": [vars(one) for one in result.generated],
    }
