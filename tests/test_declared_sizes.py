"""Files that claim more than they hold or than memory holds are refused before they are read, within a second."""

import gzip
import io
import json
import struct
import time
import zipfile

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kronoscope import data
from kronoscope._errors import InputError
from kronoscope.data import sizes


def head(shape, dtype="<f8", version=(3, 0), length=None):
    text = str({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 13) % 64) + b"\n"
    claimed = len(text) if length is None else length
    return np.lib.format.magic(*version) + struct.pack("<H" if version == (1, 0) else "<I", claimed) + text


CLAIMS = {
    "values": head((10**12, 10, 10)),
    "more than the file": head((10**6, 4, 4)),
    "beyond any float": head((10**200, 10**200, 10)),
    "long texts": head((12, 4, 2), "<U1000000000"),
    "huge items": head((12, 4, 2), "|V1000000000"),
    "a long head": head((12, 4, 2), length=2**32 - 1),
    "a long head of version 2": head((12, 4, 2), version=(2, 0), length=2**31),
    "version 1": head((10**12, 10, 10), version=(1, 0)),
    "negative": head((-1, 4, 2)),
    "no number": head(("a", 4, 2)),
    "nested": np.lib.format.magic(3, 0) + struct.pack("<I", 5000) + b"(" * 5000,
}


def refused(path, *words, within=3.0):
    began = time.monotonic()
    with pytest.raises(InputError) as refusal:
        data.read(path)
    assert time.monotonic() - began < within
    message = str(refusal.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_heads_of_arrays(claim, ending, tmp_path):
    path = tmp_path / f"x{ending}"
    if ending == ".npy":
        path.write_bytes(CLAIMS[claim] + bytes(1000))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", CLAIMS[claim] + bytes(1000))
    refused(path)


def test_what_a_head_claims_is_counted_in_bytes(tmp_path):
    """The values are the file's own where they are all there, whatever the version and the type."""
    x = np.arange(12 * 4 * 2, dtype=np.float32).reshape(12, 4, 2)
    for version in ((1, 0), (2, 0), (3, 0)):
        path = tmp_path / f"{version[0]}.npy"
        path.write_bytes(head(x.shape, "<f4", version) + x.tobytes())
        np.testing.assert_array_equal(data.read(path).values, x)
        path.write_bytes(head(x.shape, "<f4", version) + x.tobytes()[:-1])
        refused(path, "claims 384 bytes of values, but the file holds 383")


def test_an_archive_that_unpacks_to_more_than_memory(tmp_path):
    path = tmp_path / "x.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        file.write(head((10**9, 10, 10)))
        for _ in range(8):
            file.write(bytes(2**20))
    refused(path, "GB")


def test_a_packed_text_that_unpacks_to_zeros(tmp_path):
    path = tmp_path / "x.csv.gz"
    buffer = io.BytesIO()
    piece = b"0,0,0,0,0,0,0,0\n" * 2**20
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as file:
        for _ in range(20):
            file.write(piece)
    path.write_bytes(buffer.getvalue())
    assert len(buffer.getvalue()) < 20 * len(piece) / 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kronoscope.data.csv_reading._LARGEST_RATIO", 50)
        refused(path, "unpacks to more than", within=10.0)


def test_a_dictionary_of_one_long_text_in_every_row(tmp_path):
    path = tmp_path / "x.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**6, dtype=np.int32)), pa.array(["x" * 10**6]))
    pq.write_table(pa.table({"v": np.zeros(10**6), "text": text}), path, compression="zstd")
    assert path.stat().st_size < 10**6
    refused(path, "the text of the table", within=10.0)


def test_chunks_of_a_grid_that_are_not_there(tmp_path):
    for shape in ((10**9, 10**9), (10**5, 10**5, 10**5), (10**18,)):
        path = tmp_path / f"{len(shape)}.nc"
        with h5py.File(path, "w") as file:
            file.create_dataset("u", shape, "f8", chunks=tuple(min(size, 100) for size in shape))
        assert path.stat().st_size < 10**5
        refused(path, "GB")


@pytest.mark.parametrize("shape", [[10**15, 4, 2], [10**6, 10**6, 10**6]])
@pytest.mark.parametrize("chunk", [[1, 1, 1], [10**5, 10**5, 2]])
def test_a_store_that_claims_petabytes(shape, chunk, tmp_path):
    path = tmp_path / "x.zarr"
    (path / "u").mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))
    array = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "float64", "fill_value": 0.0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": {},
        "dimension_names": ["sequence", "time", "feature"],
    }  # fmt: skip
    (path / "u" / "zarr.json").write_text(json.dumps(array))
    refused(path, "GB")


def test_too_many_variables(tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "MOST_VARIABLES", 50)
    for ending in (".nc", ".zarr"):
        path = tmp_path / f"x{ending}"
        if ending == ".nc":
            with h5py.File(path, "w") as file:
                for k in range(60):
                    file[f"v{k}"] = np.zeros(3)
        else:
            for k in range(60):
                (path / f"v{k}").mkdir(parents=True)
        refused(path, "60 variables", "at most 50")


def test_too_many_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "MOST_COLUMNS", 500)
    names = [f"c{k}" for k in range(600)]
    (tmp_path / "x.csv").write_text("\n".join([",".join(names), *[",".join(["1.5"] * len(names))] * 3]))
    refused(tmp_path / "x.csv", "600 columns", "at most 500")
    pq.write_table(pa.table([pa.array([1.0])] * len(names), names=names), tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", "600 columns", "at most 500")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npy"])
def test_reading_takes_time_in_proportion_to_the_columns(ending, tmp_path):
    """Six times the columns take at most 18 times as long: 36 times would be quadratic."""
    seconds = []
    for columns in (1000, 6000):
        x = np.random.default_rng(0).standard_normal((24, columns)).round(3)
        path = tmp_path / f"{columns}{ending}"
        if ending == ".npy":
            np.save(path, x.reshape(12, 2, columns))
        else:
            table = pd.DataFrame(x, columns=[f"c{k}" for k in range(columns)])
            table.to_csv(path, index=False) if ending == ".csv" else table.to_parquet(path)
        began = time.process_time()
        values = data.read(path, frames=2).values
        seconds.append(time.process_time() - began)
        np.testing.assert_array_equal(values.reshape(24, columns), x)
    assert seconds[1] < 18 * seconds[0] + 0.5


@pytest.mark.parametrize("entry", [[1.0, 2.0], {"a": 1.0}, b"\xff"])
@pytest.mark.parametrize("name", ["sequence", "time"])
def test_columns_of_lists_name_no_rows(entry, name, tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"v": [1.0, 2.0], name: pa.array([entry] * 2)}), path)
    with pytest.raises(InputError, match=f"the column '{name}' holds lists, records or bytes"):
        data.read(path, frames=2, time=None if name == "sequence" else name)


def test_columns_of_bytes_are_no_columns_of_numbers(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"v": [1.0, 2.0], "raw": pa.array([b"\xff", None])}), path)
    refused(path, "the column 'raw' does not hold numbers", "--columns v")
