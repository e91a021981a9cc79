"""``kronoscope reproduce noise-depth``: the depth that each noise level needs, and sampling that makes use of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from kronoscope import metrics, sampling
from kronoscope._typing import DiffusionTime
from kronoscope.compiler import CompiledScore, compile_score
from kronoscope.iterations import residual_bound
from kronoscope.kernels import Kernel, PowerExponential
from kronoscope.processes import DenseGaussian, GaussianSequence
from kronoscope.report import Column, Figure, Line, LinePanel, Report, Section, Table
from kronoscope.report.records import Cell
from kronoscope.sampling import SamplerTable

from ..study import Check, Run, Study
from .cases import KERNELS, Spectra, condition_number, depths, process_of
from .labels import LABELS, ROLES

TOLERANCE = 1e-3
FRAMES = 64
TIMES = (1e-3, 6.0)
SAMPLER_TIMES = (1e-2, 6.0)
SAMPLED: Kernel = PowerExponential(4.0, 2.0)
STAGES = (1e-2, 3e-2, 1e-1, 0.3, 1.0, 6.0)
MOST_SHARE_OF_ERROR = 0.1
LEAST_COST_OF_EVEN = 2.0
SHOWN = ("gradient-descent", "chebyshev", "preconditioned-chebyshev", "floor")
SAMPLER_ROLES = ("null", "learnt", "baseline-3")


@dataclass(frozen=True)
class Size:
    """Diffusion times per kernel, number of kernels, frames of the sampled process, score calls of the sampler."""

    times: int
    kernels: int
    frames: int
    calls: int


@dataclass(frozen=True)
class Curve:
    """Depth of every solver along diffusion time, for one kernel."""

    kernel: str
    times: tuple[float, ...]
    condition_numbers: tuple[float, ...]
    depths: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Stretch:
    """A range of diffusion times and the blocks of the network for it."""

    start: float
    end: float
    blocks: int


@dataclass(frozen=True)
class Sampling:
    """A sampler run with one choice of networks.

    Attributes:
        networks: Which.
        blocks: In all score calls of one run.
        deepest: In one call.
        kl: KL divergence from the samples to those of the exact score, in nats, exact.
        kl_to_data: KL divergence from the samples to the process at the last time, in nats, exact.
    """

    networks: str
    blocks: int
    deepest: int
    kl: float
    kl_to_data: float


@dataclass(frozen=True)
class Result:
    """All numbers of the study."""

    curves: tuple[Curve, ...]
    single: Sampling
    staged: Sampling
    even: Sampling
    stretches: tuple[Stretch, ...]
    frames: int
    features: int

    @property
    def samplings(self) -> tuple[Sampling, Sampling, Sampling]:
        """In the order of the table."""
        return self.single, self.staged, self.even


def measure(run: Run[Size]) -> Result:
    """Depth by diffusion time; then a sampler with one network for all times, and with one for each range of times."""
    size = run.size
    with run.stage("depth along the noise") as show:
        curves = []
        for number, name in enumerate(list(KERNELS)[: size.kernels], 1):
            curves.append(_curve(name, size.times))
            show(number / size.kernels, name)
    spatial = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    process = GaussianSequence(SAMPLED, spatial, times=size.frames)
    table = sampling.dpm_solver(size.calls, *SAMPLER_TIMES)
    with run.stage("sampling"):
        networks = [_compile(process, low, high) for low, high in pairwise(STAGES)]
        blocks = [network_at(networks, t).network.depth for t in table.times]
        single = _sample("one network for all times", process, table, [_compile(process, *SAMPLER_TIMES)])
        staged = _sample("one network for each range", process, table, networks)
        mean = network_of_depth(process, round(sum(blocks) / len(blocks)))
        even = _sample("as many blocks, spread evenly", process, table, [mean])
    stretches = tuple(Stretch(n.options.min_time, n.options.max_time, n.network.depth) for n in networks)
    return Result(tuple(curves), single, staged, even, stretches, size.frames, process.num_features)


def _curve(name: str, points: int) -> Curve:
    spectra = Spectra.of(process_of(KERNELS[name], FRAMES))
    times = tuple(np.geomspace(*TIMES, points).tolist())
    needed = [depths(spectra, t, TOLERANCE) for t in times]
    kappas = tuple(condition_number(spectra, t) for t in times)
    return Curve(name, times, kappas, {solver: tuple(row[solver] for row in needed) for solver in needed[0]})


def _compile(process: GaussianSequence, low: float, high: float, tolerance: float = TOLERANCE) -> CompiledScore:
    return compile_score(process, "chebyshev", tolerance, low, heads="table", max_time=high)


def network_of_depth(process: GaussianSequence, blocks: int) -> CompiledScore:
    """The network for all times with that many blocks; its tolerance is what they reach."""
    reached = residual_bound("chebyshev", process.condition_number(SAMPLER_TIMES[0]), blocks)
    return _compile(process, *SAMPLER_TIMES, tolerance=float(reached) * (1 + 1e-6))


def network_at(networks: list[CompiledScore], t: float) -> CompiledScore:
    """The network for a diffusion time; ``networks`` are in ascending order of their times."""
    return [network for network in networks if network.options.min_time <= t * (1 + 1e-9)][-1]


def _sample(name: str, process: GaussianSequence, table: SamplerTable, networks: list[CompiledScore]) -> Sampling:
    def score(x: Tensor, t: DiffusionTime) -> Tensor:
        return network_at(networks, float(torch.as_tensor(t).max())).score(x, t)

    sizes = process.num_frames, process.num_features
    sampled, exact = (sampling.law(table, each, *sizes) for each in (score, process.score))
    end = table.end_time
    noised = math.exp(-end) * process.covariance() - math.expm1(-end) * torch.eye(math.prod(sizes), dtype=torch.float64)
    data = DenseGaussian(noised, process.num_features)
    blocks = [network_at(networks, t).network.depth for t in table.times]
    divergences = metrics.gaussian_kl(sampled, exact), metrics.gaussian_kl(sampled, data)
    return Sampling(name, sum(blocks), max(blocks), *divergences)


def checks(result: Result) -> list[Check]:
    """Depth falls with noise, and a sampler that uses this is as good for fewer blocks."""
    rows = [curve.depths["chebyshev"] for curve in result.curves]
    falls = all(later <= earlier for row in rows for earlier, later in pairwise(row))
    single, staged, even = result.samplings
    saving = single.blocks / staged.blocks
    return [
        Check(
            "blocks by Chebyshev, from t = 0.001 to 6",
            rows[0][0],
            f"{rows[0][0]} to {rows[0][-1]}",
            f"{result.curves[0].kernel}; must not rise with t for any kernel",
            falls,
        ),
        Check(
            "times fewer blocks in a whole run",
            saving,
            f"{saving:.1f}",
            f"{staged.blocks} instead of {single.blocks}, with one network for each range of times",
            saving > 1,
        ),
        Check(
            "nats that this costs",
            staged.kl,
            f"{staged.kl:.1e}",
            f"exact; {single.kl:.1e} with full depth everywhere. At most a tenth of the sampler's own error",
            staged.kl <= MOST_SHARE_OF_ERROR * staged.kl_to_data,
        ),
        Check(
            "nats with as many blocks spread evenly",
            even.kl,
            f"{even.kl:.1e}",
            "the null: it would be as good if all noise levels needed the same depth",
            even.kl > LEAST_COST_OF_EVEN * staged.kl,
        ),
    ]


def page(result: Result) -> Report:
    """Depth along the noise, and a sampler that uses it."""
    return Report(
        "How much depth does each noise level need?",
        "Noise raises the smallest eigenvalue. The condition number thus falls along diffusion time, and the depth "
        "with it: a sampler needs most of its blocks at the end.",
        facts={
            "error": f"{TOLERANCE:g}, relative root mean square under the noised distribution",
            "curves": f"{FRAMES} frames, 4 features",
            "sampling": f"{result.frames} frames, {result.features} features, squared exponential, lengthscale 4",
        },
        sections=[_curves_section(result), _sampling_section(result)],
    )


def _curves_section(result: Result) -> Section:
    panels = []
    for curve in result.curves:
        lines = [Line(LABELS[name], ROLES[name], curve.times, curve.depths[name]) for name in SHOWN]
        panels.append(LinePanel(curve.kernel, "diffusion time t", "layers", lines, log_x=True, log_y=True))
    caption = (
        "Fewest layers that reach the error above at each diffusion time; both axes are logarithmic. Data are on the "
        "left, noise is on the right, where two or three layers suffice. A line that rises would refute the claim. "
        "Kernels with a smallest eigenvalue of their own flatten towards the left. Smooth kernels keep rising, because "
        "only the noise keeps them from being singular."
    )
    figure = Figure(panels, caption, "Depth against diffusion time for four solvers.", columns=min(2, len(panels)))
    return Section("Depth along the noise", "", [figure])


def _sampling_section(result: Result) -> Section:
    rows: list[list[Cell]] = [[s.networks, s.deepest, s.blocks, s.kl, s.kl_to_data] for s in result.samplings]
    columns: list[Column | str] = [
        "networks",
        Column("blocks, deepest", digits=5),
        Column("blocks in one run", digits=6),
    ]
    columns += [Column("KL to the run with the exact score", "nats"), Column("KL to the data", "nats")]
    caption = (
        "A sampler (DPM-Solver++ 2M, on the log-SNR grid from t = 6 to 0.01) with compiled networks as its score. The "
        "distribution of the samples is computed in closed form; nothing is drawn. The first column of nats is the "
        "cost of the networks. The last also contains the sampler's own error, which all three share. Depth by noise "
        "level must cost hardly more than full depth, and far less than the same number of blocks spread evenly."
    )
    stretches: list[list[Cell]] = [[stretch.start, stretch.end, stretch.blocks] for stretch in result.stretches]
    ranges = Table(
        ["from t", "to t", Column("blocks", digits=5)], stretches, "The ranges of times and the depth proven for each."
    )
    return Section(
        "A sampler with depth by noise level", "", [Table(columns, rows, caption, row_roles=SAMPLER_ROLES), ranges]
    )


STUDY = Study(
    claim="The depth that a network needs falls as the noise grows.",
    full=Size(33, len(KERNELS), 32, 32),
    quick=Size(9, 2, 16, 16),
    minutes=(1, 0.2),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
)
