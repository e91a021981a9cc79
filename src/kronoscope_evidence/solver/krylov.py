"""``kronoscope reproduce krylov``: compiled networks block by block, beside the proven bound and the floor.

Every number about a network comes from the record of its forward pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kronoscope import diffusion
from kronoscope.compiler import CompiledScore, compile_score
from kronoscope.iterations import krylov_floor, residual_bound
from kronoscope.kernels import PowerExponential
from kronoscope.nn import TransformerRecord
from kronoscope.processes import GaussianSequence
from kronoscope.report import Column, Figure, Line, LinePanel, MatrixPanel, Report, Section, Table
from kronoscope.report.records import Cell

from ..study import Check, Run, Study
from .labels import LABELS, ROLES

TOLERANCE, TIME = 1e-3, 1e-2
LENGTHSCALE = 6.0
ITERATIONS = ("gradient-descent", "chebyshev", "chebyshev-steps", "preconditioned-chebyshev", "spectral")
PROVEN_AT_EVERY_BLOCK = ("gradient-descent", "chebyshev")
IN_CLASS = ("gradient-descent", "chebyshev", "chebyshev-steps")
EXACT = 1e-10
LEAST_FLOOR = 1e-12  # below it round-off decides
LEAST_SHOWN = 1e-5
STREAM_ROLES = ("null", "baseline", "second", "learnt")

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Size:
    """Frames of the process."""

    frames: int


@dataclass(frozen=True)
class Course:
    """The error of one network after every block: relative, root mean square under p_t, exact.

    Attributes:
        iteration: What it unrolls.
        errors: By block, from the first.
        bounds: Proven for the same block; empty where only the last one is proven.
        bound: Of the finished network.
    """

    iteration: str
    errors: tuple[float, ...]
    bounds: tuple[float, ...]
    bound: float


@dataclass(frozen=True)
class Head:
    """One head's term of the sum that makes Gamma."""

    number: int
    term: Matrix


@dataclass(frozen=True)
class StreamValues:
    """The score in the stream after a block, for one sequence and feature 0, (N,)."""

    block: int
    score: tuple[float, ...]


@dataclass(frozen=True)
class Anatomy:
    """Parts of one compiled network.

    Attributes:
        summed: sum_m c_m ReLU(q_i . k_j) over heads, (N, N), with value matrices c_m Sigma.
        gamma: The temporal covariance, which it should equal.
        gamma_gap: Largest difference between the two.
        heads: Three single terms of that sum.
        values: The value matrix, divided by its c_m, of the head that has the largest.
        sigma: The spatial covariance, which it should equal.
        value_gap: Largest difference of any head's value matrix from c_m Sigma, relative to the largest c_m Sigma.
        stream: The stream after some blocks.
        score: The exact score, (N,).
    """

    summed: Matrix
    gamma: Matrix
    gamma_gap: float
    heads: tuple[Head, ...]
    values: Matrix
    sigma: Matrix
    value_gap: float
    stream: tuple[StreamValues, ...]
    score: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """All numbers of the study."""

    courses: tuple[Course, ...]
    floor: tuple[float, ...]
    anatomy: Anatomy
    condition_number: float
    frames: int


def measure(run: Run[Size]) -> Result:
    """Five networks on all unit vectors, which gives their errors exactly; the parts of one of them."""
    process = _process(run.size.frames)
    chebyshev = compile_score(process, "chebyshev", TOLERANCE, TIME)
    depth, courses = chebyshev.network.depth, []
    with run.stage("error by block") as show:
        for number, iteration in enumerate(ITERATIONS, 1):
            compiled = chebyshev if iteration == "chebyshev" else compiled_network(process, iteration, depth)
            courses.append(_course(compiled))
            show(number / len(ITERATIONS), iteration)
    floor = krylov_floor(_noised(process), depth).sqrt().tolist()
    with run.stage("the parts of one network"):
        anatomy = _anatomy(process, chebyshev, run.seed)
    return Result(tuple(courses), tuple(floor), anatomy, process.condition_number(TIME), run.size.frames)


def _process(frames: int) -> GaussianSequence:
    spatial = torch.tensor([[1.2, 0.6, -0.2], [0.6, 0.8, 0.1], [-0.2, 0.1, 1.0]], dtype=torch.float64)
    return GaussianSequence(PowerExponential(LENGTHSCALE), spatial, times=frames)


def _noised(process: GaussianSequence) -> Tensor:
    frames, features = (torch.linalg.eigvalsh(m) for m in (process.temporal_covariance, process.spatial_covariance))
    return math.exp(-TIME) * torch.outer(frames, features).flatten() - math.expm1(-TIME)


