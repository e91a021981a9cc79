"""``kronoscope reproduce width-depth``: whether heads or width can replace depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from kronoscope import InputError
from kronoscope.compiler import CompiledScore, compile_score
from kronoscope.iterations import chebyshev, iterations_needed, residual_factors
from kronoscope.kernels import Kernel, PowerExponential, RationalQuadratic
from kronoscope.processes import GaussianSequence
from kronoscope.report import Column, Figure, Line, LinePanel, Report, Section, Table
from kronoscope.report.records import Cell

from ..study import Check, Run, Study
from .cases import network_error

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
ROLES = dict(zip(NETWORKS, ("null", "learnt", "second", "baseline", "baseline-2"), strict=True))
NEAR_LEAST = 1.2
MOST_HEADS_FACTOR = 2.0


@dataclass(frozen=True)
class Size:
    """Frames of the frontiers, the step between their numbers of lags, and the frames of the width sweep."""

    frames: int
    lag_step: int
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Point:
    """A number of heads and the number of blocks that goes with it."""

    heads: int
    depth: int


@dataclass(frozen=True)
class Frontier:
    """Chebyshev's depth along the number of kept lags, for one kernel.

    Attributes:
        kernel: Its name.
        lags: J.
        proven: Compiled networks, where the compiler finds a proof.
        possible: Fewest layers with the error known exactly, where the tolerance can be met at all.
        bound_held: Whether every network that was run was below its bound.
    """

    kernel: str
    lags: tuple[int, ...]
    proven: tuple[Point, ...]
    possible: tuple[Point, ...]
    bound_held: bool

    @property
    def depth_ratio(self) -> float:
        """Largest over smallest proven depth."""
        depths = [point.depth for point in self.proven]
        return max(depths) / min(depths)

    @property
    def heads_factor(self) -> float:
        """Heads at which the depth is within a fifth of its least, over the fewest heads."""
        least = min(point.depth for point in self.proven)
        near = min(point.heads for point in self.proven if point.depth <= NEAR_LEAST * least)
        return near / min(point.heads for point in self.proven)


@dataclass(frozen=True)
class Network:
    """Sizes and errors of a compiled network."""

    name: str
    frames: int
    depth: int
    num_heads: int
    width: int
    parameters: int
    bound: float
    error: float


@dataclass(frozen=True)
class Result:
    """All numbers of the study."""

    frontiers: tuple[Frontier, ...]
    networks: tuple[Network, ...]
    frames: int

    def longest(self) -> dict[str, Network]:
        """The networks of the largest number of frames, by name."""
        frames = max(network.frames for network in self.networks)
        return {network.name: network for network in self.networks if network.frames == frames}


def measure(run: Run[Size]) -> Result:
    """Depth at every number of heads; then depth and width of every iteration as the sequences grow."""
    frontiers, networks = [], []
    with run.stage("depth against heads") as show:
        for number, name in enumerate(KERNELS, 1):
            frontiers.append(_frontier(name, run.size.frames, run.size.lag_step, run.seed))
            show(number / len(KERNELS), name)
    with run.stage("depth against width") as show:
        for number, length in enumerate(run.size.lengths, 1):
            networks += [_network(name, length, run.seed) for name in NETWORKS]
            show(number / len(run.size.lengths), f"{length} frames")
    return Result(tuple(frontiers), tuple(networks), run.size.frames)


def _frontier(name: str, frames: int, lag_step: int, seed: int) -> Frontier:
    process = GaussianSequence(KERNELS[name], torch.eye(1, dtype=torch.float64), times=frames)
    lags = sorted({*range(1, frames, lag_step), frames - 1})
    proven, possible, bound_held = [], [], True
    for kept in lags:
        compiled = _compiled(process, kept)
        if compiled is not None:
            sizes = compiled.network.sizes()
            proven.append(Point(sizes.num_heads, sizes.depth))
            bound_held = bound_held and network_error(compiled, MIN_TIME, seed) <= compiled.bound <= TOLERANCE
        needed = fewest_layers(process, kept)
        if needed is not None:
            possible.append(Point(_affine_heads(kept, frames), needed))
    return Frontier(name, tuple(lags), tuple(proven), tuple(possible), bound_held)


def _compiled(process: GaussianSequence, kept: int) -> CompiledScore | None:
    try:
        return compile_score(process, "chebyshev", TOLERANCE, MIN_TIME, max_lag=kept, max_depth=100_000)
    except InputError:
        return None


def _affine_heads(kept: int, frames: int) -> int:
    """2J + 3 knots, without those beyond the longest lag."""
    return min(2 * kept + 3, kept + 1 + frames)


def fewest_layers(process: GaussianSequence, kept: int) -> int | None:
    """The fewest Chebyshev steps on the truncated covariance whose error is within the tolerance; None if none is.

    With B = Q L Q' the truncated covariance and p = (1 - r_K)/L:
    error^2 tr A^-1 = sum_i p_i^2 (Q'AQ)_ii - 2 sum_i p_i + tr A^-1.
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
    within = (squares <= TOLERANCE**2 * energy).nonzero()
    return int(within[0]) if len(within) else None


def _network(name: str, frames: int, seed: int) -> Network:
    iteration, heads = NETWORKS[name]
    spatial = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    process = GaussianSequence(PowerExponential(8.0), spatial, times=frames)
    compiled = compile_score(process, iteration, WIDE_TOLERANCE, WIDE_TIME, heads=heads)
    sizes = compiled.network.sizes()
    error = network_error(compiled, WIDE_TIME, seed)
    shape = sizes.depth, sizes.num_heads, sizes.width, sizes.parameters
    return Network(name, frames, *shape, compiled.bound, error)


def checks(result: Result) -> list[Check]:
    """Heads save no depth, width does, and all errors are below their bounds."""
    ratio = max(frontier.depth_ratio for frontier in result.frontiers)
    factor = max(frontier.heads_factor for frontier in result.frontiers)
    longest = result.longest()
    narrow, wide = longest["Chebyshev"], longest["spectral block"]
    below = [n.error <= n.bound for n in result.networks] + [f.bound_held for f in result.frontiers]
    every = all(below)
    return [
        Check(
            "times less depth by more heads, at most",
            ratio,
            f"{ratio:.1f}",
            f"{len(result.frontiers)} kernels, all numbers of lags",
            None,
        ),
        Check(
            "times the fewest heads bring the depth within a fifth of its least",
            factor,
            f"{factor:.1f}",
            f"a trade of heads for depth would need a large factor; the claim is at most {MOST_HEADS_FACTOR:g}",
            factor <= MOST_HEADS_FACTOR,
        ),
        Check(
            "blocks, for a wider stream",
            wide.depth,
            f"{narrow.depth} to {wide.depth}",
            f"at {narrow.frames} frames: width {narrow.width} to {wide.width}",
            wide.depth < narrow.depth,
        ),
        Check("errors below their bounds", sum(below), "all" if every else "not all", "on drawn sequences", every),
    ]


def page(result: Result) -> Report:
    """The two halves of the claim: heads, and width."""
    return Report(
        "What can replace depth?",
        "Heads hardly can: below some number of lags no depth helps, and soon above it no head saves a block. Width "
        "can: with coordinates that identify the frame, the parameters hold a basis, and two to a dozen blocks do.",
        facts={
            "heads": f"{result.frames} frames, 1 feature, Chebyshev, affine heads, tolerance {TOLERANCE:g}, "
            f"t from {MIN_TIME:g}",
            "width": f"2 features, exponential kernel of lengthscale 8, tolerance {WIDE_TOLERANCE:g}, "
            f"t from {WIDE_TIME:g}",
        },
        sections=[_heads_section(result), _width_section(result)],
    )


def _heads_section(result: Result) -> Section:
    figure = Figure(
        [_frontier_panel(frontier) for frontier in result.frontiers],
        "Blocks against heads at one tolerance. Every point is another number of lags kept. Proven: compiled networks. "
        "Possible: the fewest Chebyshev steps when the error is known exactly. If heads could replace depth, the line "
        "would run from top left to bottom right. Instead there is a corner: where the line begins, the truncated "
        "kernel alone uses up the tolerance; to the right the depth is that of the whole kernel, because the condition "
        "number no longer changes. A rise at the left end means that little tolerance is left for the iteration.",
        "Depth against heads for three kernels: corners, not slopes.",
        columns=2,
    )
    return Section("Heads do not replace depth", "", [figure])


def _frontier_panel(frontier: Frontier) -> LinePanel:
    lines = [
        Line(label, role, [point.heads for point in points], [point.depth for point in points], markers=True)
        for label, role, points in (("proven", "learnt", frontier.proven), ("possible", "truth", frontier.possible))
        if points
    ]
    most = max(point.depth for point in (*frontier.proven, *frontier.possible))
    return LinePanel(frontier.kernel, "heads M", "blocks L", lines, y_limits=(0, 1.1 * most))


def _width_section(result: Result) -> Section:
    lengths = sorted({network.frames for network in result.networks})
    panels = []
    for label, depth in (("blocks L", True), ("width of the stream D", False)):
        lines = []
        for name, role in ROLES.items():
            networks = [network for network in result.networks if network.name == name]
            values = [network.depth if depth else network.width for network in networks]
            lines.append(Line(name, role, [network.frames for network in networks], values, markers=True))
        panels.append(LinePanel("", "frames N", label, lines, log_x=True, log_y=True, x_ticks=lengths))
    figure = Figure(
        panels,
        "The same score for sequences of growing length. Left: the depth. Right: the width of the residual stream. The "
        "networks whose width does not grow are those whose depth does, at best like the square root of κ. A table of "
        "positions (one head) is width that saves heads but no depth. A cosine basis with a preconditioner, or the "
        "exact eigenvectors, is width that saves depth.",
        "Depth and width against the number of frames for five networks.",
        columns=2,
    )
    rows: list[list[Cell]] = [
        [n.name, n.depth, n.num_heads, n.width, n.parameters, n.bound, n.error] for n in result.longest().values()
    ]
    columns: list[Column | str] = ["network", Column("L", digits=5), Column("M", digits=5), Column("D", digits=5)]
    columns += [Column("parameters", digits=8), "proven bound", "error of the network"]
    caption = (
        f"The networks of {lengths[-1]} frames: blocks, heads, width, parameters (tied ones counted once), and the "
        f"error on drawn sequences, which must be below its bound; the bound must be below {WIDE_TOLERANCE:g}."
    )
    table = Table(columns, rows, caption, row_roles=[ROLES[name] for name in result.longest()])
    return Section("Width does", "", [figure, table])


STUDY = Study(
    claim="More heads hardly replace depth; a wider stream does.",
    full=Size(64, 1, (8, 16, 32, 64, 128)),
    quick=Size(32, 3, (8, 16, 32)),
    minutes=(1, 0.2),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
)
