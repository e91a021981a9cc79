"""The page of ``kronoscope reproduce values``."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from ..report import Bar, BarPanel, Column, Figure, MatrixPanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .control import FEATURES
from .learning_page import how
from .yardstick_networks import LABELS, ROLES

if TYPE_CHECKING:
    from ..probes import Alignment
    from .values import Reading, ValuesResult

TARGET = 1e-6
NAMES = {"compiled": "compiled", "unrolled": "unrolled", "position": "position-only", "dit": "DiT, linear path"}


def page(result: ValuesResult, quick: bool) -> Report:
    """One claim, the matrices, the angles, the null."""
    return Report(
        "Do the value matrices carry the spatial covariance?",
        "The theory puts Gamma into the attention weights and Sigma into the value matrices. In a compiled network "
        "this is so to the last digit. Whether training puts it there too depends on the network.",
        facts={
            "truth": "exponential kernel, lengthscale 8, 32 frames, 4 features",
            "training": "the library's presets" + (", cut short" if quick else ""),
        },
        sections=[
            Section("The nearest Sigma", "", [_matrices(result), _products(result)]),
            Section("Head by head", "", [_bars(result), _heads(result)]),
            how(
                "The heads of a block are Σ Wₘ ⊗ Vₘ; Sigma and Gamma are the nearest single Kronecker product, and the "
                "share says how much of the heads it holds. A head's alignment is the cosine between its value matrix "
                "and Sigma, both symmetric and without their trace, and its p-value counts how many random rotations "
                "of Sigma (Haar, 999 of them) have a |cosine| as large: the sign of a value matrix can be moved into "
                "its head's map. The p-value of the first axis counts those whose angle is as small. The spectrum "
                "compares eigenvalues alone, each over the sum of their sizes, by half the sum of the differences; its "
                "null is 999 random symmetric matrices (Gaussian orthogonal ensemble), which is what an untrained "
                "value matrix is. A value matrix of a network with several blocks and an inner "
                "width is one factor of a long product, so it need not be Sigma even where the whole network is right: "
                "only the whole's Jacobian must be (see reproduce jacobian). The claim would have been refuted for a "
                "network whose heads agree with Sigma no better than random rotations, or no better than those of the "
                "same network trained on white noise, whose cosine stands beside it at the top: the table says for "
                "which that is so."
            ),
        ],
        verdict=_verdict(result),
    )


def name(one: Reading) -> str:
    """Network and how it was trained."""
    return NAMES[one.name] if one.kind == "compiled" else f"{NAMES[one.name]}, {LABELS[one.kind]}"


def _verdict(result: ValuesResult) -> Verdict:
    compiled = result.readings[0]
    numbers = [
        Number(
            f"{max(compiled.gap, compiled.temporal_gap):.0e}",
            "largest error of Sigma and Gamma, compiled",
            f"target {TARGET:g}",
            "good" if max(compiled.gap, compiled.temporal_gap) <= TARGET else "bad",
        )
    ]
    for one in result.readings:
        if one.kind == "trained" and one.cosine is not None:
            beyond = sum(head.p_value <= 0.05 / len(one.alignments) for head in one.alignments)
            white = result.of(one.name, "white")
            null = white.cosine if white is not None else None
            numbers.append(
                Number(
                    f"{one.cosine:.2f}",
                    f"mean |cosine| with Sigma, {NAMES[one.name]}",
                    f"trained on white noise: {'no axes' if null is None else f'{null:.2f}'}; random: "
                    f"{result.null_cosine[0]:.2f}; {beyond} of {len(one.alignments)} heads beyond chance "
                    "(Bonferroni, 5 %)",
                    "good" if one.cosine > max(result.null_cosine[1], null or 0.0) else "neutral",
                )
            )
    return Verdict(numbers)


def _matrices(result: ValuesResult) -> Figure:
    truth = result.process.spatial_covariance
    every = {"truth": truth} | {name(one): one.sigma for one in result.readings if one.kind != "untrained"}
    shown = {title: one / one.norm() for title, one in every.items()}
    reach = max(float(one.abs().max()) for one in shown.values())
    names = [str(a) for a in range(FEATURES)]
    panels = [
        MatrixPanel(
            title, one.tolist(), "feature", "feature", "over the norm", names, names, (-reach, reach), diverging=True
        )
        for title, one in shown.items()
    ]
    caption = (
        "Spatial factor of the first block's heads (nearest Kronecker product), over its norm, beside Sigma. A "
        "network that keeps Sigma in its values shows the pattern of the first picture."
    )
    return Figure(panels, caption, "Spatial factors of compiled and trained networks beside Sigma.", columns=4)


def _bars(result: ValuesResult) -> Figure:
    bars = []
    for one in result.readings:
        if one.cosine is None:
            continue
        values = [abs(head.cosine) for head in one.alignments]
        role = "floor" if one.kind == "compiled" else ROLES[one.kind]
        bars.append(Bar(name(one), role, one.cosine, min(values), max(values)))
    mean, high = result.null_cosine
    bars.append(Bar("random rotations (to 95 %)", "null", mean, 0.0, high))
    caption = (
        "Mean |cosine| of the heads' value matrices with Sigma, and from the least to the most aligned head. The last "
        "bar is chance: random rotations of Sigma, up to their 95 % point."
    )
    panel = BarPanel("", "|cosine| with Sigma", bars, x_limits=(0.0, 1.02))
    return Figure([panel], caption, "Alignment of value matrices with Sigma by network, beside chance.")


def _products(result: ValuesResult) -> Table:
    rows: list[list[Cell]] = [[name(one), one.gap, one.temporal_gap, one.share] for one in result.readings]
    columns: list[Column | str] = [
        "network",
        Column("error of Sigma", "relative", digits=2),
        Column("error of Gamma", digits=2),
        Column("share of one product", digits=3),
    ]
    return Table(columns, rows, "Of the first block's nearest Kronecker product, Sigma over its trace.")


def _heads(result: ValuesResult) -> Table:
    rows: list[list[Cell]] = []
    for one in result.readings:
        heads = one.alignments
        told: list[Cell] = [None] * 5
        if heads:
            axis = min(head.angle_p_values[0] for head in heads)
            angles = [median(a[0] for a in each) for each in _angles(heads)]
            told = [one.cosine, min(head.p_value for head in heads), *angles, axis]
        spectrum: list[Cell] = [
            median(found.distance for found in one.spectra),
            median(found.null_distance for found in one.spectra),
            min(found.p_value for found in one.spectra),
        ]
        rows.append([name(one), len(heads), *told, *spectrum])
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
        "How many heads have axes, and three comparisons with Sigma, each followed by chance and by the least p of a "
        "head: the cosine of the matrices; the angle between the leading eigenvectors, median over heads, beside that "
        "of random rotations; the distance of the spectra, median over all heads, beside that of random symmetric "
        "matrices.",
        note="p-values of single heads are not corrected for their number; with 999 rotations the least possible is "
        "0.001. A dash stands where all values are multiples of the identity, which have no axes to compare.",
    )


def _angles(heads: Sequence[Alignment]) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    return [head.angles for head in heads], [head.null_angles for head in heads]
