"""The comparison of golden numbers finds what is lost and accepts other names, order and additions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.golden import missing, numbers, run

OLD = {"seed": 3, "rows": [{"kl": 0.5, "seconds": 7.0, "failed": None}, {"kl": 0.5}, {"kl": 2.0}], "ok": True}
SAME = {"result": {"more": 9.0, "errors": [2.0 * (1 + 5e-10), 0.5, 0.5], "bound": "Infinity"}}


def write(folder, plain):
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(plain))


def test_numbers_are_found_under_other_names_and_each_needs_a_partner():
    assert numbers(OLD) == [("$.rows[0].kl", 0.5), ("$.rows[1].kl", 0.5), ("$.rows[2].kl", 2.0)]
    assert missing(numbers(OLD), numbers(SAME)) == []
    assert missing(numbers(OLD), [("a", 0.5), ("b", 2.0)]) == [("$.rows[1].kl", 0.5)]
    assert missing([("a", -1.0), ("b", 0.0)], [("c", 1.0), ("d", 1e-30)]) == [("a", -1.0), ("b", 0.0)]
    assert missing([("a", 2.0)], [("b", 2.0 + 1e-8)]) == [("a", 2.0)]


def test_studies_are_compared_by_name(tmp_path):
    write(tmp_path / "old" / "decay", OLD)
    write(tmp_path / "old" / "length", OLD)
    write(tmp_path / "new" / "decay", SAME)
    decay, length = run(str(tmp_path / "old"), str(tmp_path / "new"))
    assert (decay["value"], decay["failed"]) == (0, 0)
    assert (length["value"], length["failed"]) == (3, 1)
    assert "does not exist" in length["note"]
    with pytest.raises(ValueError, match=r"holds no results\.json"):
        next(run(str(tmp_path / "new" / ".."), str(tmp_path)))


@pytest.mark.parametrize(("changed", "code"), [(SAME, 0), ({"errors": [0.5, 2.0]}, 1)])
def test_the_command_says_what_is_lost(tmp_path, changed, code):
    write(tmp_path / "old", OLD)
    write(tmp_path / "new", changed)
    command = [sys.executable, "-m", "benchmarks", "golden", str(tmp_path / "old"), str(tmp_path / "new")]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert ended.returncode == code
    assert ("$.rows[1].kl = 0.5" in ended.stderr) == (code == 1)


@pytest.mark.parametrize("folders", [[], ["."], [".", "nowhere"], ["{tmp}", "."]])
def test_bad_folders_are_one_line(folders, tmp_path, capsys):
    assert main(["golden", *(folder.format(tmp=tmp_path) for folder in folders)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
