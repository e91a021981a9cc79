"""Panels on the axes of matplotlib, in the colours that the caller gives: those of a page, or of a figure by itself."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, Formatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from .figures import Bar, BarPanel, Line, LinePanel, MatrixPanel
from .numerals import brief, power_of_ten
from .palette import ROLES, Inks

Axis = Literal["x", "y"]
FONT_SIZE = 11.5


@contextmanager
def styled(inks: Inks) -> Iterator[None]:
    """This module's style whatever the user's own settings are, which come back afterwards."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_style(inks))
        yield


def _style(inks: Inks) -> Any:
    return {
        "text.parse_math": False,
        "text.color": inks.ink,
        "svg.fonttype": "none",
        "svg.hashsalt": "kronoscope",
        "font.size": FONT_SIZE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": inks.rule,
        "axes.linewidth": 1.0,
        "axes.facecolor": "none",
        "axes.axisbelow": True,
        "axes.labelcolor": inks.muted,
        "lines.solid_capstyle": "round",
        "lines.scale_dashes": True,
        "figure.facecolor": "none",
        "figure.dpi": 72.0,
        "path.simplify_threshold": 0.1,
    }


def _dress(axes: Axes, inks: Inks) -> None:
    """Ticks that keep their look when they are made after the style is gone."""
    axes.tick_params(which="both", color=inks.rule, labelcolor=inks.muted, labelsize=FONT_SIZE)
    axes.tick_params(axis="x", which="major", length=4.0, pad=4.0)
    axes.tick_params(axis="x", which="minor", length=2.0)
    axes.tick_params(axis="y", which="major", length=0.0, pad=6.0)


def _grid(axes: Axes, axis: Axis, inks: Inks) -> None:
    axes.grid(True, axis=axis, color=inks.rule, linewidth=0.6)


def draw_lines(axes: Axes, panel: LinePanel, width: float, inks: Inks) -> None:
    """Curves and bands; ``width`` px decides how many ticks there are."""
    _dress(axes, inks)
    _grid(axes, "y", inks)
    if panel.log_x:
        _log_axis(axes, "x", [v for line in panel.series for v in line.x])
    if panel.log_y:
        _log_axis(axes, "y", [v for line in panel.series for v in line.extent])
    for line in panel.series:
        draw_line(axes, line, inks)
    axes.margins(x=0.03 if any(line.markers for line in panel.series) else 0.0, y=0.06)
    _limit(axes, "x", panel.x_limits)
    _limit(axes, "y", panel.y_limits)
    _plain_ticks(axes, "x", panel.log_x, 5 if width < 400 else 7)
    _plain_ticks(axes, "y", panel.log_y, 5)
    if panel.x_ticks is not None:
        axes.xaxis.set_major_locator(FixedLocator(list(panel.x_ticks)))
        axes.xaxis.set_minor_locator(NullLocator())


def draw_line(axes: Axes, line: Line, inks: Inks) -> None:
    """One curve with its band."""
    look, colour = ROLES[line.role], inks.roles[line.role]
    if line.lower is not None and line.upper is not None:
        axes.fill_between(line.x, line.lower, line.upper, color=colour, alpha=0.16, linewidth=0)
    dash = look.dash or ((4.0, 2.0) if line.dashed else ())
    style: dict[str, Any] = {"linestyle": (0, dash)} if dash else {}
    if line.markers or len(line.x) == 1:
        style |= marker(line.role, 7.0, inks)
    axes.plot(line.x, line.y, color=colour, linewidth=1.0 if line.thin else 2.0, alpha=0.6 if line.thin else 1, **style)


def marker(role: str, size: float, inks: Inks) -> dict[str, Any]:
    """How ``plot`` marks a point of that role."""
    shape = ROLES[role].marker
    edge = {"markeredgecolor": inks.roles[role], "markeredgewidth": 2.0}
    if shape != "x":
        edge = {"markeredgecolor": inks.page, "markeredgewidth": 1.0}
    return {"marker": shape, "markersize": size * (1.5 if shape == "*" else 1.0)} | edge


def frame_matrix(axes: Axes, panel: MatrixPanel, width: float, inks: Inks) -> None:
    """The axes that a matrix stands in, cell by square cell; the caller fills them."""
    rows, columns = len(panel.values), len(panel.values[0])
    _dress(axes, inks)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_aspect("equal" if 0.5 <= rows / columns <= 2 else "auto")
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    _name_ticks(axes, "x", panel.x_ticks, width)
    _name_ticks(axes, "y", panel.y_ticks, width)


def bars_height(panel: BarPanel, width: float) -> float:
    """Height in px that the bars and their labels need."""
    return 30 + sum(14 + 15 * len(lines_of(bar.label, _label_room(width))) for bar in panel.bars)


def _label_room(width: float) -> int:
    return 16 if width < 400 else 30


def draw_bars(axes: Axes, panel: BarPanel, width: float, inks: Inks) -> None:
    """Horizontal bars, or dots on a logarithmic axis, with the value written at the end."""
    _dress(axes, inks)
    _grid(axes, "x", inks)
    axes.spines["left"].set_visible(not panel.log_x)
    if panel.log_x:
        _log_axis(axes, "x", [v for bar in panel.bars for v in bar.extent])
    for row, bar in enumerate(panel.bars):
        _draw_bar(axes, row, bar, panel.log_x, inks)
        label = lines_of(bar.label, _label_room(width))
        for number, words in enumerate(label):
            shift = 14 * ((len(label) - 1) / 2 - number)
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(words, (0, row), xytext=(-9, shift), ha="right", va="center", color=inks.ink, **place)
    axes.set_yticks([])
    axes.set_ylim(len(panel.bars) - 0.4, -0.6)
    axes.margins(x=0.16)
    _limit(axes, "x", panel.x_limits)
    _plain_ticks(axes, "x", panel.log_x, 4 if width < 400 else 6)


def lines_of(label: str, most: int) -> list[str]:
    """A label in lines of at most so many characters; a word that is longer breaks at its hyphens, if it has some."""
    long = any(len(word) > most for word in label.split())
    return textwrap.wrap(label, most, break_on_hyphens=long)


def _draw_bar(axes: Axes, row: int, bar: Bar, dot: bool, inks: Inks) -> None:
    colour = inks.roles[bar.role]
    if dot:
        axes.plot(bar.value, row, color=colour, **marker(bar.role, 9.0, inks))
    else:
        axes.barh(row, bar.value, height=0.62, color=colour, alpha=0.85)
    if bar.lower is not None and bar.upper is not None:
        axes.hlines(row, bar.lower, bar.upper, color=colour if dot else inks.ink, linewidth=1.6)
    end = max(bar.extent) if dot else max(0.0, *bar.extent)  # to the right of the interval, too
    place: dict[str, Any] = {"textcoords": "offset points", "color": inks.ink}
    axes.annotate(brief(bar.value), (end, row), xytext=(8, 0), va="center", **place)


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


def _name_ticks(axes: Axes, axis: Axis, names: Any, width: float) -> None:
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
