"""Filling cells of a file: the right number in the cell, and every other byte, type and attribute as it was."""

import io
import re
import shutil
import zipfile
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import netcdf_file

from kronoscope import data
from kronoscope.data import csv_cells, number_style, packing

GAPS = [3, 4, 9]


def fill(path, out, numbers, columns=None, limits=None, **options):
    """Open ``path``, put ``numbers`` (by feature, or one for all) into its empty cells, write ``out``."""
    opened = data.open_gappy(path, columns=columns, limits=limits, **options)
    values = np.broadcast_to(numbers, opened.source.values.shape)
    return opened.write(out, np.array(values, dtype=np.float64))


# ---- .csv: the bytes around a gap stay -------------------------------------------------------------------------

TEXTS = ["A", "two words", 'with "quotes"', "a,b", "line\nbreak", "naïve ☃", "  padded ", ""]
NEWLINES = ["\n", "\r\n", "\r"]
EMPTY = ["", "NA", "nan", "NULL", '""', '"NA"']


@st.composite
def csv_files(draw):
    """Pieces of a .csv file; None stands for a gap in the column "value", and the bytes that begin the file."""
    newline = draw(st.sampled_from(NEWLINES))
    quote_all = draw(st.booleans())
    start = b"\xef\xbb\xbf" if draw(st.booleans()) else b""

    def field(text, force=False):
        needed = force or quote_all or any(mark in text for mark in ',"\n\r')
        return '"' + text.replace('"', '""') + '"' if needed else text

    rows = draw(st.integers(3, 8))
    gaps = draw(st.sets(st.integers(0, rows - 2), min_size=1, max_size=rows - 2))
    decimals = draw(st.integers(0, 3))
    pieces = [",".join(field(name) for name in ("", "label", "value", "last")), newline]
    for row in range(rows):
        if draw(st.integers(0, 4)) == 0:
            pieces.append(draw(st.sampled_from(["", "  "])) + newline)
        label = field(draw(st.sampled_from(TEXTS)), draw(st.booleans()))
        blank = draw(st.sampled_from(["", " "]))
        pieces.append(f"{row},{label},")
        if row in gaps:
            before = draw(st.sampled_from(EMPTY))
            pieces.append((before, None))
        else:
            number = f"{draw(st.integers(-999, 999)) / 10**decimals:.{decimals}f}"
            pieces.append(f'"{number}"' if quote_all else blank + number)
        pieces.append("," + str(draw(st.integers(0, 9))))
        pieces.append(newline if row + 1 < rows or draw(st.booleans()) else "")
    tail = draw(st.sampled_from(["", newline, newline + newline])) if pieces[-1] else ""
    return start, [*pieces, tail], decimals


@settings(max_examples=60, deadline=None, derandomize=True)
@given(csv_files())
def test_a_csv_keeps_every_byte_outside_its_gaps(tmp_path_factory, file):
    start, pieces, decimals = file
    folder = tmp_path_factory.mktemp("csv")
    path, out = folder / "a.csv", folder / "b.csv"
    path.write_bytes(start + "".join(p[0] if isinstance(p, tuple) else p for p in pieces).encode())
    filled = fill(path, out, 12.3456, columns=["value"])
    gaps = [p for p in pieces if isinstance(p, tuple)]
    assert filled.number == len(gaps)
    pattern = "".join("(.*?)" if isinstance(p, tuple) else re.escape(p) for p in pieces)
    content = out.read_bytes()
    assert content.startswith(start)
    match = re.fullmatch(pattern, content[len(start) :].decode(), re.DOTALL)
    assert match is not None
    numbers = {float(text.strip(' "')) for text in match.groups()}
    whole = all(float(c) == round(float(c)) for c in _written_numbers(pieces))
    assert numbers == {12.0 if whole else round(12.3456, decimals)}
    assert np.isfinite(data.open_gappy(out, columns=["value"]).source.values).all()


def _written_numbers(pieces):
    """The numbers of the column "value": what follows "row,label," where there is no gap."""
    rows = [k for k, p in enumerate(pieces) if isinstance(p, str) and re.match(r"\d+,", p)]
    return [pieces[k + 1].strip(' "') for k in rows if isinstance(pieces[k + 1], str)]


