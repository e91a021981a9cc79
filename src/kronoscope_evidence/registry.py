"""The studies by name. A study is imported when it is asked for: each imports the parts of the library it tests."""

from __future__ import annotations

import importlib
from typing import Any

from kronoscope import InputError

from .study import Study

MODULES = {
    "ablation": "inside.ablation",
    "attention": "inside.attention",
    "complexity": "networks.complexity",
    "conditionals": "trials.conditionals",
    "decay": "learning.decay",
    "depth": "solver.depth",
    "dimension": "learning.dimension",
    "dynamics": "inside.dynamics",
    "heads": "solver.heads",
    "improvements": "networks.improvements",
    "jacobian": "inside.jacobian",
    "krylov": "solver.krylov",
    "learning-efficiency": "networks.efficiency",
    "length": "learning.length",
    "metric-trial": "trials.metric_trial",
    "noise-depth": "solver.noise_depth",
    "time-to-quality": "networks.time_to_quality",
    "unet": "networks.dit_unet",
    "values": "inside.values",
    "video": "video.decoded_paths",
    "video-digit": "video.digit",
    "width-depth": "solver.width_depth",
}


def study(name: str) -> Study[Any, Any]:
    """The study of that name.

    Raises:
        InputError: There is none; the message lists the names.
    """
    if name not in MODULES:
        raise InputError(f"name must be one of {', '.join(sorted(MODULES))}, got {name!r}")
    entry: Study[Any, Any] = importlib.import_module(f".{MODULES[name]}", __package__).STUDY
    return entry
