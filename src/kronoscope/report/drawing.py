"""Panels drawn by matplotlib, as SVG that takes its colours and its typeface from the page around it.

Every colour is drawn as a stand-in that ``svg.adapt`` turns into a CSS variable. Titles and axis labels are not drawn
here: they are text of the page, which wraps on a narrow screen.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, Formatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from . import svg
from .figures import Bar, BarPanel, Line, LinePanel, MatrixPanel
from .numerals import brief, power_of_ten
from .palette import ROLES

Axis = Literal["x", "y"]

WIDTHS = {1: 720, 2: 500, 3: 345, 4: 260}
"""Width of a panel in px, by the number of columns."""
PHONE = 340
"""Width of a panel on a phone in px."""

_STYLE: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "kronoscope",
    "font.size": 11.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": svg.RULE,
    "axes.linewidth": 1.0,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "grid.color": svg.RULE,
    "grid.linewidth": 0.6,
    "xtick.color": svg.RULE,
    "ytick.color": svg.RULE,
    "xtick.labelcolor": svg.MUTED,
    "ytick.labelcolor": svg.MUTED,
    "xtick.major.size": 4.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 2.0,
    "xtick.major.pad": 4.0,
    "ytick.major.pad": 6.0,
    "lines.solid_capstyle": "round",
    "lines.scale_dashes": True,
    "figure.facecolor": "none",
    "figure.dpi": 72.0,
    "path.simplify_threshold": 0.1,
}


def line_panel(panel: LinePanel, width: int, prefix: str) -> str:
    """Curves and bands. ``prefix`` makes the ids of this SVG unique on the page."""
    with _axes(width, height=_height(width)) as (canvas, axes):
        axes.grid(True, axis="y")
        if panel.log_x:
            _log_axis(axes, "x", [v for line in panel.series for v in line.x])
        if panel.log_y:
            _log_axis(axes, "y", [v for line in panel.series for v in line.extent])
        for line in panel.series:
            _draw_line(axes, line)
        axes.margins(x=0.03 if any(line.markers for line in panel.series) else 0.0, y=0.06)
        _limit(axes, "x", panel.x_limits)
        _limit(axes, "y", panel.y_limits)
        _plain_ticks(axes, "x", panel.log_x, 5 if width < 400 else 7)
        _plain_ticks(axes, "y", panel.log_y, 5)
        if panel.x_ticks is not None:
            axes.xaxis.set_major_locator(FixedLocator(list(panel.x_ticks)))
            axes.xaxis.set_minor_locator(NullLocator())
        return _finish(canvas, prefix)


def _draw_line(axes: Axes, line: Line) -> None:
    look, colour = ROLES[line.role], svg.STAND_INS[line.role]
    if line.lower is not None and line.upper is not None:
        axes.fill_between(line.x, line.lower, line.upper, color=colour, alpha=0.16, linewidth=0)
    dash = look.dash or ((4.0, 2.0) if line.dashed else ())
    style: dict[str, Any] = {"linestyle": (0, dash)} if dash else {}
    if line.markers or len(line.x) == 1:
        style |= _marker(line.role, 7.0)
    axes.plot(line.x, line.y, color=colour, linewidth=1.0 if line.thin else 2.0, alpha=0.6 if line.thin else 1, **style)


def _marker(role: str, size: float) -> dict[str, Any]:
    marker = ROLES[role].marker
    edge = {"markeredgecolor": svg.STAND_INS[role], "markeredgewidth": 2.0}
    if marker != "x":
        edge = {"markeredgecolor": svg.PAGE, "markeredgewidth": 1.0}
    return {"marker": marker, "markersize": size * (1.5 if marker == "*" else 1.0)} | edge


def matrix_panel(panel: MatrixPanel, limits: tuple[float, float], width: int, prefix: str) -> str:
    """A matrix as one embedded image for each scheme, drawn square cell by square cell."""
    rows, columns = len(panel.values), len(panel.values[0])
    with _axes(width, height=width * 0.96) as (canvas, axes):
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_aspect("equal" if 0.5 <= rows / columns <= 2 else "auto")
        for side in axes.spines.values():
            side.set_visible(False)
        axes.tick_params(length=0)
        _name_ticks(axes, "x", panel.x_ticks, width)
        _name_ticks(axes, "y", panel.y_ticks, width)
        image = axes.add_patch(Rectangle((-0.5, -0.5), columns, rows, linewidth=0))
        image.set_gid(svg.IMAGE)
        return _finish(canvas, prefix, svg.MatrixImage(panel.values, limits, panel.diverging))


def bar_panel(panel: BarPanel, width: int, prefix: str) -> str:
    """Horizontal bars, or dots on a logarithmic axis, with the value written at the end."""
    count = len(panel.bars)
    labels = [_lines_of(bar.label, 16 if width < 400 else 30) for bar in panel.bars]
    with _axes(width, height=30 + sum(14 + 15 * len(label) for label in labels)) as (canvas, axes):
        axes.grid(True, axis="x")
        axes.spines["left"].set_visible(not panel.log_x)
        if panel.log_x:
            _log_axis(axes, "x", [v for bar in panel.bars for v in bar.extent])
        for row, (bar, label) in enumerate(zip(panel.bars, labels)):
            _draw_bar(axes, row, bar, dot=panel.log_x)
            for number, words in enumerate(label):
                shift = 14 * ((len(label) - 1) / 2 - number)
                place: dict[str, Any] = {
                    "xycoords": ("axes fraction", "data"),
                    "textcoords": "offset points",
                    "color": svg.INK,
                }
                axes.annotate(words, (0, row), xytext=(-9, shift), ha="right", va="center", **place)
        axes.set_yticks([])
        axes.set_ylim(count - 0.4, -0.6)
        axes.margins(x=0.16)
        _limit(axes, "x", panel.x_limits)
        _plain_ticks(axes, "x", panel.log_x, 4 if width < 400 else 6)
        return _finish(canvas, prefix)


def _lines_of(label: str, most: int) -> list[str]:
    """A label in lines of at most so many characters; a word that is longer breaks at its hyphens, if it has some."""
    long = any(len(word) > most for word in label.split())
    return textwrap.wrap(label, most, break_on_hyphens=long)


def _draw_bar(axes: Axes, row: int, bar: Bar, dot: bool) -> None:
    colour = svg.STAND_INS[bar.role]
    if dot:
        axes.plot(bar.value, row, color=colour, **_marker(bar.role, 9.0))
    else:
        axes.barh(row, bar.value, height=0.62, color=colour, alpha=0.85)
    if bar.lower is not None and bar.upper is not None:
        axes.hlines(row, bar.lower, bar.upper, color=colour if dot else svg.INK, linewidth=1.6)
    end = max(bar.extent) if dot else max(0.0, *bar.extent)  # to the right of the interval, too
    place: dict[str, Any] = {"textcoords": "offset points", "color": svg.INK}
    axes.annotate(brief(bar.value), (end, row), xytext=(8, 0), va="center", **place)


def swatch(line: Line, prefix: str) -> str:
    """The look of a line, for the legend."""
    ends = (None, None) if line.lower is None else ((-1, -1, -1), (1, 1, 1))
    sample = replace(line, x=(0, 1, 2), y=(0, 0, 0), lower=ends[0], upper=ends[1], thin=False, markers=False)
    with _axes(34, 14) as (canvas, axes):
        axes.set_axis_off()
        axes.set_position((0, 0, 1, 1))
        canvas.set_layout_engine("none")
        _draw_line(axes, sample)
        if line.markers:
            axes.plot(1, 0, color=svg.STAND_INS[line.role], **_marker(line.role, 7.0))
        axes.set_xlim(-0.1, 2.1)
        axes.set_ylim(-1.4, 1.4)
        return _finish(canvas, prefix)


def dot(role: str, prefix: str) -> str:
    """The marker of a role, for the rows of a table and the dots of a bar panel."""
    with _axes(14, 14) as (canvas, axes):
        axes.set_axis_off()
        axes.set_position((0, 0, 1, 1))
        canvas.set_layout_engine("none")
        axes.plot(0, 0, color=svg.STAND_INS[role], **_marker(role, 9.0))
        return _finish(canvas, prefix)


@contextmanager
def _axes(width: float, height: float) -> Iterator[tuple[Canvas, Axes]]:
    """An empty panel of so many px, in this module's style whatever the user's own settings are."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        canvas = Canvas(figsize=(width / 72, height / 72), layout=ConstrainedLayoutEngine(w_pad=2 / 72, h_pad=2 / 72))
        yield canvas, canvas.add_subplot()


