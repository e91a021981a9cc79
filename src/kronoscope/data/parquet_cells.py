"""A .parquet file written again with numbers in some cells: schema, metadata and all other columns stay."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .packing import to_dtype
from .sequences import FloatArray

Cells = tuple[NDArray[np.int64], FloatArray]


def fill(path: Path, partial: Path, columns: Mapping[str, Cells]) -> int:
    """Write ``path`` to ``partial`` with new numbers in the given rows of columns; how many its types could not hold.

    The row groups, compression and dictionary encoding of each column are those of the file.
    """
    outside = 0
    with pq.ParquetFile(path) as file:
        whole = {name: _holds_whole_numbers(file, name, rows) for name, (rows, _) in columns.items()}
        with pq.ParquetWriter(partial, file.schema_arrow, **options_of(file)) as writer:
            before = 0
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                for name, (rows, values) in columns.items():
                    here = (rows >= before) & (rows < before + len(group))
                    if here.any():
                        new = np.rint(values[here]) if whole[name] else values[here]
                        group, lost = _with_cells(group, name, rows[here] - before, new)
                        outside += lost
                before += len(group)
                writer.write_table(group, row_group_size=max(1, len(group)))
    return outside


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