@pytest.mark.parametrize(
    ("cells", "value", "text"),
    [
        (["20.0", "19.9", "-3.5"], 12.8787, "12.9"),
        (["20.00", "19.95"], 12.5, "12.50"),
        (["20", "19.95", "7.5"], 12.5, "12.5"),
        (["20", "19.95"], 12.0, "12"),
        (["3", "4", "50"], 12.6, "13"),
        (["3.0", "4.0"], 12.6, "13.0"),
        (["0.1", "0.2"], -0.01, "0.0"),
        (["12.658579999999999", "10.35702", "8.05546"], 8.769661506010554, "8.76966"),  # round-off, not precision
        (["0.30000000000000004", "0.2"], 0.123, "0.1"),
        (["1e-05", "0.5"], 0.1234567, "0.12346"),
        (["0.1234567890123456789", "2.5"], 1 / 3, "0.3333333333333333"),
        ([], 1.25, "1.25"),
    ],
)
def test_a_number_has_the_digits_of_its_column(cells, value, text):
    assert number_style.NumberStyle.of(cells).write(value) == text


@pytest.mark.parametrize(
    ("cells", "width", "margin"),
    [
        (["  2.5", " 11.5", "-99.0"], 5, "  "),  # right-aligned
        (["  2.5", "  3.5"], 5, "  "),
        ([" 2.5", " 3.5"], None, " "),  # a blank after each comma is no column
        (["2.5", "3.5"], None, ""),
        ([" 2.5", "  11.5", " 3.5"], None, " "),  # two margins, and two widths
    ],
)
def test_a_column_is_padded_where_all_its_cells_have_one_width(cells, width, margin):
    style = number_style.NumberStyle.of(cells)
    assert (style.width, style.margin) == (width, margin)


@pytest.mark.parametrize(
    ("lines", "changed"),
    [
        ("t,x\n1, 2.5\n2, -999.0\n", "t,x\n1, 2.5\n2, 7.2\n"),
        ("t,x\n1,   2.5\n2,  11.5\n3,-999.0\n", "t,x\n1,   2.5\n2,  11.5\n3,   7.2\n"),  # padded to one width
        ('t,x\n1,"2.5"\n2,""\n', 't,x\n1,"2.5"\n2,"7.2"\n'),
        ('t,x\n1,2.5\n2,""\n', "t,x\n1,2.5\n2,7.2\n"),
        ("t,w,x\n1,3,2.5\n2,4\n3,5,2.5", "t,w,x\n1,3,2.5\n2,4,7.2\n3,5,2.5"),  # a row that ends early
        ("x\n2.5\nNA\n2.5\n", "x\n2.5\n7.2\n2.5\n"),
    ],
)
def test_a_cell_looks_like_its_neighbours(tmp_path, lines, changed):
    (tmp_path / "a.csv").write_text(lines)
    fill(tmp_path / "a.csv", tmp_path / "b.csv", 7.249, columns=["x"], limits={"x": (-50, 50)})
    assert (tmp_path / "b.csv").read_text() == changed


def changed_cell(content, place, value, decimal=".", **dialect):
    """The file with ``value`` in the second row of a column."""
    column = csv_cells.Column(place, np.array([1]), np.array([value]), decimal)
    return csv_cells.CsvText.parse(content, **dialect).filled([column])


