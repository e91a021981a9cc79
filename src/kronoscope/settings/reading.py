"""How a file is read: :class:`Reading`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TypedDict

from .options import COUNT, described

Limits = Mapping[str, tuple[float | None, float | None]]


class ArrayOptions(TypedDict, total=False):
    """Keywords that say how an array in memory becomes sequences; see :class:`Reading`."""

    frames: int | None
    limits: Limits | None
    missing: str


class ReadingOptions(ArrayOptions, total=False):
    """Keywords of :func:`kronoscope.data.read`, one for each field of :class:`Reading`."""

    time: str | None
    columns: Sequence[str] | None
    pivot: str | None
    timezone: str | None
    calendar: str
    step: str | float | timedelta | None
    max_sequences: int | None
    separator: str | None
    decimal: str | None
    na_values: Sequence[str] | None
    encoding: str | None
    dayfirst: bool | None


@dataclass(frozen=True)
class Reading:
    """How sequences are read from a file; :func:`kronoscope.data.read` says what each field means."""

    frames: int | None = field(
        default=None, metadata=described("Frames per sequence; needed for one long series.", bounds=COUNT)
    )
    time: str | None = field(
        default=None,
        metadata=described("Column (coordinate) of times: ISO 8601, numbers such as 20130131, Unix time."),
    )
    columns: Sequence[str] | None = field(
        default=None, metadata=described("Features, separated by commas.", unset="all columns")
    )
    pivot: str | None = field(
        default=None, metadata=described("Column of a long table; each of its values becomes a feature.")
    )
    timezone: str | None = field(
        default=None, metadata=described("IANA time zone in which days begin, e.g. America/New_York.")
    )
    calendar: str = field(
        default="auto", metadata=described("Where sequences begin.", choices=("auto", "day", "week", "none"))
    )
    limits: Limits | None = field(
        default=None,
        metadata=described("COLUMN=LOW:HIGH, physical limits; values outside are left out. Repeatable."),
    )
    missing: str = field(
        default="drop",
        metadata=described(
            "drop: leave out sequences with a missing value; mask: train on their observed values (unrolled).",
            choices=("drop", "mask"),
        ),
    )
    step: str | float | timedelta | None = field(
        default=None,
        metadata=described(
            "Put irregular times on a grid of this step, e.g. 10min.", unset="the most common difference"
        ),
    )
    max_sequences: int | None = field(
        default=None,
        metadata=described(
            "Most sequences to read, spread over the record; also for a .zarr or .nc file larger than memory.",
            bounds=COUNT,
        ),
    )
    separator: str | None = field(
        default=None,
        metadata=described("Separator of the columns of a .csv: a character, tab or space.", unset="found"),
    )
    decimal: str | None = field(
        default=None,
        metadata=described(
            "Decimal mark of a .csv: . or , needed where numbers could be read with either.", unset="found"
        ),
    )
    na_values: Sequence[str] | None = field(
        default=None,
        metadata=described(
            "A text that marks a missing value in a .csv, besides NA, NaN, null and empty cells. Repeatable."
        ),
    )
    encoding: str | None = field(
        default=None, metadata=described("Encoding of a .csv, such as utf-16-le.", unset="UTF-8, else cp1252")
    )
    dayfirst: bool | None = field(
        default=None,
        metadata=described(
            "Whether 03/04/2024 is 3 April or 4 March, where all times could be read with either.",
            unset="refused",
            flags=("--dayfirst/--monthfirst",),
        ),
    )

    def __post_init__(self) -> None:
        for name in ("columns", "na_values"):
            values = getattr(self, name)
            if isinstance(values, list):  # as JSON and callers give it; the record is frozen
                object.__setattr__(self, name, tuple(values))
        if isinstance(self.step, timedelta):
            object.__setattr__(self, "step", str(self.step))

    def given(self) -> dict[str, object]:
        """The fields that differ from the default, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


@dataclass(frozen=True)
class FileSource:
    """Files and how they are read: what a run folder needs to read its sequences again.

    Attributes:
        paths: One file, or several that are one record in pieces.
        reading: How they are read.
    """

    paths: tuple[str, ...]
    reading: Reading
