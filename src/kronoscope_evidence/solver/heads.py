"""``kronoscope reproduce heads``: lags and heads that a kernel needs, by its decay, lengthscale and the tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kronoscope.compiler import compile_score
from kronoscope.kernels import FractionalGaussianNoise, Kernel, PowerExponential, RationalQuadratic, Wendland
from kronoscope.processes import GaussianSequence
from kronoscope.report import Column, Figure, Line, LinePanel, Report, Section, Table
from kronoscope.report.records import Cell

from ..slopes import Slope, power
from ..study import Check, Run, Study
from .cases import network_error

LAGS = 2**20
PRACTICAL, ASYMPTOTIC = (1e-1, 1e-12), (1e-20, 1e-150)
POLYNOMIAL = (1e-1, 1e-5)
LENGTHSCALES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
AT_ACCURACY = 1e-3
MIN_TIME = 1e-1
TOLERANCES = (0.3, 0.1, 3e-2, 1e-2, 3e-3, 1e-3)
MARGIN = 0.05
ROLES = ("baseline-3", "learnt", "baseline-2", "second", "baseline", "held-out")


@dataclass(frozen=True)
class Decay:
    """A kernel and the number of lags that its decay predicts.

    Attributes:
        name: For the page.
        kernel: With lengthscale 8.
        exponent: J grows like log(1/accuracy)^exponent or, if ``polynomial``, like (1/accuracy)^exponent.
        polynomial: Which of the two.
    """

    name: str
    kernel: Kernel
    exponent: float
    polynomial: bool = False


DECAYS = (
    Decay("stretched exponential, ν = 0.5", PowerExponential(8.0, 0.5), 2.0),
    Decay("exponential, ν = 1", PowerExponential(8.0), 1.0),
    Decay("ν = 1.5", PowerExponential(8.0, 1.5), 1 / 1.5),
    Decay("squared exponential, ν = 2", PowerExponential(8.0, 2.0), 0.5),
    Decay("polynomial, lag⁻²", RationalQuadratic(8.0, 1.0), 1.0, polynomial=True),
    Decay("polynomial, lag⁻⁴", RationalQuadratic(8.0, 2.0), 1 / 3, polynomial=True),
)
COMPILED: dict[str, Kernel] = {
    "stretched exponential, ν = 0.5, lengthscale 1": PowerExponential(1.0, 0.5),
    "exponential, lengthscale 4": PowerExponential(4.0),
    "squared exponential, lengthscale 4": PowerExponential(4.0, 2.0),
    "compact (Wendland), 0 beyond 12": Wendland(12.0, 1),
    "polynomial, lag⁻⁴, lengthscale 4": RationalQuadratic(4.0, 2.0),
    "long memory (fractional noise, H = 0.8)": FractionalGaussianNoise(0.8),
}


@dataclass(frozen=True)
class Size:
    """Frames of the compiled networks, and their tolerances."""

    frames: int
    tolerances: tuple[float, ...]


@dataclass(frozen=True)
class Growth:
    """Lags by accuracy for one decay, and the fitted exponents.

    Attributes:
        decay: Its name.
        expected: The exponent that the theory predicts.
        polynomial: Whether it is that of 1/accuracy instead of its logarithm.
        accuracies, lags: The points of the figure.
        practical: Exponent fitted to them.
        asymptotic: Exponent fitted at extreme accuracies; None for a polynomial decay.
    """

    decay: str
    expected: float
    polynomial: bool
    accuracies: tuple[float, ...]
    lags: tuple[int, ...]
    practical: Slope
    asymptotic: Slope | None

    @property
    def fitted(self) -> Slope:
        """The exponent that is compared with the prediction."""
        return self.asymptotic or self.practical

    @property
    def relative_gap(self) -> float:
        """|fitted / expected - 1|."""
        return abs(self.fitted.value / self.expected - 1)


@dataclass(frozen=True)
class Reach:
    """Lags at one accuracy along the lengthscale for one decay, and their exponent."""

    decay: str
    lengthscales: tuple[float, ...]
    lags: tuple[int, ...]
    exponent: Slope


@dataclass(frozen=True)
class Network:
    """A compiled network: its tolerance, the lags it keeps, the lags it needs, its heads by kind, bound and error."""

    kernel: str
    tolerance: float
    kept: int
    needed: int
    heads: dict[str, int]
    bound: float
    error: float


@dataclass(frozen=True)
class Result:
    """All numbers of the study."""

    growth: tuple[Growth, ...]
    reaches: tuple[Reach, ...]
    networks: tuple[Network, ...]
    frames: int


def measure(run: Run[Size]) -> Result:
    """Lags by decay, accuracy and lengthscale; then networks of every class of decay."""
    with run.stage("lags by decay"):
        growth = tuple(_growth(decay) for decay in DECAYS)
        reaches = tuple(_reach(decay) for decay in DECAYS)
    networks = []
    with run.stage("compiled networks") as show:
        for number, (name, kernel) in enumerate(COMPILED.items(), 1):
            process = GaussianSequence(kernel, torch.eye(1, dtype=torch.float64), times=run.size.frames)
            networks += [_network(name, process, tolerance, run.seed) for tolerance in run.size.tolerances]
            show(number / len(COMPILED), name)
    return Result(growth, reaches, tuple(networks), run.size.frames)


def _growth(decay: Decay) -> Growth:
    tails = _tails(decay.kernel)

    def lags(ends: tuple[float, float]) -> tuple[list[float], list[int]]:
        accuracies = np.geomspace(*ends, 23).tolist()
        return accuracies, [_first(tails, accuracy) for accuracy in accuracies]

    shown, needed = lags(POLYNOMIAL if decay.polynomial else PRACTICAL)
    if decay.polynomial:
        practical, asymptotic = power([1 / accuracy for accuracy in shown], needed), None
    else:
        practical = power(_logarithms(shown), needed)
        extreme, far = lags(ASYMPTOTIC)
        asymptotic = power(_logarithms(extreme), far)
    return Growth(
        decay.name, decay.exponent, decay.polynomial, tuple(shown), tuple(needed), practical, asymptotic
    )  # fmt: skip


def _logarithms(accuracies: list[float]) -> list[float]:
    return [-math.log(accuracy) for accuracy in accuracies]


def _reach(decay: Decay) -> Reach:
    lags = [_first(_tails(_scaled(decay.kernel, lengthscale)), AT_ACCURACY) for lengthscale in LENGTHSCALES]
    return Reach(decay.name, LENGTHSCALES, tuple(lags), power(LENGTHSCALES, lags))


def _tails(kernel: Kernel) -> Tensor:
    """2 sum_{m > J} |gamma(m)| / sum |gamma|, J = 0, 1, ...: Gershgorin's bound, as in the compiler."""
    values = kernel.at_lag(torch.arange(LAGS, dtype=torch.float64)).abs()
    beyond = 2 * torch.cat([values.flip(0).cumsum(0).flip(0)[1:], torch.zeros(1, dtype=torch.float64)])
    return beyond / (beyond[0] + values[0])


