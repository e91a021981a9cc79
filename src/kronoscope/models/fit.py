"""``fit``: sequences in, a model out. Where data, network and training meet."""

from __future__ import annotations

import contextlib
import inspect
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from .. import data, training
from .._errors import InputError
from .._progress import training_progress
from ..settings import ArrayOptions, FitOptions, FitSettings, TrainingConfig, check_keywords
from ..settings.fitting import InputKind
from . import folder as run_folder
from .initialisation import Initial
from .model import Model
from .networks import check_network, training_config
from .preparation import prepare
from .sample_size import is_undertrained


def fit(
    x: Tensor | np.ndarray | xr.DataArray | xr.Dataset,
    network: str | nn.Module | None = None,
    *,
    initial: Initial | None = None,
    network_options: Mapping[str, Any] | None = None,
    generator: torch.Generator | None = None,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    on_progress: Callable[[training.Progress], None] | None = None,
    on_evaluation: Callable[[nn.Module, int], None] | None = None,
    **options: Unpack[FitOptions],
) -> Model:
    """Learn the law of sequences by denoising score matching with early stopping.

    Tensors and arrays are neither scaled nor centred unless asked, so that what is learnt is the score of the data as
    given. The defaults by kind of input are in ``kronoscope.settings.DEFAULTS``.

    Args:
        x: Sequences (n, N, d) as tensor, numpy array or xarray object; a 2-D array is one long series and needs
            ``frames``.
        network: A name in ``models.NETWORKS`` ("unrolled", "mixture", "position", "dit", "unet",
            "linear", "mlp"), or any module
            (x, t) -> epsilon like x, t of shape (batch,). None: "unrolled" for tensors and arrays.
        initial: What network="unrolled" starts from: None (nothing), a Gaussian law of the unscaled data, the name
            of an estimator in ``models.ESTIMATORS`` (fitted to the training part), or a compiled score. How far
            training then moved the network's law stands in ``model.record["initial"]``, in nats.
        network_options: Keyword arguments of a named network, such as width.
        generator: Of everything random; None means seed 0.
        device: None chooses CUDA where it is there.
        progress: A progress bar: None shows it on a terminal and in a notebook, True everywhere (as plain lines where
            there is neither), False nowhere. It goes to stderr.
        on_progress, on_evaluation: See :func:`kronoscope.training.train`.
        frames: N, for a long series.
        limits: Physical limits by feature, (low, high); values outside become missing.
        missing: "drop" leaves out sequences in which a value is missing (NaN); "mask" learns the law from what is left
            of them: each train step then fits the score of the entries that a sequence has. It needs a network
            whose forward takes a mask, as "unrolled".
        mean: What is subtracted: "zero" (nothing, the default of tensors and arrays), "feature" (one number a feature)
            or "free" (one a frame and feature, the default of tables).
        scaling: None (the default of tensors and arrays), or "standard": one standard deviation a feature (the default
            of tables).
        margins: None, or "normal-scores": each feature goes through a strictly increasing map to a standard normal
            margin, fitted to the training part (all frames together), and comes back through its inverse. For
            features that are skewed or heavy-tailed; refused where one value holds more than 20 % of a feature.
        harmonics: Annual harmonics of a seasonal cycle that is subtracted; the sequences need clock times.
        test: None, or what is held out of the fit altogether: a share (the last sequences) or "weeks:5".
        validation: Share of the rest that is taken out for the held-out loss; default 0.1.
        gap: Sequences dropped between the parts; default 0.
        max_steps, max_seconds, ...: Any field of :class:`kronoscope.training.TrainingConfig`; by default those of the
            network's preset in ``models.NETWORKS``.

    Returns:
        The model. ``model.record["notes"]`` says where the sequences are few for the network's structure, and where
        the time was too short for the training, which is warned of as well; it is there only then.

    Raises:
        InputError: Too few sequences (without ``initial``, fewer values than the network's structure has free
            numbers), values that are not finite, unknown names.
        TypeError: An unknown keyword; names the one that was meant.
        DivergenceError: The loss left the finite numbers.
    """
    check_keywords("fit", options, _keywords())
    given: dict[str, Any] = {**options}
    in_memory = {name: given.pop(name) for name in ArrayOptions.__annotations__ if name in given}
    config_options = {f.name: given.pop(f.name) for f in fields(TrainingConfig) if f.name in given}
    if network is not None:
        check_network(network)
    sequences = data.from_array(x, **in_memory)
    module = network if isinstance(network, nn.Module) else None
    law = None if isinstance(initial, str) else initial
    settings = FitSettings.for_input(
        input_kind(sequences),
        network if isinstance(network, str) else None,
        network_options=network_options,
        initial=initial if isinstance(initial, str) else None,
        seed=0 if generator is None else None,
        **given,
    )
    if module is not None:
        settings = replace(settings, network=None)
    config = training_config(settings.network, config_options)
    model = fit_sequences(
        sequences,
        settings,
        config,
        module=module,
        law=law,
        generator=generator,
        device=device,
        progress=progress,
        on_progress=on_progress,
        on_evaluation=on_evaluation,
        returns_tensor=isinstance(x, Tensor),
    )
    for note in filter(is_undertrained, model.record.get("notes", [])):
        warnings.warn(note, stacklevel=2)
    return model


