"""Panels drawn by matplotlib, as SVG that takes its colours and its typeface from the page around it.

Every colour is drawn as a stand-in that ``svg.adapt`` turns into a CSS variable. Titles and axis labels are not drawn
here: they are text of the page, which wraps on a narrow screen.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from . import svg
from .axes import bars_height, draw_bars, draw_line, draw_lines, frame_matrix, marker, styled
from .figures import BarPanel, Line, LinePanel, MatrixPanel

WIDTHS = {1: 720, 2: 500, 3: 345, 4: 260}
"""Width of a panel in px, by the number of columns."""
PHONE = 340
"""Width of a panel on a phone in px."""
_INKS = svg.STAND_IN_INKS


def line_panel(panel: LinePanel, width: int, prefix: str) -> str:
    """Curves and bands. ``prefix`` makes the ids of this SVG unique on the page."""
    with _axes(width, height=_height(width)) as (canvas, axes):
        draw_lines(axes, panel, width, _INKS)
        return _finish(canvas, prefix)


def matrix_panel(panel: MatrixPanel, limits: tuple[float, float], width: int, prefix: str) -> str:
    """A matrix as one embedded image for each scheme."""
    with _axes(width, height=width * 0.96) as (canvas, axes):
        frame_matrix(axes, panel, width, _INKS)
        cells = len(panel.values[0]), len(panel.values)
        image = axes.add_patch(Rectangle((-0.5, -0.5), *cells, linewidth=0))
        image.set_gid(svg.IMAGE)
        return _finish(canvas, prefix, svg.MatrixImage(panel.values, limits, panel.diverging))


def bar_panel(panel: BarPanel, width: int, prefix: str) -> str:
    """Horizontal bars, or dots on a logarithmic axis, with the value written at the end."""
    with _axes(width, height=bars_height(panel, width)) as (canvas, axes):
        draw_bars(axes, panel, width, _INKS)
        return _finish(canvas, prefix)


def swatch(line: Line, prefix: str) -> str:
    """The look of a line, for the legend."""
    ends = (None, None) if line.lower is None else ((-1, -1, -1), (1, 1, 1))
    sample = replace(line, x=(0, 1, 2), y=(0, 0, 0), lower=ends[0], upper=ends[1], thin=False, markers=False)
    with _axes(34, 14) as (canvas, axes):
        axes.set_axis_off()
        axes.set_position((0, 0, 1, 1))
        canvas.set_layout_engine("none")
        draw_line(axes, sample, _INKS)
        if line.markers:
            axes.plot(1, 0, color=_INKS.roles[line.role], **marker(line.role, 7.0, _INKS))
        axes.set_xlim(-0.1, 2.1)
        axes.set_ylim(-1.4, 1.4)
        return _finish(canvas, prefix)


def dot(role: str, prefix: str) -> str:
    """The marker of a role, for the rows of a table and the dots of a bar panel."""
    with _axes(14, 14) as (canvas, axes):
        axes.set_axis_off()
        axes.set_position((0, 0, 1, 1))
        canvas.set_layout_engine("none")
        axes.plot(0, 0, color=_INKS.roles[role], **marker(role, 9.0, _INKS))
        return _finish(canvas, prefix)


@contextmanager
def _axes(width: float, height: float) -> Iterator[tuple[Canvas, Axes]]:
    """An empty panel of so many px."""
    with styled(_INKS):
        canvas = Canvas(figsize=(width / 72, height / 72), layout=ConstrainedLayoutEngine(w_pad=2 / 72, h_pad=2 / 72))
        yield canvas, canvas.add_subplot()


def _finish(canvas: Canvas, prefix: str, image: svg.MatrixImage | None = None) -> str:
    stream = io.StringIO()
    FigureCanvasSVG(canvas).print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return svg.adapt(stream.getvalue(), prefix, image)


def _height(width: int) -> float:
    return {720: 340, 500: 290}.get(width, width * 0.68)
