"""The result of reading data: sequences, their source, and how to write such a file again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._codec import parse_json
from .._display import Displayed
from .._errors import InputError
from .block_grid import BlockGrid
from .messages import list_names
from .steps import Starts, Step, step_from_json, step_to_json
from .time_forms import FloatArray, TimeForm


@dataclass(frozen=True)
class Coordinate:
    """A coordinate of an xarray source that does not depend on the sequence; ``values`` are plain JSON."""

    name: str
    dims: tuple[str, ...]
    values: Any
    dtype: str
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Container(Displayed):
    """How to write sequences back as the file (or array) that they came from. Everything in it is plain JSON.

    Attributes:
        kind: "table" (one row a frame), "array" (numpy) or "grid" (xarray).
        ending: the source's ending, such as ".csv"; None for an array in memory.
        dtype: floating dtype of the source's values.
        time_name: the column or coordinate of time; None without one.
        timezone: the zone in which the starts are shown; None for naive or numeric times.
        step: time between frames; None without times.
        time_form: how the source writes its times; None without times.
        key: the array's name in an .npz file.
        dims: a grid's dimensions: (sequence, time, feature), or (sequence, time) with one variable a feature.
        variable: a grid's only variable, if its features are a dimension; None for one without a name.
        attrs: a grid's attributes; variable_attrs: those of each variable.
        coords: a grid's coordinates that do not depend on the sequence.
        feature_shape: sizes of the last dimensions of a grid, where its features are spread over several; else empty.
        sample_attrs: attributes of the coordinate that dates the sequences; None without one.
    """

    kind: str
    ending: str | None = None
    dtype: str = "float64"
    time_name: str | None = None
    timezone: str | None = None
    step: Step = None
    time_form: TimeForm | None = None
    key: str | None = None
    dims: tuple[str, ...] = ()
    variable: str | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    variable_attrs: dict[str, dict[str, Any]] = field(default_factory=dict)
    coords: tuple[Coordinate, ...] = ()
    sample_attrs: dict[str, Any] | None = None
    feature_shape: tuple[int, ...] = ()

    def _facts(self) -> dict[str, object]:
        facts = {"kind": self.kind, "ending": self.ending, "dtype": self.dtype, "time": self.time_name}
        facts |= {"timezone": self.timezone, "step": None if self.step is None else str(self.step)}
        return {name: value for name, value in facts.items() if value is not None}

    def to_json(self) -> str:
        """One line of JSON; a step in clock time is written in nanoseconds."""
        plain = asdict(self)
        plain["step"] = step_to_json(self.step)
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> Container:
        """Inverse of :meth:`to_json`.

        Raises:
            InputError: if the text is not such a record.
        """
        try:
            plain = parse_json(text)
            plain["step"] = step_from_json(plain["step"])
            plain["dims"] = tuple(plain["dims"])
            form = plain.get("time_form")
            plain["time_form"] = None if form is None else TimeForm(**form)
            plain["feature_shape"] = tuple(plain.get("feature_shape", ()))
            coords = [c | {"dims": tuple(c["dims"])} for c in plain["coords"]]
            plain["coords"] = tuple(Coordinate(**c) for c in coords)
            return cls(**plain)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise InputError(f"this is not the record of a data container ({error})") from None


@dataclass(frozen=True, eq=False, repr=False)
class SequenceSet(Displayed):
    """n sequences of N frames with d features, in the units of their source.

    Attributes:
        values: float64, (n, N, d), finite; NaN where a value is missing, if they were read with missing="mask".
        feature_names: d names.
        starts: time of the first frame of each sequence: a DatetimeIndex (in the time zone asked for), an array
            of numbers (n,), or None without times.
        step: time between frames: a Timedelta, a number, or None without times.
        consecutive: whether the sequences were cut from one long series, and so stand in order of time.
        container: how to write such sequences back.
        grid: where the blocks of the long series begin; None for sequences that were not cut.
        notes: one plain sentence for everything that was left out, with its reason and count.
    """

    values: FloatArray
    feature_names: tuple[str, ...]
    starts: Starts
    step: Step
    consecutive: bool
    container: Container
    notes: tuple[str, ...] = ()
    grid: BlockGrid | None = None

    def _facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "sequences": len(self),
            "frames": self.values.shape[1],
            "features": f"{len(self.feature_names)} ({list_names(self.feature_names, 6)})",
            "missing values": int(np.isnan(self.values).sum()),
            "consecutive": self.consecutive,
        }
        if self.step is not None:
            facts["step"] = str(self.step)
        if self.starts is not None and len(self):
            facts["starts"] = f"{self.starts[0]} to {self.starts[-1]}"
        return facts | {"notes": len(self.notes)}

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def subset(self, index: ArrayLike) -> SequenceSet:
        """The sequences at ``index`` (whole numbers), in that order; the notes stay."""
        rows = np.asarray(index, dtype=np.int64).reshape(-1)
        starts = None if self.starts is None else self.starts[rows]
        return replace(self, values=self.values[rows], starts=starts)

    @property
    def is_complete(self) -> NDArray[np.bool_]:
        """(n,), which sequences have no missing value."""
        return np.asarray(np.isfinite(self.values).all(axis=(1, 2)))

    def complete(self) -> SequenceSet:
        """The sequences without a missing value; the set itself where all are."""
        whole = self.is_complete
        return self if whole.all() else self.subset(np.flatnonzero(whole))

    def with_values(self, values: ArrayLike) -> SequenceSet:
        """The same sequences with other values of the same shape.

        Raises:
            InputError: if the shape differs.
        """
        array = np.asarray(values, dtype=np.float64)
        if array.shape != self.values.shape:
            raise InputError(f"values must have shape {self.values.shape}, got {array.shape}")
        return replace(self, values=array)


@dataclass(frozen=True, eq=False, repr=False)
class Source(Displayed):
    """What a format's reader hands on: a long series (T, d) or sequences (n, N, d), not yet cut or cleaned.

    ``bases`` names the source's column of each feature, which differs from the feature's name in a pivoted table.
    ``times`` date the rows of a long series, ``starts`` the sequences. ``step`` is the time between frames where it was
    given; None leaves it to the times.
    """

    values: FloatArray
    names: tuple[str, ...]
    container: Container
    bases: tuple[str, ...] = ()
    times: Starts = None
    starts: Starts = None
    notes: tuple[str, ...] = ()
    step: Step = None


def ending_of(path: Path) -> str:
    """The ending of a file's name in small letters; a packed file keeps the ending before it: ".csv.gz"."""
    endings = [suffix.lower() for suffix in path.suffixes[-2:]]
    return "".join(endings if endings[-1:] == [".gz"] else endings[-1:])


def decoded_text(item: object) -> object:
    """Bytes as text, without the blanks and zeros that fill up a fixed length; anything else as it is."""
    if not isinstance(item, bytes):
        return item
    try:
        text = item.decode("utf-8")
    except UnicodeDecodeError:
        text = item.decode("latin-1")
    return text.rstrip("\0 ")
