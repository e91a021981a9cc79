"""``forecast`` and ``impute``: exact conditioning in the form of the source; one line for what is wrong."""

import numpy as np
import pandas as pd
import pytest
import torch
from test_cli import refused

import kronoscope as ks
from kronoscope.cli import run

N = 8
NAMES = ["inside", "outside"]


def walk(rows, start="2021-03-01"):
    """Two hourly autoregressions."""
    rng = np.random.default_rng(0)
    x = np.zeros((rows, 2))
    for k in range(1, rows):
        x[k] = 0.9 * x[k - 1] + rng.normal(size=2) @ np.array([[1.0, 0.5], [0.0, 0.8]])
    return pd.DataFrame(
        {"when": pd.date_range(start, periods=rows, freq="h"), "inside": x[:, 0] + 20, "outside": x[:, 1]}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The table and two runs of it: with one mean a feature, and with one a frame."""
    path = tmp_path_factory.mktemp("forecasting")
    walk(8 * 60).to_csv(path / "table.csv", index=False)
    for mean in ("feature", "free"):
        told = [
            "--frames",
            str(N),
            "--time",
            "when",
            "--mean",
            mean,
            "--network",
            "unrolled",
            "--max-steps",
            "60",
            "-q",
        ]
        assert run(["fit", str(path / "table.csv"), "--out", str(path / mean), *told]) == 0
    return path


def call(*arguments):
    assert run([str(a) for a in (*arguments, "--quiet")]) == 0


def test_forecast_is_the_conditional_of_the_learnt_law_beyond_the_end(folder, tmp_path):
    call(
        "forecast", folder / "feature", folder / "table.csv", "--out", tmp_path / "f.csv", "--steps", 3, "--level", 0.8
    )
    table = pd.read_csv(tmp_path / "f.csv")
    assert list(table.columns) == ["when", "feature", "mean", "lower", "upper"]
    known = walk(8 * 60)
    model = ks.load(folder / "feature")
    values = np.vstack([known[NAMES].to_numpy()[-5:], np.zeros((3, 2))])
    law = model.law().data
    shift, scale = model.transform.mean, model.transform.scale
    z = torch.from_numpy((values - shift) / scale)
    covariance = law.covariance().numpy()
    mu = law.mean.numpy().ravel()
    gain = covariance[10:, :10] @ np.linalg.inv(covariance[:10, :10])  # by hand, frame-major
    mean = (mu[10:] + gain @ (z.numpy().ravel()[:10] - mu[:10])).reshape(3, 2) * scale + shift[:3]
    spread = np.sqrt(np.diag(covariance[10:, 10:] - gain @ covariance[:10, 10:])).reshape(3, 2) * scale
    assert np.allclose(table["mean"].to_numpy().reshape(3, 2), mean, atol=1e-8)
    assert np.allclose(table["upper"].to_numpy().reshape(3, 2), mean + 1.2815515655446004 * spread, atol=1e-8)
    assert table["feature"].tolist() == NAMES * 3
    expected = known["when"].iloc[-1] + pd.to_timedelta([1, 1, 2, 2, 3, 3], unit="h")
    assert (pd.to_datetime(table["when"]).to_numpy() == expected.to_numpy()).all()


def test_a_mean_by_frame_keeps_the_forecast_within_its_block(folder, tmp_path, capsys):
    told = ["forecast", folder / "free", folder / "table.csv", "--out", tmp_path / "f.csv"]
    refused(capsys, told, "new block", "--origin")
    call(*told, "--origin", "2021-03-01T13:00")
    table = pd.read_csv(tmp_path / "f.csv")
    assert table["when"].iloc[0] == "2021-03-01 13:00:00"
    assert len(table) == 3 * 2
    refused(capsys, [*told, "--force", "--origin", "2021-03-01T13:00", "--steps", 4], "steps", "at most 3")
    refused(capsys, [*told, "--force", "--origin", "2021-03-01T13:10"], "origin", "time of a frame")


def test_draws_agree_with_the_intervals(folder, tmp_path):
    told = ["forecast", folder / "feature", folder / "table.csv", "--steps", 2]
    call(*told, "--out", tmp_path / "f.parquet")
    call(*told, "--out", tmp_path / "d.parquet", "-n", 4000)
    one = pd.read_parquet(tmp_path / "f.parquet")
    draws = pd.read_parquet(tmp_path / "d.parquet")
    assert list(draws.columns) == ["when", "feature", "draw", "value"]
    merged = draws.merge(one, on=["when", "feature"])
    inside = ((merged["value"] >= merged["lower"]) & (merged["value"] <= merged["upper"])).groupby(
        [merged["when"], merged["feature"]]
    )
    assert (inside.mean() - 0.9).abs().max() < 5 * np.sqrt(0.09 / 4000)  # a failure in 400 000 seeds


def test_impute_changes_nothing_but_the_gaps(folder, tmp_path):
    text = (folder / "table.csv").read_text().splitlines()
    rows = {10: 1, 11: 2, 12: 1}
    for row, column in rows.items():
        cells = text[row].split(",")
        cells[column] = ""
        text[row] = ",".join(cells)
    (tmp_path / "gaps.csv").write_text("\n".join(text) + "\n")
    call("impute", folder / "free", tmp_path / "gaps.csv", "--out", tmp_path / "full.csv")
    full = (tmp_path / "full.csv").read_text().splitlines()
    assert [k for k, (a, b) in enumerate(zip(text, full, strict=True)) if a != b] == list(rows)
    model = ks.load(folder / "free")
    block = pd.read_csv(tmp_path / "gaps.csv")[NAMES].to_numpy()[8:16]
    expected = model.condition_on(np.isfinite(block), block).mean
    assert np.allclose(pd.read_csv(tmp_path / "full.csv")[NAMES].to_numpy()[8:16], expected, atol=1e-12)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".nc", ".parquet"])
def test_impute_of_every_format(tmp_path, ending):
    from kronoscope import data

    x = walk(N * 30)[NAMES].to_numpy().reshape(30, N, 2)
    path, out = tmp_path / f"x{ending}", tmp_path / f"y{ending}"
    data.write(
        path, x, data.Container("array", ".npy"), NAMES if ending in (".nc", ".parquet") else ("feature_0", "feature_1")
    )
    call("fit", path, "--out", tmp_path / "run", "--network", "unrolled", "--max-steps", 20)
    gappy = data.open_gappy(path)
    assert np.array_equal(gappy.source.values, x)
    hidden = x.copy()
    hidden[3, 2:5, 1] = np.nan
    if ending == ".parquet":
        table = pd.read_parquet(path)
        table.loc[3 * N + 2 : 3 * N + 4, "outside"] = np.nan
        table.to_parquet(path)
    elif ending == ".nc":
        import xarray as xr

        grid = xr.load_dataset(path, engine="h5netcdf")
        for name in grid.data_vars:
            values = grid[name].values.copy()
            if values.ndim == 3:
                values[3, 2:5, 1] = np.nan
            elif name == "outside":
                values[3, 2:5] = np.nan
            grid[name] = (grid[name].dims, values)
        path.unlink()
        grid.to_netcdf(path, engine="h5netcdf")
    elif ending == ".npy":
        np.save(path, hidden)
    else:
        np.savez(path, values=hidden)
    call("impute", tmp_path / "run", path, "--out", out)
    got = data.open_gappy(out).source.values
    assert np.isfinite(got).all()
    assert np.array_equal(got[np.isfinite(hidden)], x[np.isfinite(hidden)])


def test_what_is_wrong_gets_one_line_and_nothing_is_written(folder, tmp_path, capsys):
    known = walk(40)
    known.rename(columns={"inside": "other"}).to_csv(tmp_path / "names.csv", index=False)
    known.iloc[::2].to_csv(tmp_path / "step.csv", index=False)
    known.to_csv(tmp_path / "full.csv", index=False)
    out = tmp_path / "out.csv"
    for command in ("forecast", "impute"):
        told = [command, folder / "feature"]
        refused(capsys, [*told, tmp_path / "names.csv", "--out", out], "features", "'inside'")
        refused(capsys, [*told, tmp_path / "none.csv", "--out", out], "the file does not exist")
        refused(capsys, [command, tmp_path, tmp_path / "full.csv", "--out", out], "run")
        refused(capsys, [*told, tmp_path / "full.csv", "--out", tmp_path / "full.csv"], "exists already")
    refused(capsys, ["forecast", folder / "feature", tmp_path / "step.csv", "--out", out], "step", "1 hour", "2 hours")
    refused(capsys, ["forecast", folder / "feature", tmp_path / "full.csv", "--out", out, "--steps", 8], "steps")
    refused(capsys, ["forecast", folder / "feature", tmp_path / "full.csv", "--out", out, "--level", 1], "level")
    refused(capsys, ["forecast", folder / "feature", tmp_path / "full.csv", "--out", tmp_path / "o.npy"], "ending")
    refused(capsys, ["impute", folder / "feature", tmp_path / "full.csv", "--out", out], "no value is missing")
    assert not out.exists()
