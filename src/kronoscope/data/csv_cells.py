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
from .time_forms import FloatArray

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
class Inserted:
    """New rows, in the order in which they are to stand.

    Attributes:
        after: (M,) the row after which each is to stand; -1: before the first.
        like: (M,) a row that each resembles.
        time: place of the column of times.
        stamps: (M,) what stands in it.
        columns: numbers of columns, NaN for an empty cell; ``rows`` count the new rows.
        copied: places of columns that hold what they hold in ``like``.
    """

    after: NDArray[np.int64]
    like: NDArray[np.int64]
    time: int
    stamps: Sequence[str]
    columns: Sequence[Column]
    copied: frozenset[int]


@dataclass(frozen=True, eq=False)
class CsvText:
    """The text of a file and where its rows stand in it; blank lines are not rows.

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
        spans = _quoted_rows(text, start, separator) if _QUOTE in text else _lines(text, start)
        blanks = " \t".replace(separator, "") if separator != " " else " \t"
        return cls(text, tuple((a, b) for a, b in spans if text[a:b].strip(blanks)), encoding, separator)

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

    def _texts(self, row: int) -> list[str]:
        line = self.text[slice(*self.rows[row])]
        if self.separator != " " and _QUOTE not in line:
            return line.split(self.separator)
        return [self.text[start:end] for start, end in self.fields(row)]

    def filled(self, columns: Sequence[Column], inserted: Inserted | None = None) -> bytes:
        """The bytes of the file with the new numbers in their cells, and new rows."""
        known = {column.place for column in columns}
        none = np.zeros(0, dtype=np.int64)
        others = [c for c in inserted.columns if c.place not in known] if inserted else []
        styles = self._styles([*columns, *(Column(c.place, none, np.zeros(0), c.decimal) for c in others)])
        by_row: dict[int, dict[int, float]] = {}
        for column in columns:
            for row, value in zip(column.rows.tolist(), column.values.tolist(), strict=True):
                by_row.setdefault(row, {})[column.place] = value
        edits = [edit for row in sorted(by_row) for edit in self._edits(row, by_row[row], styles)]
        if inserted is not None:
            edits = sorted([*edits, *self._insertions(inserted, styles)], key=lambda edit: edit[0])
        pieces, at = [], 0
        for start, end, new in edits:
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
                raw = self.text[start:end]
                yield start, end, self._apart(place, styles[place].cell(raw, values[place], self.separator))
        short = range(len(spans), max(values) + 1)
        if short:  # the row ends before its last columns
            end = self.rows[row][1]
            new = {place: styles[place].cell("", values[place], self.separator) for place in values}
            yield end, end, "".join(self.separator + new.get(place, "") for place in short)

    def _insertions(self, inserted: Inserted, styles: Mapping[int, NumberStyle]) -> Iterator[tuple[int, int, str]]:
        numbers = {column.place: column.values for column in inserted.columns}
        newline = _NEWLINE.search(self.text, self.rows[0][1] if self.rows[0][1] < len(self.text) else 0)
        end_of_line = newline[0] if newline else "\n"
        for k, (after, like) in enumerate(zip(inserted.after.tolist(), inserted.like.tolist(), strict=True)):
            fields = []
            for place, (start, end) in enumerate(self.fields(like)):
                raw = self.text[start:end]
                if place == inserted.time:
                    fields.append(self._like(place, raw, inserted.stamps[k]))
                elif place in numbers and np.isfinite(numbers[place][k]):
                    new = styles[place].cell(raw, float(numbers[place][k]), self.separator)
                    fields.append(self._apart(place, new))
                elif place in inserted.copied:
                    fields.append(raw)
                else:
                    fields.append(self._like(place, raw, ""))
            line = ("" if self.separator == " " else self.separator).join(fields)
            if after < 0:
                yield self.rows[0][0], self.rows[0][0], line + end_of_line
            else:
                yield self.rows[after][1], self.rows[after][1], end_of_line + line

    def _apart(self, place: int, new: str) -> str:
        """The new text of a cell with a blank before it, where blanks separate columns."""
        return f" {new}" if self.separator == " " and place and not new[:1].isspace() else new

    def _like(self, place: int, raw: str, text: str) -> str:
        """Text in the quotation marks, or as wide as the cell, that ``raw`` is."""
        if self.separator == " ":
            return self._apart(place, (text or "NaN").rjust(len(raw)))
        blanks = raw[: len(raw) - len(raw.lstrip(" "))]
        if raw.lstrip().startswith(_QUOTE) or self.separator in text:
            return f"{blanks}{_QUOTE}{text}{_QUOTE}"
        return blanks + text

    def _styles(self, columns: Sequence[Column]) -> dict[int, NumberStyle]:
        """The style of each column, by the cells that get no new number."""
        changed = {column.place: set(column.rows.tolist()) for column in columns}
        cells: dict[int, list[str]] = {place: [] for place in changed}
        for row in range(len(self.rows)):
            texts = self._texts(row)
            for place, rows in changed.items():
                if row not in rows and place < len(texts):
                    cells[place].append(texts[place])
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
