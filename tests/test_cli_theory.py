"""``kronoscope theory``: the table of every statement, and one line for bad wishes."""

import numpy as np
import pytest

from kronoscope.cli import run


def test_all_statements_are_printed_and_apply_by_default(capsys):
    assert run(["theory"]) == 0
    out = capsys.readouterr().out
    for title in ("Assumption 1", "Lemma 1", "Corollary 1", "Theorem 1", "Theorem 2"):
        assert f"{title}, " in out
    assert out.count("applies: all conditions are met") == 5
    assert "up to a constant" in out
    assert "sqrt(KL / 2), Pinsker" in out
    assert "monte carlo" in out


def test_options_reach_the_statements(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savetxt("sigma.csv", np.array([[2.0, 0.5], [0.5, 1.0]]), delimiter=",")
    line = ["--embedding", "line", "--lengthscale", "4", "--exponent", "2", "--frames", "12", "--spatial", "sigma.csv"]
    assert run(["theory", "lemma1", "--lags", "5", "--iterations", "7", "--time", "0.3", *line]) == 0
    assert "Lemma 1, t = 0.3, J = 5, K = 7" in capsys.readouterr().out
    assert run(["theory", "assumption1", "theorem1", "--no-measure", *line]) == 0
    out = capsys.readouterr().out
    assert "does not apply (violated: norm)" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  ell ")] == ["16"]
    assert "No network was compiled: not asked for." in out
    assert run(["theory", "theorem2", "-n", "50", "--quiet", *line]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lema1"], "did you mean lemma1?"),
        (["--time", "0"], "--time must be greater than 0 and less than 8"),
        (["--tolerance", "1"], "--tolerance must be greater than 0 and less than 1"),
        (["--exponent", "2.5"], "--exponent must be from 0.01 to 2, got 2.5"),
        (["--lengthscale", "nan"], "--lengthscale must be greater than 0"),
        (["--embedding", "cirle"], "did you mean circle?"),
        (["--embedding", "line", "--period", "9"], "--period belongs to --embedding circle"),
        (["--kernel", "White()", "--exponent", "1"], "leave out --exponent"),
        (["--kernel", "White()"], "process must have correlations between 0 and 1"),
        (["--kernel", "Matern(3"], "kernel"),
        (["--frames", "1"], "Invalid value for '--frames'"),
        (["--frames", "4000"], "at most 2048 frames"),
        (["--spatial", "no.csv", "--features", "2"], "leave out --features"),
        (["theorem2", "-n", "10", "--time", "5"], "min_time must be less than log n"),
    ],
)
def test_bad_wishes_are_refused_in_one_line(capsys, arguments, says):
    assert run(["theory", *arguments]) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
