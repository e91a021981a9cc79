"""``kronoscope demo``: weather and control, one folder, one page."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from kronoscope import _files, data, report

from ..folders import fresh_folder
from ..stages import Stage, quiet
from .control import run_control
from .demo_page import demo_report
from .weather import run_weather

PAGE, RECORDS, RESULTS, DAYS, RUN = "report.html", "report.json", "results.json", "generated.csv", "weather"
DAYS_WRITTEN = 1000
_STEPS = {"max_steps": 20, "evaluate_every": 10, "held_out_draws": 256}
REHEARSAL: dict[str, dict[str, Any]] = {
    "weather": {"num_days": 64, "training": _STEPS},
    "control": {"n": 300, "dit": _STEPS, "position": _STEPS, "num_generated": 64, "calls": (8, 16), "num_samples": 256},
}


def demo(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    quick: bool = False,
    force: bool = False,
    stage: Stage = quiet,
) -> Path:
    """Learn a year of weather, and Gaussian process data whose truth is exact; write all of it into a folder.

    The folder gets ``weather/`` (a run folder), ``generated.csv`` (1000 new days), ``report.html``, ``report.json``
    (its records) and ``results.json`` (every number).

    Args:
        folder: New, or empty, unless ``force``.
        seed: Of everything random.
        quick: A rehearsal of a few steps, whose numbers mean nothing; the page says so.
        force: Replace the demo that is there.
        stage: ``stage(title)`` is a context manager that gives a function of the fraction done and a few words.

    Returns:
        Path of the page.

    Raises:
        InputError: The folder holds something, or the demo data are not installed.
    """
    began = time.monotonic()
    data.demo_weather_path()
    path = fresh_folder(Path(folder), (PAGE, RECORDS, RESULTS, DAYS, RUN), force, "demo")
    sizes = REHEARSAL if quick else {"weather": {}, "control": {}}
    weather = run_weather(path / RUN, seed=seed, stage=stage, **sizes["weather"])
    control = run_control(seed=seed, stage=stage, **sizes["control"])
    with stage("report") as show:
        days, starts = weather.generated[:DAYS_WRITTEN], weather.starts
        dates = None if starts is None else starts[:DAYS_WRITTEN]
        data.write(path / DAYS, days, weather.model.container, weather.sequences.feature_names, starts=dates)
        seconds = time.monotonic() - began
        page = demo_report(weather, control, seed=seed, quick=quick, seconds=seconds)
        results = {
            "quick": quick,
            "seed": seed,
            "seconds": round(seconds, 1),
            "weather": weather.plain(),
            "control": control.plain(),
        }
        _files.write_text(path / RESULTS, json.dumps(results, indent=1, allow_nan=False) + "\n")
        report.save_records(page, path / RECORDS)
        target = report.write(page, path / PAGE)
        show(1.0, "")
    return target
