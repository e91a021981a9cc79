"""How a column of times is written, so that times of the same column can be read and written alike."""

from __future__ import annotations

import datetime as dt
import re
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.api import guess_datetime_format

from .._errors import InputError

FloatArray = NDArray[np.float64]
Times = pd.DatetimeIndex | FloatArray
Whole = NDArray[np.int64]

_HOURS_TO_24 = "YYYYMMDDHH with hours 1 to 24"
# Dates that are written as one number: name, pattern and number of digits.
_DIGITS = {
    "YYYYMMDDHHMMSS": ("%Y%m%d%H%M%S", 14),
    "YYYYMMDDHHMM": ("%Y%m%d%H%M", 12),
    "YYYYMMDDHH": ("%Y%m%d%H", 10),
    _HOURS_TO_24: ("%Y%m%d%H", 10),
    "YYYYMMDD": ("%Y%m%d", 8),
    "YYYYDDD": ("%Y%j", 7),
    "YYYYMM": ("%Y%m", 6),
    "YYMMDD": ("%y%m%d", 6),
}
_YEARS = (1700, 2250)
_MONTH_YEARS = (1800, 2199)
# A column is refused, not counted as numbers, if at least this share of it are dates.
_MOSTLY = 0.9
# Unix times between 1979 and 2103, in seconds; other units are multiples.
_UNIX = (3e8, 4.2e9)
_UNIX_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_UNIT_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_ZONE = re.compile(r"(?:(?<=\d)|(?<=[ Mm]))( ?(?:[Zz]|UTC|GMT)|[+-]\d{2}(?::?\d{2})?)\s*$")
_CHECKED = 200
# Months as people write them, which pandas does not recognise.
_MONTHS = ("%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%m/%Y", "%m.%Y", "%m-%Y", "%Y/%m", "%Y.%m", "%YM%m")


