"""The picture of the README, docs/_static/overview.svg: ``python docs/overview.py`` (two minutes).

Left: days of the demo's weather and days drawn by a model of it. Right: the table of docs/learning/sequences.md.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import kronoscope as ks

DOCS = Path(__file__).parent
FIT = (
    "kronoscope fit {source} --time time_hour --columns temp,dewp,wind_speed --pivot origin --frames 24 --timezone "
    "America/New_York --limits wind_speed=0:253 --harmonics 2 --test weeks:5 --max-steps 1400 --out {run} --quiet"
)
LEARNERS = {  # row of the table: colour
    "sample covariance": "#888888",
    "1-D U-Net": "#cc79a7",
    "DiT with a linear path": "#e69f00",
    "position-only": "#0072b2",
    "unrolled": "#009e73",
}


def learning_curves() -> tuple[list[int], dict[str, list[tuple[float, float]]]]:
    """Numbers of sequences, and (mean, standard error) of each learner, from the page that states them."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in (DOCS / "learning" / "sequences.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    columns = [number for number, head in enumerate(rows[0]) if head.startswith("n = ")]
    curves = {}
    for row in rows:
        if row[0] in LEARNERS and row[0] not in curves:
            curves[row[0]] = [tuple(map(float, row[column].split(" ± "))) for column in columns]
    return [int(rows[0][column][4:]) for column in columns], curves


def days() -> tuple[np.ndarray, np.ndarray]:
    """Real and generated days of temperature at JFK, (days, 24)."""
    source = ks.data.demo_weather_path()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        subprocess.run(FIT.format(source=source, run=run).split(), check=True, env=os.environ)
        generated = np.asarray(ks.load(run).sample(8))[:, :, 1]
    table = pd.read_csv(source)
    station = table[table.origin == "JFK"]
    times = pd.to_datetime(station.time_hour).dt.tz_convert("America/New_York")
    series = pd.Series(station.temp.to_numpy(), index=times)
    starts = pd.date_range("2013-01-20", periods=8, freq="45D", tz="America/New_York")
    return np.array([series.reindex(pd.date_range(start, periods=24, freq="h")) for start in starts]), generated


def main() -> None:
    """Draw and write."""
    matplotlib.rcParams.update(
        {"svg.hashsalt": "kronoscope", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(10, 2.7), layout="constrained", width_ratios=(1, 1, 1.2)
    )
    real, generated = days()
    left.plot(real.T, color="#0072b2", linewidth=1, alpha=0.8)
    middle.plot(generated.T, color="#d55e00", linewidth=1, alpha=0.8)
    low, high = np.nanmin([real, generated]) - 2, np.nanmax([real, generated]) + 2
    left.set(title="eight real days", xlabel="hour", ylabel="temperature at JFK (°F)", ylim=(low, high))
    middle.set(title="eight generated days", xlabel="hour", ylim=(low, high))
    sizes, curves = learning_curves()
    for name, colour in LEARNERS.items():
        means, errors = zip(*curves[name], strict=True)
        right.errorbar(sizes, means, yerr=errors, color=colour, marker="o", markersize=3, linewidth=1.2, label=name)
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    right.set(xscale="log", yscale="log", xticks=sizes, xticklabels=[f"{n:,}" for n in sizes])
    right.minorticks_off()
    right.set(title="error of learners against the exact score", xlabel="training sequences", ylabel="nats a sequence")
    figure.savefig(DOCS / "_static" / "overview.svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