def compiled_network(process: GaussianSequence, iteration: str, depth: int) -> CompiledScore:
    """The network. Gradient descent gets as many blocks as Chebyshev, whatever tolerance they reach."""
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
        scores = [read_score(compiled, record, block).flatten(1) for block in range(len(record.blocks))]
    gaps = [rows + inverse for rows in scores]
    errors = [math.sqrt(float(torch.trace(gap @ noised @ gap.T) / torch.trace(inverse))) for gap in gaps]
    bounds: list[float] = []
    if compiled.options.iteration in PROVEN_AT_EVERY_BLOCK:
        count = torch.arange(1, len(errors) + 1)
        slack = compiled.bound - float(compiled.plan.parts["iteration"])
        kappa = process.condition_number(TIME)
        bounds = (residual_bound(compiled.options.iteration, kappa, count) * (1 + slack) + slack).tolist()
    return Course(compiled.options.iteration, tuple(errors), tuple(bounds), compiled.bound)


def read_score(compiled: CompiledScore, record: TransformerRecord, block: int) -> Tensor:
    """The score in the stream after a block, by the network's own output map; in a basis also by its last block."""
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
        shown = {k: read_score(compiled, record, k)[0, :, 0] for k in _shown_blocks(len(record.blocks))}
    rows, columns = ((moved != 0).any(0).any(axis).nonzero()[: process.num_features, 0] for axis in (1, 0))
    values, sigma = moved[:, rows][:, :, columns], process.spatial_covariance
    sizes = torch.einsum("mab,ab->m", values, sigma) / sigma.square().sum()
    terms = sizes[:, None, None] * weights
    largest = int(sizes.abs().argmax())
    gap = (values - sizes[:, None, None] * sigma).abs().max() / (sizes.abs().max() * sigma.abs().max())
    aside = len(sizes) // 4  # the largest is where the kernel bends most, at lag 0
    summed, gamma = terms.sum(0), process.temporal_covariance
    return Anatomy(
        summed=_matrix(summed),
        gamma=_matrix(gamma),
        gamma_gap=float((summed - gamma).abs().max()),
        heads=tuple(Head(m, _matrix(terms[m])) for m in (largest - aside, largest, largest + aside)),
        values=_matrix(values[largest] / sizes[largest]),
        sigma=_matrix(sigma),
        value_gap=float(gap),
        stream=tuple(StreamValues(k + 1, tuple(score.tolist())) for k, score in shown.items()),
        score=tuple(process.score(x, TIME)[0, :, 0].tolist()),
    )


def _matrix(values: Tensor) -> Matrix:
    return tuple(tuple(row) for row in values.tolist())


def _shown_blocks(depth: int) -> list[int]:
    """The first block, two in between at equal ratios, and the last."""
    return sorted({round(depth ** (k / 3)) - 1 for k in range(4)})


def checks(result: Result) -> list[Check]:
    """Errors lie between floor and bound; the heads add up to Gamma, and the values are Sigma."""
    below = max(error / bound for each in result.courses for error, bound in zip(each.errors, each.bounds))
    above = min(
        error / floor
        for each in result.courses
        if each.iteration in IN_CLASS
        for error, floor in zip(each.errors, result.floor)
        if floor > LEAST_FLOOR
    )
    outside = [each for each in result.courses if each.iteration not in IN_CLASS]
    lower = max(each.errors[-1] / result.floor[len(each.errors) - 1] for each in outside)
    gamma, sigma = result.anatomy.gamma_gap, result.anatomy.value_gap
    return [
        Check("of its bound at most, after any block", below, f"{below:.3f}", "must not exceed 1", below <= 1),
        Check(
            "of the floor at least, after any block",
            above,
            f"{above:.3f}",
            "must not be less than 1 (by more than round-off)",
            above >= 1 - 1e-6,
        ),
        Check(
            "of the floor, with a basis in the parameters",
            lower,
            f"{lower:.1e}",
            "less than 1: these networks are outside the class of the floor",
            lower < 1,
        ),
        Check("largest error of Γ in the summed heads", gamma, f"{gamma:.0e}", "of entries up to 1", gamma < EXACT),
        Check("largest error of Σ in any head's values", sigma, f"{sigma:.0e}", "relative", sigma < EXACT),
    ]


def page(result: Result) -> Report:
    """The error between floor and bound, and the parts of a network."""
    return Report(
        "What does each block of a compiled network compute?",
        "After every block the stream holds a better score. Its error is below the proven bound and above the floor of "
        "all networks that use the data only through products with the covariance. The heads add up to Γ; the values "
        "are Σ.",
        facts={
            "process": f"exponential kernel, lengthscale {LENGTHSCALE:g}; {result.frames} frames, 3 features",
            "diffusion time": TIME,
            "condition number": result.condition_number,
            "measured": "exactly, from the forward record of each network on all unit vectors",
        },
        sections=[
            _courses_section(result),
            _parts_section(result.anatomy),
            _stream_section(result.anatomy),
        ],
    )


def _label(course: Course) -> tuple[str, str]:
    if course.iteration == "chebyshev-steps":
        return "Chebyshev steps", "second"
    return LABELS[course.iteration], ROLES[course.iteration]


