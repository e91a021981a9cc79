"""Which dimension of a grid is time is read off its coordinates, wherever it stands and whatever it is called."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from kronoscope import InputError, data
from kronoscope.cli import run

HOURS = pd.date_range("2020-01-01", periods=48, freq="h")
DAYS = pd.date_range("2020-01-01", periods=40, freq="D")
CUBE = np.random.default_rng(0).normal(size=(40, 2, 3)).round(3)
PLACE = {"lat": [45.0, 42.0], "lon": [-120.0, -118.0, -116.0]}
ENDINGS = [".nc", ".zarr"]


def save(dataset, folder, ending=".nc", name="g"):
    path = folder / f"{name}{ending}"
    if ending == ".nc":
        dataset.to_netcdf(path, engine="h5netcdf")
    else:
        dataset.to_zarr(path, zarr_format=2, consolidated=False)
    return path


def observations(gone=()):
    """Hourly values that count the hours, along a dimension of observations; some hours are absent."""
    rows = np.delete(np.arange(48), list(gone))
    return xr.Dataset({"temp": ("obs", rows.astype(float))}, {"time": ("obs", HOURS[rows])})


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("time", [None, "time", "obs"])
@pytest.mark.parametrize("kept_as", ["coordinate", "variable", "beside a number"])
def test_an_auxiliary_coordinate_dates_its_dimension(tmp_path, ending, time, kept_as):
    dataset = observations(gone=range(13, 16))
    if kept_as == "variable":
        dataset = dataset.reset_coords("time")
    if kept_as == "beside a number":
        dataset = dataset.assign_coords(obs=np.arange(dataset.sizes["obs"]) + 100)
    got = data.read(save(dataset, tmp_path, ending), time=time, frames=6)
    want = [np.arange(k, k + 6) for k in range(0, 48, 6) if k != 12]
    np.testing.assert_array_equal(got.values[..., 0], want)
    assert got.starts.tolist() == HOURS[[w[0] for w in want]].tolist()
    assert got.feature_names == ("temp",)


def test_the_layout_of_observations_is_that_of_a_dimension_of_time(tmp_path):
    dataset = observations(gone=(20,))
    other = dataset.swap_dims(obs="time").reset_coords(drop=True)
    sets = [data.read(save(d, tmp_path, name=n), frames=6) for d, n in ((dataset, "obs"), (other, "time"))]
    np.testing.assert_array_equal(sets[0].values, sets[1].values)
    assert (sets[0].starts == sets[1].starts).all()
    in_memory = data.from_array(dataset, frames=6)
    np.testing.assert_array_equal(in_memory.values, sets[0].values)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dim", ["time", "day", "date", "T", "XTIME", "valid"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_a_map_over_time_is_a_series_with_a_feature_for_each_place(tmp_path, ending, dim, order):
    dims, values = (dim, "lat", "lon"), CUBE.astype("f4")
    if order == "last":
        dims, values = ("lat", "lon", dim), np.moveaxis(values, 0, -1)
    grid = xr.Dataset({"tmmx": (dims, values, {"units": "K"})}, {dim: DAYS, **PLACE})
    got = data.read(save(grid, tmp_path, ending), frames=5)
    np.testing.assert_array_equal(got.values, CUBE.astype("f4").reshape(8, 5, 6))
    assert got.feature_names[:2] == ("45.0_-120.0", "45.0_-118.0")
    assert got.step == pd.Timedelta("1D")
    assert "every combination of lat, lon is a feature" in got.notes[0]
    back = data.to_array(got.values, got.container, got.feature_names)
    assert back.dims == ("sequence", dim, "lat", "lon")
    assert back.name == "tmmx"
    assert back.attrs == {"units": "K"}
    np.testing.assert_array_equal(back.lat, PLACE["lat"])
    np.testing.assert_array_equal(back.values.reshape(8, 5, 6), got.values)
    again = data.read(data.write(tmp_path / f"new{ending}", got.values, got.container, got.feature_names))
    np.testing.assert_array_equal(again.values, got.values)
    assert again.feature_names == got.feature_names
    assert again.step == got.step
    some = data.read(save(grid, tmp_path, ending, "h"), frames=5, columns=["42.0_-116.0", "45.0_-120.0"])
    np.testing.assert_array_equal(some.values, got.values[..., [5, 0]])
    part = data.to_array(some.values, some.container, some.feature_names)
    assert part.dims == ("sequence", dim, "feature")


def test_newest_first_runs_forwards(tmp_path):
    series = xr.Dataset({"a": ("time", np.arange(48.0))}, {"time": HOURS})
    got = data.read(save(series.isel(time=slice(None, None, -1)), tmp_path), frames=8)
    np.testing.assert_array_equal(got.values.ravel(), np.arange(48))
    assert (got.starts == HOURS[::8]).all()
    steps = pd.to_timedelta(np.arange(4), unit="h")
    for clock in (HOURS[:4], np.arange(4), steps):
        cases = xr.Dataset({"a": (("case", "time"), np.arange(40.0).reshape(10, 4))}, {"time": clock})
        got = data.read(save(cases.isel(time=[3, 1, 0, 2]), tmp_path, name="cases"))
        np.testing.assert_array_equal(got.values[..., 0], np.arange(40).reshape(10, 4))
        assert got.step == (1.0 if clock is not HOURS and np.asarray(clock).dtype.kind == "i" else pd.Timedelta("1h"))


def test_each_sequence_may_have_times_of_its_own(tmp_path):
    begin = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(10) * 100, unit="h")
    stamps = np.stack([begin + pd.Timedelta(k, unit="h") for k in (3, 0, 2, 1)], axis=1)
    values = np.arange(10.0)[:, None] * 10 + [3, 0, 2, 1]
    dataset = xr.Dataset({"a": (("case", "reading"), values)}, {"when": (("case", "reading"), stamps)})
    for options in ({"time": "when"}, {}):
        got = data.read(save(dataset, tmp_path), **options) if options else data.from_array(dataset.expand_dims("x", 2))
        np.testing.assert_array_equal(got.values[..., 0], np.add.outer(np.arange(10.0) * 10, np.arange(4)))
        assert (got.starts == begin).all()
        assert got.step == pd.Timedelta("1h")
    stamps[4, 1] -= np.timedelta64(30, "m")
    with pytest.raises(InputError, match=r"sequence 4 is uneven in time: in 'when' .* the step is 1 hour"):
        data.read(save(dataset.assign_coords(when=(("case", "reading"), stamps)), tmp_path), time="when")


REFUSED = {
    "uneven": (
        xr.Dataset({"a": (("case", "time"), np.ones((10, 4)))}, {"time": [0, 1, 2, 7]}),
        {},
        "is uneven in time",
    ),
    "nothing dates it": (
        observations(),
        {"time": "tide"},
        r"'tide', but .* coordinates obs, time",
    ),
    "a scalar": (observations().assign_coords(run=HOURS[0]), {"time": "run"}, "time names 'run', but"),
    "two clocks": (
        observations().assign_coords(issued=("obs", HOURS)),
        {},
        r"issued.* all hold times of the dimension 'obs': choose one with time= .--time",
    ),
    "two dimensions of time": (
        xr.Dataset({"a": (("made", "x", "for"), CUBE)}, {"made": DAYS, "for": DAYS[:3]}),
        {"frames": 5},
        r"dimensions made, for has times: name the one of the frames with time= .--time",
    ),
    "several maps": (
        xr.Dataset(dict.fromkeys("ab", (("day", "lat", "lon"), CUBE)), {"day": DAYS}),
        {"frames": 5},
        "choose one of them with columns= .--columns a",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_mean_several_things_is_refused_with_an_option_that_works(tmp_path, case):
    dataset, options, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        data.read(save(dataset, tmp_path), **options)
    assert "\n" not in str(caught.value)


def test_the_options_that_the_messages_name_work(tmp_path):
    path = save(REFUSED["two clocks"][0], tmp_path)
    assert len(data.read(path, frames=6, time="issued")) == 8
    path = save(REFUSED["two dimensions of time"][0], tmp_path, name="two")
    assert data.read(path, frames=5, time="made").values.shape == (8, 5, 6)
    assert data.read(path, frames=3, time="for").values.shape == (1, 3, 80)
    path = save(REFUSED["several maps"][0], tmp_path, name="maps")
    assert data.read(path, frames=5, columns=["a"]).values.shape == (8, 5, 6)
    dated = xr.Dataset({"a": (("day", "slot", "site"), CUBE)}, {"day": DAYS})
    got = data.read(save(dated, tmp_path, name="slots"), time="slot")
    np.testing.assert_array_equal(got.values, CUBE)
    assert (got.starts == DAYS).all()


def test_sequences_of_maps(tmp_path):
    values = np.random.default_rng(1).normal(size=(10, 4, 2, 3))
    for dims in (("case", "time", "lat", "lon"), ("sequence", "lat", "lon", "time")):
        moved = values if dims[1] == "time" else np.moveaxis(values, 1, -1)
        got = data.read(save(xr.Dataset({"u": (dims, moved)}, PLACE), tmp_path))
        np.testing.assert_array_equal(got.values, values.reshape(10, 4, 6))


def test_observations_and_maps_are_forecast_filled_and_audited(tmp_path):
    hours = pd.date_range("2020-01-01", periods=24 * 130 + 15, freq="h")
    rng = np.random.default_rng(0)
    cycle = 20 + 10 * np.cos(2 * np.pi * (hours.hour - 15) / 24).to_numpy()
    places = cycle[:, None, None] + np.arange(4).reshape(2, 2) + rng.normal(0, 0.3, (len(hours), 2, 2))
    kept = np.delete(np.arange(len(hours)), range(300, 317))
    sources = {
        "obs": xr.Dataset({"temp": ("obs", places[kept, 0, 0])}, {"time": ("obs", hours[kept])}),
        "map": xr.Dataset(
            {"temp": (("t", "lat", "lon"), places[kept])}, {"t": hours[kept], "lat": [1, 2], "lon": [5, 6]}
        ),
    }
    sources["map last"] = sources["map"].transpose("lat", "lon", "t")
    for name, source in sources.items():
        path, folder = save(source, tmp_path, name=name), tmp_path / f"run {name}"
        told = ["--frames", "24", "--network", "linear", "--max-steps", "0", "--test", "0.5", "-q"]
        told += ["--time", "time"] if name == "obs" else []
        assert run(["fit", str(path), "--out", str(folder), *told]) == 0
        assert run(["forecast", str(folder), str(path), "--out", str(tmp_path / f"{name}.csv"), "-q"]) == 0
        ahead = pd.read_csv(tmp_path / f"{name}.csv").groupby("time" if name == "obs" else "t")["mean"].mean()
        clock = pd.DatetimeIndex(ahead.index)
        assert clock[0] == hours[-1] + pd.Timedelta("1h")
        shift = 0 if name == "obs" else 1.5
        np.testing.assert_allclose(ahead - shift, 20 + 10 * np.cos(2 * np.pi * (clock.hour - 15) / 24), atol=1)
        holed = source.copy(deep=True)
        times = holed["temp"].transpose("t" if name != "obs" else "obs", ...).values
        times[[40, 400]] = np.nan
        gaps, filled = save(holed, tmp_path, name=f"{name} gaps"), tmp_path / f"{name} filled.nc"
        assert run(["impute", str(folder), str(gaps), "--out", str(filled), "-q"]) == 0
        with xr.open_dataset(filled, engine="h5netcdf") as done:
            assert done["temp"].dims == source["temp"].dims
            dim = done["temp"].dims[-1 if name == "map last" else 0]
            np.testing.assert_array_equal(done["time" if name == "obs" else "t"], hours)
            whole = done["temp"].transpose(dim, ...).values.reshape(len(hours), -1)
            np.testing.assert_allclose(whole, places.reshape(len(hours), -1)[:, : whole.shape[1]], atol=2)
        new = tmp_path / f"{name} new.nc"
        assert run(["sample", str(folder), "--out", str(new), "-n", "40", "-q"]) == 0
        page = str(tmp_path / f"{name}.html")
        assert run(["audit", str(path), str(new), "--run", str(folder), "--out", page, "-q"]) in (0, 1)
