"""Writing back: what comes out equals what other readers read, and a failure leaves nothing behind."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from kronoscope import data
from kronoscope._errors import InputError
from kronoscope.data.stores import foreign_files

TABLE_OPTIONS = {"time": "when", "timezone": "Europe/Paris"}


@pytest.fixture
def hourly(tmp_path):
    """Ten local days of two features, across the end of summer time."""
    stamps = pd.date_range("2021-10-28", "2021-11-07", freq="h", tz="Europe/Paris", inclusive="left")
    values = np.random.default_rng(1).standard_normal((len(stamps), 2))
    path = tmp_path / "hourly.csv"
    pd.DataFrame({"when": stamps, "u": values[:, 0], "v w": values[:, 1]}).to_csv(path, index=False)
    return data.read(path, frames=24, **TABLE_OPTIONS)


@pytest.mark.parametrize("ending", data.ENDINGS)
@pytest.mark.parametrize("dated", [False, True])
def test_round_trip_into_every_format(tmp_path, hourly, ending, dated):
    path = tmp_path / f"out{ending}"
    starts = hourly.starts if dated else None
    assert data.write(path, hourly.values, hourly.container, hourly.feature_names, starts=starts) == path
    options = TABLE_OPTIONS if dated and ending in (".csv", ".csv.gz", ".parquet") else {}
    back = data.read(path, **options)
    np.testing.assert_array_equal(back.values, hourly.values)
    if ending not in (".npy", ".npz"):
        assert back.feature_names == hourly.feature_names
        assert back.step == hourly.step
        assert (back.starts is not None) == dated
        if dated:
            assert (back.starts == hourly.starts).all()
            assert back.container.timezone == "Europe/Paris"


def test_tables_have_the_promised_columns(tmp_path, hourly):
    data.write(tmp_path / "o.csv", hourly.values, hourly.container, hourly.feature_names)
    table = pd.read_csv(tmp_path / "o.csv")
    assert list(table.columns) == ["sequence", "offset_hours", "u", "v w"]
    assert table["sequence"].tolist() == [i for i in range(len(hourly)) for _ in range(24)]
    assert table["offset_hours"].tolist() == list(range(24)) * len(hourly)
    data.write(tmp_path / "d.csv", hourly.values, hourly.container, hourly.feature_names, starts=hourly.starts)
    times = pd.to_datetime(pd.read_csv(tmp_path / "d.csv")["when"], utc=True)
    assert times[24 * 3 + 5] == pd.Timestamp("2021-11-01 04:00", tz="UTC")  # 31 October has 25 hours and is left out


@pytest.mark.parametrize(
    ("step", "name", "second"),
    [
        (None, "frame", 1),
        (0.25, "offset", 0.25),
        (pd.Timedelta("1D"), "offset_days", 1),
        (pd.Timedelta("36h"), "offset_hours", 36),
        (pd.Timedelta("90min"), "offset_minutes", 90),
        (pd.Timedelta("1500ms"), "offset_seconds", 1.5),
    ],
)
def test_offsets_are_in_readable_units(tmp_path, step, name, second):
    container = data.Container("table", ".csv", step=step)
    container = data.Container.from_json(container.to_json())
    data.write(tmp_path / "o.csv", np.ones((2, 3, 1)), container, ["a"])
    table = pd.read_csv(tmp_path / "o.csv")
    assert list(table.columns) == ["sequence", name, "a"]
    assert table[name][1] == second
    assert data.read(tmp_path / "o.csv").step == step


def grids():
    rng = np.random.default_rng(2)
    long = rng.standard_normal((12, 2)).astype(np.float32)
    units = {"units": "m s-1", "valid_range": np.array([0.0, 60.0])}
    where = {"station": ["x", "y"], "height": ("station", [10.0, 2.5], {"units": "m"}), "run": 3}
    months = {"time": pd.date_range("2000-01-01", periods=12, freq="D")}
    return {
        "array": xr.DataArray(long, where | months, ("time", "station"), "wind", units),
        "variables": xr.Dataset(
            {"u": ("time", long[:, 0], units), "v": ("time", long[:, 1])}, months, {"title": "Two winds"}
        ),
        "3-D": xr.DataArray(
            long.reshape(3, 4, 2), where | {"lead": [0.0, 0.5, 1.0, 1.5]}, ("member", "lead", "station"), None, units
        ),
        "no coordinate": xr.DataArray(long, dims=("t", "f"), name="a"),
    }


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("name", grids())
def test_grids_keep_names_units_and_coordinates(tmp_path, name, ending):
    source, path = grids()[name], tmp_path / f"out{ending}"
    source.to_netcdf(tmp_path / "in.nc")
    got = data.read(tmp_path / "in.nc", frames=4)
    container = data.Container.from_json(got.container.to_json())
    assert container == got.container
    fresh = got.values + 1
    data.write(path, fresh, container, got.feature_names)
    engine = {"engine": "zarr", "consolidated": False} if ending == ".zarr" else {}
    with xr.open_dataset(path, decode_timedelta=True, **engine) as opened:
        out = opened.load()
    assert out.attrs == ({"title": "Two winds"} if name == "variables" else {})
    for variable in out.data_vars.values():
        assert variable.dtype == np.float32
    if name == "variables":
        assert sorted(out.data_vars) == ["u", "v"]
        assert out["u"].dims == ("sequence", "time")
        assert out["u"].attrs["units"] == "m s-1"
        assert list(out["u"].attrs["valid_range"]) == [0.0, 60.0]
        np.testing.assert_array_equal(out["v"].values, fresh[..., 1].astype(np.float32))
    else:
        (key,) = out.data_vars
        first = {"array": "sequence", "3-D": "member", "no coordinate": "sequence"}[name]
        assert out[key].dims == (first, *source.dims[-2:])
        np.testing.assert_array_equal(out[key].values, fresh.astype(np.float32))
        if name != "no coordinate":
            xr.testing.assert_identical(out["height"].drop_vars("run"), source["height"].drop_vars("run"))
            assert out["run"].item() == 3
            assert out[key].attrs["units"] == "m s-1"
    if name in ("array", "variables"):
        assert out["time"].values.tolist() == [k * 86_400 * 10**9 for k in range(4)]
    back = data.read(path)
    np.testing.assert_array_equal(back.values, fresh.astype(np.float32))
    assert back.feature_names == got.feature_names


def test_an_existing_file_needs_force(tmp_path, hourly):
    arguments = (hourly.values, hourly.container, hourly.feature_names)
    for ending in data.ENDINGS:
        path = tmp_path / f"o{ending}"
        data.write(path, *arguments)
        with pytest.raises(InputError, match="exists already; give force"):
            data.write(path, *arguments)
        data.write(path, hourly.values[:3], *arguments[1:], force=True)
        assert len(data.read(path)) == 3
    (tmp_path / "precious.zarr").mkdir()
    (tmp_path / "precious.zarr" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="is a folder that is not a zarr store; it is not replaced"):
        data.write(tmp_path / "precious.zarr", *arguments, force=True)
    assert (tmp_path / "precious.zarr" / "thesis.txt").exists()
    assert not [name for name in os.listdir(tmp_path) if "part" in name]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "place",
    ["notes.txt", "x/notes.txt", "x/c/0/notes.txt", "x/c/more/0", "mine/", "mine/notes.txt", ".hidden", "x/1.txt"],
)
@pytest.mark.filterwarnings("ignore:.*zarr.*:UserWarning", "ignore:Object at:UserWarning")
def test_force_on_a_zarr_store_deletes_no_file_of_the_user(tmp_path, zarr_format, place):
    store = tmp_path / "o.zarr"
    grid = xr.Dataset({"x": (("n", "t", "f"), np.ones((4, 3, 2)))}, {"t": [0.0, 1.0, 2.0]})
    grid.chunk(n=2).to_zarr(store, zarr_format=zarr_format, consolidated=zarr_format == 2)
    assert foreign_files(store) == []
    if place.endswith("/"):
        (store / place).mkdir()
    else:
        (store / place).parent.mkdir(parents=True, exist_ok=True)
        (store / place).write_text("a year of work")
    assert foreign_files(store) == [place]
    with pytest.raises(InputError, match=rf"{store} holds {place}, which is not part of a zarr store.* Move") as error:
        data.write(store, np.ones((2, 2, 1)), data.Container("array"), ["a"], force=True)
    assert "\n" not in str(error.value)
    assert (store / place).exists()
    assert xr.open_zarr(store, consolidated=False).x.sum() == 24


def test_force_replaces_stores_of_both_formats(tmp_path):
    for zarr_format in (2, 3):
        store = tmp_path / f"{zarr_format}.zarr"
        grid = xr.Dataset({"x": (("n", "t", "f"), np.ones((4, 3, 2))), "scalar": 3.0})
        grid.chunk(n=2).to_zarr(store, zarr_format=zarr_format, consolidated=zarr_format == 2)
        data.write(store, np.ones((5, 2, 1)), data.Container("array"), ["a"], force=True)
        assert data.read(store).values.shape == (5, 2, 1)
    assert sorted(os.listdir(tmp_path)) == ["2.zarr", "3.zarr"]


@pytest.mark.parametrize(
    ("name", "values", "names", "message"),
    [
        ("o.xlsx", np.ones((2, 2, 1)), ["a"], "the ending must be one of"),
        ("none/o.csv", np.ones((2, 2, 1)), ["a"], "does not exist"),
        ("o.csv", np.ones((2, 2)), ["a"], "must have shape"),
        ("o.csv", np.ones((2, 2, 2)), ["a"], "must have shape"),
        ("o.csv", np.full((2, 2, 1), np.nan), ["a"], "must be finite, but 4"),
        ("o.csv", np.ones((2, 2, 1)), ["sequence"], "a feature is named 'sequence'"),
        ("o.nc", np.ones((2, 2, 1)), ["a/b"], None),
    ],
)
def test_what_cannot_be_written(tmp_path, name, values, names, message):
    container = data.Container("table", ".csv")
    if message is None:
        data.write(tmp_path / name, values, container, names)
        assert data.read(tmp_path / name).feature_names == ("a/b",)
        return
    with pytest.raises(InputError, match=message):
        data.write(tmp_path / name, values, container, names)
    assert os.listdir(tmp_path) == []


FULL_DISK = """
import resource, signal
import numpy as np
from kronoscope import data
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
values = np.random.default_rng(0).standard_normal((50, 24, 4))
container, names = data.Container("array"), list("abcd")
for ending in data.ENDINGS:
    data.write("out" + ending, values[:1], container, names)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for ending in data.ENDINGS:
    try:
        data.write("out" + ending, values, container, names, force=True)
    except data.reading.InputError as error:
        print(error)
"""


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    """The limit on the size of files stands in for the disk; every format must report it and keep the old file."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.partition(" cannot be written: ")[0] for line in lines] == [f"out{e}" for e in data.ENDINGS]
    assert done.stderr == ""
    assert sorted(os.listdir(tmp_path)) == sorted(f"out{ending}" for ending in data.ENDINGS)
    for ending in data.ENDINGS:
        assert len(data.read(tmp_path / f"out{ending}")) == 1


def test_an_interrupt_leaves_nothing(tmp_path, hourly, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kronoscope._files._rename", interrupted)
    for ending in data.ENDINGS:
        with pytest.raises(KeyboardInterrupt):
            data.write(tmp_path / f"o{ending}", hourly.values, hourly.container, hourly.feature_names)
    assert os.listdir(tmp_path) == ["hourly.csv"]


def test_a_damaged_record_is_refused():
    for text in ("", "{}", "[1]", '{"kind": "table"}', '{"step": 1, "dims": [], "coords": [], "color": 1}'):
        with pytest.raises(InputError, match="not the record of a data container"):
            data.Container.from_json(text)
