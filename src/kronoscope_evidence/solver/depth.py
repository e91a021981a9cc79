"""``kronoscope reproduce depth``: how the number of layers grows with the condition number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kronoscope.compiler import compile_score
from kronoscope.report import Column, Figure, Line, LinePanel, Report, Section, Table
from kronoscope.report.records import Cell

from ..slopes import Slope, power
from ..study import Check, Run, Study
from .cases import KERNELS, REFERENCES, Reference, Spectra, condition_number, depths, network_error, process_of
from .labels import LABELS, ROLES

TOLERANCE = 1e-3
FRAMES = 64
LEAST_FITTED = 30.0  # smaller condition numbers do not follow the power law yet
TIMES = (1e-5, 1.0)
SPECTRAL_LAYERS = 2
EXPECTED_SLOPES = {"gradient-descent": 1.0, "chebyshev": 0.5}
SLOPE_MARGIN = 0.05
LEAST_SAVING = 30.0
MOST_PRECONDITIONED = 5
NEAR_FLOOR = 1.3


@dataclass(frozen=True)
class Size:
    """Diffusion times per kernel, number of kernels, and the iterations that are compiled."""

    times: int
    kernels: int
    iterations: tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    """Depth of every solver along the condition number, for one kernel, and the slopes on logarithmic axes."""

    kernel: str
    condition_numbers: tuple[float, ...]
    depths: dict[str, tuple[int, ...]]
    slopes: dict[str, Slope]


@dataclass(frozen=True)
class TableRow:
    """A row of the table in docs/theory.md, section 4, computed again."""

    kernel: str
    frames: int
    time: float
    condition_number: float
    stated: dict[str, int]
    depths: dict[str, int]


@dataclass(frozen=True)
class Network:
    """A compiled network for the first row: its blocks, its proven bound, and its error on drawn sequences."""

    iteration: str
    blocks: int
    bound: float
    error: float


@dataclass(frozen=True)
class Result:
    """All numbers of the study."""

    curves: tuple[Curve, ...]
    table: tuple[TableRow, ...]
    networks: tuple[Network, ...]


def measure(run: Run[Size]) -> Result:
    """Vary the noise so that kappa covers decades, compute the table of the theory again, compile its first row."""
    with run.stage("depth along the condition number") as show:
        curves = []
        for number, name in enumerate(list(KERNELS)[: run.size.kernels], 1):
            curves.append(_curve(name, run.size.times))
            show(number / run.size.kernels, name)
    with run.stage("the table of the theory"):
        table = tuple(_table_row(reference) for reference in REFERENCES)
    with run.stage("compiled networks") as show:
        networks = []
        for number, iteration in enumerate(run.size.iterations, 1):
            networks.append(_network(REFERENCES[0], iteration, run.seed))
            show(number / len(run.size.iterations), iteration)
    return Result(tuple(curves), table, tuple(networks))


def _curve(name: str, points: int) -> Curve:
    spectra = Spectra.of(process_of(KERNELS[name], FRAMES))
    times = np.geomspace(*TIMES, points).tolist()
    kappas = tuple(condition_number(spectra, t) for t in times)
    needed = [depths(spectra, t, TOLERANCE) for t in times]
    by_solver = {solver: tuple(row[solver] for row in needed) for solver in needed[0]}
    fitted = [i for i, kappa in enumerate(kappas) if kappa >= LEAST_FITTED]
    slopes = {
        solver: power([kappas[i] for i in fitted], [layers[i] for i in fitted]) for solver, layers in by_solver.items()
    }
    return Curve(name, kappas, by_solver | {"spectral": (SPECTRAL_LAYERS,) * points}, slopes)


def _table_row(reference: Reference) -> TableRow:
    spectra = Spectra.of(process_of(reference.kernel, reference.frames))
    kappa, needed = condition_number(spectra, reference.time), depths(spectra, reference.time, TOLERANCE)
    return TableRow(reference.name, reference.frames, reference.time, kappa, reference.depths, needed)


def _network(reference: Reference, iteration: str, seed: int) -> Network:
    process = process_of(reference.kernel, reference.frames)
    compiled = compile_score(process, iteration, TOLERANCE, reference.time, heads="table", max_depth=20_000)
    error = network_error(compiled, reference.time, seed)
    return Network(iteration, compiled.network.depth, compiled.bound, error)


def checks(result: Result) -> list[Check]:
    """Two slopes, the saving that follows from them, and two numbers on better solvers."""
    curve, row = result.curves[0], result.table[0]
    numbers = []
    for solver, expected in EXPECTED_SLOPES.items():
        slopes = [each.slopes[solver].value for each in result.curves]
        worst = max(slopes, key=lambda value: abs(value - expected))
        text = f"expected {expected:g} ± {SLOPE_MARGIN:g}; the worst of {len(slopes)} kernels"
        holds = abs(worst - expected) <= SLOPE_MARGIN
        numbers.append(Check(f"slope, {LABELS[solver]}", worst, f"{worst:.3f}", text, holds))
    saving = row.depths["gradient-descent"] / row.depths["chebyshev"]
    numbers.append(
        Check(
            f"times fewer layers at κ = {row.condition_number:.0f}",
            saving,
            f"{saving:.1f}",
            f"Chebyshev instead of gradient descent; the claim is at least {LEAST_SAVING:g}",
            saving >= LEAST_SAVING,
        )
    )
    count = row.depths["preconditioned-chebyshev"]
    numbers.append(
        Check(
            f"iterations where Chebyshev takes {row.depths['chebyshev']}",
            count,
            str(count),
            f"with the fixed cosine preconditioner; the claim is at most {MOST_PRECONDITIONED}",
            count <= MOST_PRECONDITIONED,
        )
    )
    pairs = zip(curve.depths["spectrum-optimal"], curve.depths["floor"], strict=True)
    ratio = max(optimal / floor for optimal, floor in pairs)
    text = "at most; rounding in float64 keeps the solver above the floor, see below"
    numbers.append(Check("spectrum-optimal depth over the floor", ratio, f"{ratio:.1f}", text, None))
    return numbers


def page(result: Result) -> Report:
    """The curves, the table that could refute the claim, and networks that were run."""
    kappas = result.curves[0].condition_numbers
    return Report(
        "How deep must a network be to compute the score?",
        "A transformer that unrolls gradient descent needs blocks in proportion to the condition number κ. One that "
        "unrolls Chebyshev's iteration needs blocks in proportion to the square root of κ.",
        facts={
            "error": f"{TOLERANCE:g}, relative root mean square under the noised distribution",
            "frames and features": f"{FRAMES} and 4",
            "condition number": f"varied by the diffusion time, {kappas[-1]:.2g} to {kappas[0]:.2g}",
        },
        sections=[_curves_section(result), _table_section(result), _networks_section(result)],
    )


def _curves_section(result: Result) -> Section:
    figure = Figure(
        [_panel(curve) for curve in result.curves],
        "Fewest layers that reach the error above, against the condition number. Both axes are logarithmic. Gradient "
        "descent has the steepest line; Chebyshev's line is half as steep. The floor is the least depth of any network "
        "whose coefficients do not depend on x and that uses the data only through products with the covariance. The "
        "preconditioned and the spectral network go below it, because their position table holds a cosine basis or an "
        "eigenvector basis. The heavy ball uses the same coefficients in every layer and pays for it. A line ends "
        "where the kernel's own smallest eigenvalue stops the growth of κ.",
        "Depth against condition number for seven solvers.",
        columns=min(2, len(result.curves)),
    )
    columns: list[Column | str] = ["kernel", "solver", Column("slope", decimals=3), Column("95 % from", decimals=3)]
    columns += [Column("to", decimals=3), Column("decades of κ", decimals=1)]
    rows: list[list[Cell]] = []
    roles: list[str | None] = []
    for curve in result.curves:
        fitted = [kappa for kappa in curve.condition_numbers if kappa >= LEAST_FITTED]
        decades = math.log10(max(fitted) / min(fitted))
        for solver, slope in curve.slopes.items():
            rows.append([curve.kernel, LABELS[solver], slope.value, slope.lower, slope.upper, decades])
            roles.append(ROLES[solver])
    table = Table(
        columns,
        rows,
        f"Slopes of log depth against log κ, fitted where κ ≥ {LEAST_FITTED:g}. The intervals come from the scatter "
        "about the line, so a curve that is not a power of κ has a wide interval: the floor and the preconditioned "
        "solver are examples.",
        row_roles=roles,
    )
    return Section("Layers against the condition number", "", [figure, table])


def _panel(curve: Curve) -> LinePanel:
    lines = [
        Line(LABELS[name], role, curve.condition_numbers[::-1], curve.depths[name][::-1], markers=True)
        for name, role in ROLES.items()
        if name in curve.depths
    ]
    return LinePanel(curve.kernel, "condition number κ", "layers", lines, log_x=True, log_y=True)


def _table_section(result: Result) -> Section:
    rows: list[list[Cell]] = []
    floors: list[list[Cell]] = []
    for row in result.table:
        case: list[Cell] = [row.kernel, row.frames, row.time]
        pairs = [value for name, stated in row.stated.items() for value in (stated, row.depths[name])]
        rows.append([*case, row.condition_number, *pairs])
        floor, optimal = row.depths["floor"], row.depths["spectrum-optimal"]
        floors.append([*case, floor, optimal, optimal / floor])
    wrong = sum(stated != row.depths[name] for row in result.table for name, stated in row.stated.items())
    columns: list[Column | str] = ["kernel", Column("N", digits=4), "t", Column("κ", digits=5)]
    for label in ("gradient descent", "Chebyshev", "preconditioned"):
        columns += [Column(f"{label}, theory", digits=6), Column("here", digits=6)]
    stated_table = Table(
        columns,
        rows,
        "The depths stated in docs/theory.md, section 4, beside the depths computed here from the solvers' "
        f"coefficients: {wrong} of {3 * len(rows)} differ.",
    )
    floor_columns: list[Column | str] = ["kernel", Column("N", digits=4), "t", Column("floor", digits=4)]
    floor_columns += [Column("spectrum-optimal, in float64", digits=4), Column("ratio", decimals=2)]
    floor_table = Table(
        floor_columns,
        floors,
        "The same cases at the floor, and the best solver that can be run. In exact arithmetic spectrum-optimal "
        "coefficients reach the floor. In float64 their polynomial is huge near the outlying eigenvalues and rounding "
        "destroys it; coefficients that stay accurate need more layers. Along the curves above they need at most "
        f"{NEAR_FLOOR:g} times the floor up to κ = {_near_floor_up_to(result):.0f}.",
    )
    return Section("The table of the theory", "", [stated_table, floor_table])


def _near_floor_up_to(result: Result) -> float:
    """The condition number up to which the spectrum-optimal depth of every kernel is near its floor."""
    reached = []
    for curve in result.curves:
        triples = zip(curve.condition_numbers, curve.depths["spectrum-optimal"], curve.depths["floor"], strict=True)
        far = min((kappa for kappa, optimal, floor in triples if optimal > NEAR_FLOOR * floor), default=math.inf)
        reached.append(max((kappa for kappa in curve.condition_numbers if kappa < far), default=1.0))
    return min(reached)


def _networks_section(result: Result) -> Section:
    rows: list[list[Cell]] = [[LABELS[n.iteration], n.blocks, n.bound, n.error] for n in result.networks]
    columns: list[Column | str] = ["compiled from", Column("blocks", digits=6), Column("proven bound", digits=3)]
    columns.append(Column("error of the network", digits=3))
    table = Table(
        columns,
        rows,
        "The first row of the table as transformers with compiled parameters, run on drawn sequences at that diffusion "
        f"time. Every error must be below its bound, and every bound below {TOLERANCE:g}. A network has the depth that "
        "is proven for the worst direction and all later times, which is slightly more than the fewest layers above. "
        "A network with a basis has one more block, which transforms back.",
        row_roles=[ROLES[network.iteration] for network in result.networks],
    )
    return Section("As networks", "", [table])


ITERATIONS = ("gradient-descent", "chebyshev", "preconditioned-chebyshev", "spectral")
STUDY = Study(
    claim="Depth grows like the condition number for gradient descent, and like its square root for Chebyshev.",
    full=Size(24, len(KERNELS), ITERATIONS),
    quick=Size(10, 2, ITERATIONS[1:]),
    minutes=(1, 0.2),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
)
