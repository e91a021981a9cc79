"""``kronoscope reproduce krylov``: compiled networks block by block, beside the proven bound and the floor.

Everything that is shown of a network is read off the record of its forward pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import diffusion
from ..compiler import CompiledScore, compile_score
from ..iterations import krylov_floor, residual_bound
from ..kernels import PowerExponential
from ..nn import TransformerRecord
from ..processes import GaussianSequence
from . import krylov_page
from .reproductions import Finding
from .stages import Stage

TOLERANCE, TIME = 1e-3, 1e-2
LENGTHSCALE = 6.0
ITERATIONS = ("gradient-descent", "chebyshev", "chebyshev-steps", "preconditioned-chebyshev", "spectral")
PROVEN_AT_EVERY_BLOCK = ("gradient-descent", "chebyshev")


@dataclass(frozen=True)
class Course:
    """The error of one network after every block: relative, root mean square under p_t, exact.

    Attributes:
        iteration: What it unrolls.
        errors: By block, from the first.
        bounds: Proven for the same block, or empty where only the last is proven.
        bound: Of the finished network.
    """

    iteration: str
    errors: list[float]
    bounds: list[float]
    bound: float


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One compiled network taken apart.

    Attributes:
        summed: sum_m c_m ReLU(q_i . k_j) over heads, (N, N), with value matrices c_m Sigma.
        gamma: What it should be.
        heads: Some single terms of that sum, by the number of the head.
        values: The value matrix, divided by its c_m, of the head that has the largest.
        sigma: What it should be.
        value_gap: Largest difference of any head's value matrix from c_m Sigma, relative to the largest c_m Sigma.
        stream: What the stream says of the score of one sequence after some blocks, feature 0, by block, (N,).
        score: What it should say in the end, (N,).
    """

    summed: Tensor
    gamma: Tensor
    heads: dict[int, Tensor]
    values: Tensor
    sigma: Tensor
    value_gap: float
    stream: dict[int, Tensor]
    score: Tensor


@dataclass(frozen=True)
class KrylovResult:
    """All that the page shows."""

    courses: list[Course]
    floor: list[float]
    anatomy: Anatomy
    condition_number: float
    frames: int


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """Five networks on all unit vectors, which gives their errors exactly; one taken apart."""
    frames = 16 if quick else 32
    process = _process(frames)
    chebyshev = compile_score(process, "chebyshev", TOLERANCE, TIME)
    depth, courses = chebyshev.network.depth, []
    with stage("error by block") as show:
        for number, iteration in enumerate(ITERATIONS):
            compiled = chebyshev if iteration == "chebyshev" else _compiled(process, iteration, depth)
            courses.append(_course(compiled))
            show((number + 1) / len(ITERATIONS), iteration)
    floor = krylov_floor(_noised(process), depth).sqrt().tolist()
    with stage("one network taken apart"):
        anatomy = _anatomy(process, chebyshev, seed)
    result = KrylovResult(courses, floor, anatomy, process.condition_number(TIME), frames)
    return Finding(krylov_page.page(result), _record(result))


def _process(frames: int) -> GaussianSequence:
    spatial = torch.tensor([[1.2, 0.6, -0.2], [0.6, 0.8, 0.1], [-0.2, 0.1, 1.0]], dtype=torch.float64)
    return GaussianSequence(PowerExponential(LENGTHSCALE), spatial, times=frames)


def _noised(process: GaussianSequence) -> Tensor:
    frames, features = (torch.linalg.eigvalsh(m) for m in (process.temporal_covariance, process.spatial_covariance))
    return math.exp(-TIME) * torch.outer(frames, features).flatten() - math.expm1(-TIME)


def _compiled(process: GaussianSequence, iteration: str, depth: int) -> CompiledScore:
    """The network; gradient descent with as many blocks as Chebyshev, whatever tolerance they reach."""
    if iteration != "gradient-descent":
        return compile_score(process, iteration, TOLERANCE, TIME)
    reached = float(residual_bound(iteration, process.condition_number(TIME), depth))
    return compile_score(process, iteration, reached * (1 + 1e-6), TIME, heads="table")


