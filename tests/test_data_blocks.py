"""Blocks by time stamp against loops over datetime and zoneinfo, and the real weather file against pandas."""

import datetime as dt
import zoneinfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronoscope import data
from kronoscope._errors import InputError

NEW_YORK = "America/New_York"


def series(tmp_path, times, name="series.csv", **columns):
    columns = columns or {"a": np.arange(len(times), dtype=float)}
    path = tmp_path / name
    pd.DataFrame({"when": times, **columns}).to_csv(path, index=False)
    return path


def hourly(first, last, zone="UTC"):
    return pd.date_range(first, last, freq="h", tz=zone).strftime("%Y-%m-%dT%H:%M:%S%z")


def test_weather_is_335_complete_days_as_pandas_counts_them():
    raw = pd.read_csv(data.demo_weather_path())
    columns = ["temp", "dewp", "wind_speed"]
    wide = raw.pivot(index="time_hour", columns="origin", values=columns)
    wide.index = pd.to_datetime(wide.index, utc=True).tz_convert(NEW_YORK)
    days = wide.dropna().groupby(wide.dropna().index.date)
    want = {day: rows.to_numpy() for day, rows in days if len(rows) == 24 and rows.index[0].hour == 0}
    want = {day: rows for day, rows in want.items() if day not in (dt.date(2013, 3, 10), dt.date(2013, 11, 3))}
    options = {"time": "time_hour", "columns": columns, "pivot": "origin", "timezone": NEW_YORK, "frames": 24}
    got = data.read(data.demo_weather_path(), **options)
    assert got.feature_names == tuple(f"{c}_{o}" for c in columns for o in ("EWR", "JFK", "LGA"))
    assert [start.date() for start in got.starts] == list(want)
    np.testing.assert_array_equal(got.values, np.stack(list(want.values())))
    assert len(got) == 335
    assert got.consecutive
    assert got.step == pd.Timedelta("1h")
    limited = data.read(data.demo_weather_path(), limits={"wind_speed": (0, 253)}, **options)
    assert len(limited) == 334  # the day of the 1048 mph
    assert "1 value of wind_speed outside its limits 0 to 253" in limited.notes[0]
    assert "1048.36 in wind_speed_EWR at 2013-02-12 03:00" in limited.notes[0]
    assert any("wind_speed_EWR" in note and "--limits wind_speed=" in note for note in got.notes)
    assert limited.values[..., 6:].max() <= 253


def brute_force_days(stamps, zone, hours=24):
    """Local days all of whose hours are there, by datetime arithmetic: midnight plus k hours of elapsed time."""
    there = set(stamps)
    days = sorted({stamp.astimezone(zone).date() for stamp in stamps})
    found = []
    for day in days:
        utc = [dt.datetime.combine(d, dt.time(), zone).astimezone(dt.UTC) for d in (day, day + dt.timedelta(days=1))]
        wanted = [utc[0] + dt.timedelta(hours=k) for k in range(hours)]
        if utc[1] - utc[0] == dt.timedelta(hours=hours) and all(w in there for w in wanted):
            found.append(wanted[0])
    return found


@settings(max_examples=20, deadline=None)
@given(
    first=st.datetimes(dt.datetime(2011, 1, 1), dt.datetime(2014, 1, 1)),
    zone=st.sampled_from([NEW_YORK, "Europe/Paris", "Asia/Kolkata", "America/Sao_Paulo"]),
    dropped=st.lists(st.integers(0, 1499), max_size=30),
)
def test_days_equal_brute_force(tmp_path_factory, first, zone, dropped):
    first = first.replace(minute=0, second=0, microsecond=0, tzinfo=dt.UTC)
    info = zoneinfo.ZoneInfo(zone)
    # India is off by half an hour: stamp on its whole hours.
    first -= dt.timedelta(minutes=first.astimezone(info).minute)
    stamps = [first + dt.timedelta(hours=k) for k in range(1500) if k not in dropped]
    path = series(tmp_path_factory.mktemp("days"), [s.isoformat() for s in stamps])
    got = data.read(path, time="when", timezone=zone, frames=24)
    want = brute_force_days(stamps, info)
    assert [start.to_pydatetime() for start in got.starts] == want
    assert all(start.hour == 0 and start.minute == 0 for start in got.starts)
    row = {stamp: value for value, stamp in enumerate(stamps)}
    assert got.values[:, 0, 0].tolist() == [row[w] for w in want]


