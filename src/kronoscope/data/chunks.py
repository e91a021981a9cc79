"""Variables of a store read piece by piece, and a share of a record that is larger than memory."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .._errors import InputError, first_line
from .sequences import SequenceSet
from .time_forms import FloatArray

PIECE = 2**22  # values read at once, unless one chunk of the store holds more
STRETCHES = 64


def read_values(variable: xr.DataArray, name: str) -> FloatArray:
    """The variable in float64, read along its first dimension by whole chunks of the store.

    In memory at once: the result, and one piece as it is stored.

    Raises:
        InputError: It is empty, infinite somewhere, or cannot be read.
    """
    if not variable.size:
        raise InputError(f"the variable '{name}' is empty")
    values = np.empty(variable.shape)
    step = _rows_at_once(variable)
    for start in range(0, len(values), step):
        try:
            values[start : start + step] = variable[start : start + step].values
        except Exception as error:
            raise InputError(f"the variable '{name}' cannot be read: {first_line(error)}") from None
        infinite = np.argwhere(np.isinf(values[start : start + step]))
        if len(infinite):
            where = (start + int(infinite[0, 0]), *(int(i) for i in infinite[0, 1:]))
            raise InputError(f"the variable '{name}' is infinite at index {where}")
    return values


def _rows_at_once(variable: xr.DataArray) -> int:
    wide = max(1, variable.size // len(variable))
    chunks = variable.encoding.get("chunks") or variable.encoding.get("chunksizes") or (1,)
    rows = max(1, int(chunks[0]))
    return rows * max(1, PIECE // (rows * wide))


def share_of_record(length: int, frames: int | None, most: int) -> NDArray[np.int64] | None:
    """Rows that hold about ``most`` sequences, spread over the whole record; None where all are to be read.

    Of a series (``frames`` given) up to 64 stretches of whole blocks, evenly spaced, each with one block to spare; else
    evenly spaced sequences.
    """
    if frames is None:
        return None if length <= most else np.linspace(0, length - 1, most).round().astype(np.int64)
    count = min(most, STRETCHES)
    size = frames * (-(-most // count) + 1)
    if length <= 2 * count * size:
        return None
    starts = np.linspace(0, (length - size) // frames, count).astype(np.int64) * frames
    return (starts[:, None] + np.arange(size)).ravel()


def evenly(sequences: SequenceSet, most: int | None) -> SequenceSet:
    """At most that many of the sequences, evenly spaced."""
    number = len(sequences)
    if most is None or number <= most:
        return sequences
    chosen = sequences.subset(np.linspace(0, number - 1, most).round().astype(np.int64))
    note = f"{most} of {number} sequences taken, evenly spaced, as max_sequences asks."
    return SequenceSet(**{**vars(chosen), "notes": (*chosen.notes, note)})
