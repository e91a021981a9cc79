"""Stores read piece by piece, against the same values in memory; records larger than memory."""

import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from kronoscope import InputError, data
from kronoscope.cli import run
from kronoscope.data import chunks, grids, sizes

ROWS = 20_000


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """An hourly record of three stations in chunks of 1000 rows, as .zarr and as .nc; its values."""
    folder = tmp_path_factory.mktemp("record")
    values = np.random.default_rng(0).standard_normal((ROWS, 3)).astype(np.float32)
    coords = {"time": pd.date_range("2000-01-01", periods=ROWS, freq="h"), "station": ["a", "b", "c"]}
    array = xr.DataArray(values, coords, ("time", "station"), "t2m", {"units": "K"}).to_dataset()
    array.to_zarr(folder / "x.zarr", encoding={"t2m": {"chunks": (1000, 3)}}, consolidated=False)
    array.to_netcdf(folder / "x.nc", encoding={"t2m": {"chunksizes": (700, 2)}})
    return folder, values


def small_memory(monkeypatch, values):
    """Pretend that no more than so many values fit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(sizes, "SHARE", 8 * values / memory)


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
@pytest.mark.parametrize("piece", [1, 5000, 2**22])
def test_pieces_are_the_whole(record, monkeypatch, ending, piece):
    folder, values = record
    monkeypatch.setattr(chunks, "PIECE", piece)
    got = data.read(folder / f"x{ending}", frames=10)
    np.testing.assert_array_equal(got.values.reshape(ROWS, 3), values)
    chosen = data.read(folder / f"x{ending}", frames=10, columns=["c", "a"])
    np.testing.assert_array_equal(chosen.values.reshape(ROWS, 2), values[:, [2, 0]])


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_a_record_larger_than_memory_is_refused_or_read_in_part(record, monkeypatch, ending):
    folder, values = record
    small_memory(monkeypatch, 30_000)
    with pytest.raises(InputError, match=r"6e\+04 values.*ask for less with max_sequences and columns"):
        data.read(folder / f"x{ending}", frames=10)
    read = []
    monkeypatch.setattr(grids, "read_values", lambda *told: read.append(chunks.read_values(*told)) or read[-1])
    got = data.read(folder / f"x{ending}", frames=10, max_sequences=100)
    assert sum(one.size for one in read) < 12_000
    assert got.values.shape == (100, 10, 3)
    rows = ((got.starts - pd.Timestamp("2000-01-01")) // pd.Timedelta("1h")).to_numpy()
    np.testing.assert_array_equal(got.values, values[rows[:, None] + np.arange(10)])
    assert rows[0] < 200
    assert rows[-1] > ROWS - 200
    assert np.diff(rows).max() < ROWS / 30  # spread over all of it
    assert any("entries of 'time' read, spread over the record" in note for note in got.notes)
    one = data.read(folder / f"x{ending}", frames=10, columns=["b"])
    np.testing.assert_array_equal(one.values.ravel(), values[:, 1])


def test_stacked_sequences_and_other_formats_are_thinned_evenly(tmp_path, record):
    values = np.random.default_rng(1).standard_normal((500, 4, 2))
    xr.DataArray(values, dims=("sequence", "time", "feature"), name="x").to_dataset().to_zarr(tmp_path / "s.zarr")
    np.save(tmp_path / "s.npy", values)
    places = np.linspace(0, 499, 20).round().astype(int)
    for name in ("s.zarr", "s.npy"):
        np.testing.assert_array_equal(data.read(tmp_path / name, max_sequences=20).values, values[places])
    assert len(data.read(tmp_path / "s.zarr", max_sequences=501)) == 500
    with pytest.raises(InputError, match="max_sequences must be at least 1"):
        data.read(tmp_path / "s.npy", max_sequences=0)


def test_infinite_and_damaged_values_are_named(tmp_path, record):
    spoilt = record[1].astype(np.float64).copy()
    spoilt[1234, 2] = np.inf
    array = xr.DataArray(spoilt, dims=("time", "station"), name="t2m").to_dataset()
    array.to_zarr(tmp_path / "i.zarr", encoding={"t2m": {"chunks": (1000, 3)}}, consolidated=False)
    with pytest.raises(InputError, match=r"i.zarr: the variable 't2m' is infinite at index \(1234, 2\)"):
        data.read(tmp_path / "i.zarr", frames=10)
    chunk = next(path for path in (tmp_path / "i.zarr" / "t2m").rglob("3*") if path.is_file() or path.is_dir())
    chunk = chunk if chunk.is_file() else next(path for path in chunk.rglob("*") if path.is_file())
    chunk.write_bytes(b"no chunk")
    with pytest.raises(InputError, match=r"i.zarr: the variable 't2m' (cannot be read|is infinite)"):
        data.read(tmp_path / "i.zarr", frames=10)


def test_the_command_reads_a_part(record, tmp_path, capsys):
    told = ["--frames", "10", "--max-sequences", "60", "--network", "unrolled", "--max-steps", "2"]
    assert run(["fit", str(record[0] / "x.zarr"), "--out", str(tmp_path / "run"), *told]) == 0
    assert "60 sequences of 10 frames with 3 features" in capsys.readouterr().out
