"""A file of a few kilobytes can claim, or unpack to, more than memory holds: that is refused before it is read."""

from __future__ import annotations

import ast
import zipfile
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import _memory
from .._errors import InputError

SHARE = 0.25  # of the machine's memory, in float64: reading and cutting make copies
BYTES_OF_DRAW = 64  # of a value at its peak: as drawn, in the data's units, and as the table that is written
MOST_COLUMNS = 50_000  # of a table: the readers take some tenths of a millisecond for each
MOST_VARIABLES = 5000  # of a .nc or .zarr source: each costs milliseconds, whatever it holds
_LONGEST_HEAD = 10_000  # bytes of the head of an .npy file: numpy's own limit, which it checks after reading them


def refuse_draws(n: int, num_frames: int, num_features: int) -> None:
    """Refuse to draw more sequences than memory holds.

    Raises:
        InputError: They do not fit; the message says how many do.
    """
    size = BYTES_OF_DRAW * num_frames * num_features
    most = int(_memory.SHARE * _memory.total_bytes() / size)
    _memory.check_bytes(
        n * size,
        f"drawing n={n:.4g} sequences of {num_frames} frames with {num_features} features",
        f"draw at most {most} at once (-n), and others with another seed",
    )


def check_size(values: float, what: str) -> None:
    """Refuse ``values`` numbers that do not fit, in float64, into a quarter of this machine's memory.

    Args:
        values: How many numbers are claimed.
        what: Holds them, as the subject of the message: "the array".

    Raises:
        InputError: They do not fit.
    """
    memory = _memory.total_bytes()
    if values * 8 > SHARE * memory:
        number = f"{values:.3g}" if values < 1e300 else "over 1e300"
        raise InputError(
            f"{what} would hold {number} values, {_memory.written(values * 8)}: "
            f"more than a quarter of this machine's memory ({_memory.written(memory)})"
        )


def check_columns(number: int) -> None:
    """Refuse a table of more columns than can be read in seconds.

    Raises:
        InputError: There are too many.
    """
    if number > MOST_COLUMNS:
        raise InputError(
            f"it has {number} columns, but at most {MOST_COLUMNS} can be read: store so wide a record as one array "
            "(.npy, or .nc with the dimensions time, feature), or write a file with only the columns that matter"
        )


def check_variables(number: int) -> None:
    """Refuse a store of more variables than can be opened in seconds.

    Raises:
        InputError: There are too many.
    """
    if number > MOST_VARIABLES:
        raise InputError(
            f"it holds {number} variables, but at most {MOST_VARIABLES} can be read: put the features of a record into "
            "one variable with the dimensions (time, feature)"
        )


def check_store(path: Path, ending: str) -> None:
    """Refuse a .nc or .zarr source of too many variables, before it is opened."""
    if ending == ".zarr":
        check_variables(sum(entry.is_dir() for entry in path.iterdir()))
    elif h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            check_variables(len(file))


def check_array(file: IO[bytes], size: int) -> None:
    """Refuse an .npy stream whose head claims more than memory, or than the stream's ``size`` bytes, holds.

    What is not an array at all passes: numpy says better what is wrong with it.

    Raises:
        InputError: The head claims too much.
    """
    try:
        version = np.lib.format.read_magic(file)
        length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
        if version > (3, 0) or length > _LONGEST_HEAD:
            raise InputError(f"the head of the array claims {length} bytes; at most {_LONGEST_HEAD} are read")
        head = len(np.lib.format.magic(*version)) + (2 if version == (1, 0) else 4) + length
        text = file.read(length).decode("latin1" if version < (3, 0) else "utf-8")
        shape, dtype = _shape_and_type(text)
    except InputError:
        raise
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return
    check_size(_memory.product(*shape), "the array")
    claimed = _memory.product(*shape, dtype.itemsize)
    if not dtype.hasobject and claimed > size - head:
        raise InputError(f"the array claims {claimed} bytes of values, but the file holds {max(0, size - head)}")


def check_archive(file: IO[bytes]) -> None:
    """The same for the member of an .npz archive that holds one array."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) == 1:
            check_size(members[0].file_size / 8, "the array")
            with archive.open(members[0]) as member:
                check_array(member, members[0].file_size)
    file.seek(0)


def check_parquet(path: Path) -> None:
    """Refuse a .parquet file whose rows, or whose repeated texts, unpack to more than fits.

    Raises:
        InputError: They would not fit.
    """
    with pq.ParquetFile(path) as file:
        check_columns(file.metadata.num_columns)
        columns = [file.schema.column(k) for k in range(file.metadata.num_columns)]
        check_size(file.metadata.num_rows * len(columns), "the table")
        texts = [column.path for column in columns if column.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")]
        largest = sum(_most_bytes(file.metadata, texts))
    if largest <= SHARE * _memory.total_bytes():
        return
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        total = 0
        for batch in file.iter_batches(columns=texts):
            total += sum(_text_bytes(column) for column in batch.columns)
            check_size(total / 8, "the text of the table")


def _most_bytes(metadata: pq.FileMetaData, texts: list[str]) -> list[int]:
    """What the texts of each column chunk unpack to at most: each might be as long as the whole chunk."""
    chunks = [
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    ]
    return [chunk.num_values * chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in texts]


def _text_bytes(column: pa.Array) -> int:
    if isinstance(column, pa.DictionaryArray):
        lengths = pc.binary_length(column.dictionary)
        return int(pc.sum(pc.cast(pc.take(lengths, column.indices), pa.int64())).as_py() or 0)
    return column.nbytes


def _shape_and_type(text: str) -> tuple[tuple[int, ...], np.dtype]:
    head = ast.literal_eval(text)
    return tuple(int(size) for size in head["shape"]), np.lib.format.descr_to_dtype(head["descr"])
