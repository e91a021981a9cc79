"""The range of every numeric option: what lies outside it is refused by the option's name, before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand

from .._errors import InputError


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``.

    Attributes:
        low, high: The ends, which belong to it unless ``is_open``.
        is_open: Whether the ends do not belong to it.
    """

    low: float
    high: float
    is_open: bool = False

    def holds(self, value: float) -> bool:
        """Whether ``value`` is a number in the range; NaN is none."""
        return self.low < value < self.high if self.is_open else self.low <= value <= self.high

    def __str__(self) -> str:
        if self.is_open:
            return f"greater than {_plain(self.low)} and less than {_plain(self.high)}"
        return f"from {_plain(self.low)} to {_plain(self.high)}"


COUNT = Range(1, 10**9)  # what the data or the memory bound more tightly, and say so better
SEED = Range(0, 2**32 - 1)  # studies count seeds up from it, and torch takes 64 bits
SHARE = Range(0, 1, is_open=True)

# By the name of the option. The least is also stated at the option, where it is not 0 or 1, for the help.
RANGES: dict[str, Range] = {
    "frames": COUNT,
    "max_sequences": COUNT,
    "harmonics": Range(0, 1000),
    "validation": SHARE,
    "gap": Range(0, 10**9),
    "max_steps": Range(0, 10**9),
    "max_seconds": Range(0, 10**9, is_open=True),
    "batch_size": Range(1, 10**6),
    "learning_rate": Range(0, 1e38, is_open=True),
    "seed": SEED,
    "number": COUNT,
    "calls": Range(1, 10**4),
    "features": COUNT,
    "tolerance": SHARE,
    "min_time": Range(0, 8),
    "max_lag": Range(0, 10**9),
    "max_depth": Range(1, 10**6),
    "alpha": SHARE,
    "level": SHARE,
    "steps": COUNT,
    "draws": COUNT,
    "jobs": Range(1, 1024),
    "lengthscale": Range(0, 10**9, is_open=True),
    "exponent": Range(0.01, 2),
    "period": Range(0, 10**9, is_open=True),
    "diffusion_time": Range(0, 8, is_open=True),
    "lags": COUNT,
    "iterations": COUNT,
}


class CheckedCommand(TyperCommand):
    """A command whose numeric options are checked against :data:`RANGES` and show them in the help."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for parameter in self.params:
            bounds = RANGES.get(parameter.name or "")
            if bounds is not None and not bounds.is_open:
                parameter.min, parameter.max = bounds.low, bounds.high  # type: ignore[attr-defined]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            bounds, value = RANGES.get(parameter.name or ""), ctx.params.get(parameter.name or "")
            if bounds is None or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not bounds.holds(value):
                option = max(parameter.opts, key=len)
                raise InputError(f"{option} must be {bounds}, got {_plain(value)}")
        return rest


class App(typer.Typer):
    """An application all of whose commands are checked."""

    def command(self, name: str | None = None, **options: Any) -> Any:
        """Register a command; see :meth:`typer.Typer.command`."""
        return super().command(name, cls=CheckedCommand, **options)


def _plain(value: float) -> str:
    if isinstance(value, float):
        return f"{value:g}" if not math.isfinite(value) or value != int(value) or abs(value) > 1e9 else str(int(value))
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
