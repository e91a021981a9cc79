"""How columns write their times: read as dates where they are dates, said in a note, and written back alike."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from kronoscope import InputError, data
from kronoscope.cli import run
from kronoscope.data.time_forms import TimeForm
from kronoscope.data.times import parse

START = dt.datetime(2019, 11, 5, 13)
HOURLY = [START + dt.timedelta(hours=k) for k in range(24 * 60)]
DAILY = [dt.datetime(2015, 1, 1) + dt.timedelta(days=k) for k in range(900)]
SINCE = dt.datetime(1970, 1, 1)


def seconds(stamps):
    return [int((stamp - SINCE).total_seconds()) for stamp in stamps]


def digits(pattern):
    return lambda stamps: [int(stamp.strftime(pattern)) for stamp in stamps]


# Name, how the stamps are written, the stamps, and words of the note (None without one).
FORMS = {
    "YYYYMMDD": (digits("%Y%m%d"), DAILY, "dates YYYYMMDD (the first row: 2015-01-01"),
    "YYYYMMDD float": (lambda s: [float(v) for v in digits("%Y%m%d")(s)], DAILY, "dates YYYYMMDD"),
    "YYYYMMDD.5": (lambda s: [float(t.strftime("%Y%m%d")) + t.hour / 24 for t in s], HOURLY[::6], "dates YYYYMMDD"),
    "YYYYDDD": (digits("%Y%j"), DAILY, "dates YYYYDDD"),
    "YYMMDD": (digits("%y%m%d"), DAILY, "dates YYMMDD"),
    "YYYYMMDDHH": (digits("%Y%m%d%H"), HOURLY, "dates YYYYMMDDHH (the first row: 2019-11-05 13:00"),
    "YYYYMMDDHHMM": (digits("%Y%m%d%H%M"), HOURLY, "dates YYYYMMDDHHMM"),
    "YYYYMMDDHHMMSS": (digits("%Y%m%d%H%M%S"), HOURLY, "dates YYYYMMDDHHMMSS"),
    "seconds": (seconds, HOURLY, "Unix time in seconds (the first row: 2019-11-05 13:00"),
    "milliseconds": (lambda s: [1000 * v for v in seconds(s)], HOURLY, "Unix time in milliseconds"),
    "microseconds": (lambda s: [10**6 * v for v in seconds(s)], HOURLY, "Unix time in microseconds"),
    "nanoseconds": (lambda s: [10**9 * v for v in seconds(s)], HOURLY, "Unix time in nanoseconds"),
    "float seconds": (lambda s: [float(v) for v in seconds(s)], HOURLY, "Unix time in seconds"),
    "text of digits": (lambda s: [t.strftime("%Y%m%d") for t in s], DAILY, "dates YYYYMMDD"),
    "ISO": (lambda s: [t.isoformat() for t in s], HOURLY, None),
    "a space": (lambda s: [str(t) for t in s], HOURLY, None),
    "Z": (lambda s: [t.isoformat() + "Z" for t in s], HOURLY, None),
    "milliseconds Z": (lambda s: [t.isoformat(timespec="milliseconds") + "Z" for t in s], HOURLY, None),
    "+01:00": (lambda s: [t.isoformat() + "+01:00" for t in s], HOURLY, None),
    "-0530": (lambda s: [t.isoformat() + "-0530" for t in s], HOURLY, None),
    "UTC": (lambda s: [f"{t} UTC" for t in s], HOURLY, None),
    "minutes": (lambda s: [t.strftime("%Y-%m-%d %H:%M") for t in s], HOURLY, None),
    "days": (lambda s: [t.strftime("%Y-%m-%d") for t in s], DAILY, None),
    "slashes": (lambda s: [t.strftime("%Y/%m/%d %H:%M") for t in s], HOURLY, None),
    "day first": (lambda s: [t.strftime("%d.%m.%Y %H:%M") for t in s], HOURLY, None),
    "month first": (lambda s: [t.strftime("%m/%d/%Y %I:%M %p") for t in s], HOURLY, None),
    "no zeros": (lambda s: [f"{t.month}/{t.day}/{t.year} {t.hour}:00" for t in s], HOURLY, None),
    "basic": (lambda s: [t.strftime("%Y%m%dT%H%M") for t in s], HOURLY, None),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read_as_its_dates_and_written_back(name):
    write, stamps, note = FORMS[name]
    column = pd.Series(write(stamps))
    got = parse(column, "when")
    offset = {"+01:00": 1, "-0530": -5.5}.get(name, 0)
    is_zoned = name in ("Z", "milliseconds Z", "+01:00", "-0530", "UTC") or "seconds" in name
    want = pd.DatetimeIndex(stamps) - pd.Timedelta(offset, unit="h")
    assert (got.times.tz is not None) == is_zoned
    assert (got.times.tz_convert("UTC").tz_localize(None) if is_zoned else got.times).tolist() == want.tolist()
    assert got.form.show(got.times).tolist() == column.tolist()
    assert [note in got_note for got_note in got.notes] == ([True] if note else [])
    one = parse(column.iloc[[5]], "when", got.form)  # one row alone is read as the whole column is
    assert one.times[0] == got.times[5]


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("YYYYMMDD", ".csv"),
        ("YYYYMMDDHH", ".csv"),
        ("milliseconds", ".csv"),
        ("day first", ".csv"),
        ("text of digits", ".parquet"),
        ("seconds", ".parquet"),
    ],
)
def test_samples_forecasts_and_filled_files_keep_the_form(tmp_path, name, ending, capsys):
    write, stamps, note = FORMS[name]
    rng = np.random.default_rng(0)
    year = np.array([stamp.timetuple().tm_yday for stamp in stamps]) / 365.25
    values = 10 * np.cos(2 * np.pi * year) + rng.normal(size=len(stamps))
    table = pd.DataFrame({"when": write(stamps), "a": values}).iloc[: len(stamps) // 7 * 7 - 3]
    source, folder = tmp_path / f"s{ending}", str(tmp_path / "run")

    def save(what, path):
        what.to_csv(path, index=False) if ending == ".csv" else what.to_parquet(path)
        return str(path)

    def load(path):
        return pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)

    save(table, source)
    is_daily = stamps is DAILY
    told = ["--time", "when", "--frames", "7", "--network", "linear", "--max-steps", "0", "--test", "0.4"]
    told += ["--harmonics", "1"] if is_daily else []
    assert run(["fit", str(source), "--out", folder, *told]) == 0
    assert (note is None) or note in capsys.readouterr().out
    ahead, new, filled = (str(tmp_path / f"{what}{ending}") for what in ("ahead", "new", "filled"))
    assert run(["forecast", folder, str(source), "--out", ahead, "-q"]) == 0
    step = stamps[1] - stamps[0]
    begin = stamps[len(table)]
    forecast = load(ahead)["when"].tolist()
    expected = save(pd.DataFrame({"when": write([begin + k * step for k in range(len(forecast))])}), tmp_path / "w.csv")
    assert forecast == (pd.read_csv if ending == ".csv" else pd.read_parquet)(expected)["when"].tolist()
    holed = table.assign(a=table["a"].where(np.arange(len(table)) != 40)).drop(index=23)
    assert run(["impute", folder, save(holed, tmp_path / f"holed{ending}"), "--out", filled, "-q"]) == 0
    done = load(filled)
    assert done["when"].tolist() == load(source)["when"].tolist()
    assert done["a"].notna().all()
    assert done["when"].dtype == load(source)["when"].dtype
    told = ["--dates"] if is_daily else []
    assert run(["sample", folder, "--out", new, "-n", "60", *told, "-q"]) == 0
    if is_daily:
        dates = load(new)["when"]
        assert set(dates.iloc[::7]) <= set(load(source)["when"])
        assert dates.dtype == load(source)["when"].dtype
    page = str(tmp_path / "page.html")
    assert run(["audit", str(source), new, "--run", folder, "--out", page, "-q"]) in (0, 1)


def test_months_are_counted_in_months(tmp_path):
    months = [100 * year + month for year in range(1990, 2020) for month in range(1, 13)]
    pd.DataFrame({"month": months, "a": np.arange(360.0)}).to_csv(tmp_path / "a.csv", index=False)
    got = data.read(tmp_path / "a.csv", time="month", frames=12)
    np.testing.assert_array_equal(got.values.ravel(), np.arange(360))
    assert got.notes[0] == "The column 'month' is read as months YYYYMM (the first row: 1990-01)."
    later = got.grid.shown(np.arange(11, 14))
    assert got.container.time_form.show(later).tolist() == [199012, 199101, 199102]


@pytest.mark.parametrize(
    "numbers",
    [
        np.arange(1950, 2020),  # years
        np.arange(1958, 1970, 1 / 12),  # years with their fraction
        np.arange(400),
        np.arange(20150101, 20150501),  # a counter that passes through days that no month has
        np.arange(-5, 60) * 86_400,
        np.arange(60) * 0.25,
        np.arange(60) * 1000 + 5 * 10**12,
    ],
)
def test_other_numbers_stay_numbers(numbers):
    got = parse(pd.Series(numbers), "t")
    np.testing.assert_array_equal(got.times, numbers)
    assert got.form == TimeForm("number", "", "float64" if numbers.dtype.kind == "f" else "int64")
    assert got.notes == ()
    assert got.form.show(got.times).tolist() == numbers.tolist()


def test_hours_from_1_to_24_end_with_the_next_day():
    column = pd.Series([2015010100 + hour for hour in range(1, 25)] + [2015010201])
    got = parse(column, "when")
    assert got.times[23] == pd.Timestamp("2015-01-02")
    assert got.times[24] == pd.Timestamp("2015-01-02 01:00")
    assert got.form.show(got.times).tolist() == column.tolist()
    assert "with hours 1 to 24" in got.notes[0]


@pytest.mark.parametrize("spoilt", [20150229, 20151301, 20150132, 99991231])
def test_one_date_that_cannot_be_is_named(spoilt):
    column = pd.Series(digits("%Y%m%d")(DAILY[:50]))
    column.iloc[30] = spoilt
    with pytest.raises(InputError, match=rf"'when' holds {spoilt} in row 31, which is not a date YYYYMMDD"):
        parse(column, "when")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["2020-01-01", "yesterday", "2020-01-03"], r"'when' holds 'yesterday' in row 2, which is not a time"),
        (["31.01.2020 06:00", "31.01.2020 07:00", "31.01.2020 25:00"], r"'31.01.2020 25:00' in row 3"),
        (
            ["2020-01-01", "01/02/2020", "2020-01-03"],
            r"'01/02/2020' in row 2, which is not a time of the form of '2020",
        ),
        (["soon", "later", "never"], r"'soon' in row 1, which is not a time"),
        (["2020-02-30", "2020-03-01", "2020-03-02"], r"'2020-02-30' in row 1"),
        (["2020-01-01", "", "2020-01-03"], r"'when' is empty in row 2: fill it in or remove the row"),
        (
            ["2020-01-01", "3020-01-01", "2020-01-03"],
            r"'3020-01-01' in row 2: times must lie in the years 1678 to 2261",
        ),
        (["2020-01-01T00Z", "2020-01-01T01", "2020-01-01T02Z"], r"mixes times with a zone .row 1. and without .row 2."),
        (["2020-01-01\nx", "2020-01-02", "2020-01-03"], r"in row 1"),
    ],
)
def test_times_that_cannot_be_read_are_named_by_column_row_and_text(tmp_path, capsys, cells, message):
    path = tmp_path / "a.csv"
    pd.DataFrame({"when": cells, "a": [1.0, 2.0, 3.0]}).to_csv(path, index=False)
    with pytest.raises(InputError, match=message):
        data.read(path, time="when", frames=1)
    out = tmp_path / "run"
    assert run(["fit", str(path), "--out", str(out), "--time", "when", "--frames", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not error.rstrip().endswith(":")
    assert "You might want" not in error
    assert not out.exists()


def test_nothing_is_printed_on_other_formats(tmp_path, capfd):
    """pandas' warnings on days before months went to the user's terminal with a traceback."""
    stamps = FORMS["day first"][0](HOURLY)
    pd.DataFrame({"when": stamps, "a": np.arange(len(stamps))}).to_csv(tmp_path / "a.csv", index=False)
    data.read(tmp_path / "a.csv", time="when", frames=24)
    assert capfd.readouterr().err == ""


def test_files_of_one_record_write_their_times_alike(tmp_path):
    write = FORMS["YYYYMMDD"][0]
    pd.DataFrame({"when": write(DAILY[:100]), "a": np.arange(100.0)}).to_csv(tmp_path / "a.csv", index=False)
    later = pd.DataFrame({"when": DAILY[100:200], "a": np.arange(100.0, 200)})
    later.to_csv(tmp_path / "b.csv", index=False)
    got = data.read([tmp_path / "a.csv", tmp_path / "b.csv"], time="when", frames=10)
    np.testing.assert_array_equal(got.values.ravel(), np.arange(200))
    later.assign(when=np.arange(100)).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(
        InputError, match=r"b.csv: .* 0 in row 1, which is not a date YYYYMMDD, as the rest of the record"
    ):
        data.read([tmp_path / "a.csv", tmp_path / "b.csv"], time="when", frames=10)
    ticks = pd.DataFrame({"when": 1e9 + np.arange(200) * 0.5, "a": np.arange(200.0)})
    ticks[:101].to_csv(tmp_path / "a.csv", index=False)
    ticks[101:].iloc[1::2].to_csv(tmp_path / "b.csv", index=False)  # whole numbers, as if of Unix time
    got = data.read([tmp_path / "a.csv", tmp_path / "b.csv"], time="when", frames=20)
    assert got.starts.tolist() == [1e9 + 10 * k for k in range(5)]
