"""Malformed and hostile files by the front doors: one clear line or a correct result, and nothing else.

200 files by default; ``KRONOSCOPE_FUZZ=2000`` draws so many.
"""

import os
import signal
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from fuzzing import FAMILIES, HOSTILE_NAMES, MARK, hostile

from kronoscope import data
from kronoscope._errors import InputError
from kronoscope.cli import run

FILES = int(os.environ.get("KRONOSCOPE_FUZZ", "200"))
PATIENCE = 10  # seconds
PARTS = len(FAMILIES)


@contextmanager
def patience():
    def give_up(*_):
        raise AssertionError(f"took longer than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(case):
    """The set that was read, or None after a clear refusal; anything else fails."""
    told, refusal = f"{case.family}: {case.path.name}", None
    with patience(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = data.read(case.path, **case.options)
        except InputError as error:
            refusal = str(error)
    if refusal is not None:
        assert case.expected is None, f"{told}: {refusal}"
        assert "\n" not in refusal, told
        assert str(case.path) in refusal, told
        assert len(refusal) < 1500, told
        return None
    assert not case.refused, told
    assert found.values.ndim == 3, told
    assert found.values.size, told
    assert np.isfinite(found.values).all(), told
    assert len(found.feature_names) == found.values.shape[2], told
    if case.expected is not None:
        np.testing.assert_allclose(found.values, case.expected, err_msg=told)
    return found


@pytest.mark.parametrize("part", range(PARTS), ids=lambda k: FAMILIES[k].__name__)
def test_files_are_refused_clearly_or_read_correctly(part, tmp_path, capfd):
    for number in range(part, FILES, PARTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        case = hostile(number, folder)
        read(case)
        assert [path.name for path in folder.iterdir()] == [case.path.name]
        if case.path.is_file():
            case.path.unlink()
    told = capfd.readouterr()
    assert "Traceback" not in told.err
    assert len(list(tmp_path.iterdir())) == len(range(part, FILES, PARTS))


def test_audits_of_them_end_in_an_exit_code_and_pages_hold_no_script(tmp_path, capfd):
    """Every file against itself: exit code 0 with a whole page, or 2 with one line and nothing written."""
    pages = 0
    for number in range(0, FILES, 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        case = hostile(number, folder)
        if case.options or case.path.is_dir() or case.family.startswith("bomb"):
            continue
        before = sorted(folder.iterdir())
        with patience():
            code = run(["audit", str(case.path), str(case.path), "--out", str(folder / "a.html"), "--quiet"])
        told = capfd.readouterr()
        assert "Traceback" not in told.err, case.family
        if code == 2:
            assert told.err.count("\n") == 1, (case.family, told.err)
            assert sorted(folder.iterdir()) == before, case.family
        else:
            assert code == 0, case.family
            page = (folder / "a.html").read_text(encoding="utf-8")
            assert page.rstrip().endswith("</html>")
            assert not any(name in page for name in HOSTILE_NAMES if "<" in name), case.family
            assert f"{MARK}<" not in page, case.family
            pages += 1
    assert pages >= FILES // 30


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npz", ".nc", ".zarr"])
def test_names_that_are_paths_write_inside_their_folder(ending, tmp_path):
    """Read with hostile names and written again, names and values come back, and no other file appears."""
    for number in range(12, min(FILES, 120), PARTS):
        folder, out = tmp_path / str(number), tmp_path / f"out{number}"
        folder.mkdir()
        out.mkdir()
        found = read(hostile(number, folder))
        if found is None:
            continue
        target = out / f"g{ending}"
        refusal = None
        try:
            data.write(target, found.values, found.container, found.feature_names)
        except InputError as error:
            refusal = str(error)
        if refusal is not None:
            assert "\n" not in refusal
            assert not list(out.iterdir())
            continue
        assert [path.name for path in out.iterdir()] == [target.name]
        np.testing.assert_allclose(data.read(target).values, found.values)
    everything = {path.name for path in tmp_path.iterdir()}
    assert everything <= {str(n) for n in range(200)} | {f"out{n}" for n in range(200)}
