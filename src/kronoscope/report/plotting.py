"""A figure record as a figure of matplotlib, drawn by the same code as the figures of a page."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import figure as matplotlib_figure
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import svg
from .axes import FONT_SIZE, bars_height, draw_bars, draw_lines, frame_matrix, marker, styled
from .figures import BarPanel, Figure, Line, LinePanel, MatrixPanel, Panel
from .palette import ROLES, Inks, inks

WIDTHS = {1: 500, 2: 350, 3: 270, 4: 220}
"""Width of a panel in points, by the number of columns."""
DPI = 100.0
CHARACTER = 6.4  # points, of a label


class Plot(matplotlib_figure.Figure):
    """A figure of matplotlib that a notebook shows, without pyplot; ``record`` has its caption and its numbers."""

    record: Figure

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        FigureCanvasAgg(self).print_png(stream)
        return stream.getvalue()


def plot(record: Figure, scheme: str = "light") -> Plot:
    """Draw a figure record: panels, one legend, one colour scale. Global settings and pyplot are left alone.

    Args:
        record: What to draw; also on the result, as ``.record``, with the caption.
        scheme: "light" or "dark".

    Returns:
        A ``matplotlib.figure.Figure``: ``.savefig("figure.pdf")``, or the last line of a notebook's cell.
    """
    colours = inks(scheme)
    columns = min(record.columns, len(record.panels))
    rows = [record.panels[i : i + columns] for i in range(0, len(record.panels), columns)]
    width = WIDTHS[columns]
    heights = [max(_height(panel, width, columns) for panel in row) for row in rows]
    with styled(colours):
        size = columns * width / 72, (sum(heights) + 16 * len(record.legend)) / 72
        layout = ConstrainedLayoutEngine(w_pad=6 / 72, h_pad=6 / 72)
        canvas = Plot(figsize=size, dpi=DPI, layout=layout, facecolor=colours.page)
        canvas.record = record
        grid = canvas.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
        images: list[Any] = []
        for place, panel in zip(grid.flat, record.panels, strict=False):
            images += _draw(place, panel, record.colour_limits, width, scheme, colours)
        for empty in grid.flat[len(record.panels) :]:
            empty.remove()
        _draw_legend(canvas, record.legend, colours)
        _draw_scale(canvas, images, record.matrices, colours)
    return canvas


def _height(panel: Panel, width: float, columns: int) -> float:
    title = 20.0 * bool(panel.title) + 20
    if isinstance(panel, BarPanel):
        return bars_height(panel, width) + title
    if isinstance(panel, MatrixPanel):
        return width * (0.8 if columns == 1 else 0.95) + title
    return width * (0.55 if columns == 1 else 0.68) + title


def _draw(
    axes: Axes, panel: Panel, limits: tuple[float, float] | None, width: float, scheme: str, colours: Inks
) -> list[Any]:
    """One panel with its title and labels; the images that the colour scale belongs to."""
    images = []
    if isinstance(panel, LinePanel):
        draw_lines(axes, panel, width, colours)
    elif isinstance(panel, BarPanel):
        draw_bars(axes, panel, width, colours)
    else:
        assert limits is not None
        frame_matrix(axes, panel, width, colours)
        colour_map = ListedColormap(svg.colour_map(panel.diverging, scheme) / 255)
        low, high = limits
        image = axes.imshow(
            np.asarray(panel.values), cmap=colour_map, vmin=low, vmax=high, aspect=axes.get_aspect(), zorder=0.5
        )
        images.append(image)
    room = max(12, int(width / CHARACTER))
    axes.set_title(textwrap.fill(panel.title, room), fontsize=FONT_SIZE, fontweight="bold", loc="left")
    axes.set_xlabel(textwrap.fill(panel.x_label, room), fontsize=FONT_SIZE - 1)
    if not isinstance(panel, BarPanel):
        axes.set_ylabel(textwrap.fill(panel.y_label, max(12, int(0.6 * room))), fontsize=FONT_SIZE - 1)
    return images


def _draw_legend(canvas: Plot, lines: Sequence[Line], colours: Inks) -> None:
    if not lines:
        return
    handles: list[Any] = [_handle(line, colours) for line in lines]
    length = max(len(line.label) for line in lines) + 8
    columns = max(1, min(len(lines), math.floor(canvas.get_figwidth() * 72 / (length * CHARACTER))))
    labels = [line.label for line in lines]
    canvas.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=FONT_SIZE - 1,
        handlelength=3.0,
    )


def _handle(line: Line, colours: Inks) -> Artist | tuple[Artist, ...]:
    colour, look = colours.roles[line.role], ROLES[line.role]
    dash = look.dash or ((4.0, 2.0) if line.dashed else ())
    style: dict[str, Any] = marker(line.role, 7.0, colours) if line.markers else {}
    curve = Line2D([], [], color=colour, linewidth=2.0, linestyle=(0, dash) if dash else "-", **style)
    return curve if line.lower is None else (Patch(color=colour, alpha=0.16, linewidth=0), curve)


def _draw_scale(canvas: Plot, images: Sequence[Any], matrices: Sequence[MatrixPanel], colours: Inks) -> None:
    if not images:
        return
    bar = canvas.colorbar(images[0], ax=[image.axes for image in images], shrink=0.7, aspect=24, pad=0.02)
    bar.set_label(matrices[0].value_label, color=colours.muted, fontsize=FONT_SIZE - 1)
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=colours.rule, labelcolor=colours.muted, labelsize=FONT_SIZE - 1, length=0)
