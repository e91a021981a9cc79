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

from .. import report
from .._errors import InputError
from .folders import fresh_folder
from .stages import Stage, quiet

PAGE, RECORDS, RESULTS = "report.html", "report.json", "results.json"


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
    """

    module: str
    claim: str
    minutes: tuple[float, float]


REPRODUCTIONS: dict[str, Reproduction] = {
    "depth": Reproduction("depth", "Layers grow like kappa by gradient descent, like its root by Chebyshev.", (1, 0.2)),
    "heads": Reproduction("heads", "Heads grow like lengthscale log(1/accuracy)^(1/nu) with the decay.", (1, 0.2)),
    "noise-depth": Reproduction("noise_depth", "Less depth is needed the more noise there is.", (1, 0.2)),
    "width-depth": Reproduction("width_depth", "Heads buy hardly any depth; width buys nearly all of it.", (1, 0.2)),
    "krylov": Reproduction("krylov", "Every block of a compiled network lies between floor and bound.", (1, 0.2)),
    "metric-trial": Reproduction(
        "metric_trial", "Which number shows which defect, at what rate of false alarms.", (90, 2)
    ),
}


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
        folder: New, or empty, unless ``force``.
        quick: A smaller version; the page says so.
        seed: Of everything random.
        force: Replace the experiment that is there.
        stage: ``stage(title)`` is a context manager that gives a function of the fraction done and a few words.

    Returns:
        Path of the page.

    Raises:
        InputError: An unknown name, or a folder that holds something.
    """
    if name not in REPRODUCTIONS:
        raise InputError(f"name must be one of {', '.join(sorted(REPRODUCTIONS))}, got {name!r}")
    path = fresh_folder(Path(folder), {PAGE, RECORDS, RESULTS}, force, "experiment")
    began = time.monotonic()
    module = importlib.import_module(f".{REPRODUCTIONS[name].module}", __package__)
    finding: Finding = module.run(quick=quick, seed=seed, stage=stage)
    seconds = round(time.monotonic() - began, 1)
    told: dict[str, Any] = {"name": name, "quick": quick, "seed": seed, "seconds": seconds, **finding.results}
    facts = [*finding.page.facts, ("seed", seed), ("seconds", seconds)]
    if quick:
        facts.append(("quick", "a smaller version: --quick"))
    page = replace(finding.page, facts=facts)
    report.write_text(path / RESULTS, json.dumps(told, indent=1, allow_nan=False) + "\n", force=False)
    report.save_records(page, path / RECORDS)
    return report.write(page, path / PAGE)
