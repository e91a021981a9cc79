"""Tables (.csv, .parquet): a long series, a long series to be pivoted, or sequences with a ``sequence`` column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .._errors import InputError, first_line
from .csv_format import PLAIN, TEXTS, CsvOptions, sniff
from .csv_reading import CsvTable, read_csv, refuse_repeats
from .feature_columns import leave_out_time, numeric_columns, to_numbers
from .messages import counted, list_names
from .repeats import refuse_long_table
from .sequence_order import SequenceOrder, even_offsets, order_in_time
from .sequences import Container, Source, decoded_text, ending_of
from .sizes import check_parquet, check_size
from .steps import Starts, Step
from .time_forms import FloatArray, TimeForm, Times
from .times import parse

SEQUENCE = "sequence"
# Names of the offset column of a generated table, with the nanoseconds of one unit.
OFFSET_UNITS = {
    "offset_days": 86_400 * 10**9,
    "offset_hours": 3600 * 10**9,
    "offset_minutes": 60 * 10**9,
    "offset_seconds": 10**9,
}
OFFSETS = ("frame", "offset", *OFFSET_UNITS)


@dataclass(frozen=True, eq=False)
class LoadedTable:
    """A table as its file holds it, with text as column names.

    Attributes:
        table: the columns.
        units: of the columns that have some.
        notes: a sentence on everything that was left out or taken for granted.
        csv: how a .csv file is written; None for another format.
    """

    table: pd.DataFrame
    units: dict[str, str]
    notes: tuple[str, ...]
    csv: CsvTable | None = None

    def describe(self, source: Source) -> Source:
        """The source with the notes of its table and the units of its columns."""
        units = {
            name: {"units": self.units[base]} for name, base in zip(source.names, source.bases) if base in self.units
        }
        container = replace(source.container, variable_attrs=units)
        return replace(source, container=container, notes=(*self.notes, *source.notes))


def load(
    path: Path,
    ending: str,
    options: CsvOptions = PLAIN,
    *,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    pivot: str | None = None,
) -> LoadedTable:
    """The table of a file. The names that the user gave tell a header from lines before it.

    Raises:
        InputError: if it cannot be read, has no row, or names a column twice.
    """
    csv = None
    try:
        if ending == ".parquet":
            table = _read_parquet(path)
        else:
            wanted = [name for name in (time, pivot, *(columns or ())) if name is not None]
            labels = {name for name in (pivot, SEQUENCE) if name is not None}
            csv = read_csv(path, options, time=time, wanted=wanted, labels=labels)
            table = csv.table
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"cannot be read as {ending}: {first_line(error)}") from None
    notes = csv.format.notes if csv else ()
    units = {name: unit for name, unit in zip(csv.format.names, csv.format.units) if unit} if csv else {}
    unnamed = [name for name in table.columns if name.startswith("Unnamed: ")]
    if unnamed:
        table = table.drop(columns=unnamed)
        notes = (*notes, f"{counted(len(unnamed), 'column')} without a name left out.")
    if not len(table.columns) or not len(table):
        raise InputError("the table is empty")
    return LoadedTable(table, units, notes, csv)


def column_names(path: Path) -> list[str]:
    """The names of a table's columns; none where they cannot be read, which :func:`load` says better."""
    try:
        if ending_of(path) == ".parquet":
            return [str(name) for name in pq.read_schema(path).names]
        return list(sniff(path, PLAIN).names) if ending_of(path) in TEXTS else []
    except (OSError, ValueError, pa.ArrowException):
        return []


def _read_parquet(path: Path) -> pd.DataFrame:
    check_parquet(path)
    table = pd.read_parquet(path)
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    table.columns = pd.Index([flat_name(name) for name in table.columns])
    refuse_repeats(list(table.columns))
    objects = [name for name, dtype in table.dtypes.items() if pd.api.types.is_object_dtype(dtype)]
    for name in objects:
        if isinstance(table[name].dropna().iloc[:1].squeeze(), Decimal):
            table[name] = table[name].astype("float64")
    return table.reset_index(drop=True)


def flat_name(name: object) -> str:
    """The name of a column as text; levels of names are joined as those of a pivoted table."""
    return "_".join(str(level) for level in name if str(level)) if isinstance(name, tuple) else str(name)


