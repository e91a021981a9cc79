"""Units, names and orders of features: compared wherever two files or a run and a file meet."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from test_cli import refused

import kronoscope as ks
from kronoscope import data
from kronoscope._errors import InputError
from kronoscope.cli import run
from kronoscope.data.units import is_same_unit

N = 8
STAMPS = pd.date_range("2024-01-01", periods=40 * N, freq="h")


def walk(n, seed):
    """Sequences of a small and a large feature, (n, N, 2)."""
    steps = np.random.default_rng(seed).normal(size=(n, N, 2)) * [1, 10]
    return steps.cumsum(axis=1) + np.array([5, 1000])


def as_table(x, names=("temp", "pressure")):
    index = {"sequence": np.repeat(np.arange(len(x)), N), "frame": np.tile(np.arange(N), len(x))}
    return pd.DataFrame({**index, **{name: x[..., j].ravel() for j, name in enumerate(names)}})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two tables of one law, and the second in other orders and forms."""
    folder = tmp_path_factory.mktemp("matching")
    real, made = as_table(walk(60, 1)), as_table(walk(60, 2))
    real.to_csv(folder / "real.csv", index=False)
    made.to_csv(folder / "made.csv", index=False)
    made[["pressure", "sequence", "temp", "frame"]].to_csv(folder / "reordered.csv", index=False)
    made[["pressure", "sequence", "temp", "frame"]].to_parquet(folder / "reordered.parquet")
    made.assign(label="x", extra=1.0).to_csv(folder / "extra.csv", index=False)
    made.rename(columns={"temp": "warmth"}).to_csv(folder / "other.csv", index=False)
    np.save(folder / "made.npy", walk(60, 2))
    x = xr.DataArray(walk(60, 2)[..., ::-1], dims=("n", "time", "f"), coords={"f": ["pressure", "temp"]}, name="x")
    x.to_netcdf(folder / "reordered.nc", engine="h5netcdf")
    xr.Dataset({n: (("sequence", "time"), walk(60, 2)[..., j]) for j, n in enumerate(("temp", "pressure"))}).to_zarr(
        folder / "sorted.zarr", consolidated=False  # a store lists its variables by name
    )  # fmt: skip
    return folder


def audited(folder, generated, out, *options):
    command = ["audit", folder / "real.csv", folder / generated, "--out", out / "a.html", "--json", out / "a.json"]
    return run([str(word) for word in (*command, "--force", *options)])


def test_features_of_an_audit_belong_together_by_name(files, tmp_path, capsys):
    results = []
    for name in ("made.csv", "extra.csv"):
        assert audited(files, name, tmp_path) == 0
        said = capsys.readouterr().out
        assert ("Left out" in said and "label, extra" in said) == (name == "extra.csv")
        text = (tmp_path / "a.json").read_text()
        results.append(text[: text.index('"notes"')])
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["reordered.csv", "reordered.parquet", "reordered.nc", "sorted.zarr", "extra.csv"])
def test_generated_features_are_put_into_the_order_of_the_real_ones(files, name):
    real = data.read(files / "real.csv")
    made = data.read_generated(files / name, real)
    arranged, _ = data.arrange(made, real.feature_names, (None, None), ("real", "generated"))
    assert arranged.feature_names == ("temp", "pressure")
    assert np.allclose(arranged.values, walk(60, 2), rtol=1e-12)


def test_without_names_features_belong_together_by_position_and_that_is_said(files, tmp_path, capsys):
    assert audited(files, "made.npy", tmp_path) == 0
    assert "features of generated have no names: taken in the order of real (temp, pressure)" in capsys.readouterr().out
    told = ["audit", files / "real.csv", files / "other.csv", "--out", tmp_path / "b.html"]
    refused(capsys, told, "same features", "generated has no 'temp'", "warmth")


def test_audits_in_memory_match_by_name_too():
    def array(x, names):
        return xr.DataArray(x, dims=("n", "time", "f"), coords={"f": names})

    real = array(walk(60, 1), ["a", "b"])
    same = ks.audit(real, array(walk(60, 2), ["a", "b"]), num_draws=99)
    turned = ks.audit(real, array(walk(60, 2)[..., ::-1], ["b", "a"]), num_draws=99)
    assert same.to_json() == turned.to_json()
    wider = ks.audit(real, array(walk(60, 2)[..., [1, 1, 0]], ["b", "c", "a"]), num_draws=99)
    assert wider.questions == same.questions
    assert any("left out: c" in note for note in wider.notes)
    with pytest.raises(InputError, match="generated has no 'a'"):
        ks.audit(real, array(walk(60, 2), ["c", "b"]), num_draws=99)