def _courses_section(result: Result) -> Section:
    lines = []
    for course in result.courses:
        label, role = _label(course)
        points = [(block, error) for block, error in enumerate(course.errors, 1) if error > LEAST_SHOWN]
        if points:
            blocks, errors = zip(*points)
            lines.append(Line(label, role, blocks, errors, markers=len(points) < 12))
        if course.iteration == "chebyshev":
            every = range(1, len(course.bounds) + 1)
            lines.append(Line("bound of Chebyshev", role, list(every), course.bounds, dashed=True))
    floor = [value for value in result.floor if value > LEAST_SHOWN]
    lines.append(Line("Krylov floor", "floor", list(range(1, len(floor) + 1)), floor))
    panel = LinePanel("", "block", "relative error of the score (root mean square)", lines, log_y=True)
    figure = Figure(
        [panel],
        "Error after every block, on a logarithmic axis. A network of the class must stay above the floor and, where a "
        "bound is proven for every block, below it. Chebyshev's slope is that of its bound. Chebyshev steps end where "
        "Chebyshev does, because they are the same polynomial, but their values on the way are useless: without "
        "momentum, the order of the steps decides how far they stray. The preconditioned and the spectral network "
        "hold a basis in their position table and go below the floor, which does not bind them. Gradient descent, the "
        "null, is far from the tolerance after the same number of blocks. The spectral block is exact after its first "
        "attention and lies below the figure.",
        "Error by block of five networks, one bound and the floor.",
    )
    rows: list[list[Cell]] = [
        [_label(course)[0], len(course.errors), course.errors[0], course.errors[-1], course.bound]
        for course in result.courses
    ]
    columns: list[Column | str] = ["network", Column("blocks", digits=5), "error after the first", "after the last"]
    table = Table(
        [*columns, "proven bound"],
        rows,
        "The ends of these lines and the bound of each finished network.",
        row_roles=[_label(course)[1] for course in result.courses],
    )
    return Section("The error, block by block", "", [figure, table])


def _parts_section(anatomy: Anatomy) -> Section:
    together = Figure(
        [_panel("all heads of the network, added up", anatomy.summed, 1.0), _panel("Γ", anatomy.gamma, 1.0)],
        "Left: attention weights of the Chebyshev network, each head times the size of its value matrix, added up over "
        "heads. Right: the temporal covariance. The two must agree, and do to round-off.",
        "Two equal pictures: summed attention weights and the temporal covariance.",
        columns=2,
    )
    largest = max(_largest(head.term) for head in anatomy.heads)
    single = Figure(
        [_panel(f"head {head.number}", head.term, largest) for head in anatomy.heads],
        "Three single heads in the same units. None of them looks like Γ: each is zero up to its lag and then a ramp, "
        "and only their sum is the kernel. A picture of single heads therefore says little about what a network holds.",
        "Ramps: single heads.",
        columns=3,
    )
    limit = max(_largest(anatomy.sigma), _largest(anatomy.values))
    values = Figure(
        [
            _panel("value matrix of a head, scaled", anatomy.values, limit, "feature", "value"),
            _panel("Σ", anatomy.sigma, limit, "feature", "value"),
        ],
        "The value matrix of the strongest head, divided by its size, beside the spatial covariance. All heads have "
        "the same matrix up to its size, because the covariance is separable.",
        "Two equal pictures: a value matrix and the spatial covariance.",
        columns=2,
    )
    return Section("Attention is Γ, values are Σ", "", [together, single, values])


def _largest(matrix: Matrix) -> float:
    return max(abs(value) for row in matrix for value in row)


def _panel(title: str, matrix: Matrix, limit: float, axis: str = "frame", label: str = "weight") -> MatrixPanel:
    rounded = _largest(matrix) <= limit * (1 + 1e-9)  # round-off may carry an entry over the limit
    shown = [[min(max(v, -limit), limit) for v in row] for row in matrix] if rounded else matrix
    return MatrixPanel(title, shown, axis, axis, label, limits=(-limit, limit), diverging=True)


def _stream_section(anatomy: Anatomy) -> Section:
    frames = list(range(len(anatomy.score)))
    lines = [
        Line(f"after block {values.block}", role, frames, values.score)
        for values, role in zip(anatomy.stream, STREAM_ROLES)
    ]
    exact = Line("exact score", "truth", frames, anatomy.score, dashed=True)
    caption = (
        "The score in the stream, for one noised sequence and its first feature. After the first block it depends on "
        "the sequence itself only; each block brings in one more product with the covariance. The line of the last "
        "block must lie under the dashed one."
    )
    panel = LinePanel("", "frame", "score (1 per unit of the data)", [*lines, exact])
    return Section("The stream converges to the score", "", [Figure([panel], caption, "Iterates and the exact score.")])


STUDY = Study(
    claim="The error of a compiled network after every block lies between the Krylov floor and the proven bound.",
    full=Size(32),
    quick=Size(16),
    minutes=(1, 0.2),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
)
