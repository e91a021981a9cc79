"""Times in the ways in which people write them, and series whose times follow no fixed step."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest

from kronoscope import data
from kronoscope._errors import InputError

HOURS = pd.date_range("2024-01-03", periods=24 * 12, freq="h")  # until the 14th: no day is a month throughout
FEW = HOURS[: 24 * 9]  # every day could be a month
V = np.random.default_rng(0).standard_normal(1000).round(3)


def write(tmp_path, times, name="time", **columns):
    table = pd.DataFrame({name: times} | (columns or {"v": V[: len(times)]}))
    table.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def refusal(path, **options):
    with pytest.raises(InputError) as caught:
        data.read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


STYLES = {
    "ISO": "%Y-%m-%d %H:%M",
    "ISO, T": "%Y-%m-%dT%H:%M:%S",
    "dots": "%d.%m.%Y %H:%M",
    "slashes, month first": "%m/%d/%Y %H:%M",
    "slashes, year first": "%Y/%m/%d %H:%M",
    "without zeros": "%-m/%-d/%Y %-H:%M",
    "year first, without zeros": "%Y/%-m/%-d %-H:%M",
    "half days": "%m/%d/%Y %I:%M:%S %p",
    "half days, day first": "%-d/%-m/%Y %-I:%M%p",
    "two digits of the year": "%d.%m.%y %H:%M",
    "underscore of WRF": "%Y-%m-%d_%H:%M:%S",
    "month in words": "%d %b %Y %H:%M",
    "digits": "%Y%m%d%H",
}


@pytest.mark.parametrize("style", STYLES)
def test_times_are_read_in_every_style(tmp_path, style):
    times = pd.date_range("2024-01-20", periods=24 * 12, freq="h")  # the days are no months
    day_first = True if "%y" in STYLES[style] else None  # 20.01.24 may be a day of 2020
    read = data.read(write(tmp_path, times.strftime(STYLES[style])), time="time", frames=24, dayfirst=day_first)
    assert list(read.starts) == list(times[::24])
    np.testing.assert_array_equal(read.values[..., 0], V[: len(times)].reshape(-1, 24))
    assert list(read.container.time_form.show(read.starts).astype(str)) == list(times[::24].strftime(STYLES[style]))


@pytest.mark.parametrize("style", ["%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d.%m.%y %H:%M"])
def test_day_or_month_first_is_never_guessed(tmp_path, style):
    path = write(tmp_path, FEW.strftime(style))
    assert "give dayfirst= (--dayfirst or --monthfirst)" in refusal(path, time="time", frames=24)
    day_first = style.index("%d") < style.index("%m")
    read = data.read(path, time="time", frames=24, dayfirst=day_first)
    assert list(read.starts) == list(FEW[::24])
    later = write(tmp_path, HOURS[-24:].strftime(style))  # the 14th: one reading is left, and the option contradicts it
    word = "day" if day_first else "month"
    assert f"has the {word} first" in refusal(later, time="time", frames=24, dayfirst=not day_first)


def test_a_run_that_knows_the_order_of_day_and_month_reads_an_ambiguous_file(tmp_path):
    times = pd.date_range("2024-01-20", periods=24 * 12, freq="h")
    form = data.read(write(tmp_path, times.strftime("%d/%m/%Y %H:%M")), time="time", frames=24).container.time_form
    assert form.day_first is True
    opened = data.open_gappy(write(tmp_path, FEW.strftime("%d/%m/%Y %H:%M")), time="time", time_form=form)
    assert list(opened.source.times) == list(FEW)


def test_abbreviations_of_a_zone_need_its_name_and_tell_the_repeated_hour_apart(tmp_path):
    times = pd.date_range("2024-10-20", periods=24 * 12, freq="h", tz="Europe/Berlin")
    text = [f"{t:%Y-%m-%d %H:%M} {t.tzname()}" for t in times]
    path = write(tmp_path, text)
    message = refusal(path, time="time", frames=24)
    assert "the times end in CEST and CET" in message
    assert "--timezone Europe/Berlin" in message
    read = data.read(path, time="time", frames=24, timezone="Europe/Berlin")
    assert len(read) == 10
    assert "2024-10-27" in " ".join(read.notes)
    whole = data.read(path, time="time", frames=24, timezone="Europe/Berlin", calendar="none")
    np.testing.assert_array_equal(whole.values[..., 0], V[: len(times)].reshape(-1, 24))
    assert "are not those of America/New_York" in refusal(path, time="time", frames=24, timezone="America/New_York")
    path = write(tmp_path, [f"{t:%Y-%m-%d %H:%M} {t.tzname()}" for t in times.tz_convert("America/Chicago")])
    assert "--timezone America/Chicago" in refusal(path, time="time", frames=24)


def test_a_repeated_hour_names_a_zone_whose_clocks_went_back(tmp_path):
    for zone in ("Europe/Berlin", "Europe/London", "America/New_York", "Australia/Sydney"):
        month = "2024-04-01" if zone.startswith("Aus") else "2024-10-20"
        times = pd.date_range(month, periods=24 * 20, freq="h", tz=zone).tz_localize(None)
        path = write(tmp_path, times.strftime("%Y-%m-%d %H:%M"))
        assert f"--timezone {zone})" in refusal(path, time="time", frames=24)
        assert len(data.read(path, time="time", frames=24, timezone=zone)) >= 18


def months(start, number, freq):
    return pd.date_range(start, periods=number, freq=freq)


JITTER = pd.to_timedelta(np.random.default_rng(1).integers(-40, 40, 1000), unit="s")
UNEVEN = {
    "months": (months("1990-01-01", 360, "MS").strftime("%Y-%m-%d"), 12, "30.436875D"),
    "months by name": (months("1990-03-01", 300, "MS").strftime("%b %Y"), 12, "30.436875D"),
    "month ends": (months("1990-01-31", 240, "ME").strftime("%Y-%m-%d"), 12, "30.436875D"),
    "quarters": (months("1960-01-01", 240, "QS").strftime("%Y-%m-%d"), 4, "91.310625D"),
    "years": (months("1800-01-01", 200, "YS").strftime("%Y-%m-%d"), 10, "365.2425D"),
    "uneven numbers": (np.arange(600) + np.random.default_rng(4).uniform(-0.3, 0.3, 600), 12, None),
    "jitter": (months("2024-01-01", 1000, "10min") + JITTER, 100, "10min"),
    "hours that begin late": (months("2024-01-01", 1000, "h") + 20 * JITTER, 24, "1h"),
}


@pytest.mark.parametrize("kind", UNEVEN)
def test_times_off_the_grid_name_a_step_that_keeps_every_row(tmp_path, kind):
    times, frames, step = UNEVEN[kind]
    path = write(tmp_path, times)
    message = refusal(path, time="time", frames=frames)
    step = step or re.search(r"--step (\S+)\)", message).group(1)
    assert f"--step {step})" in message
    read = data.read(path, time="time", frames=frames, step=step)
    number = len(times) // frames
    np.testing.assert_array_equal(read.values[..., 0], V[: number * frames].reshape(number, frames))


def test_times_without_any_step_name_a_grid_and_a_mask(tmp_path):
    rng = np.random.default_rng(2)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(rng.exponential(600, 500)), unit="s")
    twice = times[:100].append(times[99:])  # one of the times occurs twice
    numbers = np.cumsum(rng.exponential(3.0, 500))
    for written in (times.strftime("%Y-%m-%d %H:%M:%S.%f"), twice.strftime("%Y-%m-%d %H:%M:%S.%f"), numbers):
        path = write(tmp_path, written)
        message = refusal(path, time="time", frames=12)
        step, missing = re.search(r"\(--step (\S+) --missing (\S+) --network unrolled\)", message).groups()
        read = data.read(path, time="time", frames=12, step=step, missing=missing)
        assert np.isfinite(read.values).sum() > 200


def test_business_days_count_as_rows_or_under_a_mask(tmp_path):
    days = pd.bdate_range("2015-01-01", periods=300).strftime("%Y-%m-%d")
    path = write(tmp_path, days, name="date")
    message = refusal(path, time="date", frames=5)
    assert "business days" in message
    assert "leave out time= (--time) and give columns= (--columns v)" in message
    assert len(data.read(path, columns=["v"], frames=5)) == 60
    assert len(data.read(path, time="date", frames=7, missing="mask")) == 60
    weekends = pd.date_range("2015-01-01", periods=300)
    assert len(data.read(write(tmp_path, weekends), time="time", frames=5)) == 60


def test_a_panel_names_its_pivot(tmp_path):
    days = np.tile(months("2024-01-01", 48, "D").strftime("%Y-%m-%d"), 20)
    stores = np.repeat([f"s{k}" for k in range(20)], 48)
    sales = np.random.default_rng(3).poisson(20, 960)
    path = write(tmp_path, days, name="date", store=stores, sales=sales)
    message = refusal(path, time="date", frames=12)
    assert "--pivot store)" in message
    read = data.read(path, time="date", frames=12, pivot="store")
    np.testing.assert_array_equal(read.values[:, :, 0].ravel(), sales[:48])
    path = write(tmp_path, days, name="date", store=stores, sales=sales, kind=np.repeat("x", 960))
    option = re.search(r"\((--pivot .*?)\)", refusal(path, time="date", frames=12)).group(1)
    assert shlex.split(option) == ["--pivot", "store", "--columns", "sales"]
    assert data.read(path, time="date", frames=12, pivot="store", columns=["sales"]).values.shape == (4, 12, 20)


def test_repeated_rows_and_times_without_dates(tmp_path):
    path = write(tmp_path, HOURS.insert(7, HOURS[5]))
    assert "give step= (--step 1h)" in refusal(path, time="time", frames=24)
    read = data.read(path, time="time", frames=24, step="1h")
    np.testing.assert_array_equal(read.values[0, :7, 0], [*V[:7]])
    for column in (HOURS.hour, HOURS.strftime("%H:%M"), [f"week {k}" for k in range(len(HOURS))]):
        path = write(tmp_path, column)
        assert "leave out time= (--time) and give columns= (--columns v)" in refusal(path, time="time", frames=24)
        assert len(data.read(path, columns=["v"], frames=24)) == 12


def test_sequences_of_other_lengths_are_filled_under_a_mask(tmp_path):
    lengths = [3, 5, 4]
    rows = [(f"p{s}", k, 10.0 * s + k) for s, length in enumerate(lengths) for k in range(length)]
    table = pd.DataFrame(rows, columns=["sequence", "frame", "v"])
    expected = [[0, 1, 2, np.nan, np.nan], [10, 11, 12, 13, 14], [20, 21, 22, 23, np.nan]]
    for written in (table, table.drop(columns="frame"), table.sample(frac=1, random_state=0)):
        written.to_csv(tmp_path / "t.csv", index=False)
        assert "--missing mask --network unrolled" in refusal(tmp_path / "t.csv")
        read = data.read(tmp_path / "t.csv", missing="mask")
        order = [list(written["sequence"].unique()).index(f"p{s}") for s in range(3)]
        np.testing.assert_array_equal(read.values[order, :, 0], expected)
    table.drop(index=4).to_csv(tmp_path / "t.csv", index=False)  # the second frame of the second
    read = data.read(tmp_path / "t.csv", missing="mask")
    np.testing.assert_array_equal(read.values[1, :, 0], [10, np.nan, 12, 13, 14])


def test_features_that_stay_the_same_within_sequences_are_noted(tmp_path):
    table = pd.DataFrame({"sequence": np.repeat(np.arange(10), 4), "frame": np.tile(np.arange(4), 10), "v": V[:40]})
    table["age"] = np.repeat(np.arange(10), 4)
    table["sex"] = table["age"] % 2
    table.to_csv(tmp_path / "t.csv", index=False)
    notes = " ".join(data.read(tmp_path / "t.csv").notes)
    assert "Warning: age, sex do not change within a sequence" in notes
    assert "--columns v)" in notes
    assert data.read(tmp_path / "t.csv", columns=["v"]).notes == ()
    table.assign(age=3, sex=np.tile([0, 1, 0, 0], 10)).to_csv(tmp_path / "t.csv", index=False)
    assert data.read(tmp_path / "t.csv").notes == ()


def test_dates_and_clock_times_in_two_columns_are_no_panel(tmp_path):
    path = write(tmp_path, HOURS.strftime("%H:%M"), date=HOURS.strftime("%Y-%m-%d"), v=V[: len(HOURS)])
    assert "choose the columns of numbers with columns= (--columns v)" in refusal(path, time="time", frames=24)
    assert "leave out time= (--time)" in refusal(path, time="time", columns=["v"], frames=24)
    assert len(data.read(path, columns=["v"], frames=24)) == 12