def _first(tails: Tensor, accuracy: float) -> int:
    return int((tails <= accuracy).nonzero()[0])


def _scaled(kernel: Kernel, lengthscale: float) -> Kernel:
    if isinstance(kernel, PowerExponential):
        return PowerExponential(lengthscale, kernel.exponent)
    assert isinstance(kernel, RationalQuadratic)
    return RationalQuadratic(lengthscale, kernel.mixture)


def _network(name: str, process: GaussianSequence, tolerance: float, seed: int) -> Network:
    compiled = {
        kind: compile_score(process, tolerance=tolerance, min_time=MIN_TIME, heads=kind)
        for kind in ("affine", "arc", "trapezoid")
    }
    heads = {kind: each.network.sizes().num_heads for kind, each in compiled.items()}
    affine = compiled["affine"]
    error = network_error(affine, MIN_TIME, seed)
    kept, needed = affine.iteration.num_lags, fewest_lags(process, tolerance)
    return Network(name, tolerance, kept, needed, heads, affine.bound, error)


def fewest_lags(process: GaussianSequence, tolerance: float) -> int:
    """The fewest lags whose exact solution has a relative root-mean-square error of at most ``tolerance``."""
    frames = process.num_frames
    noise, eye = -math.expm1(-MIN_TIME), torch.eye(frames, dtype=torch.float64)
    lag = torch.arange(frames, dtype=torch.float64)
    distance = (lag[:, None] - lag).abs()
    exact = math.exp(-MIN_TIME) * process.temporal_covariance
    inverse = torch.linalg.inv(exact + noise * eye)
    for kept in range(frames):
        cut = torch.where(distance <= kept, exact, 0.0) + noise * eye
        if float(torch.linalg.eigvalsh(cut).min()) <= 0:
            continue
        gap = torch.linalg.inv(cut) - inverse
        if float(torch.trace(gap @ (exact + noise * eye) @ gap.T) / torch.trace(inverse)) <= tolerance**2:
            return kept
    return frames - 1


