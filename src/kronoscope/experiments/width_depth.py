"""``kronoscope reproduce width-depth``: what depth can be bought with: not with heads, but with width."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .._errors import InputError
from ..compiler import CompiledScore, compile_score
from ..iterations import chebyshev, iterations_needed, residual_factors
from ..kernels import Kernel, PowerExponential, RationalQuadratic
from ..processes import GaussianSequence
from . import width_depth_page
from .depth_cases import network_error
from .reproductions import Finding
from .stages import Stage

TOLERANCE, MIN_TIME = 1e-1, 1e-1
KERNELS: dict[str, Kernel] = {
    "exponential, lengthscale 3": PowerExponential(3.0),
    "squared exponential, lengthscale 3": PowerExponential(3.0, 2.0),
    "polynomial, lag⁻⁴, lengthscale 3": RationalQuadratic(3.0, 2.0),
}
WIDE_TOLERANCE, WIDE_TIME = 1e-2, 1e-2
NETWORKS = {
    "gradient descent": ("gradient-descent", "affine"),
    "Chebyshev": ("chebyshev", "affine"),
    "Chebyshev, one head": ("chebyshev", "table"),
    "preconditioned Chebyshev": ("preconditioned-chebyshev", "table"),
    "spectral block": ("spectral", "table"),
}


@dataclass(frozen=True)
class Frontier:
    """The depth by Chebyshev at a number of kept lags, for one kernel.

    Attributes:
        kernel: Its name.
        lags: J.
        proven: (heads, blocks) of the compiled networks, where the compiler finds a proof.
        possible: (heads, layers) with the error known exactly, where the tolerance can be met at all.
        bound_held: Whether every network that was run was below its bound.
    """

    kernel: str
    lags: list[int]
    proven: list[tuple[int, int]]
    possible: list[tuple[int, int]]
    bound_held: bool


@dataclass(frozen=True)
class Sized:
    """A network's sizes and errors."""

    name: str
    frames: int
    depth: int
    num_heads: int
    width: int
    parameters: int
    bound: float
    error: float


@dataclass(frozen=True)
class WidthDepthResult:
    """All that the page shows."""

    frontiers: list[Frontier]
    sized: list[Sized]
    frames: int


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """Depth at every number of heads; then depth and width of every iteration as the sequences grow."""
    frames, every, lengths = (32, 3, (8, 16, 32)) if quick else (64, 1, (8, 16, 32, 64, 128))
    frontiers, sized = [], []
    with stage("depth against heads") as show:
        for number, name in enumerate(KERNELS):
            frontiers.append(_frontier(name, frames, every, seed))
            show((number + 1) / len(KERNELS), name)
    with stage("depth against width") as show:
        for number, length in enumerate(lengths):
            sized += [_sized(name, length, seed) for name in NETWORKS]
            show((number + 1) / len(lengths), f"{length} frames")
    result = WidthDepthResult(frontiers, sized, frames)
    return Finding(width_depth_page.page(result), _record(result))


def _frontier(name: str, frames: int, every: int, seed: int) -> Frontier:
    process = GaussianSequence(KERNELS[name], torch.eye(1, dtype=torch.float64), times=frames)
    lags = list(range(1, frames, every))
    if lags[-1] != frames - 1:
        lags.append(frames - 1)
    proven, possible, held = [], [], True
    for kept in lags:
        compiled = _compiled(process, kept)
        if compiled is not None:
            sizes = compiled.network.sizes()
            proven.append((sizes.num_heads, sizes.depth))
            held = held and network_error(compiled, MIN_TIME, seed) <= compiled.bound <= TOLERANCE
        needed = _possible(process, kept)
        if needed is not None:
            possible.append((_heads(kept, frames), needed))
    return Frontier(name, lags, proven, possible, held)


def _compiled(process: GaussianSequence, kept: int) -> CompiledScore | None:
    try:
        return compile_score(process, "chebyshev", TOLERANCE, MIN_TIME, max_lag=kept, max_depth=100_000)
    except InputError:
        return None


def _heads(kept: int, frames: int) -> int:
    """Of the affine kind: 2J + 3 knots, less those beyond the longest lag."""
    return min(2 * kept + 3, kept + 1 + frames)


def _possible(process: GaussianSequence, kept: int) -> int | None:
    """The fewest Chebyshev steps on the cut covariance whose error, by its definition, is within the tolerance.

    With B = Q L Q' what is left and p = (1 - r_K)/L: error^2 tr A^-1 = sum_i p_i^2 (Q'AQ)_ii - 2 sum_i p_i + tr A^-1.
    """
    frames = process.num_frames
    lag = torch.arange(frames, dtype=torch.float64)
    noise = -math.expm1(-MIN_TIME) * torch.eye(frames, dtype=torch.float64)
    signal = math.exp(-MIN_TIME) * process.temporal_covariance
    exact, cut = signal + noise, torch.where((lag[:, None] - lag).abs() <= kept, signal, 0.0) + noise
    values, vectors = torch.linalg.eigh(cut)
    low, high = float(values.min()), float(values.max())
    if low <= 0:
        return None
    most = int(iterations_needed("chebyshev", high / low, 1e-2 * TOLERANCE))
    polynomial = (1 - residual_factors(chebyshev(low, high, most), values)[0]) / values
    energy = torch.trace(torch.linalg.inv(exact))
    inner = (vectors * (exact @ vectors)).sum(0)
    squares = (polynomial.square() * inner).sum(1) - 2 * polynomial.sum(1) + energy
    enough = (squares <= TOLERANCE**2 * energy).nonzero()
    return int(enough[0]) if len(enough) else None


def _sized(name: str, frames: int, seed: int) -> Sized:
    iteration, heads = NETWORKS[name]
    spatial = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    process = GaussianSequence(PowerExponential(8.0), spatial, times=frames)
    compiled = compile_score(process, iteration, WIDE_TOLERANCE, WIDE_TIME, heads=heads)
    sizes = compiled.network.sizes()
    error = network_error(compiled, WIDE_TIME, seed)
    shape = sizes.depth, sizes.num_heads, sizes.width, sizes.parameters
    return Sized(name, frames, *shape, compiled.bound, error)


def _record(result: WidthDepthResult) -> dict:
    return {
        "frames": result.frames,
        "frontiers": [vars(one) for one in result.frontiers],
        "networks": [vars(one) for one in result.sized],
    }
