"""An .npy or .npz file copied with numbers put into some cells: data type, order and everything else stay."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .packing import to_dtype
from .time_forms import FloatArray


def fill(path: Path, partial: Path, cells: NDArray[np.int64], values: FloatArray) -> int:
    """Copy ``path`` to ``partial`` with values in cells, which are numbers of the flattened array.

    Returns how many values its type could not hold.
    """
    if path.suffix.lower() == ".npy":
        shutil.copyfile(path, partial)
        return _put(partial, cells, values)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(partial, "x") as target:
        (member,) = source.infolist()
        content = bytearray(source.read(member))
        outside = _put_bytes(content, cells, values)
        target.writestr(member, bytes(content))
    return outside


def _put(path: Path, cells: NDArray[np.int64], values: FloatArray) -> int:
    array = np.load(path, mmap_mode="r+", allow_pickle=False)
    numbers, outside = to_dtype(values, array.dtype)
    array[np.unravel_index(cells, array.shape)] = numbers
    array.flush()
    return outside


def _put_bytes(content: bytearray, cells: NDArray[np.int64], values: FloatArray) -> int:
    head = io.BytesIO(content)
    version = np.lib.format.read_magic(head)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(head)
    array: np.ndarray = np.ndarray(shape, dtype, content, head.tell(), order="F" if fortran else "C")
    numbers, outside = to_dtype(values, array.dtype)
    array[np.unravel_index(cells, shape)] = numbers
    return outside