def to_source(
    table: pd.DataFrame,
    container: Container,
    *,
    time: str | None,
    columns: Sequence[str] | None,
    pivot: str | None,
    timezone: str | None,
    fill_frames: bool = False,
) -> Source:
    """The table as one long series, or as sequences where it has a ``sequence`` column.

    With ``fill_frames`` sequences may lack rows: they get all frames that some sequence has, without values.

    Raises:
        InputError: for names that are not there, columns that are not numbers, missing or repeated times.
    """
    for name in (time, pivot, *(columns or ())):
        if name is not None and name not in table.columns:
            names = list(table.columns)
            blanks = len(names) == 1 and name in names[0].split()
            way_out = "; if blanks separate them, give separator= (--separator space)" if blanks else ""
            raise InputError(f"there is no column '{name}'; there are {list_names(names)}{way_out}")
    if timezone is not None and time is None:
        raise InputError("timezone needs time= (--time), the name of the column of times")
    for name in {time, pivot, SEQUENCE} & set(table.columns):
        _refuse_nested(table[name], of_names=name == pivot)
    special = {time, pivot}
    is_sequences = SEQUENCE in table.columns
    if is_sequences:
        special |= {SEQUENCE, *OFFSETS}
    if not is_sequences and time is not None and pivot is None:
        refuse_long_table(table, time, special)
    features = _features(table, special, columns)
    if is_sequences:
        if pivot is not None:
            raise InputError(f"pivot is for long tables, but this one has a column '{SEQUENCE}'")
        full = _with_all_frames(table) if fill_frames and time is None else table
        return _sequences(full, features, container, time, timezone)
    is_text, reserved = container.ending in TEXTS, (SEQUENCE, *OFFSETS)
    values = to_numbers(table, features, special, is_text=is_text, reserved=reserved)
    if time is None:
        if pivot is not None:
            raise InputError("pivot needs time= (--time), the name of the column of times")
        return Source(values, tuple(features), container, tuple(features))
    times, form, keep, notes = _times(table, time, timezone, container.time_form)
    container = replace(container, time_form=form)
    if pivot is None:
        return Source(values[keep], tuple(features), container, tuple(features), times, notes=tuple(notes))
    return _pivoted(values[keep], times, table[pivot][keep], features, container, notes)


def _times(
    table: pd.DataFrame, time: str, timezone: str | None, form: TimeForm | None
) -> tuple[Times, TimeForm, NDArray[np.bool_], list[str]]:
    """The column as times in the zone, how it writes them, the rows to keep, and notes."""
    read = parse(table[time], time, form, leave_out_time(numeric_columns(table, {time, SEQUENCE, *OFFSETS})))
    if isinstance(read.times, pd.DatetimeIndex):
        times, keep, notes = read.in_zone(timezone)
        return times, read.form, keep, [*read.notes, *notes]
    if timezone is not None:
        raise InputError(f"timezone needs clock times, but the column '{time}' holds numbers: leave out --timezone")
    return read.times, read.form, np.ones(len(read.times), dtype=bool), list(read.notes)


def _refuse_nested(column: pd.Series, of_names: bool) -> None:
    """A column that tells rows apart must hold numbers, texts or times; texts in bytes serve as names alone."""
    for entry in column.dropna().iloc[:1]:
        if isinstance(entry, np.ndarray | list | dict | set) or (isinstance(entry, bytes) and not of_names):
            raise InputError(
                f"the column '{column.name}' holds lists, records or bytes; it must hold numbers, texts or times"
            )


def _features(table: pd.DataFrame, special: set[str | None], columns: Sequence[str] | None) -> list[str]:
    if columns is not None:
        if not columns:
            raise InputError("columns must name at least one column")
        refuse_repeats(columns)
        used = [name for name in columns if name in special]
        if used:
            raise InputError(f"the column '{used[0]}' cannot be a feature: it holds times, sequences or pivot values")
        return list(columns)
    names = [name for name in table.columns if name not in special]
    if not names:
        raise InputError(f"no column of values is left among {list_names(list(table.columns))}")
    return names


def _pivoted(
    values: FloatArray,
    times: pd.DatetimeIndex | FloatArray,
    by: pd.Series,
    features: list[str],
    container: Container,
    notes: list[str],
) -> Source:
    """A long table made wide: one feature for each column and pivot value, missing where there is no row."""
    if by.isna().any():
        raise InputError(f"the pivot column '{by.name}' is empty in row {int(by.index[by.isna()][0]) + 1}")
    place, kinds = pd.factorize(by, sort=True)
    row, when = pd.factorize(pd.Index(times), sort=True)
    cell = pd.Series(row * len(kinds) + place)
    if cell.duplicated().any():
        first = int(np.argmax(cell.duplicated().to_numpy()))
        raise InputError(f"the time {times[first]} occurs more than once for {by.name} = {kinds[place[first]]}")
    check_size(len(when) * len(features) * len(kinds), f"one feature for each of {len(kinds)} values of '{by.name}'")
    wide = np.full((len(when), len(features), len(kinds)), np.nan)
    wide[row, :, place] = values
    names = [f"{feature}_{decoded_text(kind)}" for feature in features for kind in kinds]
    refuse_repeats(names)
    bases = [feature for feature in features for _ in kinds]
    stamps = when if isinstance(when, pd.DatetimeIndex) else np.asarray(when, dtype=np.float64)
    return Source(wide.reshape(len(when), -1), tuple(names), container, tuple(bases), stamps, notes=tuple(notes))


