"""``kronoscope reproduce``. Importing this module registers the command."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from .._errors import InputError
from .app import Force, Quiet, Seed, app
from .interruptions import naming_next
from .progress import progress, say

__all__ = ["app", "reproduce"]


@app.command()
def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="Name of the study; --list shows all of them.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page and its numbers. [default: reproduce-NAME]")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Run a small version, as a smoke test; its numbers are not evidence.")
    ] = False,
    show: Annotated[
        bool,
        typer.Option("--list", help="List the studies with their claims, run times and stored results."),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Processes that train in parallel, at least 1. [default: 1, which uses all cores]",
            min=1,
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Test a claim of the theory: run a study, and write its results and its page.

    The same command continues a study of many trainings that was interrupted, also with --force. Full results that
    come with kronoscope are shown by: kronoscope report --stored NAME.
    """
    import joblib  # type: ignore[import-untyped]

    import kronoscope_evidence as evidence

    if show:
        for key in sorted(evidence.MODULES):
            say(_listed(key), quiet=False)
        return
    if name is None:
        raise InputError("NAME is missing: kronoscope reproduce --list shows the studies")
    if name not in evidence.MODULES:
        raise InputError(f"NAME must be one of {', '.join(sorted(evidence.MODULES))}, got {name!r}")

    def stage(title: str) -> Any:
        return progress(title, quiet)

    target = out or Path(f"reproduce-{name}")
    resumable = evidence.study(name).resumable
    following = "run the same command to continue" if resumable else "give --force to start again"
    with naming_next(target, following), joblib.parallel_config(n_jobs=jobs) if jobs else nullcontext():
        page = evidence.reproduce(name, target, quick=quick, seed=seed, force=force, stage=stage)
    say(f"report: {page}", quiet)


def _listed(name: str) -> str:
    """A study in one line."""
    import kronoscope_evidence as evidence

    study = evidence.study(name)
    full, quick = study.minutes
    kept = f"stored; in full {full:g} min" if evidence.is_stored(name) else f"not stored yet: {full:g} minutes"
    return f"{name}: {study.claim} ({kept}; --quick {quick:g} min)"
