"""The commands. Heavy imports stand inside them, so that --help is quick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from .._errors import InputError
from .interruptions import Commands, naming_next
from .progress import progress, say
from .ranges import App
from .runs import complete, draw, draw_stored, train
from .text_options import READING, DayFirst, Decimal, Encoding, NaValues, Separator, split_names

app = App(
    cls=Commands,
    name="kronoscope",
    help="Learn, generate and measure dependent sequences with diffusion models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random; the same seed gives the same result.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what exists.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; default: cuda where it is there, else cpu.")]
MODEL, TRAINING = "Model", "Training"


def _version(asked: bool) -> None:
    if asked:
        print(f"kronoscope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn, generate and measure dependent sequences with diffusion models."""


@app.command()
def fit(
    source: Annotated[
        list[Path] | None,
        typer.Argument(
            help=".csv, .parquet, .npy, .npz, .nc or .zarr; several files are pieces of one record. With --resume it "
            "may be left out.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder to make.", show_default=False)] = ...,  # type: ignore[assignment]
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Frames in a sequence; needed for one long series.", rich_help_panel=READING),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            help="Column (coordinate) of times: ISO 8601, numbers such as 20130131, Unix time.", rich_help_panel=READING
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Features, separated by commas; default: all columns.", rich_help_panel=READING)
    ] = None,
    pivot: Annotated[
        str | None, typer.Option(help="Column of a long table whose values become features.", rich_help_panel=READING)
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="IANA time zone in which days begin, e.g. America/New_York.", rich_help_panel=READING),
    ] = None,
    calendar: Annotated[
        str, typer.Option(help="auto, day, week or none: where sequences begin.", rich_help_panel=READING)
    ] = "auto",
    limits: Annotated[
        list[str] | None,
        typer.Option(
            help="COLUMN=LOW:HIGH, physical limits; values outside are left out. Repeatable.", rich_help_panel=READING
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(
            help="Put irregular times on a grid of this step, e.g. 10min; default: the most common difference.",
            rich_help_panel=READING,
        ),
    ] = None,
    max_sequences: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many, spread over the record; of a .zarr or .nc larger than memory no more is read.",
            rich_help_panel=READING,
        ),
    ] = None,
    missing: Annotated[
        str,
        typer.Option(
            help="drop: leave out sequences with a missing value; mask: learn from what is left of them (unrolled).",
            rich_help_panel=READING,
        ),
    ] = "drop",
    separator: Separator = None,
    decimal: Decimal = None,
    na_values: NaValues = None,
    encoding: Encoding = None,
    dayfirst: DayFirst = None,
    network: Annotated[
        str, typer.Option(help="unrolled, position, dit, unet, linear or mlp.", rich_help_panel=MODEL)
    ] = "position",
    option: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER of the network, e.g. width=96. Repeatable.", rich_help_panel=MODEL),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            help="Estimator from which the unrolled network starts, fitted to the training part: sample-covariance, "
            "separable, stationary-separable, block-toeplitz, ledoit-wolf or tapered; default: nothing.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    mean: Annotated[
        str,
        typer.Option(
            help="What is subtracted: zero, feature or free (one a frame and feature).", rich_help_panel=MODEL
        ),
    ] = "free",
    scaling: Annotated[str, typer.Option(help="standard or none.", rich_help_panel=MODEL)] = "standard",
    margins: Annotated[
        str,
        typer.Option(
            help="none, or normal-scores: skewed or heavy-tailed features are learnt through an increasing map to a "
            "normal margin, and come back through its inverse.",
            rich_help_panel=MODEL,
        ),
    ] = "none",
    harmonics: Annotated[
        int,
        typer.Option(
            min=0, help="Annual harmonics of a seasonal cycle to take out and put back.", rich_help_panel=MODEL
        ),
    ] = 0,
    test: Annotated[
        str | None,
        typer.Option(
            help="Hold out a share (0.2: the last fifth) or weeks:5 (every fifth week).", rich_help_panel=MODEL
        ),
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Share of the rest for early stopping, between 0 and 1.", rich_help_panel=MODEL)
    ] = 0.1,
    gap: Annotated[int, typer.Option(min=0, help="Sequences dropped between the parts.", rich_help_panel=MODEL)] = 0,
    max_steps: Annotated[
        int | None, typer.Option(min=0, help="Train steps at most; default: by network.", rich_help_panel=TRAINING)
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="Seconds of training at most; default: no limit.", rich_help_panel=TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Sequences in a train step; default: by network.", rich_help_panel=TRAINING),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak of the cosine schedule; default: by network.", rich_help_panel=TRAINING)
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="Weights to keep: best (by held-out loss) or last; default: by network.", rich_help_panel=TRAINING
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.", rich_help_panel=TRAINING)] = "float32",
    device: Device = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run in --out.")] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Learn the law of the sequences in SOURCE; writes a run folder with a report."""
    from .. import data, models, training

    processes = training.Processes.join()  # under torchrun; the first alone speaks and writes
    quiet = quiet or not processes.is_first
    if not source and not resume:
        raise InputError("SOURCE is missing: the file of sequences to learn from")
    if resume and force:
        raise InputError("--resume continues a run and --force replaces it: give one of them")
    if not source:
        reading, settings, config = _settings_of(out)
    else:
        reading = {
            "path": str(source[0]) if len(source) == 1 else [str(one) for one in source],
            "frames": frames,
            "time": time,
            "columns": split_names(columns),
            "pivot": pivot,
            "timezone": timezone,
            "calendar": calendar,
            "limits": limits or [],
            "missing": missing,
            "step": step,
            "max_sequences": max_sequences,
            "separator": separator,
            "decimal": decimal,
            "na_values": na_values or [],
            "encoding": encoding,
            "dayfirst": dayfirst,
        }
        settings = models.FitSettings(
            network=network,
            network_options=_options(option or []),
            mean=mean,
            scaling=None if scaling == "none" else scaling,
            margins=None if margins == "none" else margins,
            harmonics=harmonics,
            test=_test(test),
            validation=validation,
            gap=gap,
            seed=seed,
            initial=initial,
        )
        config = models.training_config(
            network,
            {
                "max_steps": max_steps,
                "max_seconds": max_seconds,
                "batch_size": batch_size,
                "learning_rate": learning_rate,
                "keep": keep,
                "precision": precision,
            },
        )
    if resume and complete(out, reading if source else None, quiet):
        return
    sequences = data.read(**{**reading, "limits": data.parse_limits(reading["limits"])})
    for note in sequences.notes:
        say(note, quiet)
    n, frames_read, features = sequences.values.shape
    say(f"{n} sequences of {frames_read} frames with {features} features", quiet)
    train(sequences, settings, config, out, reading, resume=resume, force=force, device=device, quiet=quiet)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write; its ending says the format.", show_default=False)],
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="Sequences to draw.")] = 100,
    sampler: Annotated[
        str, typer.Option(help="dpm-solver, dpm-solver-sde, heun, ddim, exponential-sde or euler-maruyama.")
    ] = "dpm-solver",
    calls: Annotated[int, typer.Option(min=1, help="Score calls a sequence.")] = 64,
    grid: Annotated[
        str,
        typer.Option(
            help="Diffusion times: uniform, or optimised for the learnt law (dpm-solver and networks affine in x): 16 "
            "calls are enough."
        ),
    ] = "uniform",
    denoise: Annotated[bool, typer.Option(help="Whether the last step removes the noise that is left.")] = True,
    dates: Annotated[
        bool, typer.Option("--dates", help="Date the sequences, where the run has a seasonal cycle.")
    ] = False,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Draw new sequences from the run RUN, in the units and names of its source."""
    import torch

    from .. import data, models

    model = models.load(run)
    data.check_target(out, force)
    if dates and not model.transform.num_harmonics:
        raise InputError(f"{run} has no seasonal cycle, so its sequences have no dates; leave out --dates")
    with progress("sampling", quiet) as show:
        values, starts = model.sample_values(
            number,
            generator=torch.Generator().manual_seed(seed),
            sampler=sampler,
            num_calls=calls,
            grid=grid,
            denoise=denoise,
            progress=lambda done, total: show(done / total, f"{done} of {total} score calls"),
        )
    data.write(out, values, model.container, model.feature_names, starts=starts if dates else None, force=force)
    limits = data.parse_limits((model.record.get("source") or {}).get("limits") or [])
    for note in data.beyond_limits(values, model.feature_names, limits):
        say(f"note: {note}", quiet)
    say(f"{number} sequences: {out}", quiet)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and the runs.")] = Path("demo-run"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A rehearsal of half a minute; its numbers mean little.")
    ] = False,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Learn a year of New York weather, and Gaussian process data beside it whose truth is exact. Under 6 minutes."""
    from kronoscope_evidence.demo.demo import demo as run_demo

    def stage(title: str) -> Any:
        return progress(title, quiet)

    with naming_next(out, "give --force to begin again"):
        page = run_demo(out, seed=seed, quick=quick, force=force, stage=stage)
    say(f"report: {page}", quiet)


