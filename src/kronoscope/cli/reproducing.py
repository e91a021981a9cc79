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
    name: Annotated[str | None, typer.Argument(help="Which experiment; --list names them.", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page and its numbers. [default: reproduce-NAME]")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller version; the page says so.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Name the experiments, their claims and their minutes.")] = False,
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
    """Put a claim of the theory to the test: run an experiment and write its page.

    A study of many trainings that was cut off, at any moment, goes on by the same command, also with --force.
    """
    import joblib  # type: ignore[import-untyped]

    import kronoscope_evidence as evidence
    from kronoscope_evidence import reproductions

    studies = {key: evidence.study(key) for key in evidence.MODULES} | reproductions.REPRODUCTIONS
    if show:
        for key, entry in sorted(studies.items()):
            full, small = entry.minutes
            say(f"{key}: {entry.claim} ({full:g} min, --quick {small:g} min)", quiet=False)
        return
    if name is None:
        raise InputError("NAME is missing: --list shows the studies")
    if name not in studies:
        raise InputError(f"NAME must be one of {', '.join(sorted(studies))}, got {name!r}")

    def stage(title: str) -> Any:
        return progress(title, quiet)

    target = out or Path(f"reproduce-{name}")
    following = "the same command continues" if studies[name].resumable else "give --force to begin again"
    with naming_next(target, following), joblib.parallel_config(n_jobs=jobs) if jobs else nullcontext():
        run = evidence.reproduce if name in evidence.MODULES else reproductions.reproduce
        page = run(name, target, quick=quick, seed=seed, force=force, stage=stage)
    say(f"report: {page}", quiet)