@pytest.mark.parametrize(
    ("before", "after", "place", "value", "dialect"),
    [
        (b'a;b\n1;2,5\n2;\n"x;y";3,5\n', b'a;b\n1;2,5\n2;7,2\n"x;y";3,5\n', 1, 7.24, {"separator": ";"}),
        (b'a,b\n1,"2,5"\n2,\n', b'a,b\n1,"2,5"\n2,"7,2"\n', 1, 7.24, {}),
        (b"a;b\n1;1.234,5\n2;\n", b"a;b\n1;1.234,5\n2;-12.345,6\n", 1, -12345.64, {"separator": ";"}),
        ("é\tb\n1\t2,5\n2\t\n".encode("cp1252"), "é\tb\n1\t2,5\n2\t7,2\n".encode("cp1252"), 1, 7.24,
         {"separator": "\t", "encoding": "cp1252"}),
        (b"# made up\na b\nm s\n\n 1   2,5\n 2 -99,9\n", b"# made up\na b\nm s\n\n 1   2,5\n 2   7,2\n", 1, 7.24,
         {"separator": " ", "first_row": 3}),
        (b"sep=;\r\na;b\r\n1;2,5\r\n2; \r\n", b"sep=;\r\na;b\r\n1;2,5\r\n2;7,2\r\n", 1, 7.24,
         {"separator": ";", "first_row": 2}),
        (b'a;b\n 1; "2,5"\n 2; "n/a"\n', b'a;b\n 1; "2,5"\n 2; "7,2"\n', 1, 7.24, {"separator": ";"}),
    ],
)  # fmt: skip
def test_the_dialect_of_a_file_stays(before, after, place, value, dialect):
    assert changed_cell(before, place, value, ",", **dialect) == after


ROWS = "\n".join(f"{20240100 + k};{k},5;{{}}" for k in range(1, 10)) + "\n"
WRITTEN = {
    "units": "day;temp;rain\n;degC;mm\n" + ROWS,
    "preamble": "Station 42\nmade up\n\nday;temp;rain\n" + ROWS,
    "comment": "# made up\nday;temp;rain\n" + ROWS,
    "separator line": "sep=;\nday;temp;rain\n" + ROWS,
    "accents": "day;temp;rain\n".replace("temp", "température") + ROWS,
    "trailing separators": "day;temp;rain\n" + ROWS.replace("\n", ";\n"),
    "blank lines": "day;temp;rain\n\n" + ROWS.replace("\n", "\n\n"),
    "tabs": ("day;temp;rain\n" + ROWS).replace(";", "\t").replace(",", "."),
    "blanks": ("day;temp;rain\n" + ROWS).replace(";", "  ").replace(",", "."),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_what_reading_takes_for_a_table_is_written_back_as_it_was(tmp_path, kind, encoding, newline):
    mark = "NA" if kind in ("blanks", "units") else ""
    decimal = "." if kind in ("tabs", "blanks") else ","
    rain = [f"{k}{decimal}25" for k in range(9)]
    before, after = (
        WRITTEN[kind].format(*(cell if k in (4, 6) else rain[k] for k in range(9))).replace("\n", newline)
        for cell in (mark, f"7{decimal}24")
    )
    path, out = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_bytes(before.encode(encoding))
    text = data.CsvOptions.checked(separator=" " if kind == "blanks" else None)
    filled = fill(path, out, 7.241, columns=["rain"], time="day", text=text)
    assert out.read_bytes().decode(encoding) == after
    assert filled.number == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-8-sig"])
def test_wide_encodings_and_their_marks_stay(encoding):
    before, after = (f"a,b\r\n1,2.5\r\n2,{cell}\r\n" for cell in ("", "7.2"))
    mark = "\ufeff" if encoding in ("utf-16-be", "utf-16-le") else ""
    assert changed_cell((mark + before).encode(encoding), 1, 7.24) == (mark + after).encode(encoding)


def test_what_is_out_of_limits_is_filled_and_stays_within_them(tmp_path):
    (tmp_path / "a.csv").write_text("rain,n\n0.2,4\n-999.0,5\n0.4,-999\n")
    filled = fill(tmp_path / "a.csv", tmp_path / "b.csv", [-0.31, 2.6], limits={"rain": (0, None), "n": (0, 9)})
    assert (tmp_path / "b.csv").read_text() == "rain,n\n0.2,4\n0.0,5\n0.4,3\n"
    assert filled.number == 2
    assert filled.notes[0].startswith("1 value of rain computed beyond its limits 0 to inf")


def test_a_text_in_another_encoding_is_refused():
    with pytest.raises(ks_error(), match="encoding"):
        csv_cells.CsvText.parse("a\né\n".encode("latin-1"))


def ks_error():
    from kronoscope._errors import InputError

    return InputError


# ---- .parquet: schema, metadata, types ---------------------------------------------------------------------------


def frame():
    stamps = pd.date_range("2024-01-01", periods=12, freq="h", tz="Europe/Berlin", name="when")
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "temp": rng.normal(size=12),
            "half": rng.normal(size=12).astype("float32"),
            "count": pd.array(rng.integers(0, 9, 12), dtype="Int64"),
            "small": pd.array(rng.integers(0, 9, 12), dtype="UInt8"),
            "kind": pd.Categorical(["a", "b", "c"] * 4),
            "text": ["x"] * 12,
        },
        index=stamps,
    )
    table.loc[table.index[GAPS], ["temp", "half", "count", "small"]] = pd.NA
    return table


