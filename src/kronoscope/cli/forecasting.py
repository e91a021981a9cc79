"""``kronoscope forecast`` and ``kronoscope impute``: future frames and missing values under a fitted model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._errors import InputError
from .app import Force, Quiet, Seed, app
from .progress import progress, say

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["app", "forecast", "impute"]

Run = Annotated[Path, typer.Argument(help="A run folder that `kronoscope fit` wrote.", show_default=False)]
Method = Annotated[
    str | None,
    typer.Option(
        help="exact (unrolled, position, linear), mmps, dps or replacement; default: exact where possible, else mmps.",
        show_default=False,
    ),
]
Calls = Annotated[int, typer.Option(min=1, help="Score calls for each draw, where the method is not exact.")]


@app.command()
def forecast(
    run: Run,
    source: Annotated[
        Path, typer.Argument(help="The observed values, in the format of the run's source.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Table to write (.csv or .parquet).", show_default=False)],
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Frames to forecast; default: a quarter of a sequence, or what is left of a block."),
    ] = None,
    level: Annotated[float, typer.Option(help="Probability of each interval.")] = 0.9,
    origin: Annotated[
        str | None, typer.Option(help="Time of the first frame to forecast; default: the one after the last value.")
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option("-n", "--draws", min=1, help="Write this many sampled futures instead of mean and interval."),
    ] = None,
    method: Method = None,
    calls: Calls = 64,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Forecast the frames after the end of SOURCE (or the last ones of each of its sequences), given those before."""
    from .. import data, models

    model = models.load(run)
    _check_table(out, force)
    _note(model, method, quiet)
    notes: list[str] = []
    with progress("forecasting", quiet) as show:
        table = models.forecast(
            model,
            source,
            steps=steps,
            level=level,
            origin=origin,
            draws=draws,
            method=method,
            num_calls=calls,
            seed=seed,
            progress=show,
            on_note=notes.append,
        )
    for note in notes:
        say(note, quiet)
    data.write_table(out, table, force=force)
    say(f"{len(table)} rows: {out}", quiet)


@app.command()
def impute(
    run: Run,
    source: Annotated[
        Path, typer.Argument(help="A file with missing values, in the format of the run's source.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="File to write, in the format of SOURCE.", show_default=False)],
    draw: Annotated[
        bool,
        typer.Option(
            "--draw", help="Fill with one random draw, which has the variability of the data, instead of the mean."
        ),
    ] = False,
    method: Method = None,
    calls: Calls = 64,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Impute the missing values of SOURCE given the rest: empty cells, values outside --limits, absent times.

    Nothing else in the file changes.
    """
    from .. import data, models

    model = models.load(run)
    data.check_target(out, force)
    _note(model, method, quiet)
    notes: list[str] = []
    with progress("filling", quiet) as show:
        opened, values = models.impute(
            model,
            source,
            draw=draw,
            method=method,
            num_calls=calls,
            seed=seed,
            progress=show,
            on_note=notes.append,
        )
    filled = opened.write(out, values, force=force)
    for note in (*notes, *filled.notes):
        say(note, quiet)
    left = int(opened.empty.sum()) - filled.number
    say(
        f"{filled.number} values filled{f', {left} left missing (in no block of the run)' if left else ''}: {out}",
        quiet,
    )


def _note(model: Model, method: str | None, quiet: bool) -> None:
    if method in (None, "exact") and model.is_affine and not model.has_law:
        say(
            "note: this network's score is not the gradient of a density; results are exact for the distribution that "
            "`kronoscope sample` draws from",
            quiet,
        )


def _check_table(out: Path, force: bool) -> None:
    from .. import data

    data.check_target(out, force)
    if not out.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise InputError(f"{out}: a table needs the ending .csv, .csv.gz or .parquet, got '{out.suffix}'")
