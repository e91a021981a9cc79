"""Malformed and hostile files, drawn from a seed: what a door for files must survive.

``hostile(number, folder)`` writes file ``number`` and says how it is to be read and, where that is certain, what must
come out. Families: damage of valid files in every format, wrong encodings, mixed types, huge numbers, odd times,
archives that unpack to more than fits, names that are paths or HTML; more of them in ``fuzzing_claims``.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
from fuzzing_cases import Case, Family, Rng, any_ending, save, small_series, small_table, small_values
from fuzzing_claims import CLAIMS

MARK = "alert(7919)"
HOSTILE_NAMES = (
    f"<script>{MARK}</script>",
    f'"><img src=x onerror={MARK}>',
    f"</title></style><svg onload={MARK}>",
    f"javascript:{MARK}",
    "{{ 7 * 7919 }}{% for x in y %}",
    "../../etc/passwd",
    "/tmp/kronoscope-evil",
    "..\\..\\evil",
    "a\x00b",
    "line\nbreak",
    "\u202eright to left",
    "x" * 5000,
    "sequence ",
    "__class__",
    "%s%n%x",
    "'; DROP TABLE x; --",
    "\U0001f4a9",
)
JUNK = (
    "", "NaN", "inf", "-inf", "1e400", "-1e308", "1e-320", "0x10", "1,5", "12abc", "None", "true", "=1+1", "\u0663",
    "1_000", "--1", "null",
)  # fmt: skip


def hostile(number: int, folder: Path) -> Case:
    """Case ``number``, written into ``folder``; the families take turns."""
    family = FAMILIES[number % len(FAMILIES)]
    return family(np.random.default_rng([7919, number]), folder)


def truncated(rng: Rng, folder: Path) -> Case:
    path = save(small_values(rng), folder / f"f{any_ending(rng)}")
    raw = path.read_bytes()
    path.write_bytes(raw[: int(rng.integers(0, len(raw)))])
    return Case("truncated", path)


def flipped(rng: Rng, folder: Path) -> Case:
    path = save(small_values(rng), folder / f"f{any_ending(rng)}")
    raw = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 12))):
        raw[int(rng.integers(len(raw)))] = int(rng.integers(256))
    path.write_bytes(raw)
    return Case("flipped bytes", path)


def garbage(rng: Rng, folder: Path) -> Case:
    path = folder / f"f{any_ending(rng)}"
    heads = (b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"PAR1", b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"\xff\xfe", b"{")
    path.write_bytes(heads[int(rng.integers(len(heads)))] + rng.bytes(int(rng.integers(0, 3000))))
    return Case("garbage", path)


def renamed(rng: Rng, folder: Path) -> Case:
    endings = [".npy", ".npz", ".csv", ".parquet", ".nc"]
    one, two = rng.choice(endings, 2, replace=False)
    path = save(small_values(rng), folder / f"f{one}")
    return Case("wrong ending", path.rename(folder / f"f{two}"), refused=True)


def encoded(rng: Rng, folder: Path) -> Case:
    table, x = small_table(rng)
    coding = str(rng.choice(["utf-8-sig", "utf-16", "utf-32", "latin-1", "cp500", "utf-8"]))
    table = table.rename(columns={"v0": "Größe é"})
    text = table.to_csv(index=False, lineterminator=str(rng.choice(["\n", "\r\n", "\r"])))
    path = folder / "f.csv"
    path.write_bytes(text.encode(coding))
    return Case(f"encoding {coding}", path, expected=x if coding.startswith("utf-8") else None)


def mixed(rng: Rng, folder: Path) -> Case:
    table, _ = small_table(rng)
    table = table.astype(object)
    for _ in range(int(rng.integers(1, 6))):
        table.iat[int(rng.integers(len(table))), int(rng.integers(table.shape[1]))] = str(rng.choice(JUNK))
    path = folder / "f.csv"
    table.to_csv(path, index=False)
    return Case("mixed types", path)


def ragged(rng: Rng, folder: Path) -> Case:
    lines = small_table(rng)[0].to_csv(index=False).splitlines()
    for _ in range(int(rng.integers(1, 4))):
        k = int(rng.integers(len(lines)))
        lines[k] = str(
            rng.choice([lines[k] + ",1,2", lines[k].rpartition(",")[0], '"' + lines[k], "", ",,,", lines[0]])
        )
    path = folder / "f.csv"
    path.write_text("\n".join(lines))
    return Case("ragged rows", path)


def huge(rng: Rng, folder: Path) -> Case:
    x = small_values(rng)
    place = tuple(int(rng.integers(size)) for size in x.shape)
    x[place] = rng.choice([1e308, -1e308, 1e200, np.inf, -np.inf, 1e-320, 2.0**63, 1.7e38])
    ending = str(rng.choice([".npy", ".csv", ".parquet", ".nc"]))
    return Case("huge numbers", save(x, folder / f"f{ending}"), refused=bool(np.isinf(x[place])))


def kinds(rng: Rng, folder: Path) -> Case:
    x = small_values(rng)
    odd: list[Callable[[], np.ndarray]] = [
        lambda: x.astype(complex), lambda: x.astype(str), lambda: x.astype(bool), lambda: x.astype("M8[s]"),
        lambda: x[0, 0], lambda: x[None], lambda: x[:0], lambda: np.array(3.0), lambda: x[..., :0],
        lambda: np.array([{"a": 1}], dtype=object), lambda: np.full_like(x, np.nan),
        lambda: np.zeros(4, dtype=[("a", "f8"), ("b", "i4")]),
    ]  # fmt: skip
    path = folder / "f.npy"
    np.save(path, odd[int(rng.integers(len(odd)))](), allow_pickle=True)
    return Case("odd arrays", path, refused=True)


def times(rng: Rng, folder: Path) -> Case:
    table, x = small_series(rng)
    frames, stamps = x.shape[1], list(table["time"])
    how = int(rng.integers(7))
    k = int(rng.integers(1, len(stamps)))
    if how == 0:
        stamps[k] = stamps[k - 1]
    elif how == 1:
        stamps[k] = str(rng.choice(["", "yesterday", "2020-13-01", "0000-00-00", "9999-12-31", "1e400", "NaT", MARK]))
    elif how == 2:
        stamps[k] += "+05:00"
    elif how == 3:
        stamps = [str(i * 10.0 ** float(rng.integers(-300, 300))) for i in range(len(stamps))]
    elif how == 4:
        stamps = ["2020-01-01T00:00:00"] * len(stamps)
    elif how == 5:
        stamps[k] = "2262-04-12T00:00:00"
    table["time"] = stamps
    if how == 6:
        table = table.sample(frac=1, random_state=int(rng.integers(2**31)))
    path = folder / "f.csv"
    table.to_csv(path, index=False)
    options = {"time": "time", "frames": frames}
    if rng.random() < 0.4:
        zones = ["UTC", "Europe/Berlin", "../../etc/passwd", "/etc/localtime", "Nowhere", "", "UTC\x00"]
        options["timezone"] = str(rng.choice(zones))
    plain = how == 6 and "timezone" not in options
    return Case("times", path, options, expected=x if plain else None, refused=how in (0, 4))


def options(rng: Rng, folder: Path) -> Case:
    table, _ = small_series(rng)
    path = folder / "f.csv"
    table.to_csv(path, index=False)
    wild: list[dict[str, Any]] = [
        {"time": "time", "frames": 10**9}, {"frames": 2}, {"time": "none", "frames": 2},
        {"time": "time", "columns": [HOSTILE_NAMES[0]], "frames": 2}, {"time": "time", "pivot": "v0", "frames": 2},
        {"time": "time", "pivot": "time", "frames": 2}, {"time": "time", "frames": 2, "limits": {"v0": (5.0, 6.0)}},
        {"time": "time", "columns": ["time"], "frames": 2}, {"time": "v0", "frames": 2}, {"columns": [], "frames": 2},
    ]  # fmt: skip
    return Case("options", path, wild[int(rng.integers(len(wild)))])


def bomb(rng: Rng, folder: Path) -> Case:
    """A few kilobytes that claim or unpack to far more than memory."""
    how = int(rng.integers(6))
    shape = (10 ** int(rng.integers(5, 9)), 1000, 1000)
    if how == 0:
        path = folder / "f.npy"
        path.write_bytes(_npy_head(shape))
    elif how == 1:
        path = folder / "f.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("values.npy", _npy_head(shape) + bytes(10**6))
    elif how == 2:
        path = folder / "f.npz"
        _lying_archive(path, 2**31 * 1024)
    elif how == 3:
        path = folder / "f.nc"
        with h5py.File(path, "w") as file:
            file.create_dataset("u", shape, "f8", chunks=(1, 1000, 1000), compression="gzip")
    elif how == 4:
        path = folder / "f.zarr"
        _empty_zarr(path, shape)
    else:
        path = folder / "f.parquet"
        _repeating_parquet(path)
    return Case(f"bomb {how}", path, {"frames": 4} if how == 5 else {}, refused=how != 5)


def _npy_head(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _lying_archive(path: Path, size: int) -> None:
    """An archive that says that its member unpacks to ``size`` bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("values.npy", _npy_head((size // 8000, 100, 10)) + bytes(10**5))
    raw = bytearray(path.read_bytes())
    central = raw.rfind(b"PK\x01\x02")
    raw[central + 24 : central + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(raw)


def _empty_zarr(path: Path, shape: tuple[int, ...]) -> None:
    path.mkdir()
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))
    told = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "float64", "fill_value": 0.0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1000, 1000]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": {},
        "dimension_names": ["sequence", "time", "feature"],
    }  # fmt: skip
    (path / "u").mkdir()
    (path / "u" / "zarr.json").write_text(json.dumps(told))