@dataclass(frozen=True)
class TimeForm:
    """How a column writes its times.

    Attributes:
        kind: "clock" (a dtype of clock times), "number" (plain numbers), "digits" (a date as one number, such as
            20150101), "unix" (time since 1970) or "text".
        pattern: the name of the digits (YYYYMMDD), the unit of Unix time (s, ms, us, ns), or the strftime pattern of
            text without its zone; "" for text of no one pattern.
        storage: the column's dtype: "int64", "float64" or "text".
        zone: of text: "" without a zone, a fixed ending such as "Z" or "+01:00", or "%z" or "%:z" where offsets vary.
        decimals: of text: digits of a second's fraction.
        day_first: of text: whether the day comes before the month; None where it does not apply.
    """

    kind: str = "clock"
    pattern: str = ""
    storage: str = ""
    zone: str = ""
    decimals: int = 0
    day_first: bool | None = None

    @property
    def has_fixed_zone(self) -> bool:
        """Whether it is text whose stamps all end in one zone."""
        return self.zone not in ("", "%z", "%:z")

    def show(self, times: Times) -> pd.Index:
        """Times as the column would write them."""
        if self.kind == "number":
            return _stored(np.asarray(times, dtype=np.float64), self.storage)
        if self.kind == "digits":
            return _stored(_to_digits(times, self.pattern), self.storage)
        if not isinstance(times, pd.DatetimeIndex) or not self.pattern:
            return pd.Index(times)
        if self.kind == "unix":
            whole = np.asarray(times.as_unit("ns").asi8)
            size = _UNIX_UNITS[self.pattern]
            even = not (whole % size).any()
            return _stored(whole // size if even else whole / size, self.storage if even else "float64")
        return pd.Index(_write_text(times, self), dtype=object)

    def note(self, name: str, times: Times) -> str | None:
        """What the user must know of how the column was read; None where it needs no word."""
        if self.kind == "digits":
            what = "months" if self.pattern == "YYYYMM" else "dates"
            return f"The column '{name}' is read as {what} {self.pattern} (the first row: {_first(times, self)})."
        if self.kind == "unix":
            words = _UNIT_WORDS[self.pattern]
            return f"The column '{name}' is read as Unix time in {words} (the first row: {_first(times, self)})."
        return None


def _first(times: Times, form: TimeForm) -> str:
    if isinstance(times, pd.DatetimeIndex):
        return str(times[0])
    return f"{int(times[0]) // 12:04d}-{int(times[0]) % 12 + 1:02d}"


def _stored(values: FloatArray | Whole, storage: str) -> pd.Index:
    """Numbers in the column's dtype; whole numbers that have become fractions stay fractions."""
    whole = values.dtype.kind == "i" or bool(np.all((np.mod(values, 1) == 0) & (np.abs(values) < 2**53)))
    if storage == "float64" or not whole:
        return pd.Index(values.astype(np.float64))
    integers = values.astype(np.int64)
    return pd.Index(integers.astype(str), dtype=object) if storage == "text" else pd.Index(integers)


def read_numbers(numbers: FloatArray | Whole, storage: str, name: str, form: TimeForm | None) -> tuple[Times, TimeForm]:
    """A column of numbers as times: dates or Unix times where all of them are, else plain numbers.

    Args:
        numbers: (T,), finite.
        storage: "int64", "float64" or "text", as the column holds them.
        name: of the column, for messages.
        form: how another file of the same record writes its times; None to see for itself.

    Raises:
        InputError: nearly all are dates, but one is not, which is named; or one does not fit ``form``.
    """
    if form is not None and form.kind in ("number", "digits", "unix"):
        form = TimeForm(form.kind, form.pattern, storage)
        if form.kind == "digits":
            return _dates(numbers, form.pattern, name, "as the rest of the record is"), form
        return (_from_unix(numbers, form.pattern) if form.kind == "unix" else numbers.astype(np.float64)), form
    fraction = bool(np.any(np.mod(numbers, 1) != 0))
    shares = {}
    for pattern, (_, digits) in _DIGITS.items():
        size = np.abs(numbers)
        if size.min() >= 10 ** (digits - 1) and size.max() < 10**digits and not (fraction and pattern != "YYYYMMDD"):
            times, valid = _from_digits(numbers, pattern)
            if valid.all():
                return times, TimeForm("digits", pattern, storage)
            shares[pattern] = valid.mean()
    closest = max(shares, key=lambda pattern: shares[pattern], default=None)
    if closest is not None and shares[closest] >= _MOSTLY:
        _dates(numbers, closest, name, "as the others are")
    for unit in _UNIX_UNITS:
        low, high = (end * 10**9 / _UNIX_UNITS[unit] for end in _UNIX)
        if not fraction and numbers.min() >= low and numbers.max() <= high:
            return _from_unix(numbers, unit), TimeForm("unix", unit, storage)
    return numbers.astype(np.float64), TimeForm("number", "", storage)


def _dates(numbers: FloatArray | Whole, pattern: str, name: str, why: str) -> Times:
    times, valid = _from_digits(numbers, pattern)
    if not valid.all():
        row = int(np.argmin(valid))
        raise InputError(
            f"the time column '{name}' holds {numbers[row]:.15g} in row {row + 1}, which is not a date {pattern}, "
            f"{why}: correct or remove that row"
        )
    return times


def _from_digits(numbers: FloatArray | Whole, pattern: str) -> tuple[Times, NDArray[np.bool_]]:
    """The times, and which numbers are valid; a day's number may have a fraction of a day after its point."""
    style, digits = _DIGITS[pattern]
    whole = np.floor(numbers).astype(np.int64)
    if pattern == "YYYYMM":
        year, month = np.divmod(whole, 100)
        valid = (month >= 1) & (month <= 12) & (year >= _MONTH_YEARS[0]) & (year <= _MONTH_YEARS[1])
        return (year * 12 + month - 1).astype(np.float64), valid & (numbers == whole)
    late = pattern == _HOURS_TO_24
    year = whole // 10 ** (digits - 4)
    possible = (whole > 0) & ((pattern == "YYMMDD") | ((year >= _YEARS[0]) & (year <= _YEARS[1])))
    text = pd.Series(np.where(possible, whole - late, 0)).astype(str)
    index = pd.DatetimeIndex(pd.to_datetime(text, format=style, errors="coerce").astype("datetime64[ns]"))
    valid = possible & np.asarray(index.notna())
    if late:
        index = index + pd.Timedelta("1h")
    rest = numbers - whole
    if rest.any():
        valid &= pattern == "YYYYMMDD"
        index = index + pd.to_timedelta(np.rint(rest * 86_400), unit="s")
    return index.as_unit("ns"), valid


def _to_digits(times: Times, pattern: str) -> FloatArray | Whole:
    if pattern == "YYYYMM":
        year, month = np.divmod(np.rint(np.asarray(times)).astype(np.int64), 12)
        return np.asarray(year * 100 + month + 1)
    assert isinstance(times, pd.DatetimeIndex)
    wall = times.tz_localize(None)
    late = pattern == _HOURS_TO_24
    whole = (wall - pd.Timedelta("1h") if late else wall).strftime(_DIGITS[pattern][0]).astype(np.int64).to_numpy()
    rest = np.asarray((wall - wall.normalize()) / pd.Timedelta("1D"))
    return whole + rest if pattern == "YYYYMMDD" and rest.any() else np.asarray(whole + late)


def _from_unix(numbers: FloatArray | Whole, unit: str) -> pd.DatetimeIndex:
    """Unix times as universal time; floats to a microsecond, as float64 holds no more digits of today."""
    size = _UNIX_UNITS[unit]
    if numbers.dtype.kind == "i" and np.abs(numbers).max() < 2**62 // size:
        whole = numbers.astype(np.int64) * size
    else:
        whole = np.rint(numbers.astype(np.float64) * (size / 1000)).astype(np.int64) * 1000
    return pd.DatetimeIndex(whole, tz="UTC").as_unit("ns")


def text_form(text: pd.Series, times: pd.DatetimeIndex) -> TimeForm:
    """The form of a column of text that was read as ``times``; without a pattern where no one pattern gives it back."""
    endings = text.str.extract(_ZONE)[0]
    zone = ""
    if times.tz is not None:
        zone = str(endings.iloc[0]) if endings.nunique() == 1 else "%:z" if ":" in str(endings.iloc[0]) else "%z"
    first = str(text.iloc[0]).strip()
    wall = first[: len(first) - len(str(endings.iloc[0]))] if times.tz is not None else first
    fraction = re.search(r":\d{2}\.(\d+)", wall)
    decimals = len(fraction.group(1)) if fraction else 0
    rows = np.unique(np.linspace(0, len(text) - 1, _CHECKED).astype(np.int64))
    some, written = times[rows], text.iloc[rows].str.strip().tolist()
    for pattern in _written_patterns(wall):
        form = TimeForm("text", pattern, "text", zone, decimals)
        if _write_text(some, form, list(endings.iloc[rows])) == written:
            return form
    return TimeForm("text", "", "text", zone)


def guess_patterns(text: str) -> list[str]:
    """The strptime patterns that a time as text may follow: month first, day first, or a year of two digits first."""
    half_day = re.fullmatch(r"(.*\d)(\s?)[AaPp][Mm]", text)
    if half_day:
        return [f"{p.replace('%H', '%I')}{half_day[2]}%p" for p in guess_patterns(half_day[1]) if "%H" in p]
    if re.match(r"\d{4}-\d\d-\d\d_\d\d:", text):  # as WRF writes them
        return [p.replace(" ", "_") for p in guess_patterns(text.replace("_", " "))]
    short = re.match(r"(\d{1,2})([./-])(\d{1,2})\2(\d{2})(?!\d)", text)
    if short:
        long = "{2}{1}{0}{1}20{3}".format(*short.groups()) + text[short.end() :]
        rest = [p.partition("%Y")[2] for p in guess_patterns(long)][:1]
        dates = [order.replace("-", short[2]) for order in ("%m-%d-%y", "%d-%m-%y", "%y-%m-%d")]
        return [date + end for date in dates for end in rest]
    guesses = []
    text = re.sub(r"\b[Pp][Mm]\b", "AM", text)  # pandas recognises the morning only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for day_first in (False, True):
            try:
                guesses.append(guess_datetime_format(text, dayfirst=day_first))
            except ValueError:
                continue
    patterns = [guess for guess in dict.fromkeys(guesses) if guess and not re.match("%Y.%d", guess)]
    return patterns or [pattern for pattern in _MONTHS if _follows(text, pattern)]


def day_comes_first(pattern: str) -> bool | None:
    """Whether a pattern has the day before the month; None where both are not numbers, or the year comes first."""
    if pattern.lower().startswith("%y") or not {"%d", "%m"} <= set(re.findall("%.", pattern)):
        return None
    return pattern.index("%d") < pattern.index("%m")


def _follows(text: str, pattern: str) -> bool:
    try:
        dt.datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True


def _written_patterns(text: str) -> list[str]:
    """strftime patterns that may have written the text; numbers without leading zeros as well."""
    short = {"%m": "%-m", "%d": "%-d", "%H": "%-H", "%I": "%-I"}
    patterns = []
    for guess in guess_patterns(text):
        for marks in ((), ("%H", "%I"), ("%m", "%d"), tuple(short)):
            pattern = guess
            for mark in marks:
                pattern = pattern.replace(mark, short[mark])
            patterns.append(pattern)
    return list(dict.fromkeys(patterns))


def _write_text(times: pd.DatetimeIndex, form: TimeForm, endings: list[str] | None = None) -> list[str]:
    """``endings``: the zone of each row as the column has it, where it varies."""
    varying = form.zone in ("%z", "%:z")
    if not form.zone:
        shown, tails = times.tz_localize(None), [""] * len(times)
    elif varying and endings is not None:
        walls = [stamp.tz_convert(offset_of(ending)).tz_localize(None) for stamp, ending in zip(times, endings)]
        shown, tails = pd.DatetimeIndex(walls), endings
    elif varying:
        shown, tails = times.tz_localize(None), [_offset(stamp, form.zone) for stamp in times]
    else:
        shown, tails = times.tz_convert(offset_of(form.zone)).tz_localize(None), [form.zone] * len(times)
    pattern = form.pattern
    if "%f" in pattern:
        nanoseconds = np.asarray(shown.as_unit("ns").asi8) % 10**9
        fractions = [f"{value:09d}"[: form.decimals] for value in nanoseconds]
        before, _, after = pattern.partition("%f")
        return [
            f"{start}{fraction}{end}{tail}"
            for start, fraction, end, tail in zip(
                shown.strftime(before), fractions, shown.strftime(after) if after else [""] * len(shown), tails
            )
        ]
    return [f"{wall}{tail}" for wall, tail in zip(shown.strftime(pattern), tails)]


def offset_of(ending: str) -> str:
    """The zone that a written ending such as "Z" or "-0530" names."""
    text = ending.strip().upper()
    if text in ("Z", "UTC", "GMT"):
        return "UTC"
    digits = text[1:].replace(":", "").ljust(4, "0")
    return "UTC" if digits == "0000" else f"UTC{text[0]}{digits[:2]}:{digits[2:]}"


def _offset(stamp: pd.Timestamp, style: str) -> str:
    text = stamp.strftime("%z")
    return f"{text[:3]}:{text[3:]}" if style == "%:z" else text
