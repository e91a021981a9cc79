"""A .parquet file written again with numbers in some cells: schema, metadata and all other columns stay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .._errors import InputError
from .absent import NewRows
from .packing import to_dtype
from .tables import flat_name
from .time_forms import FloatArray

Cells = tuple[NDArray[np.int64], FloatArray]


_NO_ROWS = np.zeros(0, dtype=np.int64)


def fill(path: Path, partial: Path, columns: Mapping[str, Cells], rows: NewRows | None = None) -> int:
    """Write ``path`` to ``partial`` with new numbers in the given rows of columns; how many its types could not hold.

    Args:
        path: the source.
        partial: what is written.
        columns: rows and numbers by column.
        rows: new rows.

    The row groups, compression and dictionary encoding of each column are those of the file.
    """
    outside = 0
    with pq.ParquetFile(path) as file:
        stored = stored_names(file.schema_arrow)
        columns = {stored[name]: cells for name, cells in columns.items()}
        rows = None if rows is None else rows.renamed(stored)
        changed = {name: at for name, (at, _) in columns.items()}
        names = [*columns, *(name for name in (rows.values if rows else ()) if name not in columns)]
        whole = {name: _holds_whole_numbers(file, name, changed.get(name, _NO_ROWS)) for name in names}
        schema = file.schema_arrow if rows is None else _with_length(file.schema_arrow, len(rows))
        with pq.ParquetWriter(partial, schema, **options_of(file)) as writer:
            before = 0
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                length = len(group)
                for name, (at, values) in columns.items():
                    here = (at >= before) & (at < before + length)
                    if here.any():
                        new = np.rint(values[here]) if whole[name] else values[here]
                        group, lost = _with_cells(group, name, at[here] - before, new)
                        outside += lost
                if rows is not None:
                    group, lost = _with_rows(file, group, rows, before, whole)
                    outside += lost
                before += length
                writer.write_table(group, row_group_size=max(1, len(group)))
    return outside


def stored_names(schema: pa.Schema) -> dict[str, str]:
    """The name in the file of each column as pandas names it: levels of an index or of names are stored otherwise."""
    frame = schema.empty_table().to_pandas()
    noted = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    index = [name for name in noted if isinstance(name, str)]
    columns = [name for name in schema.names if name not in index]
    names = dict(zip((flat_name(name) for name in frame.columns), columns, strict=True))
    if index:
        read = frame.reset_index().columns[: len(index)]
        names |= dict(zip((flat_name(name) for name in read), index, strict=True))
    return names


def _with_length(schema: pa.Schema, added: int) -> pa.Schema:
    """The schema with the number of rows that pandas notes in it."""
    metadata = dict(schema.metadata or {})
    if b"pandas" not in metadata:
        return schema
    noted = json.loads(metadata[b"pandas"])
    for index in noted.get("index_columns", []):
        if isinstance(index, dict) and index.get("kind") == "range":
            index["stop"] += added * index["step"]
    return schema.with_metadata({**metadata, b"pandas": json.dumps(noted).encode()})


def _with_rows(
    file: pq.ParquetFile, group: pa.Table, rows: NewRows, before: int, whole: Mapping[str, bool]
) -> tuple[pa.Table, int]:
    """The row group with the new rows that belong into it, and how many numbers its types could not hold."""
    first = before == 0
    here = np.flatnonzero((rows.after >= before) & (rows.after < before + len(group)) | (first & (rows.after < 0)))
    if not len(here):
        return group, 0
    # the order of old rows (by number) and new ones (by the row that they follow)
    key = np.concatenate([np.arange(len(group)), np.maximum(rows.after[here] - before, -1) + 0.5])
    order = np.argsort(key, kind="stable")
    columns, outside = [], 0
    for field in group.schema:
        column = group.column(field.name).combine_chunks()
        column = column.cast(field.type.value_type) if pa.types.is_dictionary(field.type) else column
        new, lost = _new_cells(file, field.name, column, rows, here, whole)
        outside += lost
        joined = pa.concat_arrays([column, new]).take(pa.array(order))
        columns.append(joined.dictionary_encode().cast(field.type) if pa.types.is_dictionary(field.type) else joined)
        if not field.nullable and joined.null_count:
            raise InputError(f"the column '{field.name}' may not be empty, so no row can be added for absent times")
    return pa.Table.from_arrays(columns, schema=_with_length(group.schema, len(rows))), outside


def _new_cells(
    file: pq.ParquetFile, name: str, column: pa.Array, rows: NewRows, here: NDArray[np.int64], whole: Mapping[str, bool]
) -> tuple[pa.Array, int]:
    """What a column holds in the new rows."""
    if name == rows.time:
        stamps = rows.stamps[here]
        return pa.array(stamps.astype(object) if stamps.dtype == object else stamps).cast(column.type), 0
    if name in rows.values:
        values = rows.values[name][here]
        known = np.isfinite(values)
        new, outside = numbers_of(column.type, np.where(known, np.rint(values) if whole[name] else values, 0.0))
        return pc.if_else(pa.array(known), new, pa.scalar(None, column.type)), outside
    if name in rows.constant:
        source = file.read([name]).column(name).combine_chunks().cast(column.type)
        return source.take(pa.array(rows.like[here])), 0
    return pa.nulls(len(here), column.type), 0


def options_of(file: pq.ParquetFile) -> dict[str, Any]:
    """How the file was written, for a writer that shall do the same."""
    meta = file.metadata
    if not meta.num_row_groups:
        return {}
    columns = [meta.row_group(0).column(k) for k in range(meta.num_columns)]
    dictionary = [c.path_in_schema for c in columns if any("DICTIONARY" in e for e in c.encodings)]
    return {
        "compression": {c.path_in_schema: _codec(c.compression) for c in columns},
        "use_dictionary": dictionary or False,
        "version": "1.0" if meta.format_version == "1.0" else "2.6",
        "use_deprecated_int96_timestamps": any(c.physical_type == "INT96" for c in columns),
        "write_statistics": any(c.is_stats_set for c in columns),
    }


def _codec(name: str) -> str:
    return "NONE" if name == "UNCOMPRESSED" else name


def _holds_whole_numbers(file: pq.ParquetFile, name: str, rows: NDArray[np.int64]) -> bool:
    """Whether the numbers that stay are all whole: then the column counts something, whatever its type."""
    column = file.read([name]).column(name)
    numbers = np.delete(np.asarray(column.to_pandas().to_numpy(dtype=np.float64, na_value=np.nan)), rows)
    numbers = numbers[np.isfinite(numbers)]
    return bool(numbers.size) and bool((numbers == np.rint(numbers)).all())


def _with_cells(table: pa.Table, name: str, rows: NDArray[np.int64], values: FloatArray) -> tuple[pa.Table, int]:
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    is_dictionary = pa.types.is_dictionary(field.type)
    inner = field.type.value_type if is_dictionary else field.type
    column = table.column(place).combine_chunks()
    column = column.cast(inner) if is_dictionary else column
    new, outside = numbers_of(inner, values)
    order = np.argsort(rows)
    chosen = np.zeros(len(table), dtype=bool)
    chosen[rows] = True
    filled = pc.replace_with_mask(column, pa.array(chosen), new.take(pa.array(order)))
    return table.set_column(place, field, filled.dictionary_encode() if is_dictionary else filled), outside


def numbers_of(kind: pa.DataType, values: FloatArray) -> tuple[pa.Array, int]:
    """The values as an array of that type, and how many of them it could not hold."""
    if pa.types.is_decimal(kind):
        unit = Decimal(1).scaleb(-kind.scale)
        return pa.array([Decimal(repr(float(value))).quantize(unit) for value in values], kind), 0
    stored, outside = to_dtype(values, np.dtype(kind.to_pandas_dtype()))
    return pa.array(stored, kind), outside
