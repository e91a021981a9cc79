"""Text tables in the ways in which people write them: read as meant, or refused with the option that decides."""

import gzip

import numpy as np
import pytest

from kronoscope import data
from kronoscope._errors import InputError

A, B = [1.5, -2.25, 1234.5, 0.0], [10.0, 20.0, 30.0, 40.0]
PLAIN = "a,b\n1.5,10\n-2.25,20\n1234.5,30\n0,40\n"


def write(tmp_path, text, encoding="utf-8", name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def columns(path, **options):
    read = data.read(path, frames=1, **options)
    return dict(zip(read.feature_names, read.values[:, 0].T)), read


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        pytest.param(PLAIN, None, id="plain"),
        pytest.param(PLAIN.replace(",", ";"), None, id="semicolons"),
        pytest.param(PLAIN.replace(",", "\t"), None, id="tabs"),
        pytest.param(PLAIN.replace(",", "|"), None, id="pipes"),
        pytest.param(PLAIN.replace(",", ";").replace(".", ","), None, id="semicolons and decimal commas"),
        pytest.param(PLAIN.replace(",", "\t").replace(".", ","), None, id="tabs and decimal commas"),
        pytest.param('a,b\n"1,5",10\n"-2,25",20\n"1234,5",30\n0,40\n', None, id="quoted decimal commas"),
        pytest.param('a,b\n1.5,10\n-2.25,20\n"1,234.5",30\n0,40\n', None, id="thousands and a point"),
        pytest.param("a;b\n1,5;10\n-2,25;20\n1.234,5;30\n0;40\n", None, id="thousands and a comma"),
        pytest.param("a;b\n1,5;10\n-2,25;20\n1\u202f234,5;30\n0;40\n", None, id="thin spaces between thousands"),
        pytest.param("a;b\n1.5;10\n-2.25;20\n1'234.5;30\n0;40\n", None, id="apostrophes between thousands"),
        pytest.param("a,b\n1.5,10\n\u22122.25,20\n1234.5,30\n0,40\n", None, id="minus signs of print"),
        pytest.param(PLAIN.replace(",", ", "), None, id="blanks after separators"),
        pytest.param(PLAIN.replace(",", " , "), None, id="blanks around separators"),
        pytest.param(
            PLAIN.replace("\n", ",\n").replace("a,b,", "a,b"), "1 column without a name", id="separator at ends"
        ),
        pytest.param("sep=;\n" + PLAIN.replace(",", ";"), None, id="sep line of Excel"),
        pytest.param("# made by hand\n# twice\n" + PLAIN, "2 lines before the header left out", id="comments"),
        pytest.param("# made by hand\n#" + PLAIN, "1 line before the header left out", id="header in a comment"),
        pytest.param("\n\n" + PLAIN, None, id="blank lines first"),
        pytest.param("Station,7,north\nx,y,z\n\n" + PLAIN, "2 lines before the header", id="lines before the header"),
        pytest.param("A title\n" + PLAIN, "1 line before the header left out", id="title"),
        pytest.param(PLAIN.replace("b\n", "b\nmm,degC\n", 1), "taken for units: a in mm, b in degC", id="row of units"),
        pytest.param(PLAIN.replace("b\n", "b\n1,degC\n", 1), "units: a in 1, b in degC", id="a dimensionless unit"),
        pytest.param(PLAIN.replace("\n", "\r\n"), None, id="line ends of Windows"),
        pytest.param(PLAIN.replace("\n", "\r"), None, id="line ends of old"),
        pytest.param('"a","b"\n"1.5","10"\n"-2.25","20"\n"1234.5","30"\n"0","40"\n', None, id="all quoted"),
    ],
)
@pytest.mark.parametrize("how", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "packed"])
def test_a_table_is_read_however_it_is_written(tmp_path, text, noted, how):
    packed = how == "packed"
    content = gzip.compress(text.encode()) if packed else text.encode(how)
    got, read = columns(write(tmp_path, content, name="t.csv.gz" if packed else "t.csv"))
    assert list(got) == ["a", "b"]
    np.testing.assert_array_equal(got["a"], A)
    np.testing.assert_array_equal(got["b"], B)
    notes = " ".join(read.notes)
    assert noted in notes if noted else not read.notes
    if noted and "units" in noted:
        assert read.container.variable_attrs["b"] == {"units": "degC"}


def test_blanks_separate_where_the_user_says_so(tmp_path):
    path = write(tmp_path, "  a     b\n1.5    10\n-2.25  20\n1234.5 30\n0      40\n")
    with pytest.raises(InputError, match="'a     b' does not hold numbers"):
        data.read(path, frames=1)
    with pytest.raises(InputError, match=r"there is no column 'b'; .*--separator space"):
        data.read(path, frames=1, columns=["b"])
    got, _ = columns(path, separator="space")
    np.testing.assert_array_equal(got["a"], A)


