"""Where the blocks of a series begin: the one function from a time stamp to its block and its frame.

``fit`` makes a :class:`BlockGrid` of its source and stores it in the run; every later command places its stamps by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import _checks
from .._errors import InputError
from .messages import list_names
from .steps import Starts, Step, nanoseconds, step_from_json, step_to_json
from .time_forms import FloatArray, Times
from .times import ON_GRID, check_zone, most_common_step

CALENDARS = ("auto", "none", "day", "week")
_DAY = 86_400 * 10**9
_PERIODS = {"day": _DAY, "week": 7 * _DAY}
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Places:
    """Where time stamps stand on a grid of blocks; all arrays are (T,).

    Attributes:
        whole: the stamps as whole numbers: nanoseconds, or steps from the grid's origin.
        on_grid: which stand at a frame of some block.
        starts: the first frame of each one's block, as a whole number; of no meaning off the grid.
        frame: 0 to N-1; -1 off the grid.
        odd: which fall on a day whose clocks change, which is in no block of a calendar.
    """

    whole: Whole
    on_grid: Mask
    starts: Whole
    frame: Whole
    odd: Mask


@dataclass(frozen=True)
class BlockGrid:
    """Blocks of N frames over all of time.

    With ``calendar="none"`` a block begins every N steps from ``origin``, before it as well as after it. With "day" and
    "week" one begins ``origin`` nanoseconds after each local midnight (of Mondays); days and weeks on which clocks
    change hold none.

    Attributes:
        frames: N.
        step: time between frames; None where rows are counted.
        calendar: "none", "day" or "week".
        origin: a time at which a block begins: nanoseconds since 1970 (of universal time for stamps with a zone, else
            of the clock), or a number; for a calendar, nanoseconds after midnight.
        timezone: in which stamps are shown and days begin; None for stamps without a zone and for numbers.
    """

    frames: int
    step: Step
    calendar: str = "none"
    origin: float | int = 0
    timezone: str | None = None

    @classmethod
    def of(
        cls, times: Starts, frames: int | None, calendar: str = "auto", zoned: bool = False, step: Step = None
    ) -> BlockGrid:
        """The grid of a series, as ``fit`` cuts it.

        Args:
            times: of its rows, in any order; None where rows are counted.
            frames: N.
            calendar: "none" begins blocks with the first stamp; "day" and "week" at local midnight (of Mondays), at the
                most common phase of the stamps; "auto" is "day" or "week" where ``zoned`` and the block lasts that
                long, else "none".
            zoned: whether a time zone was asked for.
            step: time between frames where the user gave it; the frames then stand at whole steps from midnight, or
                from 0. None takes the most common difference.

        Raises:
            InputError: an option out of range, no ``frames``, or times that repeat or follow no grid.
        """
        if calendar not in CALENDARS:
            raise InputError(f"calendar must be one of {list_names(CALENDARS)}, got {calendar!r}")
        if frames is None:
            raise InputError("one long series needs frames= (--frames), the number of frames of a sequence")
        frames = _checks.count("frames", frames)
        if times is None:
            if calendar in _PERIODS:
                raise InputError(f"calendar={calendar!r} needs times, but the series has none")
            return cls(frames, None)
        if not isinstance(times, pd.DatetimeIndex):
            _calendar(calendar, step or 1.0, frames, zoned)
            if step is None:
                return cls(frames, most_common_step(np.sort(times)), "none", float(times.min()))
            assert isinstance(step, float)
            return cls(frames, step, "none", float(np.rint(times.min() / step) * step))
        spacing = most_common_step(times.sort_values()) if step is None else step
        assert isinstance(spacing, pd.Timedelta)
        period = _calendar(calendar, spacing, frames, zoned)
        timezone = None if times.tz is None else str(times.tz)
        midnights = cls(frames, spacing, period, 0, timezone)
        if period != "none":
            return midnights if step is not None else midnights._with_usual_phase(times)
        first = int(times.min().as_unit("ns").value)
        if step is not None:
            midnight = int(times.min().normalize().as_unit("ns").value)
            first = midnight + round((first - midnight) / midnights.unit) * midnights.unit
        return cls(frames, spacing, "none", first, timezone)

    def _with_usual_phase(self, times: pd.DatetimeIndex) -> BlockGrid:
        phase = (_whole(times) - self._days(times)[1]) % self.unit
        values, counts = np.unique(phase, return_counts=True)
        return BlockGrid(self.frames, self.step, self.calendar, int(values[np.argmax(counts)]), self.timezone)

    @property
    def unit(self) -> int:
        """The step in whole numbers: nanoseconds for clock times, else 1."""
        return nanoseconds(self.step) if isinstance(self.step, pd.Timedelta) else 1

    def place(self, times: Starts, rows: int | None = None) -> Places:
        """Block and frame of each stamp; of each of ``rows`` rows where rows are counted.

        Raises:
            InputError: stamps of another kind (numbers, with or without a zone), or too far from the origin.
        """
        self._check_kind(times)
        if isinstance(times, pd.DatetimeIndex):
            return self._place_clock(times)
        if times is None:
            return self._place_whole(np.arange(rows or 0), np.ones(rows or 0, dtype=bool))
        with np.errstate(over="ignore", invalid="ignore"):
            steps = (times - self.origin) / self._spacing
        furthest = float(np.abs(steps).max())
        if not furthest <= 2**53:
            raise InputError(
                f"the times reach {furthest:.3g} steps of {self.step:g} from {self.origin:g}: they do not lie "
                "on a regular grid"
            )
        whole = np.rint(steps)
        return self._place_whole(whole.astype(np.int64), np.abs(steps - whole) <= ON_GRID)

    def place_whole(self, whole: Whole) -> Places:
        """As :meth:`place`, for stamps that are whole numbers already."""
        if self.calendar == "none":
            return self._place_whole(whole, (whole - self._first) % self.unit == 0)
        times = self.shown(whole)
        assert isinstance(times, pd.DatetimeIndex)
        return self._place_clock(times)

    @property
    def _spacing(self) -> float:
        """The step of times that are numbers; of rows 1."""
        assert not isinstance(self.step, pd.Timedelta)
        return 1.0 if self.step is None else self.step

    @property
    def _first(self) -> int:
        return int(self.origin) if isinstance(self.step, pd.Timedelta) else 0

    def _place_whole(self, whole: Whole, on_grid: Mask) -> Places:
        steps = (whole - self._first) // self.unit
        starts = self._first + steps // self.frames * self.frames * self.unit
        return Places(whole, on_grid, starts, np.where(on_grid, steps % self.frames, -1), np.zeros(len(whole), bool))

    def _place_clock(self, times: pd.DatetimeIndex) -> Places:
        whole = _whole(times)
        if self.calendar == "none":
            return self._place_whole(whole, (whole - self._first) % self.unit == 0)
        _, began, regular = self._days(self._local(times))
        after = whole - began - int(self.origin)
        on_grid = (after % self.unit == 0) & (after >= 0) & regular
        return Places(whole, on_grid, began + int(self.origin), np.where(on_grid, after // self.unit, -1), ~regular)

    def _days(self, local: pd.DatetimeIndex) -> tuple[pd.DatetimeIndex, Whole, Mask]:
        """The date (of the Monday) of each stamp, the instant at which it begins, and whether it is of usual length."""
        midnight = local.tz_localize(None).normalize()
        if self.calendar == "week":
            midnight = midnight - pd.to_timedelta(midnight.day_of_week, unit="D")
        days, at = np.unique(midnight.as_unit("ns").asi8, return_inverse=True)
        period = _PERIODS[self.calendar]
        began = _first_instant(pd.DatetimeIndex(days), local)
        regular = _first_instant(pd.DatetimeIndex(days + period), local) - began == period
        return midnight, began[at], regular[at]

    def odd_days(self, times: pd.DatetimeIndex) -> list[str]:
        """Dates of the days (Mondays of the weeks) on which clocks change, among those of the stamps."""
        midnight, _, regular = self._days(self._local(times))
        return [f"{day:%Y-%m-%d}" for day in midnight[~regular].unique()]

    def nearest(self, times: Times) -> tuple[Whole, FloatArray]:
        """The frame of the grid nearest to each stamp, as a whole number, and how many steps away it is."""
        self._check_kind(times)
        if not isinstance(times, pd.DatetimeIndex):
            steps = (times - self.origin) / self._spacing
            if not np.abs(steps).max() <= 2**53:
                raise InputError(f"step {self.step:g} is far smaller than the times: give a larger one")
            frame = np.rint(steps)
            return frame.astype(np.int64), np.abs(steps - frame)
        whole = _whole(times)
        anchor = self._first if self.calendar == "none" else self._days(self._local(times))[1] + int(self.origin)
        frame = np.rint((whole - anchor) / self.unit).astype(np.int64)
        return anchor + frame * self.unit, np.abs(whole - anchor - frame * self.unit) / self.unit

    def shown(self, whole: Whole) -> Times:
        """Whole numbers as times: in the zone, or numbers without the round-off of counting."""
        if not isinstance(self.step, pd.Timedelta):
            if self.step is None:
                return whole.astype(np.float64)
            decimals = min(15, 9 - math.floor(math.log10(self.step)))
            return np.round(self.origin + whole * self.step, decimals)
        index = pd.DatetimeIndex(whole).as_unit("ns")
        return index if self.timezone is None else index.tz_localize("UTC").tz_convert(check_zone(self.timezone))

    def _local(self, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
        return times if self.timezone is None else times.tz_convert(check_zone(self.timezone))

    def _check_kind(self, times: Starts) -> None:
        expected = _KINDS[_kind(self.step, self.timezone)]
        received = _KINDS[_kind_of(times)]
        if expected != received:
            raise InputError(
                f"the run's series has {expected}, but this one has {received}: write times as the run's source does"
            )

    def check_step(self, times: Starts) -> None:
        """Refuse a series whose rows stand closer than the frames of the grid, or all further apart.

        Raises:
            InputError: the steps differ; both are named.
        """
        self._check_kind(times)
        if times is None or self.step is None:
            return
        rows = np.unique(_whole(times) if isinstance(times, pd.DatetimeIndex) else times)
        gaps = np.diff(rows) / (self.unit if isinstance(self.step, pd.Timedelta) else self._spacing)
        sizes, counts = np.unique(np.round(gaps, 3), return_counts=True)
        if not len(gaps):
            return
        common = float(sizes[np.argmax(counts)])
        if common < 1 - ON_GRID or (len(gaps) > 1 and not (np.abs(gaps - 1) <= ON_GRID).any()):
            raise InputError(
                f"the run has a step of {show_step(self.step)}, but the times here have "
                f"{show_step(self.step * common)}: give rows of the run's step"
            )

    def to_plain(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "frames": self.frames,
            "step": step_to_json(self.step),
            "calendar": self.calendar,
            "origin": self.origin,
            "timezone": self.timezone,
        }

    @classmethod
    def from_plain(cls, plain: Any) -> BlockGrid:
        """Inverse of :meth:`to_plain`.

        Raises:
            InputError: this is not such a record.
        """
        try:
            grid = cls(
                int(plain["frames"]),
                step_from_json(plain["step"]),
                str(plain["calendar"]),
                plain["origin"],
                plain["timezone"],
            )
            if grid.calendar not in ("none", *_PERIODS) or grid.frames < 1 or not math.isfinite(grid.origin):
                raise ValueError("values out of range")
            if grid.timezone is not None:
                check_zone(grid.timezone)
            return grid
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is not the record of a block grid ({error})") from None


_KINDS = {
    "rows": "no times",
    "numbers": "times that are numbers",
    "clock": "times without a zone",
    "zoned": "times with a zone",
}


def _kind(step: Step, timezone: str | None) -> str:
    if isinstance(step, pd.Timedelta):
        return "clock" if timezone is None else "zoned"
    return "rows" if step is None else "numbers"


def _kind_of(times: Starts) -> str:
    if isinstance(times, pd.DatetimeIndex):
        return "clock" if times.tz is None else "zoned"
    return "rows" if times is None else "numbers"


def _whole(times: pd.DatetimeIndex) -> Whole:
    return np.asarray(times.as_unit("ns").asi8)


def _calendar(calendar: str, step: Step, frames: int, zoned: bool) -> str:
    """The calendar that "auto" means, or the one asked for, if the block lasts as long."""
    lasts = nanoseconds(step) * frames if isinstance(step, pd.Timedelta) else None
    if calendar == "auto":
        return next((name for name, period in _PERIODS.items() if zoned and lasts == period), "none")
    if calendar != "none" and lasts != _PERIODS[calendar]:
        raise InputError(
            f"calendar={calendar!r} needs frames * step to be {_PERIODS[calendar] // _DAY * 24} h, "
            f"but {frames} frames of {show_step(step)} are something else"
        )
    return calendar


def _first_instant(midnight: pd.DatetimeIndex, like: pd.DatetimeIndex) -> Whole:
    """Nanoseconds at which these local dates begin; a midnight that clocks skip begins with the next instant."""
    if like.tz is None:
        return _whole(midnight)
    first = np.ones(len(midnight), dtype=bool)
    return _whole(midnight.tz_localize(like.tz, ambiguous=first, nonexistent="shift_forward"))


def show_step(step: Step) -> str:
    """A step for a message, in the largest unit of which it is a whole number."""
    if not isinstance(step, pd.Timedelta):
        return "no time" if step is None else f"{step:g}"
    unit, size = offset_unit(step)
    number = nanoseconds(step) / size
    return f"{number:g} {unit[:-1] if number == 1 else unit}"


def offset_unit(step: pd.Timedelta) -> tuple[str, int]:
    """The largest of days, hours, minutes and seconds that divides the step, and its nanoseconds; else seconds."""
    sizes = {"days": _DAY, "hours": _DAY // 24, "minutes": _DAY // 1440, "seconds": 10**9}
    return next(((unit, size) for unit, size in sizes.items() if nanoseconds(step) % size == 0), ("seconds", 10**9))