def test_days_of_23_and_25_hours_are_left_out_and_named(tmp_path):
    path = series(tmp_path, hourly("2013-01-01 05:00", "2014-01-01 04:00"))
    got = data.read(path, time="when", timezone=NEW_YORK, frames=24)
    assert len(got) == 363
    assert got.notes == ("2 days of 23 or 25 hours left out, because the clocks changed (2013-03-10, 2013-11-03).",)


def test_weeks_start_on_local_monday(tmp_path):
    path = series(tmp_path, hourly("2013-01-01 05:00", "2013-04-30 04:00"))
    got = data.read(path, time="when", timezone=NEW_YORK, frames=168)
    assert {(s.day_of_week, s.hour) for s in got.starts} == {(0, 0)}
    assert pd.Timestamp("2013-03-04", tz=NEW_YORK) not in got.starts  # 167 hours
    assert len(got) == 15
    same = data.read(path, time="when", timezone=NEW_YORK, frames=168, calendar="week")
    assert (same.starts == got.starts).all()


def test_without_calendar_blocks_keep_the_phase_of_the_first_stamp(tmp_path):
    stamps = [*hourly("2013-01-01 05:00", "2013-01-02 07:00"), *hourly("2013-01-02 10:00", "2013-01-10 00:00")]
    path = series(tmp_path, stamps)
    got = data.read(path, time="when", frames=12)
    assert {s.hour for s in got.starts} == {5, 17}
    assert len(np.unique(got.starts)) == len(got.starts)
    gone = pd.Timestamp("2013-01-02 05:00", tz="UTC")  # 8:00 and 9:00 are missing
    assert gone not in got.starts
    assert gone + pd.Timedelta("12h") in got.starts
    none = data.read(path, time="when", timezone=NEW_YORK, frames=24, calendar="none")
    assert {s.hour for s in none.starts} == {0}  # 05:00 UTC, anchored at the first stamp


def test_rows_off_the_grid_are_counted(tmp_path):
    stamps = list(pd.date_range("2020-01-01", periods=40, freq="h").astype(str))
    path = series(tmp_path, [*stamps, "2020-01-01 03:30:00"])
    got = data.read(path, time="when", frames=10)
    assert len(got) == 4
    assert got.notes == ("1 row left out: off the grid of step 1 hour on which the blocks stand.",)


def test_unsorted_tables_are_sorted(tmp_path):
    stamps = np.array(hourly("2020-01-01", "2020-01-05"))
    order = np.random.default_rng(0).permutation(len(stamps))
    shuffled = data.read(series(tmp_path, stamps[order], a=order.astype(float)), time="when", frames=24)
    np.testing.assert_array_equal(shuffled.values.ravel(), np.arange(96))


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-3, 86400.0])
def test_numeric_times_with_round_off(tmp_path, scale):
    times = np.arange(1000) * scale + 12.3
    keep = np.delete(np.arange(1000), [15, 502])
    got = data.read(series(tmp_path, times[keep], a=keep.astype(float)), time="when", frames=10)
    assert len(got) == 98
    assert got.step == pytest.approx(scale, rel=1e-9)
    np.testing.assert_allclose(got.starts, got.values[:, 0, 0] * scale + 12.3)
    assert (np.diff(got.values[..., 0], axis=1) == 1).all()


def test_missing_values_leave_a_block_out(tmp_path):
    values = np.arange(48.0)
    values[30] = np.nan
    got = data.read(series(tmp_path, hourly("2020-01-01", "2020-01-02 23:00"), a=values), time="when", frames=12)
    assert got.values[:, 0, 0].tolist() == [0, 12, 36]
    assert got.notes == ("1 of 4 blocks left out: missing values (a in 1).",)


