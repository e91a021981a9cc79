"""The worked examples run, on the demo's weather and on a file with the shape of the Irish wind."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_weather(capsys):
    example("weather").main(["--quick"])
    told = capsys.readouterr().out
    assert "2 days of 23 or 25 hours left out" in told
    assert "334 days: 240 to learn from, 67 held out" in told
    assert "intervals held" in told


def test_irish_wind_tells_persistent_days_from_separable_ones(tmp_path, capsys):
    """Not the real file: stations that follow each other a day later, which no separable law can say."""
    rng = np.random.default_rng(0)
    wind = rng.standard_normal((5700, 4))
    for day in range(1, len(wind)):
        wind[day, 1] = 0.8 * wind[day - 1, 0] + 0.6 * wind[day, 1]
    table = pd.DataFrame((10 + wind).clip(0.1), columns=list("abcd"))
    table.insert(0, "date", pd.date_range("1961-01-01", periods=len(table)))
    table.to_csv(tmp_path / "wind.csv", index=False)
    example("irish_wind").main([str(tmp_path / "wind.csv"), "--frames", "3", "--steps", "200"])
    lines = capsys.readouterr().out.splitlines()
    nats = {line[:19].strip(): float(line[19:].split()[0]) for line in lines[3:]}
    assert nats["separable"] - nats["block-Toeplitz"] > 0.3
    assert nats["learnt, 4 heads"] < nats["separable"]