def input_kind(sequences: data.SequenceSet) -> InputKind:
    """Whether the sequences are an array in memory, or come from a table or a file."""
    container = sequences.container
    return "array" if container.ending is None and container.kind != "table" else "table"


def fit_sequences(
    sequences: data.SequenceSet,
    settings: FitSettings,
    config: TrainingConfig,
    folder: str | os.PathLike[str] | None = None,
    *,
    source: data.FileSource | None = None,
    resume: bool = False,
    force: bool = False,
    module: nn.Module | None = None,
    law: Initial | None = None,
    generator: torch.Generator | None = None,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    on_progress: Callable[[training.Progress], None] | None = None,
    on_evaluation: Callable[[nn.Module, int], None] | None = None,
    returns_tensor: bool = False,
) -> Model:
    """As :func:`fit`, from the data door and records; with ``folder``, into a run folder that survives interruption.

    A fit that fails before its first checkpoint leaves no folder.

    Args:
        sequences: What ``data.read`` or ``data.from_array`` gave.
        settings: Network, scaling, split, seed.
        config: Training settings.
        folder: The run folder: new, or with ``resume`` one that was interrupted under the same settings. None keeps
            the model in memory alone.
        source: The files and options with which the sequences were read, so that the run can read them again.
        resume: Continue the checkpoint in ``folder``.
        force: Replace a run that is there.
        module: A network of the caller's, in place of the one that ``settings`` names.
        law: A law or a compiled score to start from, in place of the estimator that ``settings`` names.
        generator: Of everything random; None takes the seed of ``settings``.
        device, progress, on_progress, on_evaluation: See :func:`fit`.
        returns_tensor: Whether ``sample`` gives tensors in place of numpy arrays.

    Raises:
        InputError: As :func:`fit`; or the folder holds something else, is finished, was begun with other settings, is
            damaged, or another process is training in it.
    """
    if module is not None and settings.network_options:
        raise InputError("network_options go with the name of a network; build your module with them instead")
    if generator is None:
        generator = torch.Generator().manual_seed(settings.seed or 0)
    prepared = prepare(sequences, settings, generator, source)
    network, options, start = prepared.network(module, law, config.min_time, generator)
    prepared.note_too_few(network, started=start is not None)
    path = None if folder is None else Path(folder)
    begun = prepared.untrained(network, config, options)
    kept = contextlib.nullcontext() if path is None else run_folder.opened(path, begun.settings(), resume, force)
    with training_progress(progress, on_progress) as report:
        prepared.check_cost(network, config, device, report)
        with kept:
            result = training.train(
                network,
                prepared.x,
                prepared.held_out,
                config,
                generator=generator,
                device=device,
                checkpoint=path,
                # killed before its first checkpoint: from the start again
                resume=resume and path is not None and (path / training.CHECKPOINT).exists(),
                on_progress=report,
                on_evaluation=on_evaluation,
            )
            moved = None if start is None else start.moved(result.network, config.min_time)
            model = prepared.trained(begun, result, moved, returns_tensor)
            if path is not None and training.Processes.join().is_first:
                run_folder.finish(path, begun.settings(), model.result(), model.network.state_dict())
    return model


def _keywords() -> list[str]:
    """All keywords of :func:`fit`."""
    own = [name for name in inspect.signature(fit).parameters if name not in ("x", "options")]
    return [*own, *sorted(FitOptions.__optional_keys__)]