FEATURES = ["temp", "half", "count", "small"]


def test_parquet_keeps_schema_metadata_and_types(tmp_path):
    path, out = tmp_path / "a.parquet", tmp_path / "b.parquet"
    table = pa.Table.from_pandas(frame())
    table = table.replace_schema_metadata({**table.schema.metadata, b"station": b"42"})
    compression = {"temp": "zstd", "text": "none"}
    pq.write_table(table, path, compression=compression, row_group_size=5, use_dictionary=["kind", "count"])
    filled = fill(path, out, [1 / 3, 2 / 3, 5.4, 300.0], columns=FEATURES)
    before, after = (pq.ParquetFile(p) for p in (path, out))
    assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
    texts = [{k: v for k, v in f.metadata.metadata.items() if k != b"ARROW:schema"} for f in (before, after)]
    assert texts[0] == texts[1]
    for group in range(before.num_row_groups):
        a, b = (f.metadata.row_group(group) for f in (before, after))
        assert a.num_rows == b.num_rows
        columns = [(a.column(k), b.column(k)) for k in range(a.num_columns)]
        assert all(x.compression == y.compression and x.encodings == y.encodings for x, y in columns)
    expected = frame()
    rows = expected.index[GAPS]
    expected.loc[rows, "temp"], expected.loc[rows, "half"] = 1 / 3, np.float32(2 / 3)
    expected.loc[rows, "count"], expected.loc[rows, "small"] = 5, 255
    pd.testing.assert_frame_equal(pd.read_parquet(out), expected, check_freq=False)
    assert filled.number == 12
    assert "3 values beyond the range" in filled.notes[0]


@pytest.mark.parametrize("kind", ["levels", "nameless index", "numbers as names", "decimal", "int64"])
def test_parquet_columns_that_pandas_names_otherwise(tmp_path, kind):
    path, out = tmp_path / "a.parquet", tmp_path / "b.parquet"
    table = pd.DataFrame({"x": np.arange(12.0), "y": np.arange(12.0) / 4})
    columns, limits, new = ["x", "y"], None, [2.5, 1 / 3]
    if kind == "levels":
        table.columns = pd.MultiIndex.from_product([["temp"], ["x", "y"]])
        columns = ["temp_x", "temp_y"]
    elif kind == "nameless index":
        table.index = pd.Index(np.arange(12) * 2 + 1.5)
    elif kind == "numbers as names":
        table.columns = pd.Index([1, 2])
        columns = ["1", "2"]
    if kind == "decimal":
        cents = pa.array([None if k in GAPS else Decimal(k) for k in range(12)], pa.decimal128(7, 2))
        pq.write_table(pa.table({"x": cents, "y": table["y"]}), path)
    elif kind == "int64":
        table["x"] = np.where(np.isin(range(12), GAPS), -999, range(12))
        limits, new = {"x": (0, None)}, [2.6, 0.5]
        table.to_parquet(path)
    else:
        table.iloc[GAPS, 0] = np.nan
        table.to_parquet(path)
    fill(path, out, new, columns=columns, limits=limits)
    before, after = pq.read_table(path), pq.read_table(out)
    assert after.schema.equals(before.schema, check_metadata=True)
    got = pd.read_parquet(out)
    assert got.index.equals(table.index)
    assert got.iloc[:, 0].astype(float).tolist() == [{"int64": 3}.get(kind, 2) if k in GAPS else k for k in range(12)]


# ---- .nc and .zarr: attributes, encoding, chunks -------------------------------------------------------------------


