"""kronoscope: diffusion models of dependent sequences, measured against exact Gaussian process truth.

Everything is loaded on first use, so that ``import kronoscope`` and ``kronoscope --help`` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        auditing,
        compiler,
        data,
        diffusion,
        estimators,
        iterations,
        kernels,
        metrics,
        models,
        nn,
        pages,
        probes,
        processes,
        report,
        sampling,
        settings,
        theory,
        training,
        video,
    )
    from ._errors import DivergenceError, InputError
    from .auditing import audit
    from .compiler import compile_score
    from .diffusion import score_from
    from .models.fit import fit
    from .models.loading import load
    from .models.model import Model
    from .processes import GaussianSequence

__version__ = "0.1.0"

_SUBMODULES = (
    "auditing",
    "compiler",
    "data",
    "diffusion",
    "estimators",
    "pages",
    "iterations",
    "kernels",
    "metrics",
    "models",
    "nn",
    "probes",
    "processes",
    "report",
    "sampling",
    "settings",
    "theory",
    "training",
    "video",
)
_NAMES = {
    "DivergenceError": "_errors",
    "GaussianSequence": "processes",
    "InputError": "_errors",
    "Model": "models",
    "audit": "auditing",
    "compile_score": "compiler",
    "fit": "models",
    "load": "models",
    "score_from": "diffusion",
}

__all__ = [
    "DivergenceError",
    "GaussianSequence",
    "InputError",
    "Model",
    "__version__",
    "audit",
    "auditing",
    "compile_score",
    "compiler",
    "data",
    "diffusion",
    "estimators",
    "fit",
    "iterations",
    "kernels",
    "load",
    "metrics",
    "models",
    "nn",
    "pages",
    "probes",
    "processes",
    "report",
    "sampling",
    "score_from",
    "settings",
    "theory",
    "training",
    "video",
]


if not TYPE_CHECKING:  # a checker that saw it would take every name for Any

    def __getattr__(name: str) -> Any:
        if name in _SUBMODULES:
            return importlib.import_module(f".{name}", __name__)
        if name in _NAMES:
            return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES, *_NAMES])
