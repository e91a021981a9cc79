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
    name: Annotated[str | None, typer.Argument(help="Which study; --list names them.", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page and its numbers. [default: reproduce-NAME]")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small version that shows that the study runs; it is no evidence.")
    ] = False,
    show: Annotated[
        bool,
        typer.Option("--list", help="Name the studies, their claims, their minutes, and which results are stored."),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Processes for the trainings of a study, at least 1. [default: 1, which uses all cores]",
            min=1,
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Put a claim of the theory to the test: run a study and write its results and its page.

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
        raise InputError("NAME is missing: --list shows the studies")
    if name not in evidence.MODULES:
        raise InputError(f"NAME must be one of {', '.join(sorted(evidence.MODULES))}, got {name!r}")

    def stage(title: str) -> Any:
        return progress(title, quiet)

    target = out or Path(f"reproduce-{name}")
    resumable = evidence.study(name).resumable
    following = "the same command continues" if resumable else "give --force to begin again"
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
