"""The page of ``kronoscope reproduce krylov``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report import Column, Figure, Line, LinePanel, MatrixPanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .depth_page import LABELS, ROLES

if TYPE_CHECKING:
    from torch import Tensor

    from .krylov import Anatomy, Course, KrylovResult

STEPS_LABEL = "Chebyshev steps"
IN_CLASS = ("gradient-descent", "chebyshev", "chebyshev-steps")
EXACT = 1e-10
SHOWN = 1e-5  # errors below it are left out of the figure
STREAM_ROLES = ("null", "baseline", "second", "learnt")


def page(result: KrylovResult) -> Report:
    """The course of the error, between the floor and the bound; and the picture of a network."""
    return Report(
        "What do the blocks of a compiled network do?",
        "After every block the stream holds a better score: below the proven bound, above the floor of all networks "
        "that see the data through products with the covariance, and by heads that add up to Γ and values that are Σ.",
        facts={
            "process": f"exponential kernel, lengthscale 6; {result.frames} frames, 3 features",
            "diffusion time": 0.01,
            "condition number": result.condition_number,
            "measured": "exactly, from the forward record of each network on all unit vectors",
        },
        sections=[_courses(result), _weights(result.anatomy), _stream(result.anatomy)],
        verdict=_verdict(result),
    )


def _label(course: Course) -> tuple[str, str]:
    if course.iteration == "chebyshev-steps":
        return STEPS_LABEL, "second"
    return LABELS[course.iteration], ROLES[course.iteration]


def _verdict(result: KrylovResult) -> Verdict:
    proven = [(e, b) for one in result.courses for e, b in zip(one.errors, one.bounds, strict=False)]
    above = [
        error / floor
        for one in result.courses
        if one.iteration in IN_CLASS
        for error, floor in zip(one.errors, result.floor, strict=False)
        if floor > 1e-12
    ]
    gap = float((result.anatomy.summed - result.anatomy.gamma).abs().max())
    below = max(error / bound for error, bound in proven)
    escaped = [one for one in result.courses if one.iteration not in IN_CLASS]
    lower = max(one.errors[-1] / result.floor[len(one.errors) - 1] for one in escaped)
    return Verdict(
        [
            Number(f"{below:.3f}", "of its bound at most, after any block", "must not exceed 1", _standing(below <= 1)),
            Number(
                f"{min(above):.3f}",
                "of the floor at least, after any block",
                "must not be less than 1 (by more than round-off)",
                _standing(min(above) >= 1 - 1e-6),
            ),
            Number(
                f"{lower:.1e}",
                "of the floor, with a basis in the weights",
                "less than 1: they leave the class",
                _standing(lower < 1),
            ),
            Number(
                f"{gap:.0e}", "largest error of Γ in the summed heads", "of entries up to 1", _standing(gap < EXACT)
            ),
            Number(
                f"{result.anatomy.value_gap:.0e}",
                "largest error of Σ in any head's values",
                "relative",
                _standing(result.anatomy.value_gap < EXACT),
            ),
        ]
    )


def _standing(holds: bool) -> str:
    return "good" if holds else "bad"


def _courses(result: KrylovResult) -> Section:
    lines = []
    for one in result.courses:
        label, role = _label(one)
        blocks = list(range(1, len(one.errors) + 1))
        kept = [(k, e) for k, e in zip(blocks, one.errors, strict=True) if e > SHOWN]
        if kept:
            lines.append(Line(label, role, [k for k, _ in kept], [e for _, e in kept], markers=len(kept) < 12))
        if one.iteration == "chebyshev":
            lines.append(Line("bound of Chebyshev", role, blocks, one.bounds, dashed=True))
    floor = [value for value in result.floor if value > SHOWN]
    lines.append(Line("Krylov floor", "floor", list(range(1, len(floor) + 1)), floor))
    panel = LinePanel("", "block", "relative error of the score (root mean square)", lines, log_y=True)
    figure = Figure(
        [panel],
        "Error after every block, on a logarithmic axis. A network of the class must stay above the floor and, where a "
        "bound is proven for every block, below it; Chebyshev's slope is that of its bound. Chebyshev steps end where "
        "Chebyshev does, since they are the same polynomial, but what they hold on the way is worthless: no momentum, "
        "and the order of the steps decides how far they stray. The preconditioned network and the spectral block have "
        "a basis written into their position table; they fall below the floor, which does not bind them. For "
        "gradient descent, the null, the same number of blocks is far from enough. The spectral block is exact after "
        "its first attention and lies below the figure.",
        "Error by block of five networks, one bound and the floor.",
    )
    rows: list[list[Cell]] = [
        [_label(one)[0], len(one.errors), one.errors[0], one.errors[-1], one.bound] for one in result.courses
    ]
    columns: list[Column | str] = ["network", Column("blocks", digits=5), "error after the first", "after the last"]
    table = Table(
        [*columns, "proven bound"],
        rows,
        "The ends of these lines and the bound of each finished network.",
        row_roles=[_label(one)[1] for one in result.courses],
    )
    return Section("The error, block by block", "", [figure, table])


def _weights(anatomy: Anatomy) -> Section:
    together = Figure(
        [
            _matrix("all heads of the network, added up", anatomy.summed, (-1.0, 1.0)),
            _matrix("Γ", anatomy.gamma, (-1.0, 1.0)),
        ],
        "Left: attention weights of the Chebyshev network, each head times the size of its value matrix, added up over "
        "heads. Right: the temporal covariance. They must be the same picture, and are the same to round-off.",
        "Two equal pictures: summed attention weights and the temporal covariance.",
        columns=2,
    )
    reach = max(float(values.abs().max()) for values in anatomy.heads.values())
    single = Figure(
        [_matrix(f"head {m}", values, (-reach, reach)) for m, values in anatomy.heads.items()],
        "Three of the heads by themselves, in the same units. None of them looks like Γ: each is a hinge, zero up to "
        "its lag and then a ramp, and only their sum is the kernel. A picture of single heads says little about what "
        "a network has learnt or was given.",
        "Ramps: single heads.",
        columns=3,
    )
    limit = max(float(anatomy.sigma.abs().max()), float(anatomy.values.abs().max()))
    values = Figure(
        [
            _matrix("value matrix of a head, scaled", anatomy.values, (-limit, limit), "feature", "value"),
            _matrix("Σ", anatomy.sigma, (-limit, limit), "feature", "value"),
        ],
        "The value matrix of the strongest head, divided by its size, beside the spatial covariance. All heads have "
        "the same one up to their size, because the covariance is separable.",
        "Two equal pictures: a value matrix and the spatial covariance.",
        columns=2,
    )
    return Section("Attention is Γ, values are Σ", "", [together, single, values])


def _matrix(
    title: str, values: Tensor, limits: tuple[float, float], place: str = "frame", label: str = "weight"
) -> MatrixPanel:
    held = values.clamp(*limits) if float(values.abs().max()) <= limits[1] * (1 + 1e-9) else values
    return MatrixPanel(title, held.tolist(), place, place, label, limits=limits, diverging=True)


def _stream(anatomy: Anatomy) -> Section:
    frames = list(range(len(anatomy.score)))
    lines = [
        Line(f"after block {block}", role, frames, values.tolist())
        for (block, values), role in zip(anatomy.stream.items(), STREAM_ROLES, strict=False)
    ]
    exact = Line("exact score", "truth", frames, anatomy.score.tolist(), dashed=True)
    caption = (
        "What the stream holds in the place of the score, for one noised sequence and its first feature. The first "
        "block only knows the sequence itself; each block after it brings in one more product with the covariance. "
        "The line of the last block must lie under the dashed one."
    )
    panel = LinePanel("", "frame", "score (1 per unit of the data)", [*lines, exact])
    return Section("The stream converges to the score", "", [Figure([panel], caption, "Iterates and the exact score.")])