# ---- units ----


def weather(units, shift=0.0):
    hours = 15 + 8 * np.cos(2 * np.pi * np.arange(len(STAMPS)) / N)
    noise = np.random.default_rng(0).normal(size=(2, len(STAMPS)))
    variables = {
        name: (("time",), hours + noise[j] + shift, {"units": unit} if unit else {})
        for j, (name, unit) in enumerate(units.items())
    }
    return xr.Dataset(variables, {"time": STAMPS})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    for name, content in {
        "celsius": weather({"t2m": "degC", "d2m": "degC"}),
        "blanks": weather({"t2m": "celsius", "d2m": " degC"})[["d2m", "t2m"]],
        "kelvin": weather({"t2m": "degC", "d2m": "K"}, 273.15),
        "silent": weather({"t2m": "degC", "d2m": None}),
    }.items():
        content["t2m"][20:22] = np.nan
        content.to_netcdf(folder / f"{name}.nc", engine="h5netcdf")
    told = ["fit", folder / "celsius.nc", "--out", folder / "run", "--frames", N, "--network", "unrolled", "-q"]
    assert run([str(word) for word in [*told, "--max-steps", "20", "--test", "0.4", "--mean", "feature"]]) == 0
    return folder


@pytest.mark.parametrize("verb", ["forecast", "impute"])
def test_another_unit_than_the_runs_is_refused_with_both_named(fitted, tmp_path, capsys, verb):
    out = tmp_path / ("o.csv" if verb == "forecast" else "o.nc")
    told = [verb, fitted / "run", fitted / "kelvin.nc", "--out", out]
    refused(capsys, told, "d2m is in 'degC' in the run, but in 'K' in", "kelvin.nc", "convert the values to 'degC'")
    assert not out.exists()
    results = []
    for name in ("celsius", "blanks", "silent"):
        assert run([verb, str(fitted / "run"), str(fitted / f"{name}.nc"), "--out", str(out), "--force"]) == 0
        said = capsys.readouterr().out
        assert ("d2m in 'degC'" in said and "has none" in said) == (name == "silent")
        results.append(pd.read_csv(out) if verb == "forecast" else xr.load_dataset(out, engine="h5netcdf"))
    if verb == "forecast":  # "blanks" has its variables in another order: the run's is written
        assert results[0].equals(results[1])
        assert results[0].equals(results[2])
    else:
        assert all(np.array_equal(results[0][n].values, results[1][n].values) for n in ("t2m", "d2m"))
        assert list(results[1].data_vars) == ["d2m", "t2m"]  # the file's own order stays


def test_audit_compares_units_with_the_generated_and_with_the_runs(fitted, tmp_path, capsys):
    assert run(["sample", str(fitted / "run"), "-n", "30", "--out", str(tmp_path / "g.nc"), "-q"]) == 0
    assert run(["sample", str(fitted / "run"), "-n", "30", "--out", str(tmp_path / "g.csv"), "-q"]) == 0
    command = ["audit", fitted / "kelvin.nc", tmp_path / "g.nc", "--out", tmp_path / "a.html"]
    refused(capsys, [*command, "--frames", N], "d2m is in 'K' in real, but in 'degC' in generated")
    command[2] = tmp_path / "g.csv"  # a table says no units, so that only the run's can be compared
    refused(capsys, [*command, "--run", fitted / "run"], "d2m is in 'degC' in the run, but in 'K' in")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("degC", " degC ", True),
        ("m s-1", "m  s-1", True),
        ("m s**-1", "m s^-1", True),
        ("m/s", "m s-1", True),
        ("degC", "Celsius", True),
        ("degC", "K", False),
        ("mm", "m", False),
        ("m s-1", "ms-1", False),  # the second is per millisecond
        ("Pa", "hPa", False),
        ("mW", "MW", False),
    ],
)
def test_which_units_are_the_same(a, b, same):
    assert is_same_unit(a, b) is same
    assert is_same_unit(b, a) is same