def grid():
    stamps = pd.date_range("2024-01-01", periods=12, freq="h")
    rng = np.random.default_rng(0)
    values = {name: rng.uniform(1, 9, 12) for name in ("packed", "byte", "single", "double")}
    values["byte"] = values["byte"].round()
    for name in values:
        values[name][GAPS] = np.nan
    variables = {name: (("time",), v, {"units": "m", "long_name": name}) for name, v in values.items()}
    others = {"flag": (("time",), np.arange(12, dtype="i4")), "bounds": (("time", "two"), np.zeros((12, 2)))}
    names = ("station", np.array([b"AAA", b"BBB"], dtype="S3"))
    return xr.Dataset({**variables, **others}, {"time": stamps, "station": names}, {"title": "made up"})


ENCODING = {
    "packed": {"dtype": "int16", "scale_factor": 0.001, "add_offset": 0.0, "_FillValue": np.int16(-32767)},
    "byte": {"dtype": "uint8", "_FillValue": np.uint8(255)},
    "single": {"dtype": "float32", "_FillValue": np.float32(-1e30)},
}
HDF5 = {
    "single": {**ENCODING["single"], "zlib": True, "complevel": 4, "shuffle": True, "chunksizes": (5,)},
    "packed": ENCODING["packed"] | {"fletcher32": True, "chunksizes": (4,)},
    "byte": ENCODING["byte"],
}
FILLS = {"packed": 40.0, "byte": 255.0, "single": 2.25, "double": 1 / 3}


def stored(path, **engine):
    with xr.open_dataset(path, decode_cf=False, **engine) as opened:
        return opened.load()


@pytest.mark.parametrize("kind", ["hdf5", "classic", "classic-unlimited", "zarr2", "zarr3"])
def test_grids_keep_everything_that_is_stored(tmp_path, kind):
    ending, engine = (".zarr", "zarr") if "zarr" in kind else (".nc", "h5netcdf" if kind == "hdf5" else "scipy")
    path, out = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    if ending == ".zarr":
        grid().drop_vars("station").to_zarr(path, encoding=ENCODING, zarr_format=int(kind[-1]), consolidated=False)
        opening = {"engine": "zarr", "consolidated": False}
    else:
        encoding = HDF5 if kind == "hdf5" else {k: v for k, v in ENCODING.items() if k != "byte"}
        content = grid() if kind == "hdf5" else grid().drop_vars("byte")
        unlimited = ["time"] if "unlimited" in kind or kind == "hdf5" else []
        content.to_netcdf(path, engine=engine, encoding=encoding, unlimited_dims=unlimited)
        opening = {"engine": engine}
    names = [name for name in FILLS if name != "byte" or "classic" not in kind]
    before, original = stored(path, **opening), _files(path)
    filled = fill(path, out, [FILLS[name] for name in names], columns=names)
    after = stored(out, **opening)
    assert _files(path) == original
    assert set(after.variables) == set(before.variables)
    assert after.attrs == before.attrs
    assert after.encoding.get("unlimited_dims") == before.encoding.get("unlimited_dims")
    for name, variable in before.variables.items():
        new = after.variables[name]
        encodings = [{k: v for k, v in one.encoding.items() if k != "source"} for one in (variable, new)]
        assert str(encodings[0]) == str(encodings[1]), name
        assert str(new.attrs) == str(variable.attrs), name
        assert (new.dtype, new.dims) == (variable.dtype, variable.dims), name
        changed = np.flatnonzero((new.values != variable.values) & ~(new.values != new.values))
        assert changed.tolist() == (GAPS if name in names else []), name
    assert set(after["packed"].values[GAPS]) == {32767}  # 40.0 is beyond int16 / 1000: it must not wrap around
    if "byte" in names:
        assert set(after["byte"].values[GAPS]) == {254}  # 255 would read as missing
    assert set(after["double"].values[GAPS]) == {1 / 3}
    assert "3 values beyond the range" in filled.notes[0]
    if "zarr" in kind:
        same = [name for name, content in _files(out).items() if original.get(name) == content]
        assert all(name in same for name in original if name.split("/")[0] not in names or name.endswith(".json"))
    else:
        sizes = path.stat().st_size, out.stat().st_size
        assert sizes[0] == sizes[1] or kind == "hdf5"


