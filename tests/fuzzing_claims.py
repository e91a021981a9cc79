"""Families of hostile files that claim something: heads, packed text, nested columns, grids, metadata of stores."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
from fuzzing_cases import Case, Rng, small_series, small_table, small_values

HUGE = (0, 1, -1, 7, 2**31, 2**63 - 1, 2**63, 10**18, 10**40)
DTYPES = ("<f8", ">f4", "<i2", "|V1000000000", "<U1000000000", "|O", "<c16", "[('a','<f8')]", "nothing")
COLUMNS = ("v", "sequence", "frame", "time", "", "__index_level_0__")
UNITS = ("days since 0000-00-00", "eons since then", "hours since 1e9", "", "days since 2000-02-30")
ODD_LINES = (
    '"' * 5, "\0" * 9, "x" * 10**6, ",".join(["1"] * 9999), "\ufeff", "# note", "sep=;", "\r\r\n", "1e5e5",
    "\x1b[31m",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 1e308, 10**30, "", "x", "1e400", [], [[]], {}, [None], {"a": {}}, "NaN", "../..", 2**63,
)  # fmt: skip


def heads(rng: Rng, folder: Path) -> Case:
    """An array behind a head of any version, type, shape and claimed length."""
    x = small_values(rng)
    dtype = str(
        rng.choice(["<f8", ">f4", "<i2", "|V1000000000", "<U1000000000", "|O", "<c16", "[('a','<f8')]", "nothing"])
    )
    shape = [int(size) for size in x.shape]
    for _ in range(int(rng.integers(0, 3))):
        shape[int(rng.integers(3))] = HUGE[int(rng.integers(len(HUGE)))]
    text = (
        f"{{'descr': {dtype if dtype[0] == '[' else repr(dtype)}, 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    )
    text = str(rng.choice([text, text, text, "(" * 3000, "", text[:-9], "{}", text + "#" * 20_000])).ljust(118) + "\n"
    version = int(rng.integers(1, 5))
    length = len(text) if rng.random() < 0.7 else int(rng.choice([0, 3, 60_000, 2**32 - 1]))
    packed = struct.pack("<H", min(length, 65_535)) if version == 1 else struct.pack("<I", length)
    raw = b"\x93NUMPY" + bytes([version, 0]) + packed + text.encode() + x.tobytes()
    if rng.random() < 0.5:
        path = folder / "f.npy"
        path.write_bytes(raw)
    else:
        path = folder / "f.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", raw)
    return Case("heads of arrays", path)


def packed(rng: Rng, folder: Path) -> Case:
    """A packed table: whole, damaged, cut off, packed twice, or mostly zeros."""
    table, x = small_table(rng)
    raw = gzip.compress(table.to_csv(index=False).encode(), mtime=0)
    how = int(rng.integers(5))
    if how == 1:
        damaged = bytearray(raw)
        damaged[int(rng.integers(len(raw)))] ^= int(rng.integers(1, 256))
        raw = bytes(damaged)
    elif how == 2:
        raw = raw[: int(rng.integers(len(raw)))]
    elif how == 3:
        raw = gzip.compress(raw)
    elif how == 4:
        raw = gzip.compress(b"0,0\n" * int(rng.integers(1, 10**6)))
    path = folder / "f.csv.gz"
    path.write_bytes(raw)
    return Case("packed text", path, {"frames": 2} if how == 4 else {}, expected=x if how == 0 else None)


def dialects(rng: Rng, folder: Path) -> Case:
    """Text that is a table in some way of writing, or nearly."""
    table, _ = small_series(rng)
    separator = str(rng.choice([",", ";", "\t", "|", " ", "::", ""]))
    lines = [separator.join(row) for row in [list(table.columns), *table.astype(str).to_numpy().tolist()]]
    k = int(rng.integers(len(lines)))
    odd = [
        '"' * 5,
        "\0" * 9,
        "x" * 10**6,
        ",".join(["1"] * 9999),
        "\ufeff",
        "# note",
        "sep=;",
        "\r\r\n",
        "1e5e5",
        "\x1b[31m",
    ]
    lines.insert(k, str(rng.choice(odd)))
    path = folder / "f.csv"
    path.write_bytes("\n".join(lines).encode())
    return Case("ways to write", path, {"time": "time", "frames": 2})


def columns(rng: Rng, folder: Path) -> Case:
    """Columns of Parquet that are not plain numbers."""
    n = int(rng.integers(2, 60))
    numbers = rng.standard_normal(n)
    odd: list[pa.Array] = [
        pa.array([[1.0, 2.0]] * n), pa.array([{"a": 1.0}] * n), pa.array([b"\xff"] * n), pa.nulls(n),
        pa.array([True, None] * n)[:n], pa.array(["1,5"] * n), pa.array([2**63 - 1] * n),
        pa.array(numbers.astype("f2")),
        pa.array([pd.Timestamp("9999-12-31").to_pydatetime()] * n), pa.array([10**18] * n, pa.decimal128(30, 3)),
        pa.array([-(2**62)] * n, pa.timestamp("s")), pa.array(np.where(numbers > 0, numbers, np.inf)),
        pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array(["x" * 10**5])),
        pa.array([86_399] * n, pa.time32("s")), pa.array([(1, 2, 3)] * n, pa.month_day_nano_interval()),
    ]  # fmt: skip
    arrays = [pa.array(numbers), odd[int(rng.integers(len(odd)))]]
    names = [
        str(name) for name in rng.choice(["v", "sequence", "frame", "time", "", "__index_level_0__"], 2, replace=False)
    ]
    path = folder / "f.parquet"
    try:
        pq.write_table(pa.table(arrays, names=names), path)
    except pa.ArrowException:
        path.write_bytes(b"PAR1")
    return Case("columns of Parquet", path, {"frames": int(rng.integers(1, 5))})


def grids(rng: Rng, folder: Path) -> Case:
    """Grids with odd units, calendars, attributes, scalars, texts and links."""
    x = small_values(rng)
    path = folder / "f.nc"
    how = int(rng.integers(7))
    if how < 4:
        units = str(
            rng.choice(["days since 0000-00-00", "eons since then", "hours since 1e9", "", "days since 2000-02-30"])
        )
        calendar = str(rng.choice(["360_day", "noleap", "lunar", "julian", "standard"]))
        times = np.asarray([0, 1, 2, 1e300][: x.shape[1]] if how == 3 else np.arange(x.shape[1]), dtype=float)
        data = xr.Dataset({"u": (("sequence", "time", "feature"), x)})
        data["time"] = ("time", times, {"units": units, "calendar": calendar})
        data["u"].attrs = {"scale_factor": [1.0, 0.0, np.nan, 1e308][how], "_FillValue": 1e20}
        data.drop_encoding().to_netcdf(path, engine="h5netcdf")
        return Case("grids", path)
    with h5py.File(path, "w") as file:
        if how == 4:
            file["u"] = h5py.SoftLink("/u")
            file["v"] = h5py.ExternalLink("/etc/passwd", "/")
        elif how == 5:
            file.create_dataset("u", (2**40, 3), "f4", chunks=(2**10, 3), compression="gzip")
        else:
            file["u"], file["c"], file["e"] = 3.0, np.array([b"a", b"b"]), h5py.Empty("f8")
            file["u"].attrs["DIMENSION_LIST"] = "nonsense"
    return Case("grids", path)


def stores(rng: Rng, folder: Path) -> Case:
    """A zarr store one of whose metadata holds another value, or a chunk of which is damaged."""
    path = folder / "f.zarr"
    xr.DataArray(small_values(rng), dims=("sequence", "time", "feature"), name="u").to_zarr(path, consolidated=False)
    file = path / str(rng.choice(["zarr.json", "u/zarr.json", "u/zarr.json"]))
    if rng.random() < 0.2:
        file = next(item for item in sorted(path.rglob("*")) if item.is_file() and item.name.isdigit())
        file.write_bytes(rng.bytes(int(rng.integers(0, 400))))
    else:
        file.write_text(json.dumps(altered(rng, json.loads(file.read_text()))))
    return Case("stores", path)


def altered(rng: Rng, plain: Any) -> Any:
    """JSON values of which one, anywhere, is replaced by an odd one, or left out."""
    if isinstance(plain, dict) and plain and rng.random() < 0.85:
        key = sorted(plain)[int(rng.integers(len(plain)))]
        if rng.random() < 0.15:
            return {name: value for name, value in plain.items() if name != key}
        return {**plain, key: altered(rng, plain[key])}
    if isinstance(plain, list) and plain and rng.random() < 0.85:
        k = int(rng.integers(len(plain)))
        return [*plain[:k], altered(rng, plain[k]), *plain[k + 1 :]]
    return ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]


CLAIMS = (heads, packed, dialects, columns, grids, stores)
