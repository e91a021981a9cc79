"""How a .csv file is written: encoding, separator, decimal mark, and the line in which its header stands."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, cast

from .._errors import InputError, first_line
from .messages import counted, list_names
from .numerals import MARKS, has_open_points, proves
from .sizes import check_columns

TEXTS = (".csv", ".csv.gz")
SEPARATORS = (",", ";", "\t", "|")
# Names of separators on the command line, where a tab is hard to type.
SEPARATOR_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
_HEAD_BYTES = 2**18
_HEAD_LINES = 60
_MOST_HEAD_BYTES = 2**26
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
FALLBACK = "cp1252"
_VALUE = re.compile(r"[+-]?[.,]?\d")
_NOTHING = {"na", "nan", "n/a", "null", "none", "-", "--", "---", "nat", "inf", "-inf"}


@dataclass(frozen=True)
class CsvOptions:
    """What the user says of a .csv file; None leaves it to the file.

    Attributes:
        separator: between columns: one character, or one of the names in ``SEPARATOR_NAMES``.
        decimal: the decimal mark, "." or ","; the other may then stand between thousands.
        na_values: texts that mean a missing value, besides the usual ones (empty, NA, NaN, null, ...).
        encoding: of the text, as Python names it.
    """

    separator: str | None = None
    decimal: str | None = None
    na_values: tuple[str, ...] = ()
    encoding: str | None = None

    @classmethod
    def checked(
        cls,
        separator: str | None = None,
        decimal: str | None = None,
        na_values: Sequence[str] | None = None,
        encoding: str | None = None,
    ) -> CsvOptions:
        """The options, if they can be used.

        Raises:
            InputError: an option out of its range.
        """
        if separator is not None:
            separator = SEPARATOR_NAMES.get(separator, separator)
            if len(separator) != 1 or separator in "\r\n\"'":
                names = list_names(list(SEPARATOR_NAMES))
                raise InputError(f"separator must be one character or one of {names}, got {separator!r}")
        if decimal is not None and decimal not in MARKS:
            raise InputError(f"decimal must be '.' or ',', got {decimal!r}")
        if isinstance(na_values, str) or not all(isinstance(value, str) for value in na_values or ()):
            raise InputError(f"na_values must be a list of texts, got {na_values!r}")
        if encoding is not None:
            try:
                codecs.lookup(encoding)
            except (LookupError, ValueError):
                raise InputError(f"encoding must be a name such as utf-8, cp1252 or utf-16, got {encoding!r}") from None
        return cls(separator, decimal, tuple(na_values or ()), encoding)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Of the options."""
        return tuple(field.name for field in fields(cls))

    def given(self) -> dict[str, object]:
        """The options that were given, by name."""
        return {name: value for name, value in vars(self).items() if value}


PLAIN = CsvOptions()


@dataclass(frozen=True)
class CsvFormat:
    """How a file is written.

    Attributes:
        encoding: as Python names it.
        separator: between columns; " " stands for any run of blanks.
        decimal: the mark with which pandas is to read numbers.
        names: of the columns, in order.
        units: of the columns, from a second line of the header; empty without one.
        first_row: lines before the first row of values.
        notes: a sentence on everything that was taken for granted.
    """

    encoding: str
    separator: str
    decimal: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    first_row: int
    notes: tuple[str, ...]


def open_bytes(path: Path) -> IO[bytes]:
    """The file, unpacked if its ending says .gz."""
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def open_text(path: Path, encoding: str) -> IO[str]:
    """The file as text, every kind of line end read as a newline."""
    return io.TextIOWrapper(open_bytes(path), encoding=encoding)