def test_variables_and_columns_that_a_run_does_not_know_are_passed_over(tmp_path):
    x = np.random.default_rng(0).normal(size=(len(STAMPS), 2)).cumsum(axis=0)
    wind = xr.DataArray(x, {"time": STAMPS, "site": ["a", "b"]}, ("time", "site"), name="wind").to_dataset()
    wind.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    wind.isel(site=[1, 0]).assign(flag=("time", np.zeros(len(x), dtype="i4")), note=("n", ["text"])).to_netcdf(
        tmp_path / "more.nc", engine="h5netcdf"
    )
    told = ["--frames", str(N), "--network", "unrolled", "--max-steps", "2", "--mean", "feature", "-q"]
    assert run(["fit", str(tmp_path / "x.nc"), "--out", str(tmp_path / "run"), *told]) == 0
    results = []
    for name in ("x", "more"):
        out = tmp_path / f"{name}.csv"
        assert run(["forecast", str(tmp_path / "run"), str(tmp_path / f"{name}.nc"), "--out", str(out), "-q"]) == 0
        results.append(out.read_text())
    assert results[0] == results[1]
    table = pd.DataFrame({"when": STAMPS, "a": x[:, 0], "b": x[:, 1]})
    table.to_csv(tmp_path / "t.csv", index=False)
    table[["b", "when", "a"]].assign(label="text").to_csv(tmp_path / "u.csv", index=False)
    told[:0] = ["--time", "when"]
    assert run(["fit", str(tmp_path / "t.csv"), "--out", str(tmp_path / "run2"), *told]) == 0
    results = []
    for name in ("t", "u"):
        out = tmp_path / f"f{name}.csv"
        assert run(["forecast", str(tmp_path / "run2"), str(tmp_path / f"{name}.csv"), "--out", str(out), "-q"]) == 0
        results.append(out.read_text())
    assert results[0] == results[1]


# ---- text in bytes ----


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_names_in_arrays_of_characters_are_text(tmp_path, engine):
    stations = np.array([b"AAA", b"B", "CÉ".encode()], dtype="S4")
    values = np.random.default_rng(0).normal(size=(20 * N, 3))
    grid = xr.Dataset({"t2m": (("time", "station"), values)}, {"time": STAMPS[: 20 * N], "station": stations})
    grid.to_netcdf(tmp_path / "x.nc", engine=engine)
    got = data.read(tmp_path / "x.nc", frames=N)
    assert got.feature_names == ("AAA", "B", "CÉ")
    assert data.read(tmp_path / "x.nc", frames=N, columns=["CÉ"]).values.shape == (20, N, 1)
    for ending in (".nc", ".zarr", ".csv"):
        data.write(tmp_path / f"o{ending}", got.values, got.container, got.feature_names)
        assert data.read(tmp_path / f"o{ending}").feature_names == got.feature_names
    back = xr.load_dataset(tmp_path / "o.nc", engine="h5netcdf")
    assert back["station"].values.tolist() == ["AAA", "B", "CÉ"]


@pytest.mark.parametrize("kind", ["S5", object])
def test_bytes_in_memory_are_text_too(kind):
    labels = np.array([b"AAA  ", b"B\0"], dtype=kind)
    x = xr.DataArray(walk(20, 0), dims=("n", "time", "f"), coords={"f": labels, "site": b"far"})
    got = data.from_array(x)
    assert got.feature_names == ("AAA", "B")
    built = data.to_array(got.values, got.container, got.feature_names)
    assert built["f"].values.tolist() == ["AAA", "B"]
    assert built["site"].item() == "far"
    model = ks.fit(x, "linear", max_steps=1)
    assert model.sample(2, generator=torch.Generator().manual_seed(0))["f"].values.tolist() == ["AAA", "B"]


def test_pivot_values_in_bytes_are_text(tmp_path):
    table = pd.DataFrame({"time": STAMPS.repeat(2), "site": [b"AAA", b"B"] * len(STAMPS), "t": 1.0})
    table["t"] = np.random.default_rng(0).normal(size=len(table))
    table.to_parquet(tmp_path / "x.parquet")
    assert data.read(tmp_path / "x.parquet", time="time", pivot="site", frames=N).feature_names == ("t_AAA", "t_B")