def _files(path):
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_classic_netcdf_differs_in_the_bytes_of_the_gaps_alone(tmp_path):
    path, out = tmp_path / "a.nc", tmp_path / "b.nc"
    content = grid().drop_vars("byte")
    content.to_netcdf(path, engine="scipy", unlimited_dims=["time"])
    fill(path, out, 0.5, columns=["double"])
    a, b = (np.frombuffer(p.read_bytes(), dtype=np.uint8) for p in (path, out))
    assert len(a) == len(b)
    assert 0 < int((a != b).sum()) <= 8 * len(GAPS)
    with netcdf_file(out, mmap=False) as file:
        assert file.variables["double"].data[GAPS].tolist() == [0.5] * 3


# ---- .npy and .npz ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_npy_keeps_type_and_order(tmp_path, order, dtype):
    x = np.asarray(np.random.default_rng(0).normal(size=(12, 2)).astype(dtype), order=order)
    x[GAPS, 1] = np.nan
    np.save(tmp_path / "a.npy", x)
    fill(tmp_path / "a.npy", tmp_path / "b.npy", 0.5)
    expected = x.copy(order="K")
    expected[GAPS, 1] = 0.5
    buffer = io.BytesIO()
    np.save(buffer, expected)
    assert (tmp_path / "b.npy").read_bytes() == buffer.getvalue()


def test_whole_numbers_out_of_limits_become_whole_numbers(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[3], [-999], [5]], dtype="i2"))
    fill(tmp_path / "a.npy", tmp_path / "b.npy", 3.7, limits={"feature_0": (0, None)})
    b = np.load(tmp_path / "b.npy")
    assert (b.dtype, b.ravel().tolist()) == (np.dtype("i2"), [3, 4, 5])


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz_keeps_its_key_and_compression(tmp_path, write):
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(12, 2)))
    x[GAPS, 0] = np.nan
    write(tmp_path / "a.npz", walks=x)
    fill(tmp_path / "a.npz", tmp_path / "b.npz", 0.5)
    with zipfile.ZipFile(tmp_path / "a.npz") as a, zipfile.ZipFile(tmp_path / "b.npz") as b:
        (one,), (two,) = a.infolist(), b.infolist()
        assert (one.filename, one.compress_type, one.date_time) == (two.filename, two.compress_type, two.date_time)
    got = np.load(tmp_path / "b.npz")["walks"]
    assert got.flags.f_contiguous
    assert np.array_equal(got, np.where(np.isnan(x), 0.5, x))


# ---- packing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", ">i4", "int64", "uint64"])
def test_packed_numbers_never_wrap_around(dtype):
    dtype = np.dtype(dtype)
    limits = np.iinfo(dtype)
    ends = np.array([-1e30, float(limits.min), 3.4, float(limits.max), 1e30])
    stored_numbers, outside = packing.pack(ends, dtype, {})
    assert stored_numbers.tolist() == [limits.min, limits.min, 3, limits.max, limits.max]
    assert outside == 2
    stored_numbers, _ = packing.pack(ends, dtype, {"_FillValue": limits.max, "missing_value": 3})
    assert stored_numbers.tolist()[2:] == [4, limits.max - 1, limits.max - 1]


def test_unsigned_packing_in_signed_bytes():
    attrs = {"_Unsigned": "true", "scale_factor": 0.5, "add_offset": 10.0, "_FillValue": np.int8(-1)}
    values = np.array([10.0, 100.0, 137.0, 137.5, 500.0, 0.0])
    numbers, outside = packing.pack(values, np.dtype("i1"), attrs)
    raw = xr.Dataset({"x": (("t",), numbers, attrs)})
    assert xr.decode_cf(raw)["x"].values.tolist() == [10.0, 100.0, 137.0, 137.0, 137.0, 10.0]
    assert outside == 2


def test_the_source_may_be_read_only(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.where(np.arange(12) == 3, np.nan, np.arange(12.0))[:, None])
    path.chmod(0o444)
    shutil.copy(path, tmp_path / "kept.npy")
    fill(path, tmp_path / "b.npy", 0.5)
    assert np.load(tmp_path / "b.npy")[3, 0] == 0.5
