"""The way in: a file or an array becomes a :class:`SequenceSet`."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray

from .. import _checks
from .._errors import InputError, first_line
from ..settings import ArrayOptions, FileSource, Reading, ReadingOptions, check_keywords
from ..settings.reading import Limits
from . import grids, multiple_files, regular, tables
from .block_grid import BlockGrid
from .blocks import cut, usable
from .chunks import evenly
from .csv_format import TEXTS, CsvOptions
from .limits import apply_limits
from .messages import list_names
from .names import check_names
from .repeats import refuse_repeated_times
from .sequences import Container, SequenceSet, Source, ending_of
from .sizes import check_archive, check_array
from .static_features import note_static
from .step_search import refuse_irregular
from .time_forms import TimeForm

TABLES = (*TEXTS, ".parquet")
ARRAYS = (".npy", ".npz")
GRIDS = (".nc", ".zarr")
ENDINGS = (*TABLES, *ARRAYS, *GRIDS)


def read(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    grid: BlockGrid | None = None,
    **options: Unpack[ReadingOptions],
) -> SequenceSet:
    """Sequences from a .csv, .parquet, .npy, .npz, .nc or .zarr file, complete ones only.

    Arrays (n, N, d), grids with a sequence dimension and tables with a ``sequence`` column are read as sequences.
    Anything else is one long series, which is cut into blocks of ``frames`` by time stamp: with the most common time
    difference as step, a block whose stamps are not all there, or that has a missing value, is left out. What was
    left out stands in ``notes``, with counts.

    Args:
        path: the file; its ending says the format. Several files of one format are one record in pieces: rows with
            times are joined by time, whatever the order of the files; without times no block reaches from one file
            into the next; sequences follow each other.
        time: column (or coordinate) of times: clock times as ISO 8601, numbers that are dates (20130131) or Unix
            times, or other numbers. A table without it is a series in the order of its rows; with it, rows may come
            in any order.
        columns: the features; all columns but those of time, pivot and sequence unless given.
        pivot: column of a long table whose values become features, ``temp_EWR`` for column temp and value EWR.
        timezone: IANA name of the zone in which times are shown and days begin. Stamps without a zone are taken as
            local times there: the hour that clocks repeat is left out, one that they skip is refused.
        frames: N. Needed for a long series; checked for anything else.
        calendar: "day" and "week" start blocks at local midnight (of Mondays) and leave out days of 23 or 25 hours;
            "none" starts them every ``frames`` steps from the first time; "auto" is "day" or "week" if a timezone is
            given and the block lasts 24 hours or 7 days, else "none".
        limits: physical limits by column, (low, high) in its units; values outside become missing.
        missing: "drop" leaves out sequences with a missing value. "mask" keeps those with any value, NaN where one is
            missing or its time is absent, to be learnt around by a network that takes a mask ("unrolled").
        step: puts the irregular times of a long series on a grid of this step ("10min", or a number for times that are
            numbers): each row goes to the nearest frame, the nearest row of a frame stays. None takes the most common
            difference as step, and leaves out rows that do not stand on its grid.
        max_sequences: at most so many sequences, spread evenly over the record. Of a .zarr or .nc source no more is
            read than they need, so that one larger than memory can be learnt from.
        separator: between the columns of a .csv file; None: found among , ; | and tab.
        decimal: decimal mark of a .csv file, "." or ",", for columns that could be read with either; the other mark
            then stands between thousands.
        na_values: texts that mean a missing value in a .csv file, besides the usual ones (empty, NA, NaN, null, ...).
        encoding: of a .csv file; None: by its byte-order mark, else UTF-8, else Windows-1252, which is noted.
        dayfirst: whether 03/04/2024 is the 3rd of April, where all times of the column could be read with either.
        grid: of an earlier read, whose blocks of a long series this one continues; ``frames``, ``calendar`` and
            ``step`` are then the earlier ones.

    Raises:
        InputError: one line that says what is wrong with the file or an option.
        TypeError: an unknown keyword.
    """
    check_keywords("read", options, [*(field.name for field in fields(Reading)), "grid"])
    paths = [path] if isinstance(path, str | os.PathLike) else [*path]
    return read_source(FileSource(tuple(os.fspath(each) for each in paths), Reading(**options)), grid)


def read_source(source: FileSource, grid: BlockGrid | None = None) -> SequenceSet:
    """As :func:`read`, from a record of files and options."""
    paths, reading = [Path(path) for path in source.paths], source.reading
    multiple_files.check_paths(paths)
    most = None if reading.max_sequences is None else _checks.count("max_sequences", reading.max_sequences)
    text = CsvOptions.checked(reading.separator, reading.decimal, reading.na_values, reading.encoding)
    if reading.dayfirst not in (None, True, False):
        raise InputError(f"dayfirst must be True or False, got {reading.dayfirst!r}")
    sources: list[Source] = []
    form: TimeForm | None = None
    for path in paths:
        sources.append(_named(path, partial(_source, path, reading, text, form)))
        form = sources[0].container.time_form  # the pieces of a record write their times alike
    cutting = Cutting(reading.frames, reading.calendar, reading.timezone is not None, reading.step, grid)
    limits, missing = reading.limits, reading.missing
    if len(paths) == 1:
        return evenly(_named(paths[0], lambda: _finish(sources[0], cutting, limits, missing)), most)
    if sources[0].values.ndim == 2 and sources[0].times is None and reading.step is None:
        parts = [_named(p, partial(_finish, piece, cutting, limits, missing)) for p, piece in zip(paths, sources)]
        return evenly(multiple_files.append(parts, paths), most)
    return evenly(_finish(multiple_files.join(sources, paths), cutting, limits, missing), most)


def _named(path: Path, act: Callable[[], Any]) -> Any:
    """What ``act`` gives; whatever is wrong is said of ``path``."""
    try:
        return act()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OverflowError, pd.errors.OutOfBoundsDatetime) as error:
        raise InputError(f"{path}: a time lies outside the years 1678 to 2261 ({first_line(error)})") from None


def _source(path: Path, reading: Reading, text: CsvOptions, form: TimeForm | None) -> Source:
    """What one file holds, not yet cut. ``form``: how an earlier piece of the record writes its times."""
    ending, columns = known_ending(path), reading.columns
    if columns is not None and (isinstance(columns, str) or not all(isinstance(c, str) for c in columns)):
        raise InputError(f"columns must be a list of names, got {columns!r}")
    if form is None and reading.dayfirst is not None:
        form = TimeForm("text", day_first=reading.dayfirst)
    container = Container("array", ending, timezone=reading.timezone, time_form=form)
    given = text.given()
    named: dict[str, Any] = {
        "time": reading.time,
        "columns": columns,
        "pivot": reading.pivot,
        "timezone": reading.timezone,
    }
    if ending in TABLES:
        loaded = load_table(path, ending, text, time=reading.time, columns=columns, pivot=reading.pivot)
        container = replace(container, kind="table", time_name=reading.time)
        source = tables.to_source(loaded.table, container, **named, fill_frames=reading.missing == "mask")
        source = loaded.describe(source)
    elif ending in ARRAYS:
        refuse_options(ending, **named, dayfirst=reading.dayfirst, **given)
        source = numpy_source(*load_numpy(path, ending), ending)
    else:
        refuse_options(ending, pivot=reading.pivot, **given)
        container = replace(container, kind="grid")
        share = {"frames": reading.frames, "max_sequences": reading.max_sequences}
        with grids.opened(path, ending) as data:
            source = grids.to_source(
                data, container, time=reading.time, columns=columns, timezone=reading.timezone, **share
            )
    check_names(source)
    return source


def load_table(path: Path, ending: str, text: CsvOptions, **names: Any) -> tables.LoadedTable:
    """The table of that file; options for text are refused for other formats."""
    if ending not in TEXTS:
        refuse_options(ending, **text.given())
    return tables.load(path, ending, text, **names)


def from_array(
    x: torch.Tensor | np.ndarray | xr.DataArray | xr.Dataset, **options: Unpack[ArrayOptions]
) -> SequenceSet:
    """Sequences from an array in memory, by the rules of :func:`read`.

    Args:
        x: (n, N, d), or a long series (T, d), which needs ``frames``; an xarray object as in a .nc file. Masked
            entries of a masked array are missing values.
        frames: N.
        limits: physical limits by feature name (``feature_0``, ... where there are no labels).
        missing: "drop" or "mask"; NaN is a missing value.

    Raises:
        InputError: for a wrong shape, infinities, or no complete sequence.
        TypeError: if ``x`` is not an array; an unknown keyword.
    """
    check_keywords("from_array", options, ArrayOptions.__annotations__)
    reading = Reading(**options)
    if isinstance(x, xr.DataArray | xr.Dataset):
        source = grids.to_source(grids.dataset_of(x), Container("grid"))
        check_names(source, option=None)
    elif isinstance(x, torch.Tensor | np.ndarray):
        source = numpy_source(_checks.array("x", x), None, None, "x")
    else:
        raise TypeError(f"x must be a tensor, a numpy array or an xarray object, got {type(x).__name__}")
    return _finish(source, Cutting(reading.frames), reading.limits, reading.missing)


def known_ending(path: Path) -> str:
    ending = ending_of(path)
    if ending not in ENDINGS:
        raise InputError(f"the ending must be one of {list_names(ENDINGS)}, got '{ending}'")
    if not path.exists():
        raise InputError("the file does not exist")
    if path.is_dir() != (ending == ".zarr"):
        raise InputError("this is a folder" if path.is_dir() else "a .zarr source must be a folder")
    return ending


def refuse_options(ending: str, **options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"{given[0]} does not apply to {ending} files")


def load_numpy(path: Path, ending: str) -> tuple[np.ndarray, str | None]:
    try:
        with path.open("rb") as file:  # numpy would leave a damaged archive open
            if ending == ".npy":
                check_array(file, path.stat().st_size)
                file.seek(0)
            elif zipfile.is_zipfile(file):
                check_archive(file)
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray) != (ending == ".npy"):
                raise InputError(f"this is not {ending} but {'an .npy' if ending == '.npz' else 'an .npz'} file")
            if ending == ".npy":
                return loaded, None
            keys = list(loaded.keys())
            if len(keys) != 1:
                raise InputError(f"an .npz file must hold one array, but this has {list_names(keys)}")
            return loaded[keys[0]], keys[0]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"cannot be read as {ending}: {first_line(error)}") from None


def numpy_source(array: np.ndarray, key: str | None, ending: str | None, what: str = "the array") -> Source:
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what} must hold real numbers, got {array.dtype}")
    if array.ndim not in (2, 3):
        raise InputError(f"{what} must have shape (n, N, d), or (T, d) for one long series, got {tuple(array.shape)}")
    if not array.size:
        raise InputError(f"{what} is empty: its shape is {tuple(array.shape)}")
    names = tuple(f"feature_{j}" for j in range(array.shape[-1]))
    infinite = np.argwhere(np.isinf(array))
    if len(infinite):
        raise InputError(f"{what} is infinite at index {tuple(int(i) for i in infinite[0])}")
    dtype = str(array.dtype.newbyteorder("=")) if array.dtype.kind == "f" else "float64"
    container = Container("array", ending, key=key, dtype=dtype)
    return Source(array.astype(np.float64), names, container, names)


@dataclass(frozen=True)
class Cutting:
    """How a long series becomes sequences; see :func:`read`. ``zoned``: whether a time zone was asked for."""

    frames: int | None
    calendar: str = "auto"
    zoned: bool = False
    step: str | float | timedelta | None = None
    grid: BlockGrid | None = None

    def of(self, source: Source) -> tuple[Source, BlockGrid]:
        """The series, its rows moved to the frames of the grid where a step was given, and the grid."""
        step = None
        if self.step is not None:
            step = regular.check_kind(self.step, source.times if source.values.ndim == 2 else None)
        else:
            refuse_repeated_times(source)
        grid = self.grid or BlockGrid.of(source.times, self.frames, self.calendar, self.zoned, step)
        return (source if step is None else regular.on_grid(source, grid)[0]), grid


def _finish(source: Source, cutting: Cutting, limits: Limits | None, missing: str) -> SequenceSet:
    frames = cutting.frames
    if source.values.ndim == 2:
        source, grid = cutting.of(source)
        if cutting.step is None and cutting.grid is None:
            refuse_irregular(source, grid, missing)
        source = apply_limits(source, limits)
        blocks = cut(source, grid, missing)
        container = replace(source.container, step=blocks.step, timezone=grid.timezone)
        notes = (*source.notes, *blocks.notes, *note_static(blocks.values, source.names))
        return SequenceSet(blocks.values, source.names, blocks.starts, blocks.step, True, container, notes, grid)
    if cutting.step is not None:
        raise InputError("step is for one long series, but these are sequences: leave out --step")
    source = apply_limits(source, limits)
    number = source.values.shape[1]
    if frames is not None and _checks.count("frames", frames) != number:
        raise InputError(f"frames is {frames}, but the sequences have {number} frames: leave out frames= (--frames)")
    keep, left_out = usable(source.values, source.names, "sequence", missing)
    if not keep.any():
        raise InputError(f"no sequence is {'complete' if missing == 'drop' else 'with a value'}. {' '.join(left_out)}")
    starts = None if source.starts is None else source.starts[keep]
    container = replace(source.container, timezone=_zone(starts))
    notes = (*source.notes, *left_out, *note_static(source.values[keep], source.names))
    return SequenceSet(source.values[keep], source.names, starts, container.step, False, container, notes)


def _zone(starts: pd.DatetimeIndex | NDArray[np.float64] | None) -> str | None:
    return str(starts.tz) if isinstance(starts, pd.DatetimeIndex) and starts.tz is not None else None
