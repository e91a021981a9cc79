"""A .csv file as bytes with cells in it: numbers are put into some, and every other byte stays."""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from .number_style import NumberStyle
from .sequences import FloatArray

_NEWLINE = re.compile(r"\r\n|\n|\r")
_QUOTE = '"'
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, eq=False)
class Column:
    """New numbers of a column, by its place in the file (from 0) and its rows (from 0), with its decimal mark."""

    place: int
    rows: NDArray[np.int64]
    values: FloatArray
    decimal: str = "."


@dataclass(frozen=True, eq=False)
class CsvText:
    """The text of a file and where its rows stand in it; blank lines are no rows.

    ``separator`` stands between columns; " " is any run of blanks.
    """

    text: str
    rows: tuple[tuple[int, int], ...]
    encoding: str
    separator: str

    @classmethod
    def parse(cls, content: bytes, encoding: str = "utf-8", separator: str = ",", first_row: int = 1) -> CsvText:
        """Find the rows after ``first_row`` lines as pandas does.

        A quotation mark opens a field only where the field begins, after blanks.

        Raises:
            InputError: The text is not in that encoding.
        """
        encoding = next((name for mark, name in _BOMS if content.startswith(mark)), encoding)
        try:
            text = content.decode(encoding)
            same = text.encode(encoding) == content
        except (UnicodeError, LookupError):
            same = False
        if not same:
            raise InputError(f"the text is not in the encoding {encoding}")
        start = 0
        for line in itertools.islice(_NEWLINE.finditer(text), first_row):
            start = line.end()
        found = _quoted_rows(text, start, separator) if _QUOTE in text else _lines(text, start)
        blanks = " \t".replace(separator, "") if separator != " " else " \t"
        return cls(text, tuple((a, b) for a, b in found if text[a:b].strip(blanks)), encoding, separator)

    def fields(self, row: int) -> list[tuple[int, int]]:
        """Where the fields of a row stand, quotation marks included, and the blanks before where blanks separate."""
        start, end = self.rows[row]
        line = self.text[start:end]
        if self.separator == " ":
            return [match.span() for match in _WORD.finditer(self.text, start, end) if match[0].strip()]
        spans = []
        if _QUOTE not in line:
            for part in line.split(self.separator):
                spans.append((start, start + len(part)))
                start += len(part) + 1
            return spans
        field = _field(self.separator)
        while True:
            match = field.match(self.text, start, end)
            assert match is not None
            spans.append(match.span())
            if match.end() >= end:
                return spans
            start = match.end() + 1

    def filled(self, columns: Sequence[Column]) -> bytes:
        """The bytes of the file with the new numbers in their cells."""
        styles = self._styles(columns)
        by_row: dict[int, dict[int, float]] = {}
        for column in columns:
            for row, value in zip(column.rows.tolist(), column.values.tolist(), strict=True):
                by_row.setdefault(row, {})[column.place] = value
        pieces, at = [], 0
        for row in sorted(by_row):
            for start, end, new in self._edits(row, by_row[row], styles):
                pieces += [self.text[at:start], new]
                at = end
        return "".join([*pieces, self.text[at:]]).encode(self.encoding)

    def _edits(
        self, row: int, values: Mapping[int, float], styles: Mapping[int, NumberStyle]
    ) -> Iterator[tuple[int, int, str]]:
        spans = self.fields(row)
        for place in sorted(values):
            if place < len(spans):
                start, end = spans[place]
                yield start, end, styles[place].cell(self.text[start:end], values[place], self.separator)
        short = range(len(spans), max(values) + 1)
        if short:  # the row ends before its last columns
            end = self.rows[row][1]
            new = {place: styles[place].cell("", values[place], self.separator) for place in values}
            yield end, end, "".join(self.separator + new.get(place, "") for place in short)

    def _styles(self, columns: Sequence[Column]) -> dict[int, NumberStyle]:
        """The style of each column, by the cells that get no new number."""
        changed = {column.place: set(column.rows.tolist()) for column in columns}
        cells: dict[int, list[str]] = {place: [] for place in changed}
        for row in range(len(self.rows)):
            spans = self.fields(row)
            for place, rows in changed.items():
                if row not in rows and place < len(spans):
                    cells[place].append(self.text[slice(*spans[place])])
        return {column.place: NumberStyle.of(cells[column.place], column.decimal) for column in columns}


_WORD = re.compile(rf"[ \t]*(?:{_QUOTE}[^{_QUOTE}]*{_QUOTE}|[^ \t\r\n]+)")


def _lines(text: str, start: int) -> Iterator[tuple[int, int]]:
    for match in _NEWLINE.finditer(text, start):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _quoted_rows(text: str, start: int, separator: str) -> Iterator[tuple[int, int]]:
    field, at = _field(separator), start
    while at < len(text):
        match = field.match(text, at)
        assert match is not None
        at = match.end()
        if text.startswith(separator, at):
            at += 1
            if at < len(text):
                continue
        yield start, at
        newline = _NEWLINE.match(text, at)
        at = start = newline.end() if newline else at


def _field(separator: str) -> re.Pattern[str]:
    plain = f"[^{re.escape(separator)}\\r\\n]*"
    blanks = "[ \t]*" if separator != "\t" else " *"
    return re.compile(f"{blanks}{_QUOTE}[^{_QUOTE}]*(?:{_QUOTE * 2}[^{_QUOTE}]*)*{_QUOTE}{plain}|{plain}")
