"""What ``sample --dates`` writes can be audited as it is."""

import numpy as np
import pandas as pd
import pytest

from kronoscope.cli import run


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dated")
    rows = 4 * 500
    stamps = pd.date_range("2019-01-01", periods=rows, freq="6h", tz="UTC")
    rng = np.random.default_rng(0)
    season = 5 * np.sin(2 * np.pi * np.arange(rows) / (4 * 365.25))
    table = {"when": stamps, "a": rng.standard_normal(rows) + season, "b": rng.standard_normal(rows)}
    pd.DataFrame(table).to_csv(folder / "real.csv", index=False)
    told = ["--time", "when", "--timezone", "UTC", "--frames", "4", "--harmonics", "1", "--test", "0.4"]
    told += ["--network", "unrolled", "--max-steps", "30"]
    assert run(["fit", str(folder / "real.csv"), "--out", str(folder / "run"), *told, "-q"]) == 0
    return folder


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_dated_sequences_are_audited(fitted, ending):
    new, page = str(fitted / f"new{ending}"), str(fitted / f"page{ending}.html")
    assert run(["sample", str(fitted / "run"), "--out", new, "-n", "150", "--dates", "-q"]) == 0
    dates = pd.read_csv(new)["when"] if ending == ".csv" else pd.read_parquet(new)["when"]
    assert dates.notna().all()
    told = ["--run", str(fitted / "run"), "--json", f"{page}.json", "-q"]
    assert run(["audit", str(fitted / "real.csv"), new, "--out", page, *told]) in (0, 1)
    plain = str(fitted / f"plain{ending}")
    assert run(["sample", str(fitted / "run"), "--out", plain, "-n", "150", "-q"]) == 0
    told = ["--run", str(fitted / "run"), "--json", f"{plain}.json", "-q"]
    assert run(["audit", str(fitted / "real.csv"), plain, "--out", f"{plain}.html", *told]) in (0, 1)
    with open(f"{page}.json") as one, open(f"{plain}.json") as other:
        assert one.read() == other.read()
