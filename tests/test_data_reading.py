"""Every format and table shape by the front door, and hostile files: one clear line, nothing else."""

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kronoscope import data
from kronoscope._errors import InputError
from kronoscope.data import limits

X = np.random.default_rng(0).standard_normal((6, 5, 3))


def refused(message, path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=message) as caught:
            data.read(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def csv(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_arrays_are_taken_as_they_are(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    np.savez(tmp_path / "x.npz", weather=X)
    single = data.read(tmp_path / "x.npy", frames=5)
    np.testing.assert_array_equal(single.values, X.astype(np.float32))
    assert (single.container.dtype, single.starts, single.consecutive) == ("float32", None, False)
    assert single.feature_names == ("feature_0", "feature_1", "feature_2")
    assert data.read(tmp_path / "x.npz").container.key == "weather"
    np.save(tmp_path / "long.npy", X.reshape(-1, 3)[:28])
    cut = data.read(tmp_path / "long.npy", frames=5)
    np.testing.assert_array_equal(cut.values, X[:5])
    assert cut.consecutive
    assert cut.notes == ("3 rows at the end left out: too few for a block of 5.",)


def test_sequences_with_missing_values_are_left_out_and_counted(tmp_path):
    holey = X.copy()
    holey[2, 1, 0] = np.nan
    np.save(tmp_path / "x.npy", holey)
    got = data.read(tmp_path / "x.npy")
    np.testing.assert_array_equal(got.values, X[[0, 1, 3, 4, 5]])
    assert got.notes == ("1 of 6 sequences left out: missing values (feature_0 in 1).",)


def test_arrays_in_memory():
    got = data.from_array(torch.from_numpy(X).float())
    np.testing.assert_array_equal(got.values, X.astype(np.float32))
    array = xr.DataArray(X, dims=("case", "time", "site"), coords={"site": ["a", "b", "c"]}, attrs={"units": "m/s"})
    got = data.from_array(array)
    assert got.feature_names == ("a", "b", "c")
    xr.testing.assert_identical(data.to_array(got.values, got.container, got.feature_names), array)
    assert len(data.from_array(X.reshape(-1, 3), frames=10)) == 3
    with pytest.raises(TypeError, match="got list"):
        data.from_array(X.tolist())
    with pytest.raises(InputError, match="needs frames="):
        data.from_array(X.reshape(-1, 3))


def test_columns_choose_and_order(tmp_path):
    path = csv(tmp_path, "a,b,name\n1,5,x\n2,6,y\n3,7,z\n4,8,w\n")
    got = data.read(path, columns=["b", "a"], frames=2)
    np.testing.assert_array_equal(got.values, [[[5, 1], [6, 2]], [[7, 3], [8, 4]]])
    refused("'name' does not hold numbers .'x' in row 1.; choose .* columns= .--columns a,b.", path, frames=2)
    refused("no column 'c'; there are a, b, name", path, columns=["c"], frames=2)
    refused("columns must be a list", path, columns="ab", frames=2)
    refused("'a' occurs more than once", path, columns=["a", "a"], frames=2)
    refused("cannot be a feature", path, columns=["a"], time="a", frames=2)


def test_pivot_orders_columns_then_sorted_values(tmp_path):
    path = csv(tmp_path, "t,site,u,v\n0,10,1,2\n0,9,3,4\n1,9,7,8\n1,10,5,6\n2,9,9,9\n")
    got = data.read(path, time="t", pivot="site", frames=2)
    assert got.feature_names == ("u_9", "u_10", "v_9", "v_10")
    np.testing.assert_array_equal(got.values, [[[3, 1, 4, 2], [7, 5, 8, 6]]])
    assert got.starts.tolist() == [0]
    limited = csv(tmp_path, "t,site,u\n" + "".join(f"{t},{s},{t + 10 * (s == 1)}\n" for t in range(4) for s in (0, 1)))
    got = data.read(limited, time="t", pivot="site", frames=2, limits={"u": (0, 12)})
    assert got.starts.tolist() == [0]
    assert "1 value of u outside its limits 0 to 12 taken as missing (the furthest: 13 in u_1 at 3.0)" in got.notes[0]
    twice = csv(tmp_path, "t,site,u\n0,a,1\n0,a,2\n1,a,3\n")
    refused("the time 0.0 occurs more than once for site = a", twice, time="t", pivot="site", frames=2)
    refused("pivot needs time=", twice, pivot="site", frames=2)
    refused("pivot column 'site' is empty in row 2", csv(tmp_path, "t,site,u\n0,a,1\n0,,2\n"), time="t", pivot="site")


def test_a_sequence_column_makes_sequences(tmp_path):
    path = csv(tmp_path, "sequence,offset_minutes,a\n7,0,1\n3,30,4\n3,0,3\n7,30,2\n")
    got = data.read(path)
    assert got.feature_names == ("a",)
    np.testing.assert_array_equal(got.values[..., 0], [[1, 2], [3, 4]])
    assert got.step == pd.Timedelta("30min")
    refused("frames is 4, but the sequences have 2", path, frames=4)
    refused("sequence 0 has 2 and sequence 1 has 1", csv(tmp_path, "sequence,a\n0,1\n0,2\n1,3\n"))
    refused("must be the same in all sequences", csv(tmp_path, "sequence,frame,a\n0,0,1\n0,1,1\n1,0,1\n1,2,1\n"))


def test_index_columns_and_byte_order_marks(tmp_path):
    pd.DataFrame({"a": [1.0, 2, 3, 4]}).to_csv(tmp_path / "i.csv")
    got = data.read(tmp_path / "i.csv", frames=2)
    assert got.feature_names == ("a",)
    assert got.notes == ("1 column without a name left out.",)
    assert data.read(csv(tmp_path, "\ufeffa\n1\n2\n"), frames=2).feature_names == ("a",)
    indexed = pd.DataFrame({"a": np.arange(4.0)}, index=pd.date_range("2020", periods=4, freq="D", name="day"))
    indexed.to_parquet(tmp_path / "p.parquet")
    assert data.read(tmp_path / "p.parquet", time="day", frames=2).starts[1] == pd.Timestamp("2020-01-03")


def test_outliers_are_pointed_out_and_kept(tmp_path):
    values = np.random.default_rng(0).standard_normal((50, 4, 2))
    values[7, 2, 1] = 1e4
    np.save(tmp_path / "x.npy", values)
    got = data.read(tmp_path / "x.npy")
    assert len(got) == 50
    assert got.notes[0].startswith("Warning: 1 value of feature_1 more than 20 interquartile ranges")
    assert "10000 in frame 2 of sequence 7" in got.notes[0]
    assert "--limits feature_1=LOW:HIGH" in got.notes[0]
    assert len(data.read(tmp_path / "x.npy", limits={"feature_1": (-10, 10)})) == 49


def test_limits_of_the_command_line():
    assert data.parse_limits(["a=b=0:1.5", "c=:2"]) == {"a=b": (0.0, 1.5), "c": (-math.inf, 2.0)}
    for bad in ("a", "a=1", "=0:1", "a=x:1"):
        with pytest.raises(InputError, match="NAME=LOW:HIGH"):
            data.parse_limits([bad])
    with pytest.raises(InputError, match="given twice"):
        data.parse_limits(["a=0:1", "a=0:2"])


TIMES = pd.date_range("2020-01-01", periods=12, freq="6h")


def grid_sources():
    """A grid, its options, and the values and features that it must give."""
    x = X.reshape(-1, 3)[:12]
    label = {"site": ["a", "b", "c"]}
    stamped = {"time": TIMES}
    flat = {name: ("time", x[:, j]) for j, name in enumerate("abc")}
    pairs = {name: (("case", "time"), X[..., j]) for j, name in enumerate("abc")}
    dates = {"day": pd.date_range("2020-03-01", periods=6), **label}
    return {
        "3-D": (xr.DataArray(X, dims=("case", "time", "site"), coords=label, name="u"), {}, X),
        "3-D, dated": (xr.DataArray(X, dims=("day", "hour", "site"), coords=dates), {"frames": 5}, X),
        "long": (
            xr.DataArray(x, dims=("time", "site"), coords=stamped | label, name="u"),
            {"frames": 4},
            x.reshape(3, 4, 3),
        ),
        "long variables": (xr.Dataset(flat, stamped, {"title": "t"}), {"frames": 4}, x.reshape(3, 4, 3)),
        "variables": (xr.Dataset(pairs), {}, X),
        "one variable": (xr.Dataset({"a": (("case", "time"), X[..., 0])}), {}, X[..., :1]),
    }


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("name", grid_sources())
def test_grids(tmp_path, name, ending):
    grid, options, want = grid_sources()[name]
    path = tmp_path / f"g{ending}"
    grid.to_netcdf(path) if ending == ".nc" else grid.to_zarr(path, zarr_format=2)
    got = data.read(path, **options)
    np.testing.assert_array_equal(got.values, want)
    assert got.feature_names == tuple("abc")[: want.shape[2]]
    if name.startswith("long"):
        assert got.step == pd.Timedelta("6h")
        assert (got.starts == TIMES[::4]).all()
    if name == "3-D, dated":
        assert (got.starts == grid.day.to_index()).all()
    if want.shape[2] == 3:
        some = data.read(path, columns=["c", "a"], **options)
        np.testing.assert_array_equal(some.values, want[..., [2, 0]])


def test_bad_grids(tmp_path):
    def nc(dataset):
        dataset.to_netcdf(tmp_path / "g.nc")
        return tmp_path / "g.nc"

    x = X[0]
    refused(
        "the time 2020-01-01 00:00:00 occurs more than once",
        nc(xr.Dataset({"a": ("time", np.arange(3.0))}, {"time": TIMES[[0, 1, 0]]})),
        frames=2,
    )
    refused("one long series needs frames=", nc(xr.Dataset({"a": (("time", "lat", "lon"), X)})))
    refused(
        r"choose one of them with columns= .--columns a.",
        nc(xr.Dataset({"a": (("time", "site"), x), "b": (("time", "site"), x)})),
        frames=2,
    )
    refused(
        "'a' and 'b' have different dimensions; choose",
        nc(xr.Dataset({"a": ("time", x[0]), "b": (("time", "site"), X[0][:3])})),
        frames=2,
    )
    refused("not an array of real numbers", nc(xr.Dataset({"a": ("time", ["x", "y"])})), frames=2)
    refused("there is no variable in it", nc(xr.Dataset()))
    refused("pivot does not apply", nc(xr.Dataset({"a": ("time", x[0])})), pivot="a", frames=2)
    refused("'a' is infinite at index .1,.", nc(xr.Dataset({"a": ("time", [0, np.inf])})), frames=2)
    refused("1 to 3 dimensions", nc(xr.Dataset({"a": (("p", "q", "r", "s"), X[None])})))
    refused("time names 'tide', but", nc(xr.Dataset({"a": ("time", x[0])})), frames=2, time="tide")
    refused("there is no feature 'z'; there are feature_0", nc(xr.Dataset({"a": (("k", "t", "s"), X)})), columns=["z"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("a,b\n", "the table is empty"),
        ("a,a\n1,2\n", "the column 'a' occurs more than once"),
        ("a,b\n1,2\n3,4,5\n", "row 2 has 3 fields, but the header has 2 .a, b."),
        ("a,b\n1,2,3\n4,5,6\n", "row 1 has 3 fields"),
        ("a,b\n1,inf\n", "'b' is infinite in row 1"),
        ("a,b\n1,\n2,\n", "'b' is empty"),
        ("a,b\n1,true\n2,false\n", "'b' does not hold numbers"),
        ("a,b\n1,2j\n2,3j\n", "'b' does not hold numbers"),
        ("a\n1\n1_000\n3\n", "'a' does not hold numbers .'1_000' in row 2."),
        (b"a,b\n1,\xff\xfe\n", "'b' does not hold numbers"),
        (b"\x00\x01\x02\x03", "t.csv"),
        ("a\n1\n", "1 row are? too few|too few"),
    ],
)
def test_hostile_tables(tmp_path, text, message):
    refused(message, csv(tmp_path, text), frames=2)


def test_hostile_paths_and_arrays(tmp_path):
    refused("the file does not exist", tmp_path / "none.csv")
    refused(
        "the ending must be one of .csv, .csv.gz, .parquet, .npy, .npz, .nc, .zarr, got '.xlsx'", tmp_path / "a.xlsx"
    )
    (tmp_path / "folder.csv").mkdir()
    refused("this is a folder", tmp_path / "folder.csv")
    (tmp_path / "empty.zarr").mkdir()
    refused("cannot be read as .zarr", tmp_path / "empty.zarr")
    refused("must be a folder", csv(tmp_path, "x", "file.zarr"))
    for name, array, message in [
        ("object", np.array([{}], dtype=object), "cannot be read as .npy: Object arrays"),
        ("text", np.array([["a"]]), "must hold real numbers"),
        ("complex", X + 1j, "must hold real numbers, got complex128"),
        ("flat", X[0, 0], "shape .n, N, d., or .T, d."),
        ("empty", X[:0], "the array is empty"),
        ("infinite", np.where(X > 2, np.inf, X), "infinite at index"),
        ("missing", X * np.nan, "no sequence is complete"),
    ]:
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
        refused(message, tmp_path / f"{name}.npy")
    np.savez(tmp_path / "two.npz", a=X, b=X)
    refused("must hold one array, but this has a, b", tmp_path / "two.npz")
    np.save(tmp_path / "x.npy", X)
    refused("time does not apply to .npy files", tmp_path / "x.npy", time="t")
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    refused("not .npz but an .npy file", tmp_path / "x.npz")


def test_a_variable_measured_in_hours_is_a_number(tmp_path):
    hours = xr.Dataset({"sun": ("time", np.arange(8.0), {"units": "hours"})}, {"time": TIMES[:8]})
    hours.to_netcdf(tmp_path / "g.nc")
    got = data.read(tmp_path / "g.nc", frames=4)
    np.testing.assert_array_equal(got.values.ravel(), np.arange(8))
    assert got.container.variable_attrs["sun"] == {"units": "hours"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_damaged_files_give_one_line_or_sequences(tmp_path, choice):
    """Truncated and overwritten files of every binary format never show another library's exception."""
    sources = {
        ".npy": lambda p: np.save(p, X),
        ".npz": lambda p: np.savez(p, x=X),
        ".nc": lambda p: xr.DataArray(X, dims=("s", "time", "f"), name="u").to_netcdf(p),
        ".parquet": lambda p: pd.DataFrame(X.reshape(-1, 3), columns=list("abc")).to_parquet(p),
        ".csv": lambda p: pd.DataFrame(X.reshape(-1, 3), columns=list("abc")).to_csv(p, index=False),
    }
    ending = choice.draw(st.sampled_from(sorted(sources)))
    whole = tmp_path / f"whole{ending}"
    if not whole.exists():
        sources[ending](whole)
    content = bytearray(whole.read_bytes())
    if choice.draw(st.booleans()):
        content = content[: choice.draw(st.integers(0, len(content) - 1))]
    else:
        at = choice.draw(st.integers(0, min(len(content), 600) - 1))
        content[at : at + 3] = choice.draw(st.binary(min_size=3, max_size=3))
    path = tmp_path / f"damaged{ending}"
    path.write_bytes(content)
    try:
        got = data.read(path, frames=None if ending[1] == "n" else 5)
    except InputError as refusal:
        lines = str(refusal).splitlines()
    else:
        lines = ["no error"]
        assert np.isfinite(got.values).all()
    assert len(lines) == 1


CELLS = st.one_of(
    st.floats().map(str), st.sampled_from(["", "NA", "x", "2020-01-01", "2020-03-10T02:30", "1e400", '"', "é", "\x00"])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6),
    options=st.fixed_dictionaries(
        {"frames": st.integers(1, 3)},
        optional={
            "time": st.sampled_from(["a", "b", "z"]),
            "pivot": st.just("b"),
            "timezone": st.sampled_from([NEW_YORK := "America/New_York", "nowhere"]),
            "columns": st.just(["c"]),
            "calendar": st.sampled_from(["auto", "day"]),
        },
    ),
)
def test_any_small_table_gives_one_line_or_sequences(tmp_path, rows, options):
    path = csv(tmp_path, "a,b,c\n" + "\n".join(",".join(row) for row in rows))
    try:
        got = data.read(path, **options)
    except InputError as refusal:
        lines = str(refusal).splitlines()
    else:
        lines = ["no error"]
        assert np.isfinite(got.values).all()
        assert got.values.shape[1] == options["frames"]
    assert len(lines) == 1


def test_far_values_are_counted_and_the_furthest_is_named():
    x = np.random.default_rng(0).standard_normal((200, 2))
    source = SimpleNamespace(names=["a", "b_EWR"], bases=["a", "b"], times=None, starts=None)
    assert limits._far_outlier(x, 0, source) is None
    x[[3, 9, 50], 1] = [80.0, -95.5, 70.0]
    assert limits._far_outlier(x, 1, source) == (
        f"Warning: 3 values of b_EWR more than {limits.OUTLIER_RANGES:g} interquartile ranges from the median, kept "
        "(the furthest: -95.5 in row 10); if that cannot be, give its limits with --limits b=LOW:HIGH."
    )
    source.times = [f"day {k}" for k in range(200)]
    assert "(the furthest: -95.5 at day 9)" in limits._far_outlier(x, 1, source)
    blocks = x.reshape(50, 4, 2)
    assert "(the furthest: -95.5 in frame 1 of sequence 2)" in limits._far_outlier(blocks, 1, source)
    source.starts = pd.date_range("2001-01-01", periods=50)
    assert "-95.5 in frame 1 of the sequence from 2001-01-03" in limits._far_outlier(blocks, 1, source)
    assert limits._far_outlier(np.full((5, 1), np.nan), 0, source) is None
    assert limits._far_outlier(np.array([[0.0]] * 9 + [[5.0]]), 0, source) is None  # it rarely moves: no scale
