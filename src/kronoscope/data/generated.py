"""A file of generated sequences, read for what it shares with the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .._errors import InputError
from . import grids, reading
from .csv_format import PLAIN, TEXTS, CsvOptions, sniff
from .matching import has_names
from .messages import list_names
from .sequences import SequenceSet, ending_of
from .tables import OFFSETS, SEQUENCE, column_names


def read_generated(path: Path, like: SequenceSet, time: str | None = None) -> SequenceSet:
    """Read generated sequences; where the file names all features of ``like``, those and no others are read.

    Args:
        path: of the file.
        like: the real sequences.
        time: column of times beside the features, as ``sample --dates`` writes it.

    Raises:
        InputError: as :func:`read`.
    """
    columns = shared_columns(path, like.feature_names)
    if columns is None:
        return reading.read(path, time=time)
    made = reading.read(path, time=time, columns=columns)
    names = _names(path, columns)
    extra = [name for name in names if name not in {*like.feature_names, SEQUENCE, *OFFSETS, time}]
    if not extra:
        return made
    note = f"Left out, since the real sequences do not have them: {list_names(extra, 8)}."
    return replace(made, notes=(*made.notes, note))


def shared_columns(path: Path, features: Sequence[str], text: CsvOptions = PLAIN) -> list[str] | None:
    """The features, where the file has a column or variable of the name of each; else None, which reads all of it."""
    return list(features) if has_names(features) and set(features) <= set(_names(path, features, text)) else None


def _names(path: Path, wanted: Sequence[str], text: CsvOptions = PLAIN) -> list[str]:
    """Columns of a table or variables of a grid; none where they cannot be read, which :func:`read` says better."""
    ending = ending_of(path)
    try:
        if ending in TEXTS:
            return [name for name in sniff(path, text, wanted).names if name]
        if ending == ".parquet":
            return column_names(path)
        if ending in reading.GRIDS and path.exists():
            with grids.opened(path, ending) as data:
                return [str(name) for name in data.data_vars]
    except (InputError, OSError, ValueError):
        pass
    return []
