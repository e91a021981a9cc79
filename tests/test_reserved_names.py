"""Names that generated files use themselves are refused before anything is learnt, with the way out that works."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_cli import refused

import kronoscope as ks
from kronoscope import data
from kronoscope._errors import InputError
from kronoscope.cli import run
from kronoscope.data.tables import OFFSETS

STAMPS = pd.date_range("2024-01-01", periods=160, freq="h")
VALUES = np.random.default_rng(0).normal(size=(160, 2)).cumsum(axis=0)


def table(name):
    return pd.DataFrame({"time": STAMPS, name: VALUES[:, 0], "speed": VALUES[:, 1]})


@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("ending", [".csv", ".parquet", ".nc", ".zarr"])
def test_a_feature_with_a_name_of_generated_tables_is_refused(tmp_path, name, ending):
    path = tmp_path / f"x{ending}"
    options = {"time": "time"} if ending in (".csv", ".parquet") else {}
    if options:
        table(name).to_csv(path, index=False) if ending == ".csv" else table(name).to_parquet(path)
    else:
        grid = table(name).set_index("time").to_xarray()
        grid.to_netcdf(path, engine="h5netcdf") if ending == ".nc" else grid.to_zarr(path, consolidated=False)
    with pytest.raises(InputError, match=f"'{name}'.*rename it.*--columns speed"):
        data.read(path, frames=8, **options)
    assert data.read(path, frames=8, columns=["speed"], **options).feature_names == ("speed",)


@pytest.mark.parametrize("step", [None, 0.5, *(pd.Timedelta(s) for s in ("1D", "1h", "15min", "10s", "20ms"))])
@pytest.mark.parametrize("dated", [False, True])
def test_every_column_that_writing_adds_is_refused_as_a_feature(tmp_path, step, dated):
    container = data.Container("table", ".csv", time_name="when", step=step)
    starts = STAMPS[:3] if dated and step is not None else None
    data.write(tmp_path / "x.csv", VALUES[:24].reshape(3, 8, 2), container, ["a", "b"], starts=starts)
    added = [name for name in pd.read_csv(tmp_path / "x.csv").columns if name not in ("a", "b")]
    assert len(added) >= 2
    from kronoscope.data.names import check_names

    for name in added:
        source = data.Source(VALUES, (name, "b"), container, (name, "b"))
        with pytest.raises(InputError, match=name):
            check_names(source)


def test_fit_refuses_before_it_trains_and_the_way_out_works(tmp_path, capsys):
    path, out = tmp_path / "x.csv", tmp_path / "run"
    table("offset_hours").to_csv(path, index=False)
    told = ["fit", path, "--out", out, "--time", "time", "--frames", 8, "--max-steps", 1]
    refused(capsys, told, "'offset_hours'", "--columns speed")
    assert not out.exists()
    assert run([str(word) for word in [*told, "--columns", "speed", "-q"]]) == 0
    assert run(["sample", str(out), "-n", "3", "--out", str(tmp_path / "s.csv"), "-q"]) == 0
    assert data.read(tmp_path / "s.csv").feature_names == ("speed",)


def test_a_pivoted_name_and_a_column_of_times_are_checked_too(tmp_path):
    long = pd.DataFrame({"time": STAMPS.repeat(2), "unit": ["hours", "x"] * 160, "offset": VALUES.ravel()})
    long.to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(InputError, match="'offset_hours'"):
        data.read(tmp_path / "long.csv", time="time", pivot="unit", frames=8)
    for name in ("mean", "value", "offset", "feature"):
        table("a").rename(columns={"time": name}).to_csv(tmp_path / "time.csv", index=False)
        with pytest.raises(InputError, match=f"column of times cannot be called '{name}'"):
            data.read(tmp_path / "time.csv", time=name, frames=8)
    numbers = table("a").assign(frame=np.arange(160.0)).drop(columns="time")
    numbers.to_csv(tmp_path / "numbers.csv", index=False)  # numbers called frame stand beside no other column
    assert data.read(tmp_path / "numbers.csv", time="frame", frames=8).feature_names == ("a", "speed")


def array(**options):
    coords = {"time": STAMPS, **options.pop("coords", {})}
    return xr.DataArray(VALUES, coords, ("time", "f"), **options)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (array(name="sequence"), "a variable cannot be called 'sequence'"),
        (array(name="time"), r"called 'time'.*x.rename"),
        (array(coords={"sequence": 3}), "a coordinate cannot be called 'sequence'"),
        (array(coords={"sequence": ("f", [1, 2])}), "a coordinate cannot be called 'sequence'"),
        (array(coords={"f": ["frame", "speed"]}), "feature cannot be called 'frame'"),
        (array(coords={"f": ["time", "speed"]}), "feature cannot be called 'time'"),
        (table("sequence").set_index("time").to_xarray(), "feature cannot be called 'sequence'"),
        (table("offset").set_index("time").to_xarray(), "feature cannot be called 'offset'"),
    ],
)
def test_xarray_objects_are_checked_too(x, says):
    with pytest.raises(InputError, match=says) as refusal:
        ks.fit(x, frames=8)
    assert "--columns" not in str(refusal.value)  # ks.fit has no such option


def test_a_table_of_sequences_says_once_where_a_row_stands(tmp_path):
    path = tmp_path / "s.csv"
    rows = pd.DataFrame({"sequence": np.repeat(range(20), 8), "frame": np.tile(range(8), 20), "speed": VALUES[:, 0]})
    rows.to_csv(path, index=False)
    assert data.read(path).values.shape == (20, 8, 1)
    rows.assign(offset=VALUES[:, 1]).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"both 'frame' and 'offset' .*rename"):
        data.read(path)
    rows.drop(columns="frame").assign(offset=VALUES[:, 1]).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"'offset' says where a row stands.*rename"):
        data.read(path)
    pd.DataFrame({"sequence": VALUES[:, 0], "speed": VALUES[:, 1]}).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"every row has another value in the column 'sequence'.*rename"):
        data.read(path)
