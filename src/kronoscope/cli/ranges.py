"""The range of every numeric option: what lies outside it is refused by the option's name, before any work."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from .._errors import InputError
from ..settings import FitSettings, Reading, Scaling, SplitRule, TrainingConfig, options_of
from ..settings.options import COUNT, SHARE, Range, plain

SEED = Range(0, 2**32 - 1)  # studies count seeds up from it, and torch takes 64 bits

# By the name of the option; those of the records of ``kronoscope.settings`` stand there.
RANGES: dict[str, Range] = {
    **{
        name: option.bounds
        for record in (Reading, Scaling, SplitRule, FitSettings, TrainingConfig)
        for name, (_, option) in options_of(record).items()
        if option.bounds is not None
    },
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
            if bounds is not None and bounds.is_open:
                parameter.help = f"{parameter.help}  [{bounds}]"  # type: ignore[attr-defined]
            elif bounds is not None:
                parameter.min, parameter.max = bounds.low, bounds.high  # type: ignore[attr-defined]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options under the headings that they were given; typer has headings only where it draws boxes."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(row)
        for panel, rows in panels.items():
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            bounds, value = RANGES.get(parameter.name or ""), ctx.params.get(parameter.name or "")
            if bounds is None or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not bounds.holds(value):
                option = max(parameter.opts, key=len)
                raise InputError(f"{option} must be {bounds}, got {plain(value)}")
        return rest


class App(typer.Typer):
    """An application all of whose commands are checked."""

    def command(self, name: str | None = None, **options: Any) -> Any:
        """Register a command; see :meth:`typer.Typer.command`."""
        return super().command(name, cls=CheckedCommand, **options)
