"""A year of hourly weather at New York's three airports: fitted through the door of any file, and compared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kronoscope import data, estimators, models
from kronoscope.pages.dependence import INDEPENDENT, OUT_OF_FOLD, Comparison, baselines, compare

from ..stages import Stage, quiet, training_steps

# The network that learns the weather, its options, and the training settings that differ from its preset.
WEATHER_NETWORK: dict[str, Any] = {
    "network": "position",
    "options": {},
    "training": {"max_seconds": 100.0, "learning_rate": 6e-3, "keep": "last", "patience": None},
}

READING: dict[str, Any] = {
    "time": "time_hour",
    "columns": ["temp", "dewp", "wind_speed"],
    "pivot": "origin",
    "timezone": "America/New_York",
    "frames": 24,
    "limits": ["wind_speed=0:253"],
}
SPLIT_AND_SCALE: dict[str, Any] = {
    "mean": "free",
    "scaling": "standard",
    "harmonics": 2,
    "test": "weeks:5",
    "validation": 0.02,
}
COMMAND = (
    "kronoscope fit weather.csv --time time_hour --columns temp,dewp,wind_speed --pivot origin "
    "--timezone America/New_York --frames 24 --limits wind_speed=0:253 --harmonics 2 --test weeks:5 "
    "--validation 0.02 --learning-rate 0.006 --keep last --out RUN"
)
BLOCK_DAYS = 7
SCORE_CALLS = 32  # the sampler's own error is then below 1e-3 nats on the control, far below any network's
BASELINES = ("sample covariance", "separable", "block-Toeplitz", INDEPENDENT)


@dataclass(frozen=True, eq=False)
class WeatherResult:
    """What the weather experiment found.

    Attributes:
        model: The fitted model.
        sequences: The days that were read.
        generated, starts: Generated days in original units, and the dates whose season they have.
        comparison: Against the held-out days, in anomalies.
        negative_winds: Share of the wind speeds below zero, by name of the set.
    """

    model: models.Model
    sequences: data.SequenceSet
    generated: np.ndarray
    starts: Any
    comparison: Comparison
    negative_winds: dict[str, float]

    def plain(self) -> dict[str, Any]:
        """Plain numbers."""
        training = {k: v for k, v in self.model.record["training"].items() if k != "history"}
        return {
            "days": len(self.sequences),
            "parts": {name: len(part) for name, part in self.model.record["split"].items()},
            "notes": list(self.sequences.notes),
            "network": WEATHER_NETWORK,
            "training": training,
            "comparison": self.comparison.plain(),
            "negative_wind_share": self.negative_winds,
        }


def run_weather(
    folder: str | os.PathLike[str],
    *,
    num_days: int = 5000,
    training: dict[str, Any] | None = None,
    seed: int = 0,
    force: bool = False,
    stage: Stage = quiet,
) -> WeatherResult:
    """Fit the weather into a run folder, generate days and compare them with those held out.

    Args:
        folder: The run folder.
        num_days: Days to generate, and to draw from every estimator.
        training: Training settings instead of those of ``WEATHER_NETWORK``.
        seed: Of everything random.
        force: Replace a run that is there.
        stage: Reports progress.
    """
    path = data.demo_weather_path()
    sequences = data.read(path, **{**READING, "limits": data.parse_limits(READING["limits"])})
    name = WEATHER_NETWORK["network"]
    settings = models.FitSettings(
        network=name, network_options=WEATHER_NETWORK["options"], seed=seed, **SPLIT_AND_SCALE
    )
    config = models.training_config(name, {**WEATHER_NETWORK["training"], **(training or {})})
    source = {"path": str(path), "calendar": "auto", **READING}
    with stage("weather: training") as show:
        model = models.fit_run(
            sequences, settings, config, folder, source=source, force=force, on_progress=training_steps(show)
        )
    generator = torch.Generator().manual_seed(seed)
    with stage("weather: generating") as show:
        generated, starts = model.sample_values(
            num_days,
            generator=generator,
            num_calls=SCORE_CALLS,
            progress=lambda done, total: show(done / total, f"{num_days} days"),
        )
    with stage("weather: comparing") as show:
        comparison, drawn = compare_days(model, sequences, generated, starts, generator)
        show(1.0, "")
    return WeatherResult(
        model, sequences, generated, starts, comparison, negative_winds(model, sequences, generated, drawn, starts)
    )


def compare_days(
    model: models.Model, sequences: data.SequenceSet, generated: np.ndarray, starts: Any, generator: torch.Generator
) -> tuple[Comparison, np.ndarray]:
    """The comparison in anomalies, and as many scaled draws of the sample covariance.

    The network learns from anomalies of days about a cycle fitted without them; a sample covariance of the same
    anomalies stands beside the plain one, so that what this gives is not taken for the network's.
    """
    parts = model.record["split"]
    seen = sequences.subset(sorted(parts["train"] + parts["validation"]))
    test = sequences.subset(parts["test"])
    training, held_out, new = (
        torch.from_numpy(model.transform.apply(values, dates))
        for values, dates in ((seen.values, seen.starts), (test.values, test.starts), (generated, starts))
    )
    laws = baselines(training, BASELINES)
    laws[OUT_OF_FOLD] = estimators.SampleCovariance().fit(
        torch.from_numpy(model.transform.out_of_fold(seen.values, seen.starts, mean=SPLIT_AND_SCALE["mean"]))
    )
    places = np.asarray(parts["test"])
    comparison = compare(new, training, held_out, laws, block=BLOCK_DAYS, places=places, generator=generator)
    drawn = laws["sample covariance"].sample(len(generated), generator=generator).numpy()
    return comparison, drawn


def negative_winds(
    model: models.Model, sequences: data.SequenceSet, generated: np.ndarray, drawn: np.ndarray, starts: Any
) -> dict[str, float]:
    """Share of wind speeds below zero among real, generated and Gaussian days of the same dates."""
    wind = [j for j, name in enumerate(sequences.feature_names) if name.startswith("wind_speed")]
    sets = {
        "real": sequences.values,
        "generated": generated,
        "sample covariance": model.transform.invert(drawn, starts),
    }
    return {name: float((values[..., wind] < 0).mean()) for name, values in sets.items()}
