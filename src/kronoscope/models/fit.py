"""``fit``: sequences in, a model out. Where data, network and training meet."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from .. import _checks, data, training
from .._errors import InputError
from .._progress import training_progress
from . import folder as run_folder
from .initialisation import Initial, Start, start_from
from .model import Model
from .networks import build_network, check_network, training_config
from .sample_size import too_few, undertrained

FEWEST_SEQUENCES = 8
LONG = 3600.0  # seconds of a fit that are worth a warning


def fit(
    x: Tensor | np.ndarray | xr.DataArray | xr.Dataset,
    network: str | nn.Module = "unrolled",
    *,
    mean: str = "zero",
    scaling: str | None = None,
    margins: str | None = None,
    initial: Initial | None = None,
    frames: int | None = None,
    missing: str = "drop",
    validation: float = 0.1,
    network_options: dict[str, Any] | None = None,
    generator: torch.Generator | None = None,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    on_progress: Callable[[training.Progress], None] | None = None,
    on_evaluation: Callable[[nn.Module, int], None] | None = None,
    **training_settings: Any,
) -> Model:
    """Learn the law of sequences by denoising score matching with early stopping.

    Nothing is scaled or centred unless asked: then what is learnt is the score of the data as they are.

    Args:
        x: Sequences (n, N, d) as tensor, numpy array or xarray object; a 2-D array is one long series and needs
            ``frames``.
        network: A name in ``models.NETWORKS`` ("unrolled", "position", "dit", "unet", "linear", "mlp"), or any module
            (x, t) -> epsilon like x, t of shape (batch,).
        mean: What is subtracted: "zero" (nothing), "feature" (one number a feature) or "free" (one a frame and
            feature).
        scaling: None, or "standard": one standard deviation a feature.
        margins: None, or "normal-scores": each feature goes through a strictly increasing map to a standard normal
            margin, fitted to the training part (all frames together), and comes back through its inverse. For
            features that are skewed or heavy-tailed; refused where one value holds more than 20 % of a feature.
        initial: What network="unrolled" starts from: None (nothing), a Gaussian law of the data as they are, the name
            of an estimator in ``models.ESTIMATORS`` (fitted to the training part), or a compiled score. How far
            training then moved the network's law stands in ``model.record["initial"]``, in nats.
        frames: N, for a long series.
        missing: "drop" leaves out sequences in which a value is missing (NaN); "mask" learns the law from what is left
            of them: each train step then fits the score of the entries that a sequence has. It needs a network
            whose forward takes a mask, as "unrolled".
        validation: Share of the n sequences that is taken out for the held-out loss; the rest is trained on.
        network_options: Keyword arguments of a named network, such as width.
        generator: Of everything random; None means seed 0.
        device: None chooses CUDA where it is there.
        progress: A progress bar: None shows it on a terminal and in a notebook, True everywhere (as plain lines where
            there is neither), False nowhere. It goes to stderr.
        on_progress, on_evaluation: See :func:`kronoscope.training.train`.
        **training_settings: Any of :class:`kronoscope.training.TrainingConfig`, such as max_steps or max_seconds;
            the others are the network's presets.

    Returns:
        The model. ``model.record["notes"]`` says where the sequences are few for the network's structure, and where
        the time was too short for the training, which is warned of as well; it is there only then.

    Raises:
        InputError: Too few sequences (without ``initial``, fewer values than the network's structure has free
            numbers), values that are not finite, unknown names.
        DivergenceError: The loss left the finite numbers.
    """
    generator = _checks.generator_or_seed_zero(generator)
    check_network(network)
    sequences = data.from_array(x, frames=frames, missing=missing)
    name = network if isinstance(network, str) else None
    options = dict(network_options or {})
    if name is None and options:
        raise InputError("network_options go with the name of a network; build your module with them instead")
    config = training_config(name, training_settings, also=inspect.signature(fit).parameters)
    prepared = prepare(
        sequences,
        mean=mean,
        scaling=scaling,
        margins=margins,
        harmonics=0,
        test=None,
        validation=validation,
        gap=0,
        generator=generator,
    )
    if isinstance(network, nn.Module) and initial is None:
        module, start = network, None
    else:
        as_they_are = mean == "zero" and scaling is None and margins is None
        module, options, start = prepared.network(network, options, initial, config.min_time, as_they_are, generator)
    prepared.note_too_few(module, started=start is not None)
    with training_progress(progress, on_progress) as report:
        prepared.check_cost(module, config, device, report)
        result = training.train(
            module,
            prepared.x,
            prepared.held_out,
            config,
            generator=generator,
            device=device,
            on_progress=report,
            on_evaluation=on_evaluation,
        )
    if start is not None:
        prepared.record["initial"] = start.moved(result.network, config.min_time)
    model = prepared.model(result, config, name, options, returns_tensor=isinstance(x, Tensor))
    note = undertrained(result, config)
    if note is not None:
        warnings.warn(note, stacklevel=2)
    return model


@dataclass(frozen=True, eq=False)
class Prepared:
    """Sequences split, the transform fitted to the training part, both parts scaled."""

    sequences: data.SequenceSet
    transform: data.Transform
    x: Tensor
    held_out: Tensor
    starts: pd.DatetimeIndex | None
    record: dict[str, Any]

    def network(
        self,
        network: str | nn.Module,
        options: dict[str, Any],
        initial: Initial | None,
        min_time: float,
        as_they_are: bool,
        generator: torch.Generator,
    ) -> tuple[nn.Module, dict[str, Any], Start | None]:
        """The network at its start, its options, and what it was started from; see :func:`start_from`."""
        if initial is None:
            assert isinstance(network, str)
            frames, features = self.x.shape[1:]
            return build_network(network, frames, features, options, generator), options, None
        start = start_from(initial, network, options, self.x, min_time, as_they_are, generator)
        return start.network, start.options, start

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
                stacklevel=3,
            )

    def model(
        self,
        result: training.TrainingResult,
        config: training.TrainingConfig,
        name: str | None,
        options: dict[str, Any],
        returns_tensor: bool = False,
    ) -> Model:
        """The fitted model; its record says so where the time was too short."""
        note = undertrained(result, config)
        notes = [*self.record.get("notes", []), *([] if note is None else [note])]
        outcome = {
            "history": result.history,
            "best_step": result.best_step,
            "steps": result.steps,
            "seconds": result.seconds,
            "stopped": result.stopped,
            "weights": sum(p.numel() for p in result.network.parameters()),
        }
        return Model(
            result.network,
            self.transform,
            self.sequences.container,
            self.sequences.feature_names,
            config,
            self.starts,
            name,
            options,
            {**self.record, "training": outcome, **({"notes": notes} if notes else {})},
            returns_tensor,
        )


def prepare(
    sequences: data.SequenceSet,
    *,
    mean: str,
    scaling: str | None,
    harmonics: int,
    test: float | str | None,
    validation: float,
    gap: int,
    generator: torch.Generator,
    margins: str | None = None,
) -> Prepared:
    """Split, fit the transform to the training part alone, scale."""
    if len(sequences) < FEWEST_SEQUENCES:
        few = len(sequences) * sequences.values.shape[1] // FEWEST_SEQUENCES
        shorter = f": give shorter ones with frames= (--frames {few})" if sequences.consecutive and few else ""
        raise InputError(f"a fit needs at least {FEWEST_SEQUENCES} sequences, got {len(sequences)}{shorter}")
    if not 0 < _checks.real("validation", validation) < 1:
        raise InputError(f"validation must be greater than 0 and less than 1, got {validation:g}")
    split = data.split(sequences, test=test, validation=validation, gap=gap, generator=generator)
    part, held_out = sequences.subset(split.train), sequences.subset(split.validation)
    transform = data.Transform.fit(
        part.values,
        part.starts,
        part.step,
        mean=mean,
        scaling=scaling,
        num_harmonics=harmonics,
        margins=margins,
        feature_names=sequences.feature_names,
    )
    record = {
        "data": {
            "sequences": len(sequences),
            "features": list(sequences.feature_names),
            "units": list(data.units_of(sequences.container, sequences.feature_names)),
            "mean": mean,
            "scaling": scaling,
            "harmonics": harmonics,
            "margins": margins,
            "notes": list(sequences.notes),
            "grid": None if sequences.grid is None else sequences.grid.to_plain(),
        },
        "split": {name: getattr(split, name).tolist() for name in ("train", "validation", "test")},
        "environment": run_folder.environment(),
    }
    return Prepared(
        sequences,
        transform,
        torch.from_numpy(transform.out_of_fold(part.values, part.starts, mean=mean)).float(),
        torch.from_numpy(transform.apply(held_out.values, held_out.starts)).float(),
        part.starts if isinstance(part.starts, pd.DatetimeIndex) else None,
        record,
    )
