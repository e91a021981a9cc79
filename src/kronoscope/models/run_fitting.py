"""``fit_run``: as ``fit``, into a run folder that an interruption at any moment leaves fit to continue."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from .. import data, training
from .._errors import InputError
from . import folder as run_folder
from .fit import Prepared, prepare
from .model import Model


@dataclass(frozen=True)
class FitSettings:
    """What a fit is told besides the data and the training settings.

    Attributes:
        network: A name in ``models.NETWORKS``.
        network_options: Keyword arguments of the network.
        mean: "zero", "feature" or "free" ((N, d)), learnt on the training part and subtracted.
        scaling: None or "standard" (one standard deviation a feature).
        harmonics: Annual harmonics of the seasonal cycle that is subtracted.
        margins: None or "normal-scores": see :func:`fit`.
        test: As for ``data.split``.
        validation: Share of the rest for early stopping.
        gap: Sequences dropped between the parts.
        seed: Of everything random.
        initial: None, or the name of an estimator from which network "unrolled" starts: see :func:`fit`.
    """

    network: str = "position"
    network_options: dict[str, Any] = field(default_factory=dict)
    mean: str = "zero"
    scaling: str | None = None
    harmonics: int = 0
    test: float | str | None = None
    validation: float = 0.1
    gap: int = 0
    seed: int = 0
    margins: str | None = None
    initial: str | None = None


def fit_run(
    sequences: data.SequenceSet,
    settings: FitSettings,
    config: training.TrainingConfig,
    folder: str | os.PathLike[str],
    *,
    source: dict[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    device: str | torch.device | None = None,
    on_progress: Callable[[training.Progress], None] | None = None,
) -> Model:
    """As :func:`fit`, from the data door into a run folder that an interruption leaves fit to continue.

    A fit that fails before its first checkpoint leaves no folder.

    Args:
        sequences: What ``data.read`` gave.
        settings: Mean, scaling, split, network, seed.
        config: Training settings.
        folder: The run folder: new, or with ``resume`` one that was interrupted under the same settings.
        source: The path and the options with which the sequences were read (JSON), so that the run can cut
            the same file again.
        resume: Continue the checkpoint in ``folder``.
        force: Replace a run that is there.
        device, on_progress: See :func:`fit`.

    Raises:
        InputError: As :func:`fit`; or the folder holds something else, is finished, was begun with other settings, is
            damaged, or another process is training in it.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    prepared = prepare(
        sequences,
        mean=settings.mean,
        scaling=settings.scaling,
        margins=settings.margins,
        harmonics=settings.harmonics,
        test=settings.test,
        validation=settings.validation,
        gap=settings.gap,
        generator=generator,
    )
    prepared.record["fit"] = asdict(settings)
    prepared.record["source"] = source or {}
    prepared.record["data"]["fingerprint"] = fingerprint(sequences)
    options = dict(settings.network_options)
    network, options, start = prepared.network(
        settings.network, options, settings.initial, config.min_time, False, generator
    )
    prepared.note_too_few(network, started=start is not None)
    prepared.check_cost(network, config, device, on_progress)
    asked = _settings(prepared, network, config, settings.network, options)
    processes, path = training.Processes.join(), Path(folder)
    with _opened(path, asked, processes, resume, force):
        result = training.train(
            network,
            prepared.x,
            prepared.held_out,
            config,
            generator=generator,
            device=device,
            checkpoint=path,
            resume=resume and (path / training.CHECKPOINT).exists(),  # killed before its first: from the start again
            on_progress=on_progress,
        )
        if start is not None:
            prepared.record["initial"] = start.moved(result.network, config.min_time)
        model = prepared.model(result, config, settings.network, options)
        if processes.is_first:
            run_folder.finish(path, asked, model.result(), model.network.state_dict())
    return model


def fingerprint(sequences: data.SequenceSet) -> str:
    """SHA-256 of the values, so that a run knows its sequences again."""
    return hashlib.sha256(sequences.values.tobytes()).hexdigest()


def _settings(
    prepared: Prepared,
    network: torch.nn.Module,
    config: training.TrainingConfig,
    name: str,
    options: dict[str, Any],
) -> dict[str, Any]:
    sequences = prepared.sequences
    untrained = Model(
        network,
        prepared.transform,
        sequences.container,
        sequences.feature_names,
        config,
        network_name=name,
        network_options=options,
        record=prepared.record,
    )
    return untrained.settings()


@contextmanager
def _opened(
    path: Path, asked: dict[str, Any], processes: training.Processes, resume: bool, force: bool
) -> Iterator[None]:
    """The run folder, new or to be continued, held for this process alone; the first of several sees to it."""
    if not processes.is_first:
        processes.wait()  # until the first has made or checked the folder
        yield
        return
    if resume:
        run_folder.read_run(path)
    else:
        run_folder.check_new(path, force)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    with run_folder.claimed(path):
        begun = False
        try:
            if resume:
                _check_same(run_folder.read_settings(path), asked, path)
            else:
                run_folder.begin(run_folder.check_new(path, force), asked)
                begun = True
            processes.wait()
            yield
        except Exception:
            if begun and not (path / training.CHECKPOINT).exists():  # nothing was learnt that could be continued
                run_folder.discard(path)
            _remove_empty(missing)
            raise


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that were made here, from the innermost outwards, as far as they are empty."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _check_same(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Refuse to resume a run with other settings, naming what differs."""
    if run_folder.is_finished(before):
        raise InputError(f"{path} is finished; there is nothing to resume")
    names = sorted(({*before, *now}) - {"environment", "source", "files"})
    differ = [name for name in names if json.dumps(before.get(name)) != json.dumps(now.get(name))]
    if differ:
        raise InputError(
            f"{path} was begun with other settings ({', '.join(differ)}); resume it with the same ones, or with "
            f"--resume --out {path} alone, which takes them from the run"
        )