def _repeating_parquet(path: Path) -> None:
    """Four million equal values in a few kilobytes: large, but it fits."""
    column = pa.array(np.zeros(10**6))
    with pq.ParquetWriter(path, pa.schema([("v0", pa.float64())]), compression="gzip") as writer:
        for _ in range(4):
            writer.write_table(pa.table({"v0": column}))


def wide(rng: Rng, folder: Path) -> Case:
    """Few rows, each with its own pivot value: the table made wide would be huge."""
    n = 200_000
    table = pd.DataFrame({"time": np.arange(n), "kind": [f"k{i}" for i in range(n)], "v": 1.0})
    path = folder / "f.parquet"
    table.to_parquet(path)
    return Case("wide pivot", path, {"time": "time", "pivot": "kind", "frames": 2}, refused=True)


def names(rng: Rng, folder: Path) -> Case:
    """Features, keys and variables with names that are paths, markup or worse."""
    x = small_values(rng)
    n, frames, features = x.shape
    chosen = [str(one) for one in rng.choice(np.array(HOSTILE_NAMES, dtype=object), features, replace=False)]
    ending = str(rng.choice([".npz", ".csv", ".parquet", ".nc"]))
    path = folder / f"f{ending}"
    if ending == ".npz":
        with zipfile.ZipFile(path, "w") as archive, archive.open(f"{chosen[0]}.npy".replace("\x00", ""), "w") as file:
            np.lib.format.write_array(file, x)
    elif ending == ".nc":
        chosen = [name.replace("\x00", "") for name in chosen]  # which HDF5 cannot write
        array = xr.DataArray(x, dims=("s", "time", "f"), coords={"f": chosen}, name="u", attrs={"units": chosen[0]})
        array.to_netcdf(path, engine="h5netcdf")
    else:
        table = pd.DataFrame({"sequence": np.repeat(np.arange(n), frames)})
        for j, name in enumerate(chosen):
            table[name] = x[..., j].ravel()
        table.to_csv(path, index=False) if ending == ".csv" else table.to_parquet(path)
    return Case("hostile names", path)


def sequences(rng: Rng, folder: Path) -> Case:
    """Sequence columns that are uneven, empty, repeated or out of order."""
    table, x = small_table(rng)
    how = int(rng.integers(5))
    if how == 0:
        table = table.drop(index=int(rng.integers(len(table))))
    elif how == 1:
        table["sequence"] = table["sequence"].astype(object)
        table.loc[int(rng.integers(len(table))), "sequence"] = None
    elif how == 2:
        table["frame"] = 0
    elif how == 3:
        table = table.sample(frac=1, random_state=int(rng.integers(2**31))).sort_values("sequence", kind="stable")
    else:
        table.loc[int(rng.integers(len(table))), "frame"] = np.nan
    path = folder / "f.csv"
    table.to_csv(path, index=False)
    return Case("sequence columns", path, expected=x if how == 3 else None, refused=how != 3)


FAMILIES: tuple[Family, ...] = (
    truncated, flipped, garbage, renamed, encoded, mixed, ragged, huge, kinds, times, options, bomb, names, sequences,
    truncated, flipped, names, mixed, wide, times, *CLAIMS,
)  # fmt: skip