def checks(result: Result) -> list[Check]:
    """The exponents of accuracy and lengthscale, and whether every network keeps its promise."""
    numbers = []
    for kind, polynomial, limit in (("exponential", False, MARGIN), ("polynomial", True, 2 * MARGIN)):
        worst = max((each for each in result.growth if each.polynomial == polynomial), key=lambda g: g.relative_gap)
        numbers.append(
            Check(
                f"off the predicted exponent, {kind} decay, at worst",
                worst.relative_gap,
                f"{100 * worst.relative_gap:.1f} %",
                f"{worst.decay}: {worst.fitted.value:.3f} for {worst.expected:.3f}; at most {100 * limit:g} %",
                worst.relative_gap <= limit,
            )
        )
    exponent = max((reach.exponent.value for reach in result.reaches), key=lambda value: abs(value - 1))
    label, expected = "exponent of the lengthscale, at worst", f"expected 1 ± {MARGIN:g}"
    numbers.append(Check(label, exponent, f"{exponent:.3f}", expected, abs(exponent - 1) <= MARGIN))
    held, every = sum(n.error <= n.bound <= n.tolerance for n in result.networks), len(result.networks)
    label = "networks with error ≤ bound ≤ tolerance"
    numbers.append(Check(label, held, f"{held} of {every}", "all expected", held == every))
    return numbers


def page(result: Result) -> Report:
    """How lags grow, and the lags that networks keep beside the lags that they need."""
    return Report(
        "How many heads does a kernel need?",
        "One for each lag that must be kept: lengthscale × log(1/accuracy)^(1/ν) for a kernel that decays like "
        "exp(−(lag/lengthscale)^ν), a power of 1/accuracy for one that decays like a power of the lag.",
        facts={
            "accuracy": "of the kernel, spectral norm (Gershgorin), relative to the sum of its values",
            "heads of J lags": "J + 1 (arc), at most 2J + 3 (affine), 4(2J + 1) (trapezoid)",
        },
        sections=[_growth_section(result), _lengthscale_section(result), _networks_section(result)],
    )


def _growth_section(result: Result) -> Section:
    roles = dict(zip((each.decay for each in result.growth), ROLES, strict=True))
    panels = []
    for title, polynomial in (("decay like an exponential", False), ("decay like a power", True)):
        lines = [
            Line(each.decay, roles[each.decay], each.accuracies[::-1], [max(1, lag) for lag in each.lags[::-1]])
            for each in result.growth
            if each.polynomial == polynomial
        ]
        panels.append(LinePanel(title, "accuracy of the kernel", "lags J", lines, log_x=True, log_y=True))
    figure = Figure(
        panels,
        "Lags that must be kept against the accuracy of the kernel; the accuracy rises to the left. Left panel: twelve "
        "decades of accuracy cost a factor of a few, because only the logarithm counts. Right panel: every decade "
        "costs the same factor, so truncation soon saves nothing. All lengthscales are 8. A kernel whose values cannot "
        "be summed (long memory) has no such line.",
        "Lags against accuracy for six kernels.",
        columns=2,
    )
    rows: list[list[Cell]] = []
    for each in result.growth:
        extreme = each.asymptotic
        asymptotic: list[Cell] = [None] * 3 if extreme is None else [extreme.value, extreme.lower, extreme.upper]
        rows.append([each.decay, each.expected, each.practical.value, *asymptotic])
    columns: list[Column | str] = [
        "kernel",
        Column("expected", decimals=3),
        Column("fitted, in the figure", decimals=3),
    ]
    columns += [Column(name, decimals=3) for name in ("fitted, 1e−20 to 1e−150", "95 % from", "to")]
    table = Table(
        columns,
        rows,
        "Exponent of log(1/accuracy) for the first four kernels (1/ν), and of 1/accuracy for the last two (1/(p − 1) "
        "for a decay like lag⁻ᵖ). In the range of the figure the first four are still affected by the logarithmic "
        "factor of the tail; at extreme accuracies it no longer matters.",
        row_roles=ROLES,
    )
    return Section("How lags grow with accuracy", "", [figure, table])


