"""Reading a finished run folder into a fitted model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from .. import _checks, data
from .._codec import from_plain
from .._errors import InputError, first_line
from ..settings import FitSettings, TrainingConfig
from ..training import read_tensors
from . import folder as run_folder
from .model import Model
from .networks import build_network


def load(folder: str | os.PathLike[str], *, network: nn.Module | None = None) -> Model:
    """Read a finished run folder. Nothing is unpickled.

    Args:
        folder: What ``fit --out`` or :meth:`Model.save` wrote.
        network: The module of the right shape, for a run of a network of the user's own.

    Raises:
        InputError: The folder is missing, unfinished, of another network, or a file in it was changed since it was
            written (every file is compared with the SHA-256 that ``run.json`` holds).
    """
    return load_but_page(folder, network, ())


def source_of(settings: Mapping[str, Any]) -> data.FileSource | None:
    """The files that a run was fitted to, by its settings or its record; None for a fit of sequences in memory.

    Raises:
        InputError: The settings hold something else.
    """
    plain = settings.get("source")
    return None if plain is None else from_plain(data.FileSource, plain)


def begun_with(folder: str | os.PathLike[str]) -> tuple[data.FileSource, FitSettings, TrainingConfig]:
    """The source and the settings that a run, finished or not, was begun with.

    Raises:
        InputError: It was not begun by ``kronoscope fit``, or is damaged.
    """
    settings = run_folder.read_settings(folder)
    source = source_of(settings)
    if source is None or "fit" not in settings:
        raise InputError(f"{folder} was not begun by kronoscope fit: give SOURCE and its options")
    return source, from_plain(FitSettings, settings["fit"]), TrainingConfig.from_json(settings["training"])


def load_but_page(
    folder: str | os.PathLike[str],
    network: nn.Module | None = None,
    unchecked: tuple[str, ...] = (run_folder.RECORDS, run_folder.PAGE),
) -> Model:
    """As :func:`load`, where files ``unchecked`` may have been changed: to make them again."""
    _checks.module("network", network)
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be the path of a run folder, got {_checks.described(folder)}")
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{path} does not exist; give a run folder that fit wrote")
    settings = run_folder.read_run(path)
    run_folder.check_files(path, settings, unchecked)
    if not run_folder.is_finished(settings):
        raise InputError(f"{path} is not a finished run: continue it with kronoscope fit --resume --out {path}")
    weights = read_tensors(path / run_folder.WEIGHTS)[0]
    result = run_folder.read_json(path / run_folder.RESULT)
    try:
        name, options = settings["network"]["name"], settings["network"]["options"]
        if network is None:
            if name is None:
                raise InputError(
                    f"{path} holds the parameters of a custom network: pass a module of the same "
                    "class and sizes as network="
                )
            size = settings["num_frames"], settings["num_features"]
            network = build_network(name, *size, options, torch.Generator().manual_seed(0))
        network.load_state_dict(weights)
        transform = data.Transform.from_json(result["transform"])
        container = data.Container.from_json(result["container"])
        starts = _starts(result["training_starts"], container)
        return Model(
            network.eval().requires_grad_(False),
            transform,
            container,
            tuple(result["feature_names"]),
            TrainingConfig.from_json(settings["training"]),
            starts,
            name,
            options,
            dict(result["record"]),
            result["returns_tensor"],
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(f"{path} is damaged or belongs to another network: {first_line(error)}") from None


def _starts(stamps: list[str] | None, container: data.Container) -> pd.DatetimeIndex | None:
    if stamps is None:
        return None
    index = pd.DatetimeIndex(pd.to_datetime(stamps, utc=container.timezone is not None))
    return index if container.timezone is None else index.tz_convert(container.timezone)
