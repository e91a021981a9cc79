"""``kronoscope reproduce NAME``: experiments by the name of the claim that they put to the test."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kronoscope import report
from kronoscope._codec import parse_json
from kronoscope._errors import InputError
from kronoscope._files import remove_leftovers

from .folders import fresh_folder, strangers
from .stages import Stage, quiet

PAGE, RECORDS, RESULTS, KEPT, BEGUN = "report.html", "report.json", "results.json", "sweep", "begun.json"
OURS = (KEPT, BEGUN, RESULTS, RECORDS, PAGE)  # the page goes last: until then the folder is that of a finished one


@dataclass(frozen=True)
class Finding:
    """What an experiment found: the page that tells it, and every number of it.

    Args:
        page: For people.
        results: For machines; plain JSON without NaN.
    """

    page: report.Report
    results: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reproduction:
    """An experiment that can be run by name.

    Args:
        module: Submodule of ``experiments`` with ``run(*, quick, seed, stage) -> Finding``; imported when it is run.
        claim: The claim that is put to the test, one sentence.
        minutes: About how long it takes on 2 cores: in full, quick.
        resumable: Whether ``run`` takes ``folder``, too, where it keeps what is done, so that a killed one is gone on
            with by the same command.
    """

    module: str
    claim: str
    minutes: tuple[float, float]
    resumable: bool = False


REPRODUCTIONS: dict[str, Reproduction] = {}


def reproduce(
    name: str,
    folder: str | os.PathLike[str],
    *,
    quick: bool = False,
    seed: int = 0,
    force: bool = False,
    stage: Stage = quiet,
) -> Path:
    """Run one experiment; the folder gets ``report.html``, ``report.json`` (its records) and ``results.json``.

    Args:
        name: Key of ``REPRODUCTIONS``.
        folder: New, or empty, unless ``force``; or one where a resumable experiment was cut off, at whatever moment:
            nothing that was measured there is measured again.
        quick: A smaller version; the page says so.
        seed: Of everything random.
        force: Replace the experiment that is there. One that was cut off under the same name, size and seed is gone on
            with all the same.
        stage: ``stage(title)`` is a context manager that gives a function of the fraction done and a few words.

    Returns:
        Path of the page.

    Raises:
        InputError: An unknown name, or a folder that holds something.
    """
    if name not in REPRODUCTIONS:
        raise InputError(f"name must be one of {', '.join(sorted(REPRODUCTIONS))}, got {name!r}")
    told_of = REPRODUCTIONS[name]
    path = Path(folder)
    asked: dict[str, Any] = {"name": name, "quick": quick, "seed": seed}
    if not (told_of.resumable and _was_cut_off(path, asked, force)):
        fresh_folder(path, OURS, force, "experiment")
        if told_of.resumable:
            _write_json(path / BEGUN, asked)
    began = time.monotonic()
    module = importlib.import_module(f".{told_of.module}", __package__)
    kept = {"folder": path / KEPT} if told_of.resumable else {}
    finding: Finding = module.run(quick=quick, seed=seed, stage=stage, **kept)
    seconds = round(time.monotonic() - began, 1)
    facts = [*finding.page.facts, ("seed", seed), ("seconds", seconds)]
    if quick:
        facts.append(("quick", "a smaller version: --quick"))
    page = replace(finding.page, facts=facts)
    _write_json(path / RESULTS, {**asked, "seconds": seconds, **finding.results})
    report.save_records(page, path / RECORDS, force=True)
    report.write(page, path / PAGE)  # last: it is the sign of done
    (path / BEGUN).unlink(missing_ok=True)
    remove_leftovers(path)
    return path / PAGE


def _was_cut_off(path: Path, asked: Mapping[str, Any], force: bool) -> bool:
    """Whether the folder holds an unfinished experiment that is to be gone on with.

    Raises:
        InputError: One was begun there, but with other settings, and ``force`` does not allow to replace it.
    """
    if not path.is_dir() or (path / PAGE).exists() or strangers(path, OURS):
        return False
    if not (path / BEGUN).exists():
        return (path / KEPT).is_dir()
    try:
        begun = parse_json((path / BEGUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path / BEGUN} is damaged: {error}; delete it to go on with what was measured") from None
    told = begun if isinstance(begun, dict) else {}
    differ = [f"{key} {told.get(key)} instead of {value}" for key, value in asked.items() if told.get(key) != value]
    if differ and not force:
        raise InputError(
            f"{path} holds an experiment that was cut off, begun with {', '.join(differ)}. Take another folder, or "
            "give what it was begun with to go on; --force throws away what was measured"
        )
    return not differ


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    report.write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n", force=True)
