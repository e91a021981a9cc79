"""``kronoscope audit``: compare real and generated sequences. Importing this module registers the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._errors import InputError
from ..settings import Reading
from .app import Force, Quiet, Seed, app
from .progress import progress, say
from .record_options import record_of, with_options

if TYPE_CHECKING:
    from ..data import FileSource, SequenceSet

__all__ = ["app", "audit"]

HOW_TO_READ = (
    "frames", "time", "columns", "pivot", "timezone", "separator", "decimal", "na_values", "encoding", "dayfirst",
)  # fmt: skip


@app.command()
@with_options({"Reading REAL": Reading}, names=HOW_TO_READ, before="consecutive")
def audit(
    real: Annotated[Path, typer.Argument(help="File of real sequences.", show_default=False)],
    generated: Annotated[Path, typer.Argument(help="File of generated sequences.", show_default=False)],
    out: Annotated[Path, typer.Option(help="HTML page to write.", show_default=False)],
    run: Annotated[
        Path | None,
        typer.Option(
            help="Read REAL with the settings of this run, and use only the part that it held out.", show_default=False
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--json", help="Also write the result as JSON.", show_default=False)
    ] = None,
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
    alpha: Annotated[float, typer.Option(help="Probability that a perfect generator fails.")] = 0.05,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Compare GENERATED with REAL: dependence, distributions, memorisation. The exit code is 1 if they differ."""
    import torch

    from .. import auditing, data, report

    for target in (out, record):
        if target is not None:
            report.check_target(target, force)
    reading = record_of(Reading, options)
    if run is None:
        truth, learnt = data.read_source(data.FileSource((str(real),), reading)), None
    else:
        given = sorted(reading.given())
        if given:
            raise InputError(f"--run fixes how REAL is read; leave out --{', --'.join(given).replace('_', '-')}")
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
            say(f"differs: {question.name}: {question.verdict.removeprefix('Differs: ')}", quiet)
    say(f"{'passed' if result.passed else 'FAILED'} at {100 * alpha:g} %\nreport: {out}", quiet)
    if not result.passed:
        raise typer.Exit(1)


def _dated(generated: Path, time_name: str | None) -> str | None:
    """The column of times that ``sample --dates`` wrote beside the features; None where there is none."""
    from .. import data

    if time_name is None or not generated.is_file():
        return None
    return time_name if time_name in data.column_names(generated) else None


def _paths(source: FileSource, run: Path, real: Path) -> tuple[str, ...]:
    """REAL, or all files of a run that was fitted to several of which it is one."""
    if len(source.paths) == 1:
        return (str(real),)
    if real.resolve() not in [Path(path).resolve() for path in source.paths]:
        raise InputError(
            f"{run} was fitted to {len(source.paths)} files ({', '.join(source.paths)}): give one of them, and all are "
            "read"
        )
    return source.paths


def _parts(run: Path, real: Path) -> tuple[SequenceSet, SequenceSet | None]:
    """The test part of REAL (the validation part, where the run has none) and the part that the run was trained on.

    REAL is cut as the run cut its source. Too short a training part to ask about memorisation is None.
    """
    from .. import data, models
    from ..auditing import FEWEST

    settings = models.read_settings(run)
    source = models.source_of(settings)
    if source is None:
        raise InputError(f"{run} was not fitted to a file, so it does not record how to read {real}; leave out --run")
    grid = settings["data"].get("grid")
    blocks = None if grid is None else data.BlockGrid.from_plain(grid)
    sequences = data.read_source(replace(source, paths=_paths(source, run, real)), blocks)
    if len(sequences) != settings["data"]["sequences"]:
        raise InputError(
            f"{real} gives {len(sequences)} sequences, but {run} was fitted to {settings['data']['sequences']}: "
            "give REAL as the file that the run was fitted to"
        )
    names = settings["data"]["features"]
    units = settings["data"].get("units") or [None] * len(names)  # runs of before have none
    sequences, notes = data.arrange(sequences, names, tuple(units), ("the run", str(real)))
    sequences = replace(sequences, notes=(*sequences.notes, *notes))
    if models.fingerprint(sequences) != settings["data"].get("fingerprint"):
        raise InputError(
            f"{real} differs from the file that {run} was fitted to, so the sequences that were held out cannot be "
            "identified: give that file, or leave out --run and give the reading options of {real}"
        )
    parts = settings["split"]
    trained = sequences.subset(parts["train"]).complete()
    return (
        sequences.subset(parts["test"] or parts["validation"]),
        trained if len(trained) >= FEWEST else None,
    )