def sniff(path: Path, options: CsvOptions, wanted: Sequence[str] = ()) -> CsvFormat:
    """How the file is written, by its first lines, the user's options and the column names that the user gave.

    Raises:
        InputError: a file that is not text, or that holds no row.
    """
    head = _head(path)
    encoding = options.encoding or _encoding(head)
    lines = _lines(head, encoding)
    check_columns(1 + max((line.count(mark) for mark in SEPARATORS for line in lines[:1]), default=0))
    skipped, separator = 0, options.separator
    if lines and (asked := re.fullmatch(r'"?sep=(.)"?', lines[0].strip("\r\n"), re.IGNORECASE)):
        skipped, separator = 1, separator or asked[1]
    tables = [_FirstLines.split(lines, skipped, mark, wanted) for mark in ((separator,) if separator else SEPARATORS)]
    table = max(tables, key=_FirstLines.merit)
    units = table.units(options.na_values)
    first = table.header + (2 if units else 1)
    if first >= len(table.records):
        raise InputError("the table is empty")
    notes = []
    if encoding == FALLBACK and options.encoding is None:
        notes.append(fallback_note())
    if table.header:
        notes.append(f"{counted(table.header, 'line')} before the header left out.")
    names = table.names()
    if all(len(record) == len(names) + 1 and not record[-1] for record in table.records[first:]):
        names = (*names, "")  # rows that end with a separator
    if units:
        shown = list_names([f"{name} in {unit}" for name, unit in zip(names, units) if unit], 4)
        notes.append(f"The second line of the header was taken for units: {shown}.")
    if all(_VALUE.match(name) for name in names) and any(set(name) & set(".,:") for name in names):
        shown = list_names(names, 4)
        notes.append(f"Warning: the first row ({shown}) was taken for names; if it holds values, put names above it.")
    decimal = options.decimal or table.decimal(first)
    return CsvFormat(encoding, table.separator, decimal, names, units, table.at[first], tuple(notes))


def fallback_note() -> str:
    """That a text is not in the usual encoding."""
    return f"The text is not UTF-8: read as {FALLBACK}; if names look wrong, give its encoding= (--encoding)."


def _head(path: Path) -> bytes:
    """The beginning of the file: some lines, however long they are."""
    try:
        with open_bytes(path) as file:
            head = file.read(_HEAD_BYTES)
            while head.count(b"\n") + head.count(b"\r") < _HEAD_LINES and len(head) < _MOST_HEAD_BYTES:
                more = file.read(2**20)
                if not more:
                    break
                head += more
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"cannot be unpacked: {first_line(error)}") from None
    return head


def _encoding(head: bytes) -> str:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if b"\0" in head:
        evens, odds = head[::2].count(0), head[1::2].count(0)
        wide = "utf-16-le" if odds > 0.4 * len(head) / 2 and not evens else "utf-16-be" if not odds else None
        way_out = f"; if it is UTF-16 without a byte-order mark, give --encoding {wide}" if wide else ""
        raise InputError(f"this is not text: it holds zero bytes{way_out}")
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(head)
    except UnicodeDecodeError:
        return FALLBACK
    return "utf-8"


def _lines(head: bytes, encoding: str) -> list[str]:
    """Whole lines of the beginning (without the last one, which may be cut off, unless it is the only one)."""
    try:
        text = codecs.getincrementaldecoder(encoding)("strict").decode(head)
    except (UnicodeError, TypeError) as error:
        raise InputError(f"the text is not in the encoding {encoding}: {first_line(error)}") from None
    lines = io.StringIO(text, newline=None).readlines()
    return lines[:-1] if len(head) >= _HEAD_BYTES and len(lines) > 1 else lines