def _sequences(
    table: pd.DataFrame, features: list[str], container: Container, time: str | None, timezone: str | None
) -> Source:
    """The rows of each sequence in order of time or offset; sequences in the order of their first row."""
    if table[SEQUENCE].isna().any():
        raise InputError(f"the column '{SEQUENCE}' is empty in row {int(np.argmax(table[SEQUENCE].isna())) + 1}")
    number, labels = pd.factorize(table[SEQUENCE])
    sizes = np.bincount(number)
    if len(set(sizes)) > 1:
        odd = int(np.argmax(sizes != sizes[0]))
        raise InputError(
            f"all sequences must have the same number of frames, but sequence {labels[0]} has {sizes[0]} "
            f"and sequence {labels[odd]} has {sizes[odd]}: give missing= (--missing mask --network unrolled"
            f"{' without --time' if time else ''}), which learns around the missing rows"
        )
    shape = (len(labels), int(sizes[0]))
    offset_name = _offset_name(table, features, shape, time)
    offset = np.arange(len(table)) if offset_name is None else to_numbers(table, [offset_name])[:, 0]
    rows = np.lexsort((offset, number)).reshape(shape)
    step = None
    if offset_name is not None:
        step = _step_of(np.asarray(offset, dtype=np.float64)[rows], offset_name)
    values = to_numbers(table, features, (time, SEQUENCE, *OFFSETS), is_text=container.ending in TEXTS)
    starts: Starts = None
    notes: list[str] = []
    if time is not None:
        times, form, keep, notes = _times(table, time, timezone, container.time_form)
        container = replace(container, time_form=form)
        if not keep.all():
            raise InputError(f"some times in '{time}' occur twice in {timezone}; give them with their offset")
        advice = (
            "Fill in the rows between, or leave the sequence out; to take the rows as frames in the order of the file, "
            f"leave out --time and choose the values with --columns {','.join(features[:12])}"
        )
        in_time = order_in_time(times, rows, labels.tolist(), time, advice, dates_only=offset_name is not None)
        if offset_name is not None:
            _check_agree(in_time, rows, step, offset_name, time)
        rows, starts, step = in_time.rows, in_time.starts, in_time.step or step
    container = replace(container, step=step)
    return Source(values[rows], tuple(features), container, tuple(features), None, starts, tuple(notes))


def _with_all_frames(table: pd.DataFrame) -> pd.DataFrame:
    """A table of sequences with a row, empty if need be, for every frame that some sequence has."""
    sizes = table[SEQUENCE].value_counts(dropna=False)
    if table[SEQUENCE].isna().any() or sizes.nunique() == 1:
        return table
    offset = next((name for name in OFFSETS if name in table.columns), None)
    frames = table.groupby(SEQUENCE, sort=False).cumcount() if offset is None else table[offset]
    keys = pd.MultiIndex.from_arrays([table[SEQUENCE], frames])
    if frames.isna().any() or keys.has_duplicates:
        return table
    every = pd.MultiIndex.from_product([table[SEQUENCE].unique(), np.sort(frames.unique())])
    full = table.set_axis(keys).reindex(every)
    full[SEQUENCE] = every.get_level_values(0)
    if offset is not None:
        full[offset] = every.get_level_values(1)
    return full.reset_index(drop=True)


def _check_agree(in_time: SequenceOrder, by_offset: NDArray[np.int64], step: Step, offset_name: str, time: str) -> None:
    """Refuse an offset column that says another order or step than the column of times."""
    agree = np.array_equal(in_time.rows, by_offset)
    if isinstance(step, pd.Timedelta) and isinstance(in_time.step, pd.Timedelta):
        agree &= bool(np.isclose(in_time.step / step, 1.0, rtol=1e-6))
    elif isinstance(step, float) and isinstance(in_time.step, float):
        agree &= bool(np.isclose(in_time.step, step, rtol=1e-6))
    if not agree:
        raise InputError(
            f"the columns '{offset_name}' and '{time}' disagree on the order or the step of the rows: "
            f"leave out --time, or remove the column '{offset_name}'"
        )


def _offset_name(table: pd.DataFrame, features: list[str], shape: tuple[int, int], time: str | None) -> str | None:
    """The column that orders the frames of a sequence; None without one.

    Raises:
        InputError: several columns that could be it, or frames that have none although every row is a sequence.
    """
    offsets = [name for name in OFFSETS if name in table.columns and name != time]
    if len(offsets) > 1:
        raise InputError(
            f"both '{offsets[0]}' and '{offsets[1]}' could say where a row stands in its sequence: rename the one "
            "that does not"
        )
    if not offsets and shape[0] == len(table) > 1:
        raise InputError(
            f"every row has another value in the column '{SEQUENCE}', so that no sequence has two frames: rename that "
            f"column, if it does not number sequences"
        )
    return offsets[0] if offsets else None


def _step_of(offsets: FloatArray, name: str) -> Step:
    """The step between frames that an offset column (n, N) gives; None for plain frame numbers."""
    step = even_offsets(offsets, name)
    if step is None or name == "frame":
        return None
    unit = OFFSET_UNITS.get(name)
    return step if unit is None else pd.Timedelta(round(step * unit), unit="ns")
