"""``kronoscope demo``: weather and control, one folder, one page."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from kronoscope import InputError, data, report
from kronoscope._codec import from_plain, to_plain, to_text
from kronoscope._files import write_text
from kronoscope.models import RECORDS
from kronoscope.report.records import Cell

from ..folders import fresh_folder
from ..results import RESULTS, is_of_format, read
from ..stages import Stage, quiet
from .control import ControlResult, run_control
from .demo_page import demo_report
from .sizes import FULL, QUICK
from .weather import WeatherResult, run_weather

PAGE, DAYS, RUN = "report.html", "generated.csv", "weather"
FORMAT = "kronoscope-demo-1"
DAYS_WRITTEN = 1000


@dataclass(frozen=True)
class Environment:
    """What a demo ran on."""

    torch: str
    python: str
    threads: int


@dataclass(frozen=True)
class DemoResult:
    """All numbers of a demo.

    Attributes:
        format: Of the file.
        quick: Whether it was a rehearsal of a few steps.
        seed: Of everything random.
        seconds: In all.
        environment: What it ran on.
        weather, control: The two parts.
    """

    format: str
    quick: bool
    seed: int
    seconds: float
    environment: Environment
    weather: WeatherResult
    control: ControlResult


def demo(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    quick: bool = False,
    force: bool = False,
    stage: Stage = quiet,
) -> Path:
    """Learn a year of weather, and Gaussian process data whose truth is exact; write all of it into a folder.

    The folder gets ``weather/`` (a run folder with its own page), ``generated.csv`` (1000 new days), ``results.json``
    (every number) and ``report.html``. :func:`render_demo` makes the page again.

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
    path = fresh_folder(Path(folder), (PAGE, RESULTS, DAYS, RUN), force, "demo")
    size = QUICK if quick else FULL
    weather, generated = run_weather(path / RUN, size.weather, seed=seed, stage=stage)
    control = run_control(size.control, seed=seed, stage=stage)
    with stage("report") as show:
        generated.write(path / DAYS, DAYS_WRITTEN)
        seconds = round(time.monotonic() - began, 1)
        environment = Environment(str(torch.__version__), platform.python_version(), torch.get_num_threads())
        result = DemoResult(FORMAT, quick, seed, seconds, environment, weather, control)
        write_text(path / RESULTS, to_text(to_plain(result)))
        page = render_demo(path)
        show(1.0, "")
    return page


def is_demo(folder: Path) -> bool:
    """Whether the folder holds the results of a demo, also damaged ones."""
    return is_of_format(folder / RESULTS, FORMAT)


def load_demo(folder: Path) -> DemoResult:
    """The results in a folder that ``kronoscope demo`` wrote.

    Raises:
        InputError: They are missing, damaged or of another format; the message names the file.
    """
    plain = read(folder / RESULTS, FORMAT, "kronoscope demo")
    try:
        return from_plain(DemoResult, plain)
    except InputError as error:
        raise InputError(f"{folder / RESULTS} is damaged: {error}") from None


def demo_page_of(folder: Path) -> report.Report:
    """The page of a demo from its results and the records of its weather run; nothing is measured.

    Raises:
        InputError: The folder has no results of a demo, or its run has no records.
    """
    result = load_demo(folder)
    facts: dict[str, Cell] = {
        "seed": result.seed,
        "seconds in all": round(result.seconds),
        "weather network": result.weather.network,
        "torch": result.environment.torch,
        "python": result.environment.python,
        "threads": result.environment.threads,
    }
    run_page = report.load_records(folder / RUN / RECORDS)
    return demo_report(result.weather, result.control, run_page, quick=result.quick, facts=facts)


def render_demo(folder: Path, target: Path | None = None) -> Path:
    """Write :func:`demo_page_of` a folder to ``target``; None writes ``report.html`` in the folder."""
    return report.write(demo_page_of(folder), target or folder / PAGE, force=True)