@dataclass(frozen=True)
class _FirstLines:
    """The first lines split at one separator.

    Attributes:
        records: those that are not blank.
        at: the line (from 0) in which each begins.
        header: which record holds the names.
        commented: whether it is a comment.
    """

    separator: str
    records: tuple[tuple[str, ...], ...]
    at: tuple[int, ...]
    header: int = 0
    commented: bool = False

    @classmethod
    def split(cls, lines: list[str], skipped: int, separator: str, wanted: Sequence[str]) -> _FirstLines:
        """The lines after the skipped ones; the header is found by the names that are wanted, or by its width."""
        records, at = [], []
        for line, record in _records(lines, skipped, separator):
            stripped = tuple(field.strip() for field in record)
            if any(stripped):
                records.append(stripped)
                at.append(line)
        first_lines = cls(separator, tuple(records), tuple(at))
        return first_lines._with_header(wanted) if records else first_lines

    def _with_header(self, wanted: Sequence[str]) -> _FirstLines:
        comments = [record[0].startswith("#") for record in self.records]
        first = comments.index(False) if False in comments else len(comments)
        if first and (first == len(comments) or self._comment_holds_names(first)):
            return replace(self, header=first - 1, commented=True)
        if wanted and not set(wanted) <= set(self.records[first]):
            named = [k for k in range(first, len(self.records)) if set(wanted) <= set(self.records[k])]
            return replace(self, header=named[0] if named else first)
        width, body = len(self.records[-1]), len(self.records)
        while body > first and len(self.records[body - 1]) == width:
            body -= 1
        late = first < body < len(self.records) - 1
        if late and self._holds_names(body) and not self._holds_names(body + 1):
            return replace(self, header=body)
        return replace(self, header=first)

    def _comment_holds_names(self, first: int) -> bool:
        """Whether the last comment names the columns: as many as there are, over a row that names none."""
        return len(self.records[first - 1]) == len(self.records[first]) and not self._holds_names(first)

    def _holds_names(self, record: int) -> bool:
        names = self.records[record]
        return not any(_VALUE.match(name) for name in names) and len(set(names)) == len(names)

    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        names = self.records[self.header]
        return (names[0].lstrip("# "), *names[1:]) if self.commented else names

    def body(self) -> tuple[tuple[str, ...], ...]:
        """Records after the header."""
        return self.records[self.header + 1 :]

    def merit(self) -> tuple[float, int]:
        """How well the separator explains the lines: the share of rows as wide as the header, and cells with values."""
        body, width = self.body(), len(self.records[self.header]) if self.records else 0
        if width < 2 or not body:
            return 0.0, 0
        even = sum(len(record) == width for record in body) / len(body)
        return round(even, 1), sum(_VALUE.match(field) is not None for record in body for field in record)

    def units(self, na_values: Sequence[str]) -> tuple[str, ...]:
        """A second line of the header: no field of it is a value ("1" is a unit, too), and those below it are."""
        body = self.body()
        if len(body) < 2 or len(body[0]) != len(self.records[self.header]):
            return ()
        units = body[0]
        below = [sum(bool(_VALUE.match(r[j])) for r in body[1:] if j < len(r)) for j in range(len(units))]
        numeric = [j for j, count in enumerate(below) if 2 * count > len(body) - 1]
        words = {units[j].lower() for j in numeric} - {"", "1"}
        if 2 * len(numeric) < len(units) or not words - _NOTHING - {value.lower() for value in na_values}:
            return ()
        return () if any(_VALUE.match(unit) and unit != "1" for unit in units) else units

    def decimal(self, first: int) -> str:
        """The decimal mark with which pandas should read; what it then takes for text may still be numbers."""
        if self.separator == ",":
            return "."
        cells = [field for record in self.records[first:] for field in record if _VALUE.match(field)]
        point, comma = proves(cells)
        return "," if not point and (comma or has_open_points(cells)) else "."


def _records(lines: list[str], skipped: int, separator: str) -> list[tuple[int, list[str]]]:
    """The records of the lines after the skipped ones, each with the line in which it begins."""
    if separator == " ":
        return [(skipped + k, line.split()) for k, line in enumerate(lines[skipped:])]
    csv.field_size_limit(_MOST_HEAD_BYTES)
    reader = csv.reader(lines[skipped:], delimiter=separator, skipinitialspace=True)
    records, line = [], skipped
    try:
        for record in reader:
            records.append((line, record))
            line = skipped + reader.line_num
    except csv.Error:
        return records  # pandas says better what is wrong
    return records