def test_naive_stamps_are_local_times(tmp_path):
    local = pd.date_range("2013-10-01", "2013-11-10", freq="h", inclusive="left")
    got = data.read(series(tmp_path, local.astype(str)), time="when", timezone=NEW_YORK, frames=24)
    assert len(got) == 39  # all of the 40 days but 3 November
    assert got.starts[0] == pd.Timestamp("2013-10-01", tz=NEW_YORK)
    assert got.notes[0].startswith("1 row left out: the clock of America/New_York shows these times twice")
    spring = pd.date_range("2013-03-01", "2013-03-20", freq="h")
    with pytest.raises(InputError, match="2013-03-10 02:00:00 does not exist in America/New_York"):
        data.read(series(tmp_path, spring.astype(str)), time="when", timezone=NEW_YORK, frames=24)


def test_mixed_offsets_and_other_formats(tmp_path):
    local = pd.date_range("2013-03-01", "2013-03-20", freq="h", tz=NEW_YORK)
    got = data.read(series(tmp_path, local.map(str)), time="when", timezone=NEW_YORK, frames=24)
    assert len(got) == 18
    european = pd.date_range("2013-01-01", periods=60, freq="D").strftime("%d.%m.%Y")
    got = data.read(series(tmp_path, european), time="when", frames=10)
    assert got.starts[1] == pd.Timestamp("2013-01-11")
    both = pd.date_range("2013-01-01", periods=12, freq="D").strftime("%d/%m/%Y")
    with pytest.raises(InputError, match="day or the month first"):
        data.read(series(tmp_path, both), time="when", frames=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": None}, "needs frames="),
        ({"frames": 1000}, "too few for a sequence of 1000 frames"),
        ({"frames": 24, "calendar": "month"}, "calendar must be one of"),
        ({"frames": 23, "calendar": "day"}, "needs frames \\* step to be 24 h"),
        ({"frames": 24, "timezone": "Mars/Olympus"}, "timezone must be an IANA name"),
        ({"frames": 24, "timezone": "../etc"}, "timezone must be an IANA name"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"frames": 96, "calendar": "none", "limits": {"a": (0, 10)}}, "no block of 96 frames"),
        ({"frames": 24, "limits": {"b": (0, 10)}}, "limits name 'b'"),
        ({"frames": 24, "limits": {"a": (5, 5)}}, "low < high"),
    ],
)
def test_bad_options(tmp_path, options, message):
    path = series(tmp_path, hourly("2020-01-01", "2020-01-05"))
    with pytest.raises(InputError, match=message) as caught:
        data.read(path, time="when", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2020-01-01", "2020-01-02", "2020-01-02", "2020-01-03"], "2020-01-02 00:00:00 occurs more than once"),
        ([0.0, 1.0, 1.0, 2.0], "the time 1 occurs more than once; to keep one row a time, give step= .--step 1."),
        ([0.0, 1.0, 2.0, 2.001], "occurs more than once"),
        (
            ["2020-01-01", "yesterday", "x", "y"],
            "holds .yesterday. in row 2, which is not a time",
        ),
        (["2020-01-01", None, "2020-01-03", "2020-01-04"], "empty in row 2"),
        (["2020-01-01T00:00Z", "2020-01-01T01:00", "2020-01-01T02:00Z", "2020-01-01T03:00Z"], "with a zone .row 1."),
        (["3020-01-01", "3020-01-02", "3020-01-03", "3020-01-04"], "time"),
        ([True, False, True, False], "true and false"),
        ([0.0, 1.0, 2.0, np.inf], "infinite in row 4"),
        ([0.0, 1e-300, 2e-300, 1.0], "do not lie on a regular grid"),
    ],
)
def test_bad_times(tmp_path, times, message):
    with pytest.raises(InputError, match=message) as caught:
        data.read(series(tmp_path, times), time="when", frames=2)
    assert "\n" not in str(caught.value)
