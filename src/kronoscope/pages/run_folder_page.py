"""The page of a run folder: written after the fit, drawn again, or made again from the run and its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import data, models, report
from .._errors import InputError
from .run_page import run_report


def write_run_page(folder: Path, model: models.Model, sequences: data.SequenceSet) -> Path:
    """Write ``report.json`` and ``report.html`` into the folder of a finished run."""
    return save_run_page(folder, run_report(model, sequences))


def save_run_page(folder: Path, page: report.Report) -> Path:
    """Write a run's page, and the records that it is drawn from, into the folder of the finished run."""
    with models.page_written(folder, models.RECORDS, models.PAGE):
        report.save_records(page, folder / models.RECORDS, force=True)
        report.write(page, folder / models.PAGE, force=True)
    return folder / models.PAGE


def complete_run(folder: Path, sequences: data.SequenceSet | None = None) -> Path:
    """The page of a finished run, from its model and the file that it was fitted to; both are read anew.

    Args:
        folder: The run folder.
        sequences: What the run was fitted to; None reads its source again.

    Raises:
        InputError: The run is unfinished or damaged, or its source is missing or has changed.
    """
    model, settings = models.load_but_page(folder), models.read_run(folder)
    if sequences is None:
        sequences = _source(folder, settings)
    if models.fingerprint(sequences) != settings["data"].get("fingerprint"):
        raise InputError(
            f"the source of {folder} has changed since the fit, so the page cannot be made: "
            "restore the file or fit again"
        )
    return write_run_page(folder, model, sequences)


def draw_run_page(folder: Path, target: Path) -> Path:
    """Draw the page of a run again from its records, which are as the fit wrote them."""
    settings = models.read_run(folder)
    models.check_files(folder, settings, but=(models.PAGE,))
    page = report.load_records(folder / models.RECORDS)
    if target != folder / models.PAGE:
        return report.write(page, target, force=True)
    with models.page_written(folder, models.PAGE):
        return report.write(page, target, force=True)


def _source(folder: Path, settings: dict[str, Any]) -> data.SequenceSet:
    source = models.source_of(settings)
    if source is None:
        raise InputError(f"{folder} was not fitted to a file, so there are no data to make its page from")
    try:
        return data.read_source(source)
    except InputError as error:
        raise InputError(f"the page of {folder} needs the file that the run was fitted to, but {error}") from None
