"""``kronoscope audit``: real against generated, from file to page. Importing this module registers the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import InputError
from .app import Force, Quiet, Seed, app
from .progress import progress, say
from .text_options import READING, DayFirst, Decimal, Encoding, NaValues, Separator, split_names

if TYPE_CHECKING:
    from ..data import SequenceSet

__all__ = ["app", "audit"]


@app.command()
def audit(
    real: Annotated[Path, typer.Argument(help="File of real sequences.", show_default=False)],
    generated: Annotated[Path, typer.Argument(help="File of generated sequences.", show_default=False)],
    out: Annotated[Path, typer.Option(help="HTML page to write.", show_default=False)],
    run: Annotated[
        Path | None,
        typer.Option(help="Cut REAL as this run did, and use the part that it held out.", show_default=False),
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--json", help="Also write the result as JSON.", show_default=False)
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames in a sequence of REAL.", rich_help_panel=READING)
    ] = None,
    time: Annotated[str | None, typer.Option(help="Column of times of REAL.", rich_help_panel=READING)] = None,
    columns: Annotated[
        str | None, typer.Option(help="Features of REAL, separated by commas.", rich_help_panel=READING)
    ] = None,
    pivot: Annotated[
        str | None, typer.Option(help="Column of REAL whose values become features.", rich_help_panel=READING)
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="IANA time zone in which days of REAL begin.", rich_help_panel=READING)
    ] = None,
    separator: Separator = None,
    decimal: Decimal = None,
    na_values: NaValues = None,
    encoding: Encoding = None,
    dayfirst: DayFirst = None,
    consecutive: Annotated[
        bool | None,
        typer.Option(
            "--consecutive/--independent",
            help="Whether real sequences depend on their neighbours. [default: consecutive where they have dates]",
            show_default=False,
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Also compute the metrics that papers report (minutes).")
    ] = False,
    alpha: Annotated[float, typer.Option(help="Probability that a perfect generator fails, between 0 and 1.")] = 0.05,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Compare the dependence of GENERATED with that of REAL; exit code 1 if it deviates."""
    import torch

    from .. import auditing, data, report

    for target in (out, record):
        if target is not None:
            report.check_target(target, force)
    chosen: dict[str, Any] = {
        "frames": frames,
        "time": time,
        "columns": columns,
        "pivot": pivot,
        "timezone": timezone,
    }
    chosen |= {"separator": separator, "decimal": decimal, "na_values": na_values, "encoding": encoding}
    chosen |= {"dayfirst": dayfirst}
    if run is None:
        reading: dict[str, Any] = {**chosen, "path": str(real), "columns": split_names(columns)}
        truth, learnt = data.read(**reading), None
    else:
        given = sorted(name for name, value in chosen.items() if value is not None)
        if given:
            raise InputError(f"--run says how REAL is read; leave out --{', --'.join(given).replace('_', '-')}")
        truth, learnt = _parts(run, real)
    made = data.read_generated(generated, truth, _dated(generated, truth.container.time_name))
    dated = truth.starts is not None if consecutive is None else consecutive
    with progress("auditing", quiet) as show:
        generator = torch.Generator().manual_seed(seed)
        result = auditing.audit(truth, made, None, dated, alpha, generator, training=learnt, published=published)
        show(1.0, f"{len(result.questions)} questions")
    for note in result.notes:
        say(note, quiet)
    result.to_html(out, force=force)
    if record is not None:
        report.write_text(record, result.to_json(), force)
    for question in result.questions:
        if question.rejected:
            say(f"deviates: {question.verdict}", quiet)
    say(f"{'passed' if result.passed else 'FAILED'} at {100 * alpha:g} %\nreport: {out}", quiet)
    if not result.passed:
        raise typer.Exit(1)


def _dated(generated: Path, time_name: str | None) -> str | None:
    """The column of times that ``sample --dates`` wrote beside the features; None where there is none."""
    from .. import data

    if time_name is None or not generated.is_file():
        return None
    return time_name if time_name in data.column_names(generated) else None


def _path(source: str | list[str] | None, run: Path, real: Path) -> str | list[str]:
    """REAL, or all files of a run that was fitted to several of which it is one."""
    if not isinstance(source, list):
        return str(real)
    if real.resolve() not in [Path(path).resolve() for path in source]:
        raise InputError(
            f"{run} was fitted to {len(source)} files ({', '.join(source)}): give one of them, and all are read"
        )
    return source


def _parts(run: Path, real: Path) -> tuple[SequenceSet, SequenceSet | None]:
    """The test part of REAL (the validation part, where the run has none) and the part that the run was trained on.

    REAL is cut as the run cut its source. Too short a training part to ask about memorisation is None.
    """
    from .. import data, models
    from ..auditing import FEWEST

    settings: dict[str, Any] = models.read_settings(run)
    reading = settings.get("source")
    if not reading:
        raise InputError(f"{run} was not fitted from a file, so it does not say how to cut {real}; leave out --run")
    path = _path(reading.get("path"), run, real)
    grid = settings["data"].get("grid")
    earlier = {"path": path, "grid": None if grid is None else data.BlockGrid.from_plain(grid)}
    sequences = data.read(**{**reading, **earlier, "limits": data.parse_limits(reading.get("limits") or [])})
    if len(sequences) != settings["data"]["sequences"]:
        raise InputError(
            f"{real} gives {len(sequences)} sequences, but {run} was fitted to {settings['data']['sequences']}: "
            "--run takes the file that the run was fitted to"
        )
    names = settings["data"]["features"]
    units = settings["data"].get("units") or [None] * len(names)  # runs of before have none
    sequences, notes = data.arrange(sequences, names, tuple(units), ("the run", str(real)))
    sequences = replace(sequences, notes=(*sequences.notes, *notes))
    if models.fingerprint(sequences) != settings["data"].get("fingerprint"):
        raise InputError(
            f"{real} holds other sequences than the file that {run} was fitted to, so the run does not say which of "
            "them it held out: give that file, or leave out --run and say how to read this one"
        )
    parts = settings["split"]
    trained = sequences.subset(parts["train"]).complete()
    return (
        sequences.subset(parts["test"] or parts["validation"]),
        trained if len(trained) >= FEWEST else None,
    )
