"""Result, checks and page of the study of value matrices."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from kronoscope.report import Bar, BarPanel, Column, Figure, MatrixPanel, Report, Section, Table, Text
from kronoscope.report.records import Cell

from ..study import Check
from ..yardstick import FEATURES, FRAMES, LENGTHSCALE
from .networks import LABELS, ROLES

MOST_GAP = 1e-6
LEVEL = 0.05
COMPILED = "compiled"
NAMES = {COMPILED: "compiled", "unrolled": "unrolled", "position": "position-only", "dit": "DiT, linear path"}

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Alignment:
    """A head's value matrix against Sigma and its random rotations; see ``probes.Alignment``."""

    cosine: float
    p_value: float
    angles: tuple[float, ...]
    null_angles: tuple[float, ...]
    angle_p_values: tuple[float, ...]


@dataclass(frozen=True)
class Spectrum:
    """A head's eigenvalues against those of Sigma and of random matrices; see ``probes.Spectrum``."""

    shares: tuple[float, ...]
    distance: float
    null_distance: float
    p_value: float


@dataclass(frozen=True)
class Chance:
    """Mean and 95 % point of |cosine| between Sigma and its random rotations."""

    mean: float
    upper: float


@dataclass(frozen=True)
class Values:
    """One network's value matrices.

    Attributes:
        name: Which network.
        kind: "compiled", "trained" or a null.
        sigma: Spatial factor of the nearest Kronecker product of its first block, (d, d), over its trace.
        gap: Largest relative error of that Sigma.
        temporal_gap: Largest error of that Gamma.
        share: Of the heads' squared norm that one Kronecker product holds.
        alignments: Of every head of every block whose values have axes (are not multiples of the identity).
        spectra: Of every head of every block.
    """

    name: str
    kind: str
    sigma: Matrix
    gap: float
    temporal_gap: float
    share: float
    alignments: tuple[Alignment, ...]
    spectra: tuple[Spectrum, ...]

    @property
    def cosine(self) -> float | None:
        """Mean |cosine| over heads; None where no head has axes."""
        cosines = [abs(head.cosine) for head in self.alignments]
        return sum(cosines) / len(cosines) if cosines else None

    @property
    def label(self) -> str:
        """Network and training, as the page names them."""
        return NAMES[self.name] if self.kind == COMPILED else f"{NAMES[self.name]}, {LABELS[self.kind]}"


@dataclass(frozen=True)
class Result:
    """All numbers of the study: the true Sigma, every network, and what random rotations give."""

    sigma: Matrix
    values: tuple[Values, ...]
    null_cosine: Chance
    rotations: int

    def of(self, name: str, kind: str) -> Values:
        """The values of that network."""
        return next(each for each in self.values if (each.name, each.kind) == (name, kind))


def checks(result: Result) -> list[Check]:
    """The compiled network is exact; each trained one is compared with random rotations and white noise."""
    compiled = result.values[0]
    worst = max(compiled.gap, compiled.temporal_gap)
    numbers = [
        Check(
            "largest error of Sigma and Gamma, compiled",
            worst,
            f"{worst:.0e}",
            f"target {MOST_GAP:g}",
            worst <= MOST_GAP,
        )
    ]
    for each in result.values:
        if each.kind == "trained" and each.cosine is not None:
            beyond = sum(head.p_value <= LEVEL / len(each.alignments) for head in each.alignments)
            white = result.of(each.name, "white").cosine
            numbers.append(
                Check(
                    f"mean |cosine| with Sigma, {NAMES[each.name]}",
                    each.cosine,
                    f"{each.cosine:.2f}",
                    f"trained on white noise: {'no axes' if white is None else f'{white:.2f}'}; random: "
                    f"{result.null_cosine.mean:.2f}; {beyond} of {len(each.alignments)} heads beyond chance "
                    f"(Bonferroni, {100 * LEVEL:g} %)",
                    # A network without the solver's structure need not hold Sigma: nothing is claimed of it.
                    True if each.cosine > max(result.null_cosine.upper, white or 0.0) else None,
                )
            )
    return numbers


def page(result: Result) -> Report:
    """The matrices, the angles and the nulls."""
    return Report(
        "Do the value matrices show the spatial covariance?",
        "The theory puts Gamma into the attention weights and Sigma into the value matrices. In a compiled network "
        "this is exact. Whether training puts it there as well depends on the network.",
        facts={
            "truth": f"exponential kernel, lengthscale {LENGTHSCALE:g}, {FRAMES} frames, {FEATURES} features",
            "training": "the library's presets",
        },
        sections=[
            Section("The nearest Sigma", "", [_matrices(result), _products(result)]),
            Section("Head by head", "", [_bars(result), _heads(result)]),
            Section("How it was done", "", [Text(_METHOD.format(rotations=result.rotations))]),
        ],
    )


