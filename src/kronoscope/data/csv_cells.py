"""A .csv file as bytes with cells in it: numbers are put into some, and every other byte stays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from .number_style import NumberStyle
from .sequences import FloatArray

_BOM = "\ufeff"
_NEWLINE = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Dialect:
    """How a .csv file is written."""

    encoding: str = "utf-8"
    delimiter: str = ","
    decimal: str = "."
    quote: str = '"'


@dataclass(frozen=True, eq=False)
class Column:
    """New numbers of a column, by its place in the file (from 0): rows count from 0 after the header."""

    place: int
    rows: NDArray[np.int64]
    values: FloatArray


@dataclass(frozen=True, eq=False)
class CsvText:
    """The text of a file and where its records stand in it, the header first; blank lines are no records."""

    text: str
    records: tuple[tuple[int, int], ...]
    dialect: Dialect

    @classmethod
    def parse(cls, content: bytes, dialect: Dialect) -> CsvText:
        """Find the records as pandas does: a quotation mark opens a field only where the field begins.

        Raises:
            InputError: The text is not in the encoding of the dialect.
        """
        try:
            text = content.decode(dialect.encoding)
            same = text.encode(dialect.encoding) == content
        except (UnicodeError, LookupError):
            same = False
        if not same:
            raise InputError(f"the text is not in the encoding {dialect.encoding}")
        start = 1 if text.startswith(_BOM) else 0
        lines = _quoted_records(text, start, dialect) if dialect.quote in text else _lines(text, start)
        blanks = " \t".replace(dialect.delimiter, "")
        records = tuple((a, b) for a, b in lines if text[a:b].strip(blanks))
        return cls(text, records, dialect)

    def fields(self, record: int) -> list[tuple[int, int]]:
        """Where the fields of a record stand, quotation marks included."""
        start, end = self.records[record]
        delimiter, quote = self.dialect.delimiter, self.dialect.quote
        line = self.text[start:end]
        if quote not in line:
            spans = []
            for part in line.split(delimiter):
                spans.append((start, start + len(part)))
                start += len(part) + len(delimiter)
            return spans
        field = _field(self.dialect)
        spans, at = [], start
        while True:
            match = field.match(self.text, at, end)
            assert match is not None
            spans.append(match.span())
            if match.end() >= end:
                return spans
            at = match.end() + len(delimiter)

    def names(self) -> list[str]:
        """The header's names, without quotation marks."""
        quote = self.dialect.quote
        raw = [self.text[a:b] for a, b in self.fields(0)]
        return [r[1:-1].replace(quote * 2, quote) if r[:1] == quote == r[-1:] and len(r) > 1 else r for r in raw]

    def filled(self, columns: Sequence[Column]) -> bytes:
        """The bytes of the file with the new numbers in their cells."""
        styles = self._styles(columns)
        by_row: dict[int, dict[int, float]] = {}
        for column in columns:
            for row, value in zip(column.rows.tolist(), column.values.tolist(), strict=True):
                by_row.setdefault(row, {})[column.place] = value
        pieces, at = [], 0
        for row in sorted(by_row):
            for start, end, new in self._edits(row + 1, by_row[row], styles):
                pieces += [self.text[at:start], new]
                at = end
        return "".join([*pieces, self.text[at:]]).encode(self.dialect.encoding)

    def _edits(
        self, record: int, values: Mapping[int, float], styles: Mapping[int, NumberStyle]
    ) -> Iterator[tuple[int, int, str]]:
        spans = self.fields(record)
        quote, delimiter = self.dialect.quote, self.dialect.delimiter
        for place in sorted(values):
            if place < len(spans):
                start, end = spans[place]
                yield start, end, styles[place].cell(self.text[start:end], values[place], quote, delimiter)
        beyond = {place: styles[place].cell("", values[place], quote, delimiter) for place in values}
        short = range(len(spans), max(values) + 1)
        if short:  # the record ends before its last columns
            end = self.records[record][1]
            yield end, end, "".join(delimiter + beyond.get(place, "") for place in short)

    def _styles(self, columns: Sequence[Column]) -> dict[int, NumberStyle]:
        """The style of each column, by the cells that get no new number."""
        changed = {column.place: set(column.rows.tolist()) for column in columns}
        cells: dict[int, list[str]] = {place: [] for place in changed}
        for row in range(len(self.records) - 1):
            spans = self.fields(row + 1)
            for place, rows in changed.items():
                if row not in rows and place < len(spans):
                    cells[place].append(self.text[slice(*spans[place])])
        return {place: NumberStyle.of(raw, self.dialect.decimal, self.dialect.quote) for place, raw in cells.items()}


def _lines(text: str, start: int) -> Iterator[tuple[int, int]]:
    for match in _NEWLINE.finditer(text, start):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _quoted_records(text: str, start: int, dialect: Dialect) -> Iterator[tuple[int, int]]:
    field, at = _field(dialect), start
    while at < len(text):
        match = field.match(text, at)
        assert match is not None
        at = match.end()
        if text.startswith(dialect.delimiter, at):
            at += len(dialect.delimiter)
            if at < len(text):
                continue
        yield start, at
        newline = _NEWLINE.match(text, at)
        at = start = newline.end() if newline else at


def _field(dialect: Dialect) -> re.Pattern[str]:
    q, d = re.escape(dialect.quote), re.escape(dialect.delimiter)
    plain = f"[^{d}\\r\\n]*"
    return re.compile(f"{q}[^{q}]*(?:{q}{q}[^{q}]*)*{q}{plain}|{plain}")