@pytest.mark.parametrize(
    ("text", "with_comma", "with_point"),
    [
        ('a,b\n"2,090",1\n"10,500",2\n90,3\n', [2.09, 10.5, 90], [2090, 10500, 90]),
        ("a;b\n2,090;1\n10,500;2\n90;3\n", [2.09, 10.5, 90], [2090, 10500, 90]),
        ("a;b\n2.090;1\n10.500;2\n90;3\n", [2090, 10500, 90], [2.09, 10.5, 90]),
        ("a\tb\n2.090\t1\n10.500\t2\n90\t3\n", [2090, 10500, 90], [2.09, 10.5, 90]),
        ("a;b\n2.090;1,5\n10.500;2\n90;3\n", [2090, 10500, 90], [2.09, 10.5, 90]),
    ],
)
def test_a_mark_that_may_be_decimal_or_between_thousands_is_asked_about(tmp_path, text, with_comma, with_point):
    path = write(tmp_path, text)
    with pytest.raises(
        InputError, match=r"column 'a' may have a decimal comma .* give decimal= .--decimal ,"
    ) as caught:
        data.read(path, frames=1)
    assert "\n" not in str(caught.value)
    for decimal, expected in ((",", with_comma), (".", with_point)):
        got, _ = columns(path, decimal=decimal)
        np.testing.assert_array_equal(got["a"], expected)


@pytest.mark.parametrize("cell", ["0,512", "12,97", "1,2345", "-,5", "1,5e3"])
def test_one_number_that_can_only_have_a_decimal_comma_decides_its_column(tmp_path, cell):
    got, _ = columns(write(tmp_path, f'a,b\n"2,090",1.5\n"{cell}",2\n'))
    np.testing.assert_array_equal(got["a"], [2.09, float(cell.replace(",", "."))])
    np.testing.assert_array_equal(got["b"], [1.5, 2])


def test_points_stay_points_where_commas_separate_or_a_number_proves_it(tmp_path):
    got, _ = columns(write(tmp_path, "a,b\n2.090,1\n10.500,2\n"))
    np.testing.assert_array_equal(got["a"], [2.09, 10.5])
    got, _ = columns(write(tmp_path, "a;b\n2.090;0.5\n10.500;2\n"))
    np.testing.assert_array_equal(got["a"], [2.09, 10.5])


def test_text_that_is_no_number_in_one_notation_stays_text(tmp_path):
    for column in ("1,5\n2.5", "12,97\n1,234,567", "1,5 m\n2,5 m", "1,,5\n2,5", "1_000\n2,5", "٣\n2,5"):
        one, two = column.split("\n")
        with pytest.raises(InputError, match="'a' does not hold numbers"):
            data.read(write(tmp_path, f'a,b\n"{one}",1\n"{two}",2\n'), frames=1)


def test_texts_for_missing_values(tmp_path):
    path = write(tmp_path, "a,b\n1,---\nM,2\n<0.5,3\n4,5\n")
    with pytest.raises(InputError, match=r"'a' does not hold numbers .'M' in row 2."):
        data.read(path, frames=1)
    got, _ = columns(path, na_values=["---", "M", "<0.5"], missing="mask")
    np.testing.assert_array_equal(got["a"], [1, np.nan, np.nan, 4])
    np.testing.assert_array_equal(got["b"], [np.nan, 2, 3, 5])


def test_names_outside_utf8_are_noted_and_can_be_given(tmp_path):
    text = "Größe °C,b\n1,2\n3,4\n"
    got, read = columns(write(tmp_path, text, "cp1252"))
    assert list(got) == ["Größe °C", "b"]
    assert read.notes == (
        "The text is not UTF-8: read as cp1252; if names look wrong, give its encoding= (--encoding).",
    )
    japanese = write(tmp_path, "気温,b\n1,2\n3,4\n", "shift_jis")
    got, read = columns(japanese, encoding="shift_jis")
    assert list(got) == ["気温", "b"]
    assert read.notes == ()
    late = "a,b\n" + "1,2\n" * 100_000 + "3,4\n" + "5,\xe9\n"
    with pytest.raises(InputError, match=r"'b' does not hold numbers .'é' in row 100002."):
        data.read(write(tmp_path, late, "cp1252"), frames=1)


def test_utf16_without_its_mark_names_the_option_that_works(tmp_path):
    for name in ("utf-16-le", "utf-16-be"):
        path = write(tmp_path, PLAIN, name)
        with pytest.raises(InputError, match=f"not text.* --encoding {name}"):
            data.read(path, frames=1)
        np.testing.assert_array_equal(columns(path, encoding=name)[0]["a"], A)