def _finish(canvas: Canvas, prefix: str, image: svg.MatrixImage | None = None) -> str:
    stream = io.StringIO()
    FigureCanvasSVG(canvas).print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return svg.adapt(stream.getvalue(), prefix, image)


def _height(width: int) -> float:
    return {720: 340, 500: 290}.get(width, width * 0.68)


def _limit(axes: Axes, axis: Axis, limits: Any) -> None:
    if limits is not None:
        getattr(axes, f"set_{axis}lim")(*limits)


class _Labels(Formatter):
    """Labels of ticks: plain numbers, or powers of ten for all of them; with as many digits as tell them apart."""

    def __init__(self, log: bool) -> None:
        self._log = log

    def __call__(self, value: float, pos: int | None = None) -> str:
        return self.format_ticks([value])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        low, high = sorted(self.axis.get_view_interval()) if self.axis is not None else (min(values), max(values))
        reach = max(abs(low), abs(high))
        if not self._log:
            values = [0.0 if abs(value) < 1e-9 * reach else value for value in values]
        powers = reach >= 1e5 or (low if self._log else reach) < 1e-3
        for digits in range(3, 16):
            labels = [_tick(value, digits, powers) for value in values]
            if len(set(labels)) == len(set(values)):
                break
        return labels


def _tick(value: float, digits: int, power: bool) -> str:
    if value == 0 or not power:
        text = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
        return text.replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    lead = mantissa.rstrip("0").rstrip(".").replace("-", "−")
    return power_of_ten(int(exponent)) if lead == "1" else f"{lead}×{power_of_ten(int(exponent))}"


