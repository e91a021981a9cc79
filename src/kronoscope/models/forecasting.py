"""Forecasts and imputation for a file that is read with the settings of a run's source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from .. import _checks, data
from .._errors import InputError
from .conditioning import ConditionalSequence
from .loading import source_of
from .model import Model

Progress = Callable[[float, str], None]
Note = Callable[[str], None]


def open_like(model: Model, path: Path, on_note: Note | None = None) -> data.GappyFile:
    """The file, read with the options with which the run read its own, missing values kept.

    Its features are put into the order of the run; what the run does not know is left out.

    Raises:
        InputError: The file cannot be read so, lacks a feature of the run, or has one in another unit.
    """
    fitted_to = source_of(model.record)
    if fitted_to is None:
        raise InputError("the run does not record how its source was read; fit it again with kronoscope fit")
    reading = fitted_to.reading
    text = data.CsvOptions.checked(reading.separator, reading.decimal, reading.na_values, reading.encoding)
    columns = reading.columns
    if columns is None:
        columns = data.shared_columns(path, model.feature_names, text)
    if columns is None and model.container.variable is not None:
        columns = data.shared_columns(path, [model.container.variable], text)
    opened = data.open_gappy(
        path,
        limits=reading.limits,
        text=text,
        time_form=model.container.time_form,
        time=reading.time,
        columns=columns,
        pivot=reading.pivot,
        timezone=reading.timezone,
    )
    if reading.step is not None:
        opened = opened.on_grid(_grid(model))
    opened, notes = _matched(model, path, opened)
    _say((*opened.source.notes, *notes), on_note)
    if opened.source.values.ndim == 3 and opened.source.values.shape[1] != model.num_frames:
        came = opened.source.values.shape[1]
        raise InputError(f"{path}: the sequences must have the {model.num_frames} frames of the run, got {came}")
    return opened


def _say(notes: Sequence[str], on_note: Note | None) -> None:
    if on_note is not None:
        for note in notes:
            on_note(note)


def _matched(model: Model, path: Path, opened: data.GappyFile) -> tuple[data.GappyFile, list[str]]:
    """The file with the features of the run in their order, and notes."""
    whose, source, features = ("the run", str(path)), opened.source, model.feature_names
    match = data.match_features(features, source.names, whose)
    units = [data.units_of(c, names) for c, names in ((model.container, features), (source.container, source.names))]
    notes = data.compare_units(features, units[0], tuple(units[1][j] for j in match.order), whose)
    return opened.arranged(match.order), [*match.notes, *notes]


def forecast(
    model: Model,
    path: Path,
    *,
    steps: int | None = None,
    level: float = 0.9,
    origin: str | None = None,
    draws: int | None = None,
    method: str | None = None,
    num_calls: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
    on_note: Note | None = None,
) -> pd.DataFrame:
    """Forecast beyond the end of a long series, or the last frames of each sequence from those before them.

    The window is the N - ``steps`` frames before the forecast and ``steps`` frames from there. Where the mean of the
    run differs from frame to frame, or its sequences are days or weeks, the window must be a block of the run, so the
    forecast goes on to the end of the block at most. Missing values before the forecast are no obstacle.

    Args:
        model: A run of ``kronoscope fit``.
        path: A file like the run's source.
        steps: Frames to forecast; None: a quarter of a sequence (at least 1), or what is left of the block.
        level: Probability of each entry's interval.
        origin: Time of the first frame to forecast (of a long series); None: after the last value.
        draws: Give that many drawn futures instead of mean and interval.
        method, num_calls: As for :meth:`Model.condition_on`.
        seed: Of the draws.
        progress: Called with the fraction done.
        on_note: Called with each note on how the file was read.

    Returns:
        Rows by time and feature with mean, lower, upper in the units of the file; by time, feature and draw with
        value, if ``draws``. Sequences are numbered from 0 in a first column.

    Raises:
        InputError: A file unlike the run's, options out of range, nothing observed before the forecast.
    """
    if not 0 < _checks.real("level", level) < 1:
        raise InputError(f"level must be greater than 0 and less than 1, got {level:g}")
    opened = open_like(model, path, on_note)
    source = opened.source
    if source.values.ndim == 3:
        if origin is not None:
            raise InputError(
                "origin applies to one long series; for a file of sequences leave it out, and the "
                "last frames are forecast"
            )
        ahead = max(1, model.num_frames // 4) if steps is None else steps
        if not 1 <= ahead < model.num_frames:
            raise InputError(f"steps must be at least 1 and less than {model.num_frames}, got {ahead}")
        values, starts, past = source.values, source.starts, model.num_frames - ahead
        labels: Any = np.tile(np.arange(model.num_frames), len(values))
        name = "frame"
    else:
        windows, past = data.last_window(source, _grid(model), ahead=steps, in_phase=_in_phase(model), origin=origin)
        ahead = model.num_frames - past if steps is None else steps
        values, starts = windows.values(source), windows.starts()
        form = source.container.time_form
        labels = windows.times if form is None or not windows.named else form.show(windows.times)
        name = (model.container.time_name or "time") if windows.named else "row"
    known = np.isfinite(values)
    known[:, past:] = False
    if not known.any(axis=(1, 2)).all():
        raise InputError(f"{path}: nothing is observed in the {past} frames before the forecast")
    tables = []
    conditionals = _conditionals(model, known, values, starts, method, num_calls, seed, progress)
    for number, given in enumerate(conditionals):
        at = labels[number * model.num_frames :][past : past + ahead]
        index = {"sequence": number} if source.values.ndim == 3 else {}
        tables.append(_rows(model, given, slice(past, past + ahead), index, {name: at}, level, draws))
    return pd.concat(tables, ignore_index=True)


def impute(
    model: Model,
    path: Path,
    *,
    draw: bool = False,
    method: str | None = None,
    num_calls: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
    on_note: Note | None = None,
) -> tuple[data.GappyFile, NDArray[np.float64]]:
    """Values for the missing entries of a file, block by block: the conditional mean given the block's others.

    Args:
        model, path, method, num_calls, seed, progress, on_note: As for :func:`forecast`.
        draw: One draw in place of the mean.

    Returns:
        The file, and values like its own with NaN where nothing was missing or the entry stands in no block.

    Raises:
        InputError: A file unlike the run's, or one without a missing value.
    """
    opened = open_like(model, path, on_note)
    if opened.source.values.ndim == 2 and opened.source.times is not None:
        noted = len(opened.source.notes)
        opened = opened.with_absent(_grid(model))
        _say(opened.source.notes[noted:], on_note)
    elif opened.source.values.ndim == 3:
        opened = opened.with_absent_frames()
    source = opened.source
    if not opened.empty.any():
        raise InputError(f"{path}: no value is missing")
    if source.values.ndim == 3:
        blocks, starts, rows = source.values, source.starts, None
        wanted = opened.empty
    else:
        windows = data.block_windows(source, _grid(model))
        blocks, starts, rows = windows.values(source), windows.starts(), windows.rows
        wanted = np.where((rows >= 0)[..., None], opened.empty[rows], False)
    chosen = np.flatnonzero(wanted.any(axis=(1, 2)))
    result = np.full(source.values.shape, np.nan)
    part = None if starts is None else starts[chosen]
    known = np.isfinite(blocks[chosen])
    bare = int((~known.any(axis=(1, 2))).sum())
    if bare:
        what = "a draw from the run" if draw else "the mean of the run"
        _say([f"{bare} of {len(chosen)} blocks hold no observed value: filled with {what}."], on_note)
    conditionals = _conditionals(model, known, blocks[chosen], part, method, num_calls, seed, progress)
    for number, given in zip(chosen, conditionals, strict=True):
        filled = given.sample_values(1)[0] if draw else given.mean_values()
        if rows is None:
            result[number] = np.where(wanted[number], filled, np.nan)
        else:
            frame, feature = np.nonzero(wanted[number])
            result[rows[number][frame], feature] = filled[frame, feature]
    return opened, result


def _conditionals(
    model: Model,
    known: NDArray[np.bool_],
    values: NDArray[np.float64],
    starts: Any,
    method: str | None,
    num_calls: int,
    seed: int,
    progress: Progress | None,
) -> Iterator[ConditionalSequence]:
    dated = model.transform.num_harmonics > 0
    if dated and not isinstance(starts, pd.DatetimeIndex):
        raise InputError("the run models a seasonal cycle, so the source must have clock times")
    generator = torch.Generator().manual_seed(seed)
    for number in range(len(values)):
        start = starts[number : number + 1] if dated else None
        yield model.condition_on(
            known[number], values[number], start=start, method=method, num_calls=num_calls, generator=generator
        )
        if progress is not None:
            progress((number + 1) / len(values), f"{number + 1} of {len(values)}")


def _rows(
    model: Model,
    given: ConditionalSequence,
    frames: slice,
    index: dict[str, Any],
    times: dict[str, Any],
    level: float,
    draws: int | None,
) -> pd.DataFrame:
    """The table of one window, frame by frame, feature by feature (draw by draw)."""
    (name, stamps), features = next(iter(times.items())), np.array(model.feature_names, dtype=object)
    each = len(features) * (draws or 1)
    columns: dict[str, Any] = {**index, name: stamps.repeat(each)}
    columns["feature"] = np.tile(features.repeat(draws or 1), len(stamps))
    if draws:
        drawn = given.sample_values(draws)[:, frames]  # (draws, frames, features)
        columns["draw"] = np.tile(np.arange(draws), len(stamps) * len(features))
        columns["value"] = np.moveaxis(drawn, 0, -1).ravel()
    else:
        lower, upper = given.interval_values(level)
        for label, values in (("mean", given.mean_values()), ("lower", lower), ("upper", upper)):
            columns[label] = values[frames].ravel()
    return pd.DataFrame(columns)


def _grid(model: Model) -> data.BlockGrid:
    """Where the blocks of the run begin.

    Raises:
        InputError: The run does not say it, or was fitted to sequences.
    """
    record = model.record.get("data") or {}
    if "grid" not in record:
        raise InputError(
            "the run does not record where its sequences begin, because an older version made it: fit it again"
        )
    if record["grid"] is None:
        raise InputError(
            "the run was fitted to sequences, but this file is one long series: give sequences of "
            f"{model.num_frames} frames, in a table with a column 'sequence'"
        )
    return data.BlockGrid.from_plain(record["grid"])


def _in_phase(model: Model) -> bool:
    """Whether the mean that is put back differs from frame to frame."""
    return bool(np.ptp(np.asarray(model.transform.mean), axis=0).any())
