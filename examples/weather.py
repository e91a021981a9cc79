"""Hourly weather of New York's three airports: learn days, audit new ones, forecast the evening. About two minutes.

    python examples/weather.py            # --quick: seconds, numbers that mean little

Every fifth week is held out; nothing of it reaches the network, the seasonal cycle or the scaling. Given the first 18
hours of a held-out day, the last 6 are forecast; beside it stand the last hour carried on, and the seasonal mean.
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np

import kronoscope as ks
from kronoscope import data, models

READING = {
    "time": "time_hour",
    "columns": ["temp", "dewp", "wind_speed"],
    "pivot": "origin",
    "timezone": "America/New_York",
    "frames": 24,
}
LIMITS = {"wind_speed": (0.0, 253.0)}
SEEN, LEVEL = 18, 0.9


def learn(days: data.SequenceSet, folder: str, steps: int) -> models.Model:
    """The default network, two annual harmonics of season, every fifth week held out."""
    settings = models.FitSettings.for_input("table", harmonics=2, test="weeks:5")
    config = models.training_config(settings.network, {"max_steps": steps})
    return models.fit_sequences(days, settings, config, folder)


def forecast(model: models.Model, days: data.SequenceSet) -> dict[str, np.ndarray]:
    """Absolute errors (day, hour, feature) of three forecasts, and whether the interval held the truth."""
    mask = np.ones(days.values.shape[1:], dtype=bool)
    mask[SEEN:] = False
    seasonal = model.transform.invert(np.zeros(days.values.shape), days.starts)
    found: dict[str, list[np.ndarray]] = {"kronoscope": [], "last hour": [], "seasonal mean": [], "inside": []}
    for day, start, usual in zip(days.values, days.starts, seasonal, strict=True):
        given = model.condition_on(mask, np.where(mask, day, np.nan), start=start)
        lower, upper = given.interval_values(LEVEL)
        truth = day[SEEN:]
        found["kronoscope"].append(np.abs(given.mean_values()[SEEN:] - truth))
        found["last hour"].append(np.abs(day[SEEN - 1] - truth))
        found["seasonal mean"].append(np.abs(usual[SEEN:] - truth))
        found["inside"].append((lower[SEEN:] <= truth) & (truth <= upper[SEEN:]))
    return {name: np.array(values) for name, values in found.items()}


def main(arguments: list[str] | None = None) -> None:
    """Print what was learnt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 train steps and 5 held-out days")
    quick = parser.parse_args(arguments).quick
    days = data.read(data.demo_weather_path(), limits=LIMITS, **READING)
    print(*days.notes, sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        model = learn(days, folder + "/run", 40 if quick else 1500)
    parts = model.record["split"]
    test = days.subset(parts["test"])
    print(f"{len(days)} days: {len(parts['train'])} to learn from, {len(test)} held out")
    found = forecast(model, test.subset(range(5)) if quick else test)
    groups = {"temp (°F)": slice(0, 3), "dewp (°F)": slice(3, 6), "wind (mph)": slice(6, 9)}
    print(f"\nmean absolute error of the last {24 - SEEN} hours of a day, ± one standard error over days")
    for name in ("kronoscope", "last hour", "seasonal mean"):
        cells = []
        for group, features in groups.items():
            each = found[name][..., features].mean(axis=(1, 2))
            cells.append(f"{group} {each.mean():.2f} ± {each.std(ddof=1) / len(each) ** 0.5:.2f}")
        print(f"  {name:14}", "   ".join(cells))
    share = found["inside"].mean(axis=(1, 2))
    error = share.std(ddof=1) / len(share) ** 0.5
    print(f"{100 * LEVEL:g} % intervals held {100 * share.mean():.1f} ± {100 * error:.1f} % of the hours")
    new, _ = model.sample_values(len(test) if quick else 500)
    result = ks.audit(test, new, consecutive=True, training=days.subset(parts["train"]))
    print("\naudit of new days against those held out:", "passed" if result.passed else "FAILED")
    for question in result.questions:
        if question.rejected:
            print(f"  {question.verdict}")


if __name__ == "__main__":
    main()
