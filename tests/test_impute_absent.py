"""Absent times become rows where they belong; all other bytes, types and attributes stay."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import kronoscope as ks
from kronoscope import data
from kronoscope._errors import InputError
from kronoscope.cli import run

STEP = {"hour": pd.Timedelta("1h"), "day": pd.Timedelta("1D")}
# How a column may write its times, and the step that it can write.
FORMS = {
    "iso": (lambda t: str(t), "hour"),
    "t": (lambda t: t.isoformat(), "hour"),
    "zulu": (lambda t: f"{t.isoformat()}Z", "hour"),
    "offset": (lambda t: f"{t}+05:30", "hour"),
    "slashes": (lambda t: f"{t:%d/%m/%Y %H:%M}", "hour"),
    "day": (lambda t: f"{t:%Y-%m-%d}", "day"),
    "digits": (lambda t: f"{t:%Y%m%d}", "day"),
    "digits with hours": (lambda t: f"{t:%Y%m%d%H}", "hour"),
    "unix": (lambda t: str(int(t.timestamp())), "hour"),
    "unix ms": (lambda t: f"{int(t.timestamp())}000", "hour"),
}


def fill(path, out, numbers, *, frames=4, origin=None, **options):
    """Write ``out`` with ``numbers`` (by feature) in what ``path`` lacks, with blocks of the whole record."""
    opened = data.open_gappy(path, **options)
    grid = data.BlockGrid.of(opened.source.times if origin is None else origin, frames)
    opened = opened.with_absent(grid)
    values = np.broadcast_to(np.asarray(numbers, dtype=np.float64), opened.source.values.shape)
    return opened.write(out, np.array(values))


@st.composite
def long_files(draw):
    """Rows of a text file in some dialect, which of them are absent, and what it looks like with and without them."""
    form, step = FORMS[draw(st.sampled_from(sorted(FORMS)))]
    stations = draw(st.sampled_from([None, ["A"], ["B", "A", "C"]]))
    count = draw(st.integers(14, 24))
    times = [pd.Timestamp("2024-01-15") + k * STEP[step] for k in range(count)]
    keys = [(t, s) for t in times for s in stations or [""]]
    order = draw(st.sampled_from(["time", "backwards", "station"]))
    keys.sort(key={"time": lambda k: k[0], "backwards": lambda k: -k[0].value, "station": lambda k: k[1]}[order])
    if stations and order == "station":
        keys.sort(key=lambda k: stations.index(k[1]))
    inner = [k for k in range(len(keys)) if keys[k][0] not in (times[0], times[-1])]
    inner = [k for k in inner if times.index(keys[k][0]) not in (1, 2, 3)]  # enough rows to see the step by
    absent = draw(st.sets(st.sampled_from(inner), min_size=1, max_size=len(inner) // 3))
    separator, decimal = draw(st.sampled_from([(",", "."), (";", ","), ("\t", ".")]))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    quoted = draw(st.booleans())
    start, end = draw(st.sampled_from(["", "\ufeff"])), draw(st.sampled_from(["", newline]))

    def line(cells):
        return separator.join(f'"{cell}"' if quoted else cell for cell in cells)

    def row(k, filled):
        t, s = keys[k]
        value = "7.2" if filled else f"{(k * 37) % 91 / 10:.1f}"
        note = "" if filled else f"row {k}"
        cells = ["fixed", form(t), note, value.replace(".", decimal), *([s] if stations else [])]
        return line(cells)

    header = line(["place", "when", "remark", "x", *(["station"] if stations else [])])
    full = newline.join([header, *(row(k, k in absent) for k in range(len(keys)))])
    gaps = newline.join([header, *(row(k, False) for k in range(len(keys)) if k not in absent)])
    options = {"time": "when", "columns": ["x"], "pivot": "station" if stations else None}
    return (start + gaps + end).encode(), (start + full + end).encode(), len(absent), options


@settings(max_examples=60, deadline=None, derandomize=True)
@given(long_files())
def test_absent_times_become_rows_in_their_place(tmp_path_factory, file):
    before, after, count, options = file
    folder = tmp_path_factory.mktemp("absent")
    (folder / "a.csv").write_bytes(before)
    filled = fill(folder / "a.csv", folder / "b.csv", 7.24, **options)
    assert (folder / "b.csv").read_bytes().decode() == after.decode()
    assert filled.number == count
    assert filled.notes == (f"{count} row{'s' if count > 1 else ''} added for times that were absent.",)


def hourly(rows, **columns):
    return pd.DataFrame({"when": pd.date_range("2024-01-01", periods=rows, freq="h"), **columns})


def test_gaps_and_absent_rows_of_a_packed_file_at_once(tmp_path):
    table = hourly(12, x=np.arange(12.0), y=range(12)).astype({"x": object})
    table.loc[4, "x"] = ""
    with gzip.open(tmp_path / "a.csv.gz", "wb") as file:
        file.write(table.drop(index=[5, 6, 9]).to_csv(index=False).encode())
    filled = fill(tmp_path / "a.csv.gz", tmp_path / "b.csv.gz", [1.5, 2.7], time="when")
    for row in (5, 6, 9):
        table.loc[row, ["x", "y"]] = 2.0, 3  # whole numbers stay whole
    table.loc[4, "x"] = 2.0
    assert gzip.decompress((tmp_path / "b.csv.gz").read_bytes()) == table.to_csv(index=False).encode()
    assert filled.number == 7


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_frames_that_sequences_lack_become_rows_too(tmp_path, ending):
    keys = {"sequence": np.repeat(["b", "a", "c"], 6), "frame": np.tile(range(6), 3), "site": np.repeat(list("xyz"), 6)}
    table = pd.DataFrame({**keys, "n": range(18), "x": np.arange(18) / 4, "note": "w"})
    table["note"] += table["frame"].astype(str)
    path, out = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    part = table.drop(index=[2, 3, 13, 17])  # the last one is not between two others
    part.to_csv(path, index=False) if ending == ".csv" else part.to_parquet(path, index=False)
    opened = data.open_gappy(path, columns=["n", "x"]).with_absent_frames()
    filled = opened.write(out, np.broadcast_to([7.6, 1.25], opened.source.values.shape))
    table.loc[[2, 3, 13], ["n", "x", "note"]] = 8, 1.25, None
    expected = table.drop(index=17).reset_index(drop=True)
    if ending == ".csv":
        assert out.read_text() == expected.to_csv(index=False)
    else:
        pd.testing.assert_frame_equal(pd.read_parquet(out), expected)
    assert filled.number == 6


def test_rows_of_a_file_in_no_order_stand_after_the_one_before_them(tmp_path):
    lines = ["when,x", *(f"2024-01-01 {h:02d}:00,{h}.5" for h in (3, 1, 0, 2, 8, 6, 4, 9))]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    fill(tmp_path / "a.csv", tmp_path / "b.csv", 7.25, time="when")
    expected = [*lines[:7], "2024-01-01 07:00,7.2", lines[7], "2024-01-01 05:00,7.2", lines[8]]
    assert (tmp_path / "b.csv").read_text().splitlines() == expected


def test_years_between_two_campaigns_stay_absent(tmp_path):
    table = hourly(24 * 400, x=0.5)
    part = table.drop(index=[5, 30, *range(40, 24 * 398), 24 * 398 + 7])
    part.to_csv(tmp_path / "a.csv", index=False)
    opened = data.open_gappy(tmp_path / "a.csv", time="when")
    opened = opened.with_absent(data.BlockGrid.of(opened.source.times, 24))
    assert opened.source.notes == ("396 blocks without any row not filled in, because they would be most of the file.",)
    opened.write(tmp_path / "b.csv", np.full(opened.source.values.shape, 0.5))
    written = pd.read_csv(tmp_path / "b.csv", parse_dates=["when"])["when"]
    assert written.tolist() == table["when"].drop(index=range(48, 24 * 398)).tolist()


@pytest.mark.parametrize(("calendar", "left"), [("none", 2), ("day", 5)])
def test_days_on_which_clocks_change_keep_what_they_have(tmp_path, calendar, left):
    stamps = pd.date_range("2024-10-01 04:00", "2024-11-10 04:00", freq="h", tz="UTC").tz_convert("America/New_York")
    table = pd.DataFrame({"when": stamps.tz_localize(None), "x": 0.5})
    day = stamps.strftime("%m-%d %H")
    gone = day.isin(["10-05 07", "11-02 23", "11-03 15", "11-03 16", "11-03 04"]) | (day == "11-03 01")
    first_of_two = np.flatnonzero(day == "11-03 01")[0]
    gone[first_of_two] = False  # the clock shows 01:00 twice: one row is there, and no one can say which
    table[~gone].to_csv(tmp_path / "a.csv", index=False)
    opened = data.open_gappy(tmp_path / "a.csv", time="when", timezone="America/New_York")
    opened = opened.with_absent(data.BlockGrid.of(opened.source.times, 24, calendar, True))
    note = f"{left} times without a row not added, because the clocks change on these days."
    assert opened.source.notes[-1] == note
    opened.write(tmp_path / "b.csv", np.full(opened.source.values.shape, 0.5))
    written = pd.read_csv(tmp_path / "b.csv", parse_dates=["when"])["when"]
    expected = table["when"][(day != "11-03 01") | ~gone] if calendar == "none" else table["when"][~gone | ~odd(stamps)]
    assert written.tolist() == expected.tolist()


def odd(stamps):
    return (stamps.month == 11) & (stamps.day == 3)


def test_columns_apart_by_blanks_stay_in_line(tmp_path):
    lines = ["  n   when    x note", *(f"{h:3d} {20240100 + h} {h / 2:4.1f} w{h}" for h in range(1, 10))]
    text = "\n".join(lines) + "\n"
    (tmp_path / "a.csv").write_text(text.replace(lines[5] + "\n", ""))
    options = {"time": "when", "columns": ["x"], "text": data.CsvOptions.checked(separator=" ")}
    fill(tmp_path / "a.csv", tmp_path / "b.csv", 7.24, **options)
    assert (tmp_path / "b.csv").read_text() == text.replace(lines[5], "NaN 20240105  7.2 NaN")


@pytest.mark.parametrize("index", ["column", "index", "range"])
def test_parquet_gets_rows_and_keeps_its_schema(tmp_path, index):
    kinds = {"n": "Int64", "site": "category", "f": "float32"}
    table = hourly(20, x=np.arange(20) / 4, n=range(20), f=0.5, site="A", other=np.arange(20.0)).astype(kinds)
    table["when"] = table["when"].dt.tz_localize("Europe/Berlin")
    if index == "index":
        table = table.set_index("when")
    part = table.drop(index=table.index[[4, 5, 11]])
    part = part.reset_index(drop=True) if index == "range" else part
    path, out = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.Table.from_pandas(part), path, row_group_size=6, compression="zstd")
    fill(path, out, [1 / 3, 2.7, 0.25], time="when", columns=["x", "n", "f"])
    expected = table.copy() if index != "range" else table.reset_index(drop=True)
    rows = expected.index[[4, 5, 11]]
    expected.loc[rows, ["x", "n", "f", "other"]] = 1 / 3, 3, 0.25, np.nan
    got = pd.read_parquet(out)
    if index == "column":  # a row's number in the source is a column of the file, too
        assert got.index.isna().sum() == 3
        got, expected = got.reset_index(drop=True), expected.reset_index(drop=True)
    pd.testing.assert_frame_equal(got, expected, check_freq=False, check_categorical=False)
    before, after = pq.read_schema(path), pq.read_schema(out)
    assert after.equals(before)
    noted = [json.loads(schema.metadata[b"pandas"]) for schema in (before, after)]
    if index == "range":
        assert noted[1]["index_columns"][0]["stop"] == 20
        noted[0]["index_columns"][0]["stop"] = 20
    assert noted[1] == noted[0]
    groups = [pq.ParquetFile(p).metadata.num_row_groups for p in (path, out)]
    assert groups[0] == groups[1]


ENCODING = {"x": {"dtype": "int16", "scale_factor": 0.01, "add_offset": 1.0, "_FillValue": np.int16(-32767)}}


def grid(hours):
    rng = np.random.default_rng(0)
    variables = {
        "x": (("time",), rng.normal(size=24), {"units": "m"}),
        "y": (("time",), rng.normal(size=24).astype("f4"), {"long_name": "other"}),
        "flag": (("time",), np.arange(24, dtype="i4"), {"_FillValue": np.int32(-1)}),
        "fixed": (("time",), np.full(24, 3, dtype="i2")),
        "bounds": (("time", "two"), rng.normal(size=(24, 2))),
        "name": (("site",), np.array([b"AAA", b"BB"], dtype="S3")),
    }
    stamps = pd.date_range("2024-01-01", periods=24, freq="h")
    return xr.Dataset(variables, {"time": stamps}, {"title": "made up"}).isel(time=hours)


@pytest.mark.parametrize("kind", ["hdf5", "classic", "zarr2", "zarr3"])
def test_grids_get_times_and_keep_their_encodings(tmp_path, kind):
    present = np.setdiff1d(np.arange(24), [6, 7, 15])
    names = {"hdf5": ("nc", "h5netcdf"), "classic": ("nc", "scipy")}
    ending, engine = names.get(kind, ("zarr", "zarr"))
    path, out = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    opening = {"engine": engine, **({"consolidated": False} if engine == "zarr" else {}), "decode_cf": False}
    if engine == "zarr":
        encoding = {"x": ENCODING["x"] | {"chunks": (5,)}}
        content = grid(present).drop_vars("name")
        content.to_zarr(path, encoding=encoding, consolidated=False, zarr_format=int(kind[-1]))
    else:
        encoding = {"x": ENCODING["x"] | ({"zlib": True, "chunksizes": (5,)} if kind == "hdf5" else {})}
        encoding["y"] = {"_FillValue": None}  # must not get a mark that it does not have
        grid(present).to_netcdf(path, engine=engine, encoding=encoding, unlimited_dims=["time"])
    fill(path, out, [0.5, 2.25], columns=["x", "y"])
    before, after, whole = (xr.open_dataset(p, **opening) for p in (path, out, path))
    assert after.sizes["time"] == 24
    assert after.attrs == before.attrs
    assert after.encoding.get("unlimited_dims") == before.encoding.get("unlimited_dims")
    assert set(after.variables) == set(before.variables)
    for name, variable in whole.variables.items():
        new = after.variables[name]
        assert (new.dtype, new.dims, str(new.attrs)) == (variable.dtype, variable.dims, str(variable.attrs)), name
        kept = [
            {k: str(v) for k, v in one.encoding.items() if k not in ("source", "original_shape")}
            for one in (variable, new)
        ]
        assert kept[0] == kept[1], name
        old_part = new.values[present] if "time" in new.dims else new.values
        assert np.array_equal(old_part, variable.values), name
    decoded = xr.decode_cf(after)
    assert (decoded["time"].values == grid(np.arange(24))["time"].values).all()
    added = decoded.isel(time=[6, 7, 15])
    assert np.allclose(added["x"], 0.5)
    assert (added["y"] == 2.25).all()
    assert added["flag"].isnull().all()
    assert (added["fixed"] == 3).all()
    assert added["bounds"].isnull().all()


def test_one_variable_over_time_and_features_gets_times_too(tmp_path):
    x = np.random.default_rng(0).normal(size=(24, 3))
    whole = xr.DataArray(x, dims=("time", "f"), coords={"time": np.arange(24) * 0.1, "f": ["a", "b", "c"]}, name="v")
    whole.isel(time=np.setdiff1d(np.arange(24), [7, 8])).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    fill(tmp_path / "a.nc", tmp_path / "b.nc", [1.0, 3.0], columns=["a", "c"])
    got = xr.load_dataset(tmp_path / "b.nc", engine="h5netcdf")["v"]
    assert np.allclose(got["time"], whole["time"], atol=1e-12)
    assert np.array_equal(got.values[7], [1.0, np.nan, 3.0], equal_nan=True)
    assert np.array_equal(np.delete(got.values, [7, 8], axis=0), np.delete(x, [7, 8], axis=0))


def test_groups_beside_absent_times_are_refused_and_nothing_is_written(tmp_path):
    grid(np.setdiff1d(np.arange(24), [6])).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    grid(np.arange(4)).to_netcdf(tmp_path / "a.nc", engine="h5netcdf", group="more", mode="a")
    with pytest.raises(InputError, match="group 'more'"):
        fill(tmp_path / "a.nc", tmp_path / "b.nc", 1.0, columns=["x"])
    assert not (tmp_path / "b.nc").exists()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    table = hourly(8 * 50, x=(20 + rng.normal(size=400).cumsum() / 4).round(2), n=rng.integers(0, 9, 400))
    table.to_csv(folder / "full.csv", index=False)
    told = ["--time", "when", "--frames", "8", "--network", "unrolled", "--max-steps", "20", "--limits", "x=-90:90"]
    assert run(["fit", str(folder / "full.csv"), "--out", str(folder / "run"), *told, "-q"]) == 0
    return folder, table


def test_impute_fills_all_that_fit_called_missing(fitted, tmp_path, capsys):
    folder, table = fitted
    gappy = table.copy()
    gappy.loc[[30, 31], "x"] = -999.0
    gappy = gappy.drop(index=[50, 51, *range(100, 120)])  # the second gap holds a whole block
    gappy.to_csv(tmp_path / "gaps.csv", index=False)
    out = tmp_path / "full.csv"
    assert run(["impute", str(folder / "run"), str(tmp_path / "gaps.csv"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "22 rows added for times that were absent" in said
    assert "blocks hold no observed value: filled with the mean of the run" in said
    got = pd.read_csv(out, parse_dates=["when"])
    assert (got["when"] == table["when"]).all()
    changed = np.flatnonzero((got[["x", "n"]] != table[["x", "n"]]).any(axis=1))
    assert set(changed) <= {30, 31, 50, 51, *range(100, 120)}
    assert got["n"].dtype == "int64"
    model = ks.load(folder / "run")
    block = table[["x", "n"]].to_numpy(dtype=float)[48:56]
    block[2:4] = np.nan
    mean = model.condition_on(np.isfinite(block), block).mean
    assert np.allclose(got["x"][50:52], mean[2:4, 0], atol=0.005 + 1e-12)  # two decimals, as the column has
    assert run(["impute", str(folder / "run"), str(out), "--out", str(tmp_path / "again.csv")]) == 2
    assert "no value is missing" in capsys.readouterr().err
