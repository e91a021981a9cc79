"""``kronoscope reproduce NAME``: measure a study, write its results and its page."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from kronoscope import InputError, report
from kronoscope._codec import from_plain, to_plain, to_text
from kronoscope._files import remove_leftovers, write_text

from .folders import foreign_files, fresh_folder
from .registry import study
from .results import FORMAT, RESULTS, Header, Results, load
from .stages import Stage, quiet
from .study import Run

PAGE, STORE, BEGUN = "report.html", "store", "begun.json"
OWN_FILES = (STORE, BEGUN, RESULTS, PAGE)  # the page is written last: a folder that has it is finished


@dataclass(frozen=True)
class Request:
    """What was asked for; an interrupted study is continued by the same request alone."""

    name: str
    quick: bool
    seed: int


def reproduce(
    name: str,
    folder: str | os.PathLike[str],
    *,
    quick: bool = False,
    seed: int = 0,
    force: bool = False,
    stage: Stage = quiet,
) -> Path:
    """Run one study. The folder gets ``results.json``, its typed result, and ``report.html``, the page made from it.

    Args:
        name: Of the study.
        folder: New, empty, or one in which a resumable study was interrupted: nothing is measured twice.
        quick: The small size, which shows that the study runs and is not evidence.
        seed: Of everything random.
        force: Replace the finished study in the folder. One that was interrupted under the same name, size and seed
            is continued all the same.
        stage: ``stage(title)`` is a context manager that gives a function of the fraction done and a few words.

    Returns:
        Path of the page.

    Raises:
        InputError: An unknown name, or a folder that holds something else.
    """
    entry = study(name)
    path, request = Path(folder), Request(name, quick, seed)
    if not (entry.resumable and _is_interrupted(path, request, force)):
        fresh_folder(path, OWN_FILES, force, "study")
        if entry.resumable:
            write_text(path / BEGUN, to_text(to_plain(request)))
    began = time.monotonic()
    size = entry.quick if quick else entry.full
    result = entry.measure(Run(size, seed, stage, path / STORE if entry.resumable else None))
    header = Header(FORMAT, name, quick, seed, round(time.monotonic() - began, 1))
    write_text(path / RESULTS, Results(header, result).to_text())
    (path / PAGE).unlink(missing_ok=True)
    page = render(path)
    (path / BEGUN).unlink(missing_ok=True)
    remove_leftovers(path)
    return page


def render(folder: Path, target: Path | None = None, force: bool = True) -> Path:
    """Write the page of a finished study again from its results; nothing is measured.

    Raises:
        InputError: The folder has no results of a study, or ``target`` cannot be written.
    """
    return report.write(load(folder / RESULTS).page(), target or folder / PAGE, force=force)


def _is_interrupted(path: Path, request: Request, force: bool) -> bool:
    """Whether the folder holds an unfinished study that this request continues.

    Raises:
        InputError: One was begun there by another request, and ``force`` does not allow to replace it.
    """
    if not path.is_dir() or (path / PAGE).exists() or foreign_files(path, OWN_FILES):
        return False
    if not (path / BEGUN).exists():
        return (path / STORE).is_dir()
    try:
        begun = from_plain(Request, json.loads((path / BEGUN).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path / BEGUN} is damaged: {error}; delete it to continue with what was measured") from None
    pairs = [(key, getattr(begun, key), getattr(request, key)) for key in ("name", "quick", "seed")]
    differences = [f"{key} {before} instead of {now}" for key, before, now in pairs if before != now]
    if differences and not force:
        raise InputError(
            f"{path} holds an interrupted study that was started with {', '.join(differences)}. Choose another folder, "
            "or repeat the first command to continue; --force deletes what was measured"
        )
    return not differences