def _plain_ticks(axes: Axes, axis: Axis, log: bool, most: int) -> None:
    if not log:
        which = axes.xaxis if axis == "x" else axes.yaxis
        which.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 3, 5, 6, 10]))
        which.set_major_formatter(_Labels(log=False))


def _log_axis(axes: Axes, axis: Axis, values: list[float]) -> None:
    """A logarithmic axis; over less than two decades 2 and 5 are marked too, so that no axis has a single mark."""
    getattr(axes, f"set_{axis}scale")("log")
    which = axes.xaxis if axis == "x" else axes.yaxis
    narrow = max(values) / min(values) < 100
    which.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=7))
    which.set_minor_locator(NullLocator())
    which.set_major_formatter(_Labels(log=True))
    which.set_minor_formatter(NullFormatter())


def _name_ticks(axes: Axes, axis: Axis, names: Any, width: int) -> None:
    which = axes.xaxis if axis == "x" else axes.yaxis
    if names is None:
        which.set_major_locator(MaxNLocator(5 if width < 400 else 8, integer=True))
        which.set_major_formatter(_Labels(log=False))
        return
    labels = [_shortened(name) for name in names]
    if len(set(labels)) < len(set(names)):
        labels = [f"{number} {label}" for number, label in enumerate(labels, 1)]
    which.set_ticks(range(len(labels)), labels)
    crowded = axis == "x" and sum(map(len, labels)) * 6.5 > width * 0.7
    size = max(7.0, min(11.0, width * 0.62 / len(labels)))
    axes.tick_params(axis=axis, labelsize=size, labelrotation=90 if crowded else 0)


def _shortened(name: str, most: int = 18) -> str:
    """A name that would eat the panel loses its middle, where names differ least."""
    name = " ".join(name.split())
    return name if len(name) <= most else f"{name[: most // 2]}…{name[1 - most // 2 :]}"
