"""Records of figures: panels of lines, matrices and bars. Plain numbers; drawing happens elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .._display import Displayed
from .._errors import InputError
from . import _fields
from .palette import ROLES


@dataclass(frozen=True, repr=False)
class Line(Displayed):
    """One curve, y against x, with an optional band from ``lower`` to ``upper``.

    Args:
        label: Name in the legend; lines of one label and role share an entry.
        role: Key of ``palette.ROLES``; settles colour, dash and marker.
        x: Positions, at least one.
        y: Values, as many as ``x``.
        lower: Lower end of the band, as many as ``x``; goes with ``upper``.
        upper: Upper end of the band.
        dashed: Dashed, even if the role is drawn solid.
        markers: Marks at the points.
        thin: Thin and translucent, for one of many sequences.

    Raises:
        InputError: Lengths that disagree, a value that is not finite, or an unknown role.
    """

    label: str
    role: str
    x: Sequence[float]
    y: Sequence[float]
    lower: Sequence[float] | None = None
    upper: Sequence[float] | None = None
    dashed: bool = False
    markers: bool = False
    thin: bool = False

    def __post_init__(self) -> None:
        x = _fields.numbers("x", self.x, least=1)
        if (self.lower is None) != (self.upper is None):
            raise InputError("lower and upper must be given together")
        _fields.settle(
            self,
            label=_fields.text("label", self.label, empty=False),
            role=_fields.one_of("role", self.role, ROLES),
            x=x,
            y=_fields.numbers("y", self.y, length=len(x)),
            lower=None if self.lower is None else _fields.numbers("lower", self.lower, length=len(x)),
            upper=None if self.upper is None else _fields.numbers("upper", self.upper, length=len(x)),
        )
        for name in ("dashed", "markers", "thin"):
            _fields.flag(name, getattr(self, name))
        if self.lower is not None and self.upper is not None and any(a > b for a, b in zip(self.lower, self.upper)):
            raise InputError("lower must not exceed upper")

    @property
    def look(self) -> tuple[object, ...]:
        """What the legend shows of the line; lines of one look share an entry."""
        return self.label, self.role, self.dashed, self.markers, self.lower is None

    @property
    def extent(self) -> tuple[float, ...]:
        """Every y that is drawn, band included."""
        return (*self.y, *(self.lower or ()), *(self.upper or ()))


@dataclass(frozen=True, repr=False)
class LinePanel(Displayed):
    """Curves over a common x.

    Args:
        title: Above the panel; may be empty.
        x_label: What x is, with its unit.
        y_label: What y is, with its unit.
        series: The curves, drawn in this order.
        log_x: Logarithmic x axis.
        log_y: Logarithmic y axis.
        x_limits: (low, high), or None for the range of the data.
        y_limits: (low, high), or None for the range of the data.
        x_ticks: Where x is marked, or None for a choice by range.

    Raises:
        InputError: An axis without a label, no curve, or a value <= 0 on a logarithmic axis.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Line]
    log_x: bool = False
    log_y: bool = False
    x_limits: Sequence[float] | None = None
    y_limits: Sequence[float] | None = None
    x_ticks: Sequence[float] | None = None

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            title=_fields.text("title", self.title),
            x_label=_fields.text("x_label", self.x_label, empty=False),
            y_label=_fields.text("y_label", self.y_label, empty=False),
            series=_fields.records("series", self.series, Line, least=1),
            x_limits=_fields.limits("x_limits", self.x_limits),
            y_limits=_fields.limits("y_limits", self.y_limits),
            x_ticks=None if self.x_ticks is None else _fields.numbers("x_ticks", self.x_ticks, least=1),
        )
        if _fields.flag("log_x", self.log_x):
            _positive("x", *(line.x for line in self.series), self.x_limits, self.x_ticks)
        if _fields.flag("log_y", self.log_y):
            _positive("y", *(line.extent for line in self.series), self.y_limits)


