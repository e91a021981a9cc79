"""Several files as one source, against the same data in one file."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from kronoscope import InputError, data
from kronoscope.cli import run

NAMES = ["temp", "wind"]


def table(start, rows, seed=0):
    rng = np.random.default_rng(seed)
    stamps = pd.date_range(start, periods=rows, freq="h")
    return pd.DataFrame(rng.standard_normal((rows, 2)), columns=NAMES).assign(time=stamps)


@pytest.fixture
def pieces(tmp_path):
    """Three pieces of one record, with a gap before the last; the second has its columns in another order."""
    parts = [table("2021-01-01", 100), table("2021-01-05 04:00", 50, 1), table("2021-01-20", 100, 2)]
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    for path, part, order in zip(paths, parts, (["time", *NAMES], ["wind", "time", "temp"], ["time", *NAMES])):
        part[order].to_csv(path, index=False)
    pd.concat(parts)[["time", *NAMES]].to_csv(tmp_path / "whole.csv", index=False)
    return paths


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("options", [{}, {"missing": "mask"}, {"timezone": "Europe/Paris"}, {"step": "3h"}])
def test_pieces_of_a_record_are_the_record(pieces, order, options):
    told = {"time": "time", "frames": 24} | options
    got = data.read([pieces[k] for k in order], **told)
    whole = data.read(pieces[0].parent / "whole.csv", **told)
    np.testing.assert_array_equal(got.values, whole.values)
    assert (got.starts == whole.starts).all()
    assert got.feature_names == ("temp", "wind")
    assert got.consecutive


def test_one_file_in_a_list_is_that_file(pieces):
    told = {"time": "time", "frames": 24}
    np.testing.assert_array_equal(data.read(pieces[:1], **told).values, data.read(pieces[0], **told).values)


def test_without_times_no_block_reaches_into_the_next_file(tmp_path):
    x = np.arange(30.0).reshape(15, 2)
    np.save(tmp_path / "a.npy", x[:7])
    np.save(tmp_path / "b.npy", x[7:])
    got = data.read([tmp_path / "a.npy", tmp_path / "b.npy"], frames=3)
    np.testing.assert_array_equal(got.values, np.concatenate([x[:6], x[7:13]]).reshape(4, 3, 2))
    assert got.notes[0].startswith("a.npy: 1 row at the end left out")


def test_sequences_follow_each_other(tmp_path):
    x = np.random.default_rng(0).standard_normal((12, 4, 2))
    x[5, 1, 0] = np.nan
    np.save(tmp_path / "a.npy", x[:5].astype(np.float32))
    np.save(tmp_path / "b.npy", x[5:])
    got = data.read([tmp_path / "a.npy", tmp_path / "b.npy"])
    np.testing.assert_array_equal(got.values, np.concatenate([x[:5].astype(np.float32), x[6:]]))
    assert got.container.dtype == "float64"
    assert not got.consecutive


def grid(path, start, units):
    stamps = pd.date_range(start, periods=48, freq="h")
    values = np.random.default_rng(1).standard_normal((48, 2))
    attrs = {"units": units} if units else {}
    xr.DataArray(values, {"time": stamps, "station": ["x", "y"]}, ("time", "station"), "t2m", attrs).to_netcdf(path)


def test_grids_keep_their_units_and_must_share_them(tmp_path):
    for name, start, units in (("a", "2020-01-01", "K"), ("b", "2020-01-03", "K"), ("c", "2020-01-05", "degC")):
        grid(tmp_path / f"{name}.nc", start, units)
    a, b, c = (tmp_path / f"{name}.nc" for name in "abc")
    got = data.read([b, a], frames=24)
    with xr.open_dataset(a) as one, xr.open_dataset(b) as two:
        joined = np.concatenate([one["t2m"], two["t2m"]])
    np.testing.assert_array_equal(got.values.reshape(96, 2), joined)
    assert data.to_array(got.values, got.container, got.feature_names).attrs["units"] == "K"
    with pytest.raises(InputError, match=r"c.nc gives 't2m' in degC, but .*a.nc in K"):
        data.read([a, c], frames=24)


def test_files_that_do_not_belong_together(pieces, tmp_path):
    a, b, _ = pieces
    told = {"time": "time", "frames": 24}
    other = table("2022-01-01", 50)
    for name, frame in (
        ("lacks", other.drop(columns="wind")),
        ("more", other.assign(rain=0.0)),
        ("again", table("2021-01-01 05:00", 60)),
        ("zoned", other.assign(time=other["time"].dt.tz_localize("UTC"))),
        ("numbers", other.assign(time=np.arange(50))),
    ):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    other.to_parquet(tmp_path / "p.parquet")
    for paths, words in (
        ([], "path must name at least one file"),
        ([a, b, a], "a.csv is given twice"),
        ([a, tmp_path / "gone.csv"], "gone.csv: the file does not exist"),
        ([a, tmp_path / "p.parquet"], "must have one format, got .csv, .parquet"),
        ([a, tmp_path / "lacks.csv"], "lacks.csv has no feature 'wind', which .*a.csv has"),
        ([a, tmp_path / "more.csv"], "more.csv has a feature 'rain', which .*a.csv lacks"),
        ([a, tmp_path / "again.csv"], "the time 2021-01-01 05:00:00 occurs in .*a.csv and in .*again.csv"),
        ([a, tmp_path / "zoned.csv"], "zoned.csv has times with a zone, but .*a.csv has times without a zone"),
        ([a, tmp_path / "numbers.csv"], "numbers.csv has times that are numbers, but"),
    ):
        with pytest.raises(InputError, match=words):
            data.read(paths, **told)


def test_the_command_takes_several_files(pieces, tmp_path, capsys):
    folder = str(tmp_path / "run")
    told = ["--time", "time", "--frames", "2", "--max-steps", "3", "--network", "unrolled", "--test", "0.3"]
    assert run(["fit", *map(str, pieces), "--out", folder, *told, "--mean", "feature"]) == 0
    source = json.loads((tmp_path / "run" / "run.json").read_text())["source"]
    assert source["paths"] == [str(path) for path in pieces]
    last = str(pieces[2])
    assert run(["forecast", folder, last, "--out", str(tmp_path / "ahead.csv")]) == 0
    assert run(["sample", folder, "--out", str(tmp_path / "new.csv"), "-n", "40"]) == 0
    audit = ["--out", str(tmp_path / "page.html"), "--run", folder]
    assert run(["audit", last, str(tmp_path / "new.csv"), *audit]) in (0, 1)
    assert run(["audit", str(tmp_path / "whole.csv"), str(tmp_path / "new.csv"), *audit, "--force"]) == 2
    assert "was fitted to 3 files" in capsys.readouterr().err