def _course(compiled: CompiledScore) -> Course:
    """With s_k = P_k x after block k: [tr (P_k - P) C (P_k - P)' / tr C^-1]^(1/2), P = -C^-1."""
    process = compiled.process
    frames, features = process.num_frames, process.num_features
    size = frames * features
    units = torch.eye(size, dtype=torch.float64)
    noised = math.exp(-TIME) * process.covariance() - math.expm1(-TIME) * units
    inverse = torch.linalg.inv(noised)
    with torch.no_grad():
        record = compiled.network.record(units.reshape(size, frames, features), TIME)
        said = [_read(compiled, record, block).flatten(1) for block in range(len(record.blocks))]
    gaps = [rows + inverse for rows in said]
    errors = [math.sqrt(float(torch.trace(gap @ noised @ gap.T) / torch.trace(inverse))) for gap in gaps]
    bounds: list[float] = []
    if compiled.options.iteration in PROVEN_AT_EVERY_BLOCK:
        count = torch.arange(1, len(errors) + 1)
        slack = compiled.bound - float(compiled.plan.parts["iteration"])
        kappa = process.condition_number(TIME)
        bounds = (residual_bound(compiled.options.iteration, kappa, count) * (1 + slack) + slack).tolist()
    return Course(compiled.options.iteration, errors, bounds, compiled.bound)


def _read(compiled: CompiledScore, record: TransformerRecord, block: int) -> Tensor:
    """What the stream after a block says of the score: by the network's own way out, its last block in a basis."""
    network, stream = compiled.network, record.blocks[block].stream
    if compiled.iteration.basis is not None and block + 1 < len(record.blocks):
        stream = network.unique_blocks()[network.order[-1]](stream)
    return network.read_out(stream)


def _anatomy(process: GaussianSequence, compiled: CompiledScore, seed: int) -> Anatomy:
    generator = torch.Generator().manual_seed(seed)
    data = process.sample(1, generator=generator)
    x = diffusion.noise(data, torch.tensor([TIME]), torch.randn(data.shape, dtype=data.dtype, generator=generator))
    with torch.no_grad():
        record = compiled.network.record(x, TIME)
        block = compiled.network.unique_blocks()[compiled.network.order[0]]
        assert block.output is not None
        assert block.value is not None
        moved = block.output @ block.value  # (heads, width, width): the product's slot from the solution's
        weights = record.blocks[0].weights[0]
        shown = {k: _read(compiled, record, k)[0, :, 0] for k in _some(len(record.blocks))}
    rows, columns = ((moved != 0).any(0).any(axis).nonzero()[: process.num_features, 0] for axis in (1, 0))
    values, sigma = moved[:, rows][:, :, columns], process.spatial_covariance
    sizes = torch.einsum("mab,ab->m", values, sigma) / sigma.square().sum()
    terms = sizes[:, None, None] * weights
    largest = int(sizes.abs().argmax())
    gap = (values - sizes[:, None, None] * sigma).abs().max() / (sizes.abs().max() * sigma.abs().max())
    aside = len(sizes) // 4  # the largest is where the kernel bends most, at lag 0
    return Anatomy(
        terms.sum(0),
        process.temporal_covariance,
        {m: terms[m] for m in (largest - aside, largest, largest + aside)},
        values[largest] / sizes[largest],
        sigma,
        float(gap),
        {k + 1: values for k, values in shown.items()},
        process.score(x, TIME)[0, :, 0],
    )


def _some(depth: int) -> list[int]:
    """Blocks to show: the first, one at a third of the way in powers, the next third, and the last."""
    return sorted({round(depth ** (k / 3)) - 1 for k in range(4)})


def _record(result: KrylovResult) -> dict:
    anatomy = result.anatomy
    return {
        "condition_number": result.condition_number,
        "courses": [vars(one) for one in result.courses],
        "floor": result.floor,
        "gap_of_gamma": float((anatomy.summed - anatomy.gamma).abs().max()),
        "gap_of_sigma": anatomy.value_gap,
    }
