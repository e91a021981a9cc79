"""A year of hourly weather at New York's three airports: fitted through the door of any file, and compared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kronoscope import data, estimators, models, pages
from kronoscope.pages.dependence import INDEPENDENT, OUT_OF_FOLD, Compared, Comparison, baselines, compare

from ..stages import Stage, quiet, training_steps
from .sizes import WeatherSize

NETWORK = "position"
NETWORK_TRAINING: dict[str, Any] = {"learning_rate": 6e-3, "keep": "last", "patience": None}
READING = data.Reading(
    time="time_hour",
    columns=("temp", "dewp", "wind_speed"),
    pivot="origin",
    timezone="America/New_York",
    frames=24,
    limits={"wind_speed": (0.0, 253.0)},
)
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
UNITS = (("temp", "°F"), ("dewp", "°F"), ("wind_speed", "mph"))
BLOCK_DAYS = 7
SCORE_CALLS = 32  # the sampler's own error is then below 1e-3 nats on the control, far below any network's
BASELINES = ("sample covariance", "separable", "block-Toeplitz", INDEPENDENT)


@dataclass(frozen=True)
class Parts:
    """Days in each part of the split."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Outcome:
    """How the training went: steps taken, the step whose parameters were kept, seconds, what stopped it."""

    steps: int
    best_step: int
    seconds: float
    stopped: str
    parameters: int


@dataclass(frozen=True)
class NegativeWinds:
    """Share of the wind speeds below zero: of real days, generated ones, and draws of the sample covariance."""

    real: float
    generated: float
    sample_covariance: float


@dataclass(frozen=True)
class WeatherResult:
    """All numbers of the weather experiment. The rest of its page stands in the run folder.

    Attributes:
        days: That were read.
        parts: Of the split.
        notes: Of the reading.
        network: Its name.
        training: How it went.
        comparison: Every set of days against the training band and the held-out days, in anomalies.
        held_out_blocks: Held-out weeks that count as independent.
        negative_winds: What generated days get wrong.
    """

    days: int
    parts: Parts
    notes: tuple[str, ...]
    network: str
    training: Outcome
    comparison: tuple[Compared, ...]
    held_out_blocks: int
    negative_winds: NegativeWinds

    def row(self, name: str) -> Compared:
        """The set of days of that name."""
        return next(row for row in self.comparison if row.name == name)


@dataclass(frozen=True, eq=False)
class Generated:
    """Generated days in original units, the dates whose season they have, and how they are written to a file."""

    values: np.ndarray
    starts: Any
    container: data.Container
    feature_names: tuple[str, ...]

    def write(self, path: Path, number: int) -> None:
        """The first days as a file."""
        starts = None if self.starts is None else self.starts[:number]
        data.write(path, self.values[:number], self.container, self.feature_names, starts=starts)


def run_weather(
    folder: str | os.PathLike[str],
    size: WeatherSize,
    *,
    seed: int = 0,
    force: bool = False,
    stage: Stage = quiet,
) -> tuple[WeatherResult, Generated]:
    """Fit the weather into a run folder with its page, generate days and compare them with those held out.

    Args:
        folder: The run folder.
        size: Days to generate, and the training.
        seed: Of everything random.
        force: Replace a run that is there.
        stage: Reports progress.
    """
    sequences, model = _fit(folder, size, seed, force, stage)
    generator = torch.Generator().manual_seed(seed)
    with stage("weather: generating") as show:
        values, starts = model.sample_values(
            size.num_days,
            generator=generator,
            num_calls=SCORE_CALLS,
            progress=lambda done, total: show(done / total, f"{size.num_days} days"),
        )
    with stage("weather: comparing") as show:
        comparison, drawn = compare_days(model, sequences, values, starts, generator)
        show(0.8, "")
        features = tuple(range(len(sequences.feature_names)))
        shown = pages.RunShown(model, sequences, values, features, comparison, units=UNITS)
        pages.save_run_page(Path(folder), pages.report_of(shown))
        show(1.0, "")
    outcome, split = model.record["training"], model.record["split"]
    result = WeatherResult(
        days=len(sequences),
        parts=Parts(**{name: len(part) for name, part in split.items()}),
        notes=tuple(sequences.notes),
        network=NETWORK,
        training=Outcome(
            outcome["steps"], outcome["best_step"], outcome["seconds"], outcome["stopped"], outcome["weights"]
        ),
        comparison=comparison.rows,
        held_out_blocks=comparison.held_out_blocks,
        negative_winds=negative_winds(model, sequences, values, drawn, starts),
    )
    return result, Generated(values, starts, model.container, sequences.feature_names)


def _fit(
    folder: str | os.PathLike[str], size: WeatherSize, seed: int, force: bool, stage: Stage
) -> tuple[data.SequenceSet, models.Model]:
    path = data.demo_weather_path()
    source = data.FileSource((str(path),), READING)
    sequences = data.read_source(source)
    settings = models.FitSettings.for_input("table", NETWORK, seed=seed, **SPLIT_AND_SCALE)
    config = models.training_config(NETWORK, {**NETWORK_TRAINING, **size.training.settings()})
    with stage("weather: training") as show:
        model = models.fit_sequences(
            sequences, settings, config, folder, source=source, force=force, on_progress=training_steps(show)
        )
    return sequences, model


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
) -> NegativeWinds:
    """Share of wind speeds below zero among real, generated and Gaussian days of the same dates."""
    wind = [j for j, name in enumerate(sequences.feature_names) if name.startswith("wind_speed")]
    gaussian = model.transform.invert(drawn, starts)
    real, made, drawn_share = (
        float((values[..., wind] < 0).mean()) for values in (sequences.values, generated, gaussian)
    )
    return NegativeWinds(real, made, drawn_share)
