"""Irregular times on a grid, against pandas."""

import json

import numpy as np
import pandas as pd
import pytest

from kronoscope import InputError, data
from kronoscope.cli import run


def irregular(rows=2000, seed=0):
    """Rows at random times, 6 minutes apart on average, in no order."""
    rng = np.random.default_rng(seed)
    seconds = np.cumsum(rng.exponential(360, rows)).round(3)
    times = pd.Timestamp("2021-03-20 00:07") + pd.to_timedelta(seconds, unit="s")
    table = pd.DataFrame({"when": times, "a": np.sin(seconds / 3e4), "b": rng.standard_normal(rows)})
    return table.sample(frac=1, random_state=seed)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_each_frame_has_its_nearest_row(tmp_path, zone):
    """As pandas' reindex to the nearest within half a step; the summer hour of 28 March lies in the record."""
    table = irregular()
    if zone:
        table["when"] = table["when"].dt.tz_localize("UTC").dt.tz_convert(zone)
    table.to_csv(tmp_path / "a.csv", index=False)
    got = data.read(tmp_path / "a.csv", time="when", timezone=zone, frames=6, step="10min", missing="mask")
    by_time = table.set_index("when").sort_index()
    grid = pd.date_range(by_time.index[0].floor("10min"), by_time.index[-1].ceil("10min"), freq="10min")
    nearest = by_time.reindex(grid, method="nearest", tolerance=pd.Timedelta("299.9999s"))
    # pandas gives a row to both of its neighbours where each has no nearer one: only the nearer frame counts.
    own = by_time.index.get_indexer(grid, method="nearest")
    at = by_time.index[own]
    nearest[np.abs(at - grid) > pd.Timedelta("300s")] = np.nan
    full = nearest.to_numpy()
    start = int((got.starts[0] - grid[0]) / pd.Timedelta("10min"))
    flat = np.full((len(grid) + 12, 2), np.nan)
    for begin, values in zip(((got.starts - grid[0]) / pd.Timedelta("10min")).astype(int), got.values, strict=True):
        flat[begin : begin + 6] = values
    assert start == 0 or np.isnan(full[:start]).all()
    np.testing.assert_array_equal(flat[: len(grid)], full)
    notes = " ".join(got.notes)
    assert "moved to the nearest frame of step 0:10:00" in notes
    assert "left out: another row is nearer to the same frame" in notes


def test_numbers_and_a_regular_series_are_left_as_they_are(tmp_path):
    table = pd.DataFrame({"t": [0.0, 0.9, 2.1, 2.2, 4.0, 5.04], "x": [1.0, 2, 3, 4, 5, 6]})
    table.to_csv(tmp_path / "a.csv", index=False)
    got = data.read(tmp_path / "a.csv", time="t", frames=2, step=1, missing="mask")
    np.testing.assert_array_equal(got.values[..., 0], [[1, 2], [3, np.nan], [5, 6]])
    np.testing.assert_array_equal(got.starts, [0, 2, 4])
    regular = pd.DataFrame({"t": pd.date_range("2020", periods=12, freq="h"), "x": np.arange(12.0)})
    regular.to_csv(tmp_path / "b.csv", index=False)
    plain, gridded = (data.read(tmp_path / "b.csv", time="t", frames=4, step=step) for step in (None, "1h"))
    np.testing.assert_array_equal(plain.values, gridded.values)
    assert (plain.starts == gridded.starts).all()
    assert gridded.notes == ()


def test_the_step_told_holds_where_rows_are_rarer(tmp_path):
    """Rows mostly 3 frames apart: the most common difference is not the step."""
    table = pd.DataFrame({"t": [0.0, 3.1, 6.0, 7.0, 9.9], "x": np.arange(5.0)})
    table.to_csv(tmp_path / "a.csv", index=False)
    got = data.read(tmp_path / "a.csv", time="t", frames=4, step=1, missing="mask")
    nan = np.nan
    np.testing.assert_array_equal(got.values[..., 0], [[0, nan, nan, 1], [nan, nan, 2, 3], [nan, nan, 4, nan]])
    assert got.step == 1.0


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("soon", "step must be a span such as 10min or 1h, or a number, got 'soon'"),
        ("-1h", "step must be positive"),
        ("0", "step must be positive"),
        ("5", "step must be a span such as 10min, because the times are clock times"),
        ("1us", "frames of 2000 rows: give a larger one"),
    ],
)
def test_steps_that_cannot_be(tmp_path, step, words):
    irregular().to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=words):
        data.read(tmp_path / "a.csv", time="when", frames=6, step=step)


def test_a_series_without_times_has_no_grid(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 2)))
    with pytest.raises(InputError, match="there are no times"):
        data.read(tmp_path / "x.npy", frames=4, step=1.0)


def test_from_irregular_file_to_forecast_and_gaps(tmp_path):
    table = irregular()
    table.loc[table.index[::50], "a"] = np.nan
    source, folder = str(tmp_path / "a.csv"), str(tmp_path / "run")
    table.to_csv(source, index=False)
    told = ["--time", "when", "--frames", "6", "--step", "10min", "--missing", "mask", "--mean", "feature"]
    assert run(["fit", source, "--out", folder, *told, "--network", "unrolled", "--max-steps", "40"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["source"]["reading"]["step"] == "10min"
    assert run(["forecast", folder, source, "--out", str(tmp_path / "ahead.csv"), "--steps", "2"]) == 0
    ahead = pd.read_csv(tmp_path / "ahead.csv", parse_dates=["when"])
    assert ((ahead["when"] - table["when"].max()) > pd.Timedelta("-5min")).all()
    assert run(["impute", folder, source, "--out", str(tmp_path / "filled.csv")]) == 0
    filled = pd.read_csv(tmp_path / "filled.csv")
    filled = filled[filled["when"].isin(pd.read_csv(source)["when"])].reset_index(drop=True)  # without added frames
    told_apart = pd.read_csv(source)["a"].isna().to_numpy()
    assert 0 < filled["a"].isna().sum() < told_apart.sum()  # rows that share a frame with a nearer one stay empty
    np.testing.assert_array_equal(filled["a"][~told_apart], pd.read_csv(source)["a"][~told_apart])
