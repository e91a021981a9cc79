"""A .csv file as a table, in whatever way it is written."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from .._errors import InputError, first_line
from .csv_format import FALLBACK, CsvFormat, CsvOptions, fallback_note, open_bytes, open_text, sniff
from .messages import list_names
from .numerals import convert
from .sizes import check_size

_CHUNK = 2**22
_LARGE_TEXT, _LARGEST_RATIO = 2**28, 500  # bytes; unpacked over packed


@dataclass(frozen=True, eq=False)
class CsvTable:
    """What a .csv file holds, and how it is written.

    Attributes:
        table: with numbers wherever a column holds nothing else.
        format: of the file.
        marks: decimal marks of the columns that are not written in the format's.
    """

    table: pd.DataFrame
    format: CsvFormat
    marks: dict[str, str]


def read_csv(path: Path, options: CsvOptions, *, time: str | None, wanted: Sequence[str], labels: set[str]) -> CsvTable:
    """The table of a .csv or .csv.gz file.

    Args:
        path: the file.
        options: what the user says of it.
        time: the column of times, whose text is left alone.
        wanted: names that the header must hold; they tell it from lines before it.
        labels: columns of names, in which text such as NA is a name.

    Raises:
        InputError: a file that is not a table, repeats a name, or leaves the meaning of its numbers open.
    """
    if path.suffix.lower() == ".gz":
        _check_unpacked(path)
    form = sniff(path, options, wanted)
    refuse_repeats([name for name in form.names if name])
    try:
        table = _parse(path, form, options)
    except UnicodeDecodeError as error:
        if options.encoding is not None or form.encoding != "utf-8":
            raise InputError(f"the text is not in the encoding {form.encoding}: {error}") from None
        form = replace(form, encoding=FALLBACK, notes=(*form.notes, fallback_note()))
        table = _parse(path, form, options)
    for name in labels & set(table.columns):
        if table[name].isna().any():
            table[name] = _labels(path, form, options, list(table.columns).index(name))
    table, marks = convert(table, {*labels, *([] if time is None else [time])}, options.decimal)
    return CsvTable(table, form, marks)


def _parse(path: Path, form: CsvFormat, options: CsvOptions, place: int | None = None) -> pd.DataFrame:
    """The table, or one of its columns as the text that it is."""
    names = [name or f"Unnamed: {k}" for k, name in enumerate(form.names)]
    with open_text(path, form.encoding) as file, warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        for _ in range(form.first_row):
            file.readline()
        try:
            return pd.read_csv(
                file,
                header=None,
                names=names,
                index_col=False,
                sep=r"\s+" if form.separator == " " else form.separator,
                decimal=form.decimal,
                na_values=list(options.na_values),
                skipinitialspace=True,
                low_memory=False,
                usecols=None if place is None else [place],
                dtype=None if place is None else str,
                na_filter=place is None,
            )
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise InputError(_ragged(path, form) or f"cannot be read as .csv: {first_line(error)}") from None


def _ragged(path: Path, form: CsvFormat) -> str | None:
    """Which row has more fields than the header."""
    width = len(form.names)
    with open_text(path, form.encoding) as file:
        for _ in range(form.first_row):
            file.readline()
        row = 0
        for line in file:
            row += bool(line.strip())
            fields = next(csv.reader([line], delimiter=form.separator), [])
            if len(fields) > width and '"' not in line:
                return (
                    f"row {row} has {len(fields)} fields, but the header has {width} ({list_names(form.names, 4)}); "
                    "repair the row, or give another separator= (--separator)"
                )
    return None


def _labels(path: Path, form: CsvFormat, options: CsvOptions, place: int) -> pd.Series:
    """A column as text, in which only empty cells and the user's own marks are missing."""
    column = _parse(path, form, options, place).iloc[:, 0]
    text = column.astype(object).str.strip()
    return text.where(~text.isin(["", *options.na_values]), np.nan)


def _check_unpacked(path: Path) -> None:
    """Refuse a packed file that would fill the memory, before its text is kept."""
    size = 0
    with open_bytes(path) as file:
        while piece := file.read(_CHUNK):
            size += len(piece)
            check_size(size / 8, "the unpacked text")
            if size > _LARGE_TEXT and size > _LARGEST_RATIO * path.stat().st_size:
                raise InputError(
                    f"it unpacks to more than {_LARGEST_RATIO} times its size, as no table does; unpack it if it is one"
                )


def refuse_repeats(names: Sequence[str]) -> None:
    """Refuse a name that occurs more than once."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"the column '{repeated[0]}' occurs more than once")
