"""The table of files as people have them: each is read as meant, or refused with options that then read it.

``pytest -s tests/test_file_cases.py`` prints the table.
"""

import gzip

import numpy as np
import pandas as pd
import pytest
import tests.file_cases as file_cases

from kronoscope import data
from kronoscope.cli import run

OUTCOMES = {}


@pytest.mark.parametrize("case", file_cases.cases(), ids=lambda case: case.name)
def test_a_file_is_read_as_meant_or_refused_with_a_way_out(case, tmp_path):
    OUTCOMES[case.name] = file_cases.examine(case, tmp_path)
    assert OUTCOMES[case.name].problem == ""


def test_the_table(tmp_path):
    cases = file_cases.cases()
    for number, case in enumerate(cases):
        if case.name not in OUTCOMES:  # where this test runs alone
            folder = tmp_path / str(number)
            folder.mkdir()
            OUTCOMES[case.name] = file_cases.examine(case, folder)
    assert len(OUTCOMES) == len(cases) >= 80
    print(f"\n{file_cases.show([OUTCOMES[case.name] for case in cases])}")


def test_the_table_sees_what_is_wrong(tmp_path):
    """Each kind of fault shows: other values, another start, a missing note, no refusal, a way out without a name."""
    plain = file_cases.table(file_cases.PLAIN)
    right = {"make": plain, "options": file_cases.DAILY, "values": file_cases.BOTH, "start": file_cases.NIGHT}
    faults = {
        "other values": {"values": file_cases.BOTH + 1e-9},
        "must start at": {"start": "2024-01-02 00:00:00"},
        "features must be": {"names": ("temp", "gust")},
        "must print": {"noted": "2 lines"},
        "must be refused": {"way_out": "--dayfirst"},
        "must be read": {"options": "--time none --frames 24"},
    }
    assert file_cases.examine(file_cases.FileCase("right", **right), tmp_path).problem == ""
    for number, (problem, fault) in enumerate(faults.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert problem in file_cases.examine(file_cases.FileCase("wrong", **right | fault), folder).problem


def written(frame, dialect):
    """A table in a dialect, as bytes."""
    if dialect == "euro":
        return frame.to_csv(index=False, sep=";", decimal=",").encode("cp1252")
    if dialect == "marks":
        text = frame.to_csv(index=False, na_rep="M", lineterminator="\r\n")
        return ("# station 7\r\n" + text.replace("\n", "\n,degC,m/s\r\n", 1)).encode("utf-16")
    return gzip.compress(frame.to_csv(index=False, sep="\t", date_format="%d/%m/%Y %I:%M %p").encode())


@pytest.mark.parametrize("dialect", ["euro", "marks", "packed"])
def test_what_fit_reads_every_command_reads_and_writes_alike(dialect, tmp_path, capsys):
    """fit, sample, audit, forecast and impute of one file; impute changes the gaps and no other byte."""
    days = 16
    stamps = file_cases.FEW if dialect == "packed" else file_cases.HOURS[: 24 * days]
    times = stamps if dialect == "packed" else stamps.strftime("%Y-%m-%d %H:%M")
    frame = pd.DataFrame(
        {"time": times, "temp °": file_cases.TEMP[: len(stamps)], "wind": file_cases.WIND[: len(stamps)]}
    )
    gaps = frame.copy()
    gaps.loc[[30, 31, 100], "temp °"] = np.nan
    ending = ".csv.gz" if dialect == "packed" else ".csv"
    whole, holed = tmp_path / f"whole{ending}", tmp_path / f"holed{ending}"
    whole.write_bytes(written(frame, dialect))
    holed.write_bytes(written(gaps, dialect))
    options = {"euro": [], "marks": ["--na-values", "M"], "packed": ["--dayfirst"]}[dialect]
    out = tmp_path / "run"
    fit = ["fit", str(whole), "--out", str(out), "--time", "time", "--frames", "12", "--max-steps", "3", *options]
    assert run([*fit, "--network", "linear"]) == 0
    assert run(["sample", str(out), "-n", "3", "--out", str(tmp_path / f"s{ending}")]) == 0
    sample = pd.read_csv(tmp_path / f"s{ending}")
    assert list(sample.columns) == ["sequence", "offset_hours", "temp °", "wind"]
    assert len(data.read(tmp_path / f"s{ending}")) == 3
    audit = ["audit", str(whole), str(tmp_path / f"s{ending}"), "--out", str(tmp_path / "a.html"), "--run", str(out)]
    assert run(audit) == 2  # three sequences are too few, which says that both files were read
    assert "must hold at least" in capsys.readouterr().err
    assert run(["forecast", str(out), str(holed), "--out", str(tmp_path / "f.csv"), "--steps", "6",
                "--origin", str(stamps[-6])]) == 0  # fmt: skip
    forecast = pd.read_csv(tmp_path / "f.csv")
    expected = frame["time"][-6:] if dialect != "packed" else stamps[-6:].strftime("%d/%m/%Y %I:%M %p")
    assert list(forecast["time"].unique()) == list(expected)
    assert run(["impute", str(out), str(holed), "--out", str(tmp_path / f"i{ending}")]) == 0
    filled = (tmp_path / f"i{ending}").read_bytes()
    filled = gzip.decompress(filled) if dialect == "packed" else filled
    read = data.read(tmp_path / f"i{ending}", time="time", frames=1, na_values=["M"], dayfirst=True)
    np.testing.assert_array_equal(np.delete(read.values[:, 0, 0], [30, 31, 100]), frame["temp °"].drop([30, 31, 100]))
    assert np.isfinite(read.values).all()
    again = frame.copy()
    again.loc[[30, 31, 100], "temp °"] = read.values[[30, 31, 100], 0, 0].round(2)
    wanted = written(again, dialect)
    assert filled == (gzip.decompress(wanted) if dialect == "packed" else wanted)


def test_generated_values_beyond_the_limits_are_counted(tmp_path, capsys):
    rain = np.where(file_cases.WIND > 3, file_cases.WIND, 0.0)
    frame = pd.DataFrame({"time": file_cases.HOURS, "rain": rain})
    frame.to_csv(tmp_path / "r.csv", index=False)
    out = str(tmp_path / "run")
    options = ["--time", "time", "--frames", "12", "--limits", "rain=0:", "--max-steps", "3", "--network", "linear"]
    assert run(["fit", str(tmp_path / "r.csv"), "--out", out, *options]) == 0
    capsys.readouterr()
    assert run(["sample", out, "-n", "20", "--out", str(tmp_path / "s.csv")]) == 0
    below = int((pd.read_csv(tmp_path / "s.csv")["rain"] < 0).sum())
    assert below > 0
    assert f"note: {below} values of 240 of rain lie beyond its limits 0 to inf" in capsys.readouterr().out