@dataclass(frozen=True, repr=False)
class MatrixPanel(Displayed):
    """A matrix as colours. The matrices of a figure share their colour scale.

    Args:
        title: Above the panel; may be empty.
        values: Rows of numbers, the first row at the top.
        x_label: What the columns are.
        y_label: What the rows are.
        value_label: What the colours are, with the unit.
        x_ticks: Names of the columns, one for each; None marks them by index.
        y_ticks: Names of the rows, one for each; None marks them by index.
        limits: (low, high) of the colour scale; None takes the range over the figure, symmetric if ``diverging``.
        diverging: A scale with a quiet middle at 0, for values with a sign.

    Raises:
        InputError: Rows of different length, names that do not match, a missing label, values outside ``limits``
            (they would be clipped), or limits that are not symmetric about 0 where ``diverging``.
    """

    title: str
    values: Sequence[Sequence[float]]
    x_label: str
    y_label: str
    value_label: str
    x_ticks: Sequence[str] | None = None
    y_ticks: Sequence[str] | None = None
    limits: Sequence[float] | None = None
    diverging: bool = False

    def __post_init__(self) -> None:
        rows = tuple(_fields.numbers(f"values[{i}]", row, least=1) for i, row in enumerate(self.values))
        if not rows or any(len(row) != len(rows[0]) for row in rows):
            raise InputError("values must be a matrix: rows of one length, at least one")
        _fields.settle(
            self,
            title=_fields.text("title", self.title),
            values=rows,
            x_label=_fields.text("x_label", self.x_label, empty=False),
            y_label=_fields.text("y_label", self.y_label, empty=False),
            value_label=_fields.text("value_label", self.value_label, empty=False),
            x_ticks=_names("x_ticks", self.x_ticks, len(rows[0])),
            y_ticks=_names("y_ticks", self.y_ticks, len(rows)),
            limits=_fields.limits("limits", self.limits),
        )
        _fields.flag("diverging", self.diverging)
        if self.limits is not None:
            low, high = self.limits
            if self.diverging and low != -high:
                raise InputError(f"limits of a diverging panel must be symmetric about 0, got ({low:g}, {high:g})")
            if self.extent[0] < low or self.extent[1] > high:
                raise InputError(
                    f"values must lie within limits ({low:g}, {high:g}), but reach from {self.extent[0]:g} to "
                    f"{self.extent[1]:g}"
                )

    @property
    def extent(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return min(map(min, self.values)), max(map(max, self.values))


@dataclass(frozen=True)
class Bar:
    """One value with a name and an optional interval from ``lower`` to ``upper``."""

    label: str
    role: str
    value: float
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        if (self.lower is None) != (self.upper is None):
            raise InputError("lower and upper must be given together")
        _fields.settle(
            self,
            label=_fields.text("label", self.label, empty=False),
            role=_fields.one_of("role", self.role, ROLES),
            value=_fields.number("value", self.value),
            lower=None if self.lower is None else _fields.number("lower", self.lower),
            upper=None if self.upper is None else _fields.number("upper", self.upper),
        )
        if self.lower is not None and self.upper is not None and not self.lower <= self.value <= self.upper:
            raise InputError(f"value must lie between lower and upper, got {self.value:g}")

    @property
    def extent(self) -> tuple[float, ...]:
        """Every value that is drawn, interval included."""
        return tuple(v for v in (self.value, self.lower, self.upper) if v is not None)


@dataclass(frozen=True, repr=False)
class BarPanel(Displayed):
    """Named values side by side: horizontal bars from 0, or dots where the axis is logarithmic and has no 0.

    Args:
        title: Above the panel; may be empty.
        x_label: What the values are, with the unit.
        bars: From top to bottom.
        log_x: Logarithmic axis.
        x_limits: (low, high), or None for the range of the data.

    Raises:
        InputError: An axis without a label, no bar, or a value <= 0 on a logarithmic axis.
    """

    title: str
    x_label: str
    bars: Sequence[Bar]
    log_x: bool = False
    x_limits: Sequence[float] | None = None

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            title=_fields.text("title", self.title),
            x_label=_fields.text("x_label", self.x_label, empty=False),
            bars=_fields.records("bars", self.bars, Bar, least=1),
            x_limits=_fields.limits("x_limits", self.x_limits),
        )
        if _fields.flag("log_x", self.log_x):
            _positive("value", *(bar.extent for bar in self.bars), self.x_limits)


Panel = LinePanel | MatrixPanel | BarPanel


@dataclass(frozen=True, repr=False)
class Figure(Displayed):
    """Panels with one caption, one legend and one colour scale.

    Args:
        panels: Drawn row by row.
        caption: How to read the figure.
        alt: What a reader who does not see it must know.
        columns: Panels side by side where the screen is wide enough, 1 to 4.

    Raises:
        InputError: An empty caption or alternative text, no panel, or matrices whose scales cannot be shared.
    """

    MOST_COLUMNS: ClassVar[int] = 4

    panels: Sequence[Panel]
    caption: str
    alt: str
    columns: int = 1

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            panels=_fields.records("panels", self.panels, (LinePanel, MatrixPanel, BarPanel), least=1),
            caption=_fields.text("caption (how to read the figure)", self.caption, empty=False),
            alt=_fields.text("alt (the figure in words)", self.alt, empty=False),
            columns=_fields.whole("columns", self.columns, least=1),
        )
        if self.columns > self.MOST_COLUMNS:
            raise InputError(f"columns must be at most {self.MOST_COLUMNS}, got {self.columns}")
        if len({(m.diverging, m.value_label, m.limits) for m in self.matrices}) > 1:
            raise InputError("matrices of one figure must agree on diverging, value_label and limits")

    @property
    def legend(self) -> tuple[Line, ...]:
        """One line for each look, in the order of appearance."""
        lines: dict[tuple[object, ...], Line] = {}
        for panel in self.panels:
            for line in panel.series if isinstance(panel, LinePanel) else ():
                lines.setdefault(line.look, line)
        return tuple(lines.values())

    @property
    def matrices(self) -> tuple[MatrixPanel, ...]:
        """The panels that share the colour scale."""
        return tuple(panel for panel in self.panels if isinstance(panel, MatrixPanel))

    @property
    def colour_limits(self) -> tuple[float, float] | None:
        """(low, high) of the shared colour scale, or None without a matrix."""
        if not self.matrices:
            return None
        first = self.matrices[0]
        if first.limits is not None:
            return first.limits[0], first.limits[1]
        low = min(panel.extent[0] for panel in self.matrices)
        high = max(panel.extent[1] for panel in self.matrices)
        if first.diverging:
            reach = max(-low, high) or 1.0
            return -reach, reach
        return (low, high) if low < high else (low - 0.5, high + 0.5)


def _positive(axis: str, *groups: Sequence[float] | None) -> None:
    least = min(value for group in groups if group is not None for value in group)
    if least <= 0:
        raise InputError(f"{axis} must be greater than 0 on a logarithmic axis, got {least:g}")


def _names(name: str, values: Sequence[str] | None, length: int) -> tuple[str, ...] | None:
    if values is None:
        return None
    names = _fields.texts(name, values)
    if len(names) != length:
        raise InputError(f"{name} must hold {length} names, got {len(names)}")
    return names