def _lengthscale_section(result: Result) -> Section:
    lines = [
        Line(reach.decay, role, reach.lengthscales, reach.lags, markers=True)
        for reach, role in zip(result.reaches, ROLES, strict=True)
    ]
    ticks = result.reaches[0].lengthscales
    panel = LinePanel("", "lengthscale (frames)", "lags J", lines, log_x=True, log_y=True, x_ticks=ticks)
    caption = (
        f"Lags against the lengthscale at accuracy {AT_ACCURACY:g}. The lines are parallel with slope 1, because a "
        "kernel of twice the lengthscale is the same kernel on a grid twice as fine."
    )
    return Section("The lengthscale", "", [Figure([panel], caption, "Lags against lengthscale, straight lines.")])


def _networks_section(result: Result) -> Section:
    panels = []
    rows: list[list[Cell]] = []
    for name in dict.fromkeys(network.kernel for network in result.networks):
        networks = [network for network in result.networks if network.kernel == name]
        tolerances = [network.tolerance for network in networks][::-1]
        lines = [
            Line("all of them", "null", tolerances, [result.frames - 1] * len(networks)),
            Line("kept, for the proof", "learnt", tolerances, [n.kept for n in networks][::-1], markers=True),
            Line("needed", "truth", tolerances, [n.needed for n in networks][::-1], markers=True),
        ]
        limits = (0, 1.05 * result.frames)
        panels.append(LinePanel(name, "tolerance of the score", "lags J", lines, log_x=True, y_limits=limits))
        middle = networks[len(networks) // 2]
        heads: list[Cell] = [middle.heads[kind] for kind in ("affine", "arc", "trapezoid")]
        rows.append([name, middle.tolerance, middle.kept, middle.needed, *heads, middle.bound, middle.error])
    figure = Figure(
        panels,
        f"Compiled networks of {result.frames} frames for diffusion times from {MIN_TIME:g}. The compiler keeps enough "
        "lags to prove its bound; fewer would be needed if the whole tolerance were spent on truncation and the error "
        "were known exactly. The gap has two causes: the bound only uses sums over lags, and the iteration gets a "
        "share of the tolerance. The dotted line is the number of lags without truncation.",
        "Lags kept, needed and possible against tolerance, for kernels of every class of decay.",
        columns=2,
    )
    columns: list[Column | str] = ["kernel", "tolerance", Column("J kept", digits=4), Column("J needed", digits=4)]
    columns += [Column(f"heads, {kind}", digits=5) for kind in ("affine", "arc", "trapezoid")]
    columns += ["proven bound", "error of the network"]
    caption = (
        "One tolerance of each panel: heads of the three kinds, counted on the networks, and the error of the network "
        "with affine heads on drawn sequences, which must be below its bound. Affine heads whose hinge lies beyond the "
        "longest lag are left out, so 2J + 3 is reached only where lags are cut off."
    )
    return Section("What networks keep", "", [figure, Table(columns, rows, caption)])


STUDY = Study(
    claim="Heads grow like lengthscale × log(1/accuracy)^(1/nu), as the decay of the kernel predicts.",
    full=Size(128, TOLERANCES),
    quick=Size(48, TOLERANCES[1::2]),
    minutes=(1, 0.2),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
)
