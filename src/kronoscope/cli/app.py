"""The commands. Heavy imports stand inside them, so that --help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from .._errors import InputError
from ..settings import DEFAULTS, FileSource, FitSettings, Reading, Scaling, SplitRule, TrainingConfig
from .interruptions import Commands, naming_next
from .progress import progress, say
from .ranges import App
from .record_options import given_of, record_of, with_options
from .runs import complete, draw, draw_stored, train

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

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers; the same seed gives the same result.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what exists.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; default: cuda where available, else cpu.")]

FIT_RECORDS = {
    "Data": Reading,
    "Preprocessing": Scaling,
    "Split": SplitRule,
    "Network": FitSettings,
    "Training": TrainingConfig,
}


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
@with_options(FIT_RECORDS, before="device", defaults=vars(DEFAULTS["table"]))
def fit(
    source: Annotated[
        list[Path] | None,
        typer.Argument(
            help=".csv, .parquet, .npy, .npz, .nc or .zarr; several files are pieces of one record. With --resume it "
            "may be left out.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder to write.", show_default=False)] = ...,  # type: ignore[assignment]
    device: Device = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run in --out.")] = False,
    force: Force = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Learn the law of the sequences in SOURCE; writes a run folder with a report."""
    from .. import data, models, training

    processes = training.Processes.join()  # under torchrun; the first alone speaks and writes
    quiet = quiet or not processes.is_first
    if not source and not resume:
        raise InputError("SOURCE is missing: give the file of sequences to train on")
    if resume and force:
        raise InputError("--resume continues a run and --force replaces it: give only one of them")
    if source:
        files = FileSource(tuple(str(path) for path in source), record_of(Reading, options))
        prepared = given_of(Scaling, options) | given_of(SplitRule, options) | given_of(FitSettings, options)
        settings = FitSettings.for_input("table", seed=seed, **prepared)
        config = models.training_config(settings.network, given_of(TrainingConfig, options))
    else:
        _refuse_with_resume(options)
        files, settings, config = models.begun_with(out)
    if resume and complete(out, files if source else None, quiet):
        return
    sequences = data.read_source(files)
    for note in sequences.notes:
        say(note, quiet)
    n, num_frames, features = sequences.values.shape
    say(f"{n} sequences of {num_frames} frames with {features} features", quiet)
    train(sequences, settings, config, out, files, resume=resume, force=force, device=device, quiet=quiet)


def _refuse_with_resume(options: dict[str, Any]) -> None:
    given = [name.replace("_", "-") for name, value in options.items() if value not in (None, [])]
    if given:
        raise InputError(
            f"--resume without SOURCE takes all settings from the run in --out; leave out --{', --'.join(given)}"
        )


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write; its ending sets the format.", show_default=False)],
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="Sequences to draw.")] = 100,
    sampler: Annotated[
        str, typer.Option(help="dpm-solver, dpm-solver-sde, heun, ddim, exponential-sde or euler-maruyama.")
    ] = "dpm-solver",
    calls: Annotated[int, typer.Option(min=1, help="Score calls per sequence.")] = 64,
    grid: Annotated[
        str,
        typer.Option(
            help="Diffusion times: uniform, or optimised for the learnt law (dpm-solver and networks affine in x): 16 "
            "calls are enough."
        ),
    ] = "uniform",
    denoise: Annotated[bool, typer.Option(help="Whether the last step removes the remaining noise.")] = True,
    dates: Annotated[
        bool, typer.Option("--dates", help="Write dates with the sequences, where the run has a seasonal cycle.")
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
    fitted_to = models.source_of(model.record)
    limits = None if fitted_to is None else fitted_to.reading.limits
    for note in data.beyond_limits(values, model.feature_names, limits or {}):
        say(f"note: {note}", quiet)
    say(f"{number} sequences: {out}", quiet)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and the runs.")] = Path("demo-run"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke run of half a minute; its numbers are not evidence.")
    ] = False,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Learn a year of New York weather, and Gaussian process data beside it whose truth is exact. Under 6 minutes."""
    from kronoscope_evidence.demo.demo import demo as run_demo

    def stage(title: str) -> Any:
        return progress(title, quiet)

    with naming_next(out, "give --force to start again"):
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
        typer.Option("--stored", help="RUN is the name of a study: write the page of its stored full result."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="HTML file; default: report.html in the folder, or STUDY.html with --stored.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace --out; without --out, also compute the records of a run again.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Draw the report of RUN again from its records or results; a run that has none gets them from its SOURCE."""
    page = draw_stored(str(run), out, force) if stored else draw(run, out, force)
    say(f"report: {page}", quiet)
