"""Several files as one source: a record in pieces joined by time, or sequences one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import InputError
from .block_grid import show_step
from .messages import list_names
from .sequences import Container, SequenceSet, Source, ending_of
from .steps import Starts
from .units import is_same_unit


def check_paths(paths: Sequence[Path]) -> None:
    """Refuse an empty list, a file that is given twice, and files of different formats."""
    if not paths:
        raise InputError("path must name at least one file, got an empty list")
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise InputError(f"{path} is given twice")
        seen.add(path.resolve())
    endings = sorted({ending_of(path) for path in paths})
    if len(endings) > 1:
        raise InputError(f"several files must have one format, got {list_names(endings)}")


def join(sources: Sequence[Source], paths: Sequence[Path]) -> Source:
    """Long series with times as one, or sequences one after the other.

    Columns may stand in another order; all else must agree with the first file. Rows may come from the files in any
    order, since blocks are cut by time.

    Raises:
        InputError: Files that differ in features, units, dimensions or kind of times, or share a time.
    """
    first = sources[0]
    sources = [_like(first, paths[0], source, path) for source, path in zip(sources, paths, strict=True)]
    notes = tuple(f"{path.name}: {note}" for source, path in zip(sources, paths, strict=True) for note in source.notes)
    dtypes = {source.container.dtype for source in sources}
    container = replace(first.container, dtype=dtypes.pop() if len(dtypes) == 1 else "float64")
    values = np.concatenate([source.values for source in sources])
    times = _together([source.times for source in sources])
    if times is not None and values.ndim == 2:
        _refuse_shared(sources, paths)
    starts = _together([source.starts for source in sources])
    return replace(first, values=values, container=container, times=times, starts=starts, notes=notes)


def append(sets: Sequence[SequenceSet], paths: Sequence[Path]) -> SequenceSet:
    """Blocks of series without times: no block reaches from one file into the next."""
    notes = tuple(f"{path.name}: {note}" for part, path in zip(sets, paths, strict=True) for note in part.notes)
    dtypes = {part.container.dtype for part in sets}
    container = replace(sets[0].container, dtype=dtypes.pop() if len(dtypes) == 1 else "float64")
    for part, path in zip(sets, paths, strict=True):
        _refuse_features(sets[0].feature_names, paths[0], part.feature_names, path)
    return replace(sets[0], values=np.concatenate([part.values for part in sets]), container=container, notes=notes)


def _like(first: Source, its_path: Path, source: Source, path: Path) -> Source:
    _refuse_features(first.names, its_path, source.names, path)
    if source.values.ndim != first.values.ndim or source.values.shape[1:-1] != first.values.shape[1:-1]:
        raise InputError(f"{path} holds {_shape(source)}, but {its_path} {_shape(first)}")
    for name in ("times", "starts"):
        kinds = [_kind(getattr(container, name)) for container in (first, source)]
        if kinds[0] != kinds[1]:
            raise InputError(f"{path} has {kinds[1]}, but {its_path} has {kinds[0]}")
    _refuse_other_grid(first.container, its_path, source.container, path)
    _refuse_other_step(first.container, its_path, source.container, path)
    order = [source.names.index(name) for name in first.names]
    return replace(source, values=source.values[..., order], names=first.names, bases=first.bases)


def _refuse_features(expected: tuple[str, ...], its_path: Path, names: tuple[str, ...], path: Path) -> None:
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if missing:
        raise InputError(f"{path} has no feature '{missing[0]}', which {its_path} has")
    if extra:
        raise InputError(f"{path} has a feature '{extra[0]}', which {its_path} lacks; choose some with --columns")


def _refuse_other_grid(expected: Container, its_path: Path, container: Container, path: Path) -> None:
    if container.dims != expected.dims:
        raise InputError(
            f"{path} has the dimensions {list_names(container.dims)}, but {its_path} {list_names(expected.dims)}"
        )
    for name, attrs in expected.variable_attrs.items():
        units = (_units(attrs), _units(container.variable_attrs.get(name, {})))
        if not is_same_unit(*units):
            raise InputError(f"{path} gives '{name}' in {units[1]}, but {its_path} in {units[0]}")


def _refuse_other_step(expected: Container, its_path: Path, container: Container, path: Path) -> None:
    steps = [show_step(part.step) for part in (expected, container)]
    if steps[0] != steps[1]:
        raise InputError(f"{path} has a step of {steps[1]}, but {its_path} of {steps[0]}")


def _units(attrs: Mapping[str, object]) -> str:
    return str(attrs.get("units", "no unit"))


def _shape(source: Source) -> str:
    return "one long series" if source.values.ndim == 2 else f"sequences of {source.values.shape[1]} frames"


def _kind(times: Starts) -> str:
    if times is None:
        return "no times"
    if not isinstance(times, pd.DatetimeIndex):
        return "times that are numbers"
    return "times without a zone" if times.tz is None else "times with a zone"


def _together(parts: Sequence[Starts]) -> Starts:
    if any(part is None for part in parts):
        return None
    if not isinstance(parts[0], pd.DatetimeIndex):
        return np.concatenate([np.asarray(part) for part in parts])
    zone = parts[0].tz
    zoned = [part if zone is None else part.tz_convert(zone) for part in parts if isinstance(part, pd.DatetimeIndex)]
    return pd.DatetimeIndex(zoned[0].append(zoned[1:]))


def _refuse_shared(sources: Sequence[Source], paths: Sequence[Path]) -> None:
    """A time may be given by one file only; twice within a file is refused where blocks are cut."""
    each = [pd.Index(np.asarray(source.times)).unique() for source in sources]
    every = each[0].append(each[1:])
    if not every.has_duplicates:
        return
    time = every[every.duplicated()][0]
    owners = [path for times, path in zip(each, paths, strict=True) if time in times]
    raise InputError(f"the time {time} occurs in {owners[0]} and in {owners[1]}: keep it in one of them")
