"""A run folder: what a fit is told, and what it leaves. JSON and safetensors; nothing is ever unpickled.

run.json                 format, network, training settings, data door, split, seed, environment
checkpoint.safetensors   while training, and after an interruption: what --resume needs
weights.safetensors      when done: the kept weights
result.json              when done: transform, history, how training ended
"""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import _checks, _files, training

RUN, WEIGHTS, RESULT = "run.json", "weights.safetensors", "result.json"
FORMAT = "kronoscope-run-1"


def environment() -> dict[str, str]:
    """Versions and machine, as written beside every result."""
    packages = {}
    for name in ("kronoscope", "torch", "numpy", "pandas", "xarray"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
        "accelerator": accelerator,
        **packages,
    }


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON; a part of it is not left behind."""
    _files.write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the folder's JSON files; a missing, damaged or foreign one is refused by name."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _checks.InputError(f"{path.parent} is no finished kronoscope run: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise _checks.InputError(f"{path} is damaged: {error}") from None
    if not isinstance(values, dict):
        raise _checks.InputError(f"{path} is damaged: it holds no record")
    if path.name == RUN and values.get("format") != FORMAT:
        raise _checks.InputError(f"{path} is of the format {values.get('format')!r}; this version reads {FORMAT!r}")
    return values


def read_settings(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """``run.json`` of a run folder, finished or not."""
    return read_json(Path(folder) / RUN)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights; a missing or damaged file is refused by name."""
    try:
        return training.read_tensors(path)[0]
    except FileNotFoundError:
        raise _checks.InputError(f"{path.parent} is no finished kronoscope run: it has no {path.name}") from None


def new_folder(folder: str | os.PathLike[str], force: bool = False) -> Path:
    """An empty run folder. One that exists is refused, unless it is empty or ``force`` and a run of ours."""
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise _checks.InputError(f"{path} exists and is a file; a run needs a folder")
    if path.is_dir() and any(path.iterdir()):
        if not force:
            raise _checks.InputError(f"{path} exists already; --force replaces a run, --resume continues one")
        read_json(path / RUN)
        for name in (RUN, WEIGHTS, RESULT, training.CHECKPOINT):
            (path / name).unlink(missing_ok=True)
    path.mkdir(parents=True, exist_ok=True)
    return path