@app.command()
def report(
    run: Annotated[
        Path,
        typer.Argument(
            help="A folder that fit, demo or reproduce wrote; or a study, with --stored.", show_default=False
        ),
    ],
    stored: Annotated[
        bool,
        typer.Option("--stored", help="RUN names a study: the page of the full result that kronoscope has stored."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="HTML file; default: report.html in the folder, or STUDY.html with --stored.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace --out; without --out, make the records of a run again, too.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Draw the report of RUN again from its records or results; a run that has none gets them from its SOURCE."""
    page = draw_stored(str(run), out, force) if stored else draw(run, out, force)
    say(f"report: {page}", quiet)


def _settings_of(run: Path) -> tuple[dict[str, Any], Any, Any]:
    """What the interrupted run in that folder was told."""
    from .. import models, training

    told = models.read_settings(run)
    try:
        return (
            told["source"],
            models.FitSettings(**told["fit"]),
            training.TrainingConfig.from_json(told["training"]),
        )
    except (KeyError, TypeError):
        raise InputError(f"{run} was not begun by kronoscope fit: give SOURCE and its options") from None


def _options(texts: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"--option must be written NAME=VALUE, got {text!r}")
        try:
            options[name] = json.loads(value)
        except (ValueError, RecursionError):
            options[name] = value
    return options


def _test(text: str | None) -> float | str | None:
    if text is None or ":" in text:
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--test must be a share such as 0.2 or weeks:5, got {text!r}") from None