def test_the_header_is_found_by_the_names_that_are_asked_for(tmp_path):
    path = write(tmp_path, "lat,lon,height\n52.5,13.4,38\ntime,a,b\n2024-01-01,1,2\n2024-01-02,3,4\n")
    got, read = columns(path, time="time")
    np.testing.assert_array_equal(got["a"], [1, 3])
    assert read.notes == ("2 lines before the header left out.",)


def test_a_pivot_value_may_be_called_na(tmp_path):
    path = write(tmp_path, "when,region,v\n1,NA,10\n1,EU,20\n2,NA,30\n2,EU,40\n")
    got, _ = columns(path, time="when", pivot="region")
    np.testing.assert_array_equal(got["v_NA"], [10, 30])
    path = write(tmp_path, "when,region,v\n1,,10\n1,EU,20\n2,NA,30\n2,EU,40\n")
    with pytest.raises(InputError, match="pivot column 'region' is empty in row 1"):
        data.read(path, time="when", pivot="region", frames=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the table is empty"),
        (b"a,b\n", "the table is empty"),
        (b"# only a comment\n", "the table is empty"),
        (b"a,b\n1,2\n3,4,5\n", r"row 2 has 3 fields, but the header has 2 .a, b.; repair the row"),
        (b"v\n1,5\n2,5\n", r"row 1 has 2 fields, but the header has 1 .v.; .* separator= .--separator."),
        (b"PK\x03\x04\x00\x00", "this is not text"),
        (b'a,b\n"1,2\n', "cannot be read as .csv"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        data.read(write(tmp_path, content), frames=1)
    assert "\n" not in str(caught.value)


def test_packed_files_that_are_damaged_or_too_large(tmp_path, monkeypatch):
    whole = gzip.compress(PLAIN.encode() * 1000)
    for content in (PLAIN.encode(), whole[:40], whole[:-20], b""):
        path = write(tmp_path, content, name="t.csv.gz")
        with pytest.raises(InputError) as caught:
            data.read(path, frames=1)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(data.sizes, "SHARE", 1e-9)
    with pytest.raises(InputError, match="the unpacked text would hold"):
        data.read(write(tmp_path, whole, name="t.csv.gz"), frames=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": "::"}, "separator must be one character or one of tab"),
        ({"separator": '"'}, "separator must be one character"),
        ({"decimal": ";"}, "decimal must be"),
        ({"na_values": "M"}, "na_values must be a list of texts"),
        ({"encoding": "latin-99"}, "encoding must be a name such as utf-8"),
        ({"encoding": "utf-16"}, "not in the encoding utf-16"),
    ],
)
def test_options_out_of_range(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        data.read(write(tmp_path, PLAIN), frames=1, **options)


def test_options_for_text_are_refused_for_other_files(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match=r"decimal does not apply to .npy files"):
        data.read(tmp_path / "x.npy", decimal=",")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("a;b\n1,5;10\n;20\n1.234,5;30\n", "a;b\n1,5;10\n7,3;20\n1.234,5;30\n"),
        ('a,b\n"1,5",10\nM,20\n"9,5",30.5\n', 'a,b\n"1,5",10\n"7,3",20\n"9,5",30.5\n'),
        ("sep=\t\na\tb\n1.5\t10\n\t20\n", "sep=\t\na\tb\n1.5\t10\n7.3\t20\n"),
        ("# x, y\na, b\nm, s\n1.5, 10\n, 20\n", "# x, y\na, b\nm, s\n1.5, 10\n7.3, 20\n"),
    ],
)
@pytest.mark.parametrize("how", ["utf-8", "utf-8-sig", "utf-16", "packed"])
def test_filled_gaps_are_written_as_the_file_writes_numbers(tmp_path, text, filled, how):
    packed = how == "packed"
    name = "t.csv.gz" if packed else "t.csv"
    path = write(tmp_path, gzip.compress(text.encode()) if packed else text.encode(how), name=name)
    opened = data.open_gappy(path, text=data.CsvOptions.checked(na_values=["M"]))
    opened.write(tmp_path / f"out_{name}", np.where(np.isnan(opened.source.values), 7.3, opened.source.values))
    out = (tmp_path / f"out_{name}").read_bytes()
    assert (gzip.decompress(out).decode() if packed else out.decode(how)) == filled
    assert packed or out == filled.encode(how)


def test_a_first_row_of_values_is_noted(tmp_path):
    _, read = columns(write(tmp_path, "0.5,1.5\n2.5,3.5\n4.5,5.5\n"))
    assert read.notes == (
        "Warning: the first row (0.5, 1.5) was taken for names; if it holds values, put names above it.",
    )
    assert columns(write(tmp_path, "2019,2020\n2.5,3.5\n4.5,5.5\n"))[1].notes == ()
