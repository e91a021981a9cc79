"""From sequences to what a network is trained on: split, scaled, with the record of both."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from .. import _checks, data, training
from .._codec import to_plain
from .._errors import InputError
from ..data.time_forms import FloatArray
from ..nn import MixtureTransformer
from ..settings import FitSettings
from . import folder as run_folder
from .initialisation import Initial, Start, start_from
from .mixture_start import start_mixture
from .model import Model
from .networks import build_network
from .sample_size import too_few, undertrained

FEWEST_SEQUENCES = 8
LARGEST = torch.finfo(torch.float32).max ** 0.5
LONG = 3600.0  # seconds of a fit that are worth a warning


@dataclass(frozen=True, eq=False)
class Prepared:
    """Sequences split, the transform fitted to the training part, both parts scaled."""

    sequences: data.SequenceSet
    settings: FitSettings
    transform: data.Transform
    x: Tensor
    held_out: Tensor
    starts: pd.DatetimeIndex | None
    record: dict[str, Any]

    def network(
        self, module: nn.Module | None, law: Initial | None, min_time: float, generator: torch.Generator
    ) -> tuple[nn.Module, dict[str, Any], Start | None]:
        """The network at its start, its options, and what it was started from; see :func:`start_from`."""
        settings, options = self.settings, dict(self.settings.network_options)
        initial = settings.initial if law is None else law
        chosen = settings.network if module is None else module
        if initial is not None:
            start = start_from(initial, chosen, options, self.x, min_time, settings.scaling.is_identity, generator)
            return start.network, start.options, start
        if isinstance(chosen, nn.Module):
            return chosen, options, None
        if chosen is None:
            raise InputError("settings with network=None need a module: pass module=")
        frames, features = self.x.shape[1:]
        network = build_network(chosen, frames, features, options, generator)
        if isinstance(network, MixtureTransformer):
            start_mixture(network, self.x, min_time, generator)
        return network, options, None

    def note_too_few(self, network: nn.Module, *, started: bool) -> None:
        """Put into the record that the sequences are few for the network's structure, or refuse far too few."""
        note = too_few(network, *self.x.shape, started=started)
        if note is not None:
            self.record["notes"] = [note]

    def check_cost(
        self,
        network: nn.Module,
        config: training.TrainingConfig,
        device: str | torch.device | None,
        on_progress: Callable[[training.Progress], None] | None,
    ) -> None:
        """Refuse a run that does not fit into memory; say beforehand how long a large one takes."""
        if training.choose_device(device).type != "cpu":
            return
        cost = training.run_cost(network, self.x, self.held_out, config)
        if cost is None:
            return
        training.check_cost(cost, self.x, config)
        seconds = min(cost.total, config.max_seconds or math.inf)
        if on_progress is not None:
            on_progress(training.Progress(0, 0.0, math.nan, math.nan, 1 / max(cost.step, 1e-9), seconds))
        elif seconds > LONG:
            warnings.warn(
                f"this fit takes about {seconds / 3600:.1f} hours ({cost.step:.1f} s a train step): "
                "max_seconds= ends it sooner",
                stacklevel=4,
            )

    def untrained(self, network: nn.Module, config: training.TrainingConfig, options: dict[str, Any]) -> Model:
        """The model before training, whose settings a run folder begins with."""
        return Model(
            network,
            self.transform,
            self.sequences.container,
            self.sequences.feature_names,
            config,
            self.starts,
            self.settings.network,
            options,
            self.record,
        )

    def trained(
        self, begun: Model, result: training.TrainingResult, moved: dict[str, Any] | None, returns_tensor: bool
    ) -> Model:
        """The fitted model; its record says so where the time was too short.

        Args:
            begun: As :meth:`untrained` gave it.
            result: Of the training.
            moved: How far training went from a law that it started from.
            returns_tensor: Whether ``sample`` gives tensors.
        """
        note = undertrained(result, begun.training)
        notes = [*self.record.get("notes", []), *([] if note is None else [note])]
        record = {
            **self.record,
            **({} if moved is None else {"initial": moved}),
            "training": {
                "history": result.history,
                "best_step": result.best_step,
                "steps": result.steps,
                "seconds": result.seconds,
                "stopped": result.stopped,
                "weights": sum(p.numel() for p in result.network.parameters()),
            },
            **({"notes": notes} if notes else {}),
        }
        return replace(begun, network=result.network, record=record, returns_tensor=returns_tensor)


def prepare(
    sequences: data.SequenceSet,
    settings: FitSettings,
    generator: torch.Generator,
    source: data.FileSource | None = None,
) -> Prepared:
    """Split, fit the transform to the training part alone, scale."""
    scaling, rule = settings.scaling, settings.split
    if len(sequences) < FEWEST_SEQUENCES:
        few = len(sequences) * sequences.values.shape[1] // FEWEST_SEQUENCES
        shorter = f": give shorter ones with frames= (--frames {few})" if sequences.consecutive and few else ""
        raise InputError(f"a fit needs at least {FEWEST_SEQUENCES} sequences, got {len(sequences)}{shorter}")
    if not 0 < _checks.real("validation", rule.validation) < 1:
        raise InputError(f"validation must be greater than 0 and less than 1, got {rule.validation:g}")
    split = data.split(sequences, test=rule.test, validation=rule.validation, gap=rule.gap, generator=generator)
    part, held_out = sequences.subset(split.train), sequences.subset(split.validation)
    transform = data.Transform.fit(
        part.values,
        part.starts,
        part.step,
        mean=scaling.mean,
        scaling=scaling.scaling,
        num_harmonics=scaling.harmonics,
        margins=scaling.margins,
        feature_names=sequences.feature_names,
    )
    record = {
        "fit": settings.to_json(),
        "source": None if source is None else to_plain(source),
        "data": {
            "sequences": len(sequences),
            "features": list(sequences.feature_names),
            "units": list(data.units_of(sequences.container, sequences.feature_names)),
            "notes": list(sequences.notes),
            "grid": None if sequences.grid is None else sequences.grid.to_plain(),
            "fingerprint": fingerprint(sequences),
        },
        "split": {name: getattr(split, name).tolist() for name in ("train", "validation", "test")},
        "environment": run_folder.environment(),
    }
    return Prepared(
        sequences,
        settings,
        transform,
        _single(transform.out_of_fold(part.values, part.starts, mean=scaling.mean), scaling),
        _single(transform.apply(held_out.values, held_out.starts), scaling),
        part.starts if isinstance(part.starts, pd.DatetimeIndex) else None,
        record,
    )


def fingerprint(sequences: data.SequenceSet) -> str:
    """SHA-256 of the values, so that a run knows its sequences again."""
    return hashlib.sha256(sequences.values.tobytes()).hexdigest()


def _single(values: FloatArray, scaling: data.Scaling) -> Tensor:
    """The values as float32, in which networks compute.

    Raises:
        InputError: Their squares are beyond its range; names the option that scales them.
    """
    size = np.abs(values)
    largest = float(np.fmax.reduce(size, axis=None))
    if largest > LARGEST:
        advice = 'scaling="standard" (--scaling standard)' if scaling.scaling is None else "another unit for the data"
        raise InputError(
            f"values must be below {LARGEST:.2g}, because networks square them in float32, but "
            f"{int((size > LARGEST).sum())} are not (the largest: {largest:.3g}): give {advice}"
        )
    return torch.from_numpy(values).float()
