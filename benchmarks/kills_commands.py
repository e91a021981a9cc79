"""The commands that ``kills`` kills, and what they find in their folder."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

FIT = ("fit", "x.csv", "--frames", "4", "--time", "when", "--test", "0.2", "--max-steps", "12", "--quiet", "--out")
TINY_STEPS = {"max_steps": 2, "evaluate_every": 2, "held_out_draws": 16}
TINY_STUDY = {
    "features": (1, 2),
    "n": 40,
    "frames": 4,
    "seeds": 1,
    "learners": ("unrolled", "separable"),
    "training": {"unrolled": {"max_steps": 2, "evaluate_every": 2, "held_out_draws": 32, "batch_size": 16}},
}


@dataclass(frozen=True)
class Command:
    """A command to kill.

    Attributes:
        name: For people.
        arguments: As typed after ``kronoscope``.
        outputs: Paths that it writes.
        files: What is in its folder before, by the names in the stock.
        folders: Those outputs that are folders of several files, which are written one after the other.
        keeps_strangers: Whether a file of the user in an output folder stays there.
        weight: Share of the kills, relative to the others; less for what takes long.
        code: How it may end besides 0: 1 where it is a check that may fail.
    """

    name: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    keeps_strangers: bool = False
    weight: float = 1.0
    code: int = 0


def _sample(out: str, *more: str) -> tuple[str, ...]:
    return ("sample", "run", "-n", "7", "--calls", "4", "--quiet", "--out", out, *more)


_COMPILE = ("compile", "--frames", "4", "-q", "--out", "compiled", "--kernel")
_AUDIT = ("-q", "--out", "a.html", "--json", "a.json")
_X, _RUN = {"x.csv": "x.csv"}, {"run": "run"}
COMMANDS = (
    Command("fit", (*FIT, "run"), ("run",), _X, ("run",)),
    Command("fit --force", (*FIT, "run", "--force"), ("run",), {**_X, "run": "old"}, ("run",), True),
    Command("fit --resume", ("fit", "--resume", "-q", "--out", "run"), ("run",), {**_X, "run": "cut"}, ("run",), True),
    Command(
        "fit --resume without a page",
        ("fit", "--resume", "-q", "--out", "run"),
        ("run",),
        {**_X, "run": "pageless"},
        ("run",),
        True,
    ),
    Command("sample csv", _sample("new.csv"), ("new.csv",), _RUN),
    Command("sample csv --force", _sample("new.csv", "--force"), ("new.csv",), {**_RUN, "new.csv": "new.csv"}),
    Command("sample parquet", _sample("new.parquet"), ("new.parquet",), _RUN),
    Command("sample nc --force", _sample("new.nc", "--force"), ("new.nc",), {**_RUN, "new.nc": "new.nc"}),
    Command("sample zarr", _sample("new.zarr"), ("new.zarr",), _RUN),
    Command("sample zarr --force", _sample("new.zarr", "--force"), ("new.zarr",), {**_RUN, "new.zarr": "new.zarr"}),
    Command(
        "forecast --force",
        (
            "forecast",
            "run",
            "x.csv",
            "--steps",
            "2",
            "--origin",
            "2021-04-29T12:00",
            "-q",
            "--out",
            "new.csv",
            "--force",
        ),
        ("new.csv",),
        {**_X, **_RUN, "new.csv": "new.csv"},
    ),
    Command(
        "impute --force",
        ("impute", "run", "gaps.csv", "-q", "--out", "new.csv", "--force"),
        ("new.csv",),
        {**_RUN, "gaps.csv": "gaps.csv", "new.csv": "new.csv"},
    ),
    Command(
        "audit --force",
        ("audit", "x.csv", "new.csv", "--run", "run", "--independent", *_AUDIT, "--force"),
        ("a.html", "a.json"),
        {**_X, **_RUN, "new.csv": "new.csv", "a.html": "x.csv", "a.json": "x.csv"},
        code=1,
    ),
    Command("report", ("report", "run", "-q"), ("run",), _RUN, ("run",), True),
    Command("report without records", ("report", "run", "-q"), ("run",), {**_X, "run": "pageless"}, ("run",), True),
    Command("compile", (*_COMPILE, "PowerExponential(lengthscale=2)"), ("compiled",)),
    Command(
        "compile --force",
        (*_COMPILE, "PowerExponential(lengthscale=2)", "--force"),
        ("compiled",),
        {"compiled": "compiled"},
    ),
    Command("reproduce", ("reproduce", "dimension", "--quick", "-q", "--out", "study"), ("study",), {}, ("study",)),
    Command(
        "reproduce --force",
        ("reproduce", "dimension", "--quick", "-q", "--out", "study", "--force"),
        ("study",),
        {"study": "study"},
        ("study",),
    ),
    Command("demo", ("demo", "--quick", "-q", "--out", "demo"), ("demo",), {}, ("demo",), weight=0.3),
    Command(
        "demo --force",
        ("demo", "--quick", "-q", "--out", "demo", "--force"),
        ("demo",),
        {"demo": "demo"},
        ("demo",),
        weight=0.3,
    ),
)


def make_stock(stock: Path, command: Callable[..., None], needed: Collection[str]) -> None:
    """Make what the commands find: sources, runs in several states, earlier outputs.

    Args:
        stock: Folder to make them in.
        command: Runs ``kronoscope`` in a fork, in the folder that is its first argument; ``killed_before`` is the
            number of the file operation before which it is killed.
        needed: Names of what to make; sources are always made.
    """
    _make_small()
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2021-03-01", periods=4 * 60, freq="6h")
    walk = np.cumsum(rng.normal(size=(len(stamps), 2)), axis=0) * 0.2
    table = pd.DataFrame({"when": stamps, "a": walk[:, 0] + 10, "b": walk[:, 1]})
    table.to_csv(stock / "x.csv", index=False)
    table.loc[[9, 10, 50], "a"] = np.nan
    table.to_csv(stock / "gaps.csv", index=False)
    outputs = [name for name in needed if name.startswith("new.")]
    if {"run", "pageless"} & set(needed):
        command(stock, *FIT, "run")
    if "old" in needed or outputs:
        command(stock, *FIT, "old", "--seed", "1")
    if "cut" in needed:
        command(stock, *FIT, "cut", killed_before=40)
        assert (stock / "cut" / "checkpoint.safetensors").exists()
    if "pageless" in needed:
        _take_page_away(shutil.copytree(stock / "run", stock / "pageless"))
    for name in outputs:
        command(stock, "sample", "old", "-n", "40", "--calls", "4", "-q", "--out", name)
    if "compiled" in needed:
        command(stock, *_COMPILE, "PowerExponential(lengthscale=3)")
    if "study" in needed:
        command(stock, "reproduce", "dimension", "--quick", "-q", "--seed", "1", "--out", "study")
    if "demo" in needed:
        command(stock, "demo", "--quick", "-q", "--seed", "1", "--out", "demo")


def _take_page_away(run: Path) -> None:
    """As if the fit had been killed between its result and its page."""
    from kronoscope.models import folder

    settings = folder.read_run(run)
    (run / folder.PAGE).unlink()
    (run / folder.RECORDS).unlink()
    folder.write_run(run, settings, (folder.RESULT, folder.WEIGHTS))


def _make_small() -> None:
    """Make the study, the demo and pages so small that they can be made hundreds of times."""
    importlib.import_module("kronoscope.pages.run_page").MOST_VALUES = 256
    study = importlib.import_module("kronoscope_evidence.learning.dimension")
    study.STUDY = replace(study.STUDY, quick=study.Size(**TINY_STUDY))
    demo, sizes = (importlib.import_module(f"kronoscope_evidence.demo.{name}") for name in ("demo", "sizes"))
    steps = sizes.Training(**TINY_STEPS)
    demo.QUICK = sizes.Size(sizes.WeatherSize(24, steps), sizes.ControlSize(40, steps, steps, 16, 64, (4,)))