_METHOD = (
    "The heads of a block are Σ Wₘ ⊗ Vₘ. Sigma and Gamma are the nearest single Kronecker product, and the share says "
    "how much of the heads it holds. A head's alignment is the cosine between its value matrix and Sigma, both "
    "symmetric and without their trace. Its p-value counts the random rotations of Sigma (Haar, {rotations} of them) "
    "whose |cosine| is as large; the sign does not count, because it can be moved into the head's map. The p-value of "
    "the first axis counts rotations whose angle is as small. The spectrum compares eigenvalues alone, each over the "
    "sum of their sizes, by half the sum of the differences. Its null is {rotations} random symmetric matrices "
    "(Gaussian orthogonal ensemble), which describes an untrained value matrix.\n\n"
    "A value matrix of a network with several blocks and an inner width is one factor of a long product. It need not "
    "be Sigma even where the whole network is right: only the Jacobian of the whole must be (see `reproduce "
    "jacobian`). The claim would be refuted for a network whose heads agree with Sigma no better than random "
    "rotations, or no better than the same network trained on white noise, whose cosine stands beside it at the top. "
    "The table shows for which networks that is so."
)


def _matrices(result: Result) -> Figure:
    matrices = {"truth": result.sigma} | {each.label: each.sigma for each in result.values if each.kind != "untrained"}
    scaled = {title: np.array(matrix) / np.linalg.norm(matrix) for title, matrix in matrices.items()}
    limit = max(float(np.abs(matrix).max()) for matrix in scaled.values())
    names = [str(a) for a in range(FEATURES)]
    panels = [
        MatrixPanel(
            title, m.tolist(), "feature", "feature", "over the norm", names, names, (-limit, limit), diverging=True
        )
        for title, m in scaled.items()
    ]
    caption = (
        "Spatial factor of the first block's heads (nearest Kronecker product), over its norm, beside Sigma. A network "
        "that holds Sigma in its values shows the pattern of the first picture."
    )
    return Figure(panels, caption, "Spatial factors of compiled and trained networks beside Sigma.", columns=4)


def _bars(result: Result) -> Figure:
    bars = []
    for each in result.values:
        if each.cosine is not None:
            cosines = [abs(head.cosine) for head in each.alignments]
            role = "floor" if each.kind == COMPILED else ROLES[each.kind]
            bars.append(Bar(each.label, role, each.cosine, min(cosines), max(cosines)))
    chance = result.null_cosine
    bars.append(Bar("random rotations (to 95 %)", "null", chance.mean, 0.0, chance.upper))
    caption = (
        "Mean |cosine| of the heads' value matrices with Sigma; the line runs from the least to the most aligned head. "
        "The last bar is chance: random rotations of Sigma, up to their 95 % point."
    )
    panel = BarPanel("", "|cosine| with Sigma", bars, x_limits=(0.0, 1.02))
    return Figure([panel], caption, "Alignment of value matrices with Sigma by network, beside chance.")


def _products(result: Result) -> Table:
    rows: list[list[Cell]] = [[each.label, each.gap, each.temporal_gap, each.share] for each in result.values]
    columns: list[Column | str] = [
        "network",
        Column("error of Sigma", "relative", digits=2),
        Column("error of Gamma", digits=2),
        Column("share of one product", digits=3),
    ]
    return Table(columns, rows, "The first block's nearest Kronecker product; Sigma over its trace.")


def _heads(result: Result) -> Table:
    rows: list[list[Cell]] = []
    for each in result.values:
        heads, spectra = each.alignments, each.spectra
        aligned: list[Cell] = [None] * 5
        if heads:
            angles = median(head.angles[0] for head in heads), median(head.null_angles[0] for head in heads)
            axis = min(head.angle_p_values[0] for head in heads)
            aligned = [each.cosine, min(head.p_value for head in heads), *angles, axis]
        spectrum = median(s.distance for s in spectra), median(s.null_distance for s in spectra)
        rows.append([each.label, len(heads), *aligned, *spectrum, min(s.p_value for s in spectra)])
    columns: list[Column | str] = [
        "network",
        Column("heads", digits=3),
        Column("mean |cos|", decimals=2),
        Column("least p", digits=2),
        Column("angle", "°", decimals=0),
        Column("random", "°", decimals=0),
        Column("least p", digits=2),
        Column("spectra", "0 to 1", decimals=2),
        Column("random", decimals=2),
        Column("least p", digits=2),
    ]
    return Table(
        columns,
        rows,
        "How many heads have axes, and three comparisons with Sigma, each beside chance and the least p of a head: the "
        "cosine of the matrices; the angle between the leading eigenvectors, median over heads, beside that of random "
        "rotations; the distance of the spectra, median over heads, beside that of random symmetric matrices.",
        note="p-values of single heads are not corrected for their number; the least possible is "
        f"{1 / (result.rotations + 1):.3g}. A dash: all values are multiples of the identity, which have no axes.",
    )
