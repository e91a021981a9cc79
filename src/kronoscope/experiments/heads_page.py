"""The page of ``kronoscope reproduce heads``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report import Column, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell

if TYPE_CHECKING:
    from .heads import Growth, HeadsResult

ROLES = ("baseline-3", "learnt", "baseline-2", "second", "baseline", "held-out")
CLOSE = 0.05


def page(result: HeadsResult) -> Report:
    """One claim about a rate; the lags that networks keep, beside those that they need."""
    return Report(
        "How many heads does a kernel need?",
        "As many as it has lags worth keeping: (lengthscale) × log(1/accuracy)^(1/ν) for a kernel that falls like "
        "exp(−(lag/lengthscale)^ν), a power of 1/accuracy for one that falls like a power of the lag.",
        facts={
            "accuracy": "of the kernel, spectral norm (Gershgorin), relative to the sum of its values",
            "heads of J lags": "J + 1 (arc), at most 2J + 3 (affine), 4(2J + 1) (trapezoid)",
        },
        sections=[_laws(result), _lengths(result), _networks(result)],
        verdict=_verdict(result),
    )


def _verdict(result: HeadsResult) -> Verdict:
    def gap(one: Growth) -> float:
        return abs((one.asymptotic or one.practical).value / one.law.exponent - 1)

    exponential = max((one for one in result.growth if one.asymptotic), key=gap)
    polynomial = max((one for one in result.growth if not one.asymptotic), key=gap)
    numbers = [
        Number(
            f"{100 * gap(worst):.1f} %",
            f"off the predicted exponent, {kind} decay, at worst",
            f"{worst.law.name}: {(worst.asymptotic or worst.practical).value:.3f} for {worst.law.exponent:.3f}",
            "good" if gap(worst) <= limit else "bad",
        )
        for kind, worst, limit in (("exponential", exponential, CLOSE), ("polynomial", polynomial, 2 * CLOSE))
    ]
    lengths = max((one.value for one in result.lengthscale_slopes.values()), key=lambda value: abs(value - 1))
    numbers.append(
        Number(
            f"{lengths:.3f}", "exponent of the lengthscale, at worst", "1 expected", _good(abs(lengths - 1) <= CLOSE)
        )
    )
    every = [one for row in result.networks.values() for one in row]
    held = sum(one.error <= one.bound <= one.tolerance for one in every)
    numbers.append(
        Number(
            f"{held} of {len(every)}",
            "networks with error ≤ bound ≤ tolerance",
            "all expected",
            _good(held == len(every)),
        )
    )
    return Verdict(numbers)


def _good(holds: bool) -> str:
    return "good" if holds else "bad"


def _laws(result: HeadsResult) -> Section:
    panels = [
        LinePanel(
            title,
            "accuracy of the kernel",
            "lags J",
            [
                Line(one.law.name, role, one.accuracies[::-1], [max(1, lag) for lag in one.lags[::-1]])
                for one, role in zip(result.growth, ROLES, strict=True)
                if one.law.polynomial == polynomial
            ],
            log_x=True,
            log_y=True,
        )
        for title, polynomial in (("decay like an exponential", False), ("decay like a power", True))
    ]
    figure = Figure(
        panels,
        "Lags that must be kept, against the accuracy asked for: read from right to left as the demand rises. Left, "
        "twelve decades of accuracy cost a factor of a few: the logarithm rules. Right, every decade costs the same "
        "factor, a straight line, and truncation soon saves nothing. All lengthscales are 8. A kernel whose values "
        "cannot be summed (long memory) has no such line: whatever is cut off matters.",
        "Lags against accuracy for six kernels.",
        columns=2,
    )
    rows: list[list[Cell]] = []
    for one in result.growth:
        end = one.asymptotic
        reach: list[Cell] = [None, None, None] if end is None else [end.value, end.lower, end.upper]
        rows.append([one.law.name, one.law.exponent, one.practical.value, *reach])
    columns: list[Column | str] = [
        "kernel",
        Column("expected", decimals=3),
        Column("fitted, in the figure", decimals=3),
    ]
    columns += [Column(name, decimals=3) for name in ("fitted, 1e−20 to 1e−150", "95 % from", "to")]
    table = Table(
        columns,
        rows,
        "Exponent of log(1/accuracy), for the upper four (1/ν), and of 1/accuracy, for the lower two (1/(p − 1) for a "
        "decay like lag⁻ᵖ). Within the figure the exponents of the upper four are still off by the logarithmic factor "
        "in front of the tail; where the accuracy is extreme it has faded, and the law must show.",
        row_roles=ROLES,
    )
    return Section("The law of the lags", "", [figure, table])


def _lengths(result: HeadsResult) -> Section:
    from .heads import AT_ACCURACY, LENGTHSCALES

    lines = [
        Line(name, role, list(LENGTHSCALES), row, markers=True)
        for (name, row), role in zip(result.by_lengthscale.items(), ROLES, strict=True)
    ]
    panel = LinePanel("", "lengthscale (frames)", "lags J", lines, log_x=True, log_y=True, x_ticks=list(LENGTHSCALES))
    caption = (
        f"Lags against the lengthscale at accuracy {AT_ACCURACY:g}: parallel lines of slope 1, because a kernel of "
        "twice the lengthscale is the same kernel on a grid twice as fine."
    )
    return Section("The lengthscale", "", [Figure([panel], caption, "Lags against lengthscale, straight lines.")])


def _networks(result: HeadsResult) -> Section:
    panels = []
    rows: list[list[Cell]] = []
    for name, row in result.networks.items():
        tolerances = [one.tolerance for one in row][::-1]
        every = Line("all of them", "null", tolerances, [result.frames - 1] * len(row))
        kept = Line("kept, for the proof", "learnt", tolerances, [one.kept for one in row][::-1], markers=True)
        needed = Line("needed", "truth", tolerances, [one.needed for one in row][::-1], markers=True)
        panels.append(
            LinePanel(
                name,
                "tolerance of the score",
                "lags J",
                [every, kept, needed],
                log_x=True,
                y_limits=(0, 1.05 * result.frames),
            )
        )
        last = row[len(row) // 2]
        heads: list[Cell] = [last.heads[kind] for kind in ("affine", "arc", "trapezoid")]
        rows.append([name, last.tolerance, last.kept, last.needed, *heads, last.bound, last.error])
    figure = Figure(
        panels,
        f"Compiled networks of {result.frames} frames, for diffusion times from 0.1: lags that the compiler keeps so "
        "that its bound is proven, against those that would do if the whole tolerance were spent on cutting lags off "
        "and the error were known exactly. The gap is the price of a bound that looks at sums of lags only, and of the "
        "share of the tolerance that the iteration gets. The dotted line is what no truncation costs.",
        "Lags kept, needed and possible against tolerance, for kernels of every decay class.",
        columns=2,
    )
    columns: list[Column | str] = ["kernel", "tolerance", Column("J kept", digits=4), Column("J needed", digits=4)]
    columns += [Column(f"heads, {kind}", digits=5) for kind in ("affine", "arc", "trapezoid")]
    columns += ["proven bound", "error of the network"]
    caption = (
        "One tolerance of each panel, counted on the networks: heads of the three kinds, and the error of the network "
        "with affine heads on drawn sequences, which must be below its bound. Affine heads whose hinge lies beyond the "
        "longest lag are left out, so that 2J + 3 is reached only where lags are cut off."
    )
    return Section("What networks keep", "", [figure, Table(columns, rows, caption)])
