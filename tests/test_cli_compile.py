"""``kronoscope compile`` and ``verify``: a folder that verifies, a byte that does not, one line for bad wishes."""

import json

import numpy as np
import pytest

from kronoscope.cli import run

SMALL = ["compile", "--frames", "8", "--kernel", "Matern(lengthscale=3, smoothness=1.5)", "--out"]


def test_a_compiled_folder_verifies_until_a_byte_is_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savetxt("sigma.csv", np.array([[2.0, 0.5], [0.5, 1.0]]), delimiter=",")
    assert run([*SMALL, "C", "--spatial", "sigma.csv"]) == 0
    told = json.loads((tmp_path / "C" / "certificate.json").read_text())["certificate"]
    assert f"{told['depth']} blocks" in capsys.readouterr().out
    assert run(["verify", "C"]) == 0
    for name in ("certificate.json", "configuration.json", "process.safetensors", "weights.safetensors"):
        path = tmp_path / "C" / name
        content = path.read_bytes()
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        assert run(["verify", "C"]) == 1, name
        path.write_bytes(content)
    assert "check failed: " in capsys.readouterr().out
    assert run([*SMALL, "C"]) == 2
    assert "C exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--kernel", "Matern(3"], "kernel"),
        (["--iteration", "conjugate-gradients"], "depend on x"),
        (["--max-depth", "2"], "needs"),
        (["--spatial", "no.csv"], "no.csv"),
        (["--spatial", "text.csv"], "text.csv cannot be read as a matrix of numbers"),
        (["--spatial", "text.txt"], "the ending must be .npy or .csv"),
        (["--spatial", "text.csv", "--features", "2"], "leave out --features"),
    ],
)
def test_bad_wishes_are_refused_and_nothing_is_written(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.csv").write_text("a,b\nc,d\n")
    assert run([*SMALL, "C", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "C").exists()


def test_verify_wants_a_compiled_folder(tmp_path, capsys):
    assert run(["verify", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert run(["verify", str(tmp_path)]) == 1
