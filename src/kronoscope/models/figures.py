"""Figures of a fitted model: its training, and its sequences beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .. import _checks, report
from .._errors import InputError
from ..data import SequenceSet, Transform, from_array
from ..diffusion import clock
from ..metrics import correlation_band, lagged_correlation
from ..metrics.figures import feature_figure, lag_figure
from ..report import Figure, Line, LinePanel
from ..training import TrainingConfig

MOST_FEATURES = 9
THIN_LINES = 14
MOST_LAGS = 96
MOST_VALUES = 2**23
BLOCK = 7  # neighbouring sequences of one long series that may depend on each other
WHAT = ("training", "lags", "features", "sequences")
_TIME_UNITS = (("days", pd.Timedelta(days=1)), ("hours", pd.Timedelta(hours=1)), ("minutes", pd.Timedelta(minutes=1)))


@dataclass(frozen=True)
class Axis:
    """How frames are counted on a page: ``scale`` units from one frame to the next."""

    unit: str
    scale: float

    @classmethod
    def of(cls, sequences: SequenceSet) -> Axis:
        """In the largest unit of time that a step is a whole number of; in frames without times."""
        step = sequences.step
        if isinstance(step, pd.Timedelta):
            for unit, length in _TIME_UNITS:
                if step % length == pd.Timedelta(0):
                    return cls(unit, float(step / length))
            return cls("seconds", step.total_seconds())
        return cls("frames", 1.0) if step is None else cls("units of time", float(step))

    def places(self, number: int) -> list[float]:
        """Positions of the first ``number`` frames."""
        return [self.scale * i for i in range(number)]


def feature_groups(names: Sequence[str]) -> list[list[int]]:
    """Indices of the features that share a stem (``temp`` of temp_EWR, temp_JFK); each by itself where none do."""
    groups: dict[str, list[int]] = {}
    for j, name in enumerate(names):
        groups.setdefault(name.rpartition("_")[0] or name, []).append(j)
    # feature_0, feature_1, ... share a stem that means nothing
    return [[j] for j in range(len(names))] if len(groups) == 1 else list(groups.values())


def sequence_figure(
    real: np.ndarray, generated: np.ndarray, names: Sequence[str], units: dict[str, str], axis: Axis
) -> Figure:
    """The first feature of every group: some sequences, their mean and where 90 % of all lie; real left, new right."""
    panels = []
    for group in feature_groups(names)[:MOST_FEATURES]:
        j = group[0]
        both = np.concatenate([real[..., j].ravel(), generated[..., j].ravel()])
        low, high = (float(v) for v in (both.min(), both.max()))
        room = 0.04 * (high - low) or 1.0
        for title, values, role in (("real", real, "truth"), ("generated", generated, "learnt")):
            panels.append(
                LinePanel(
                    f"{names[j]}, {title}",
                    f"time ({axis.unit})" if axis.unit != "frames" else "frame",
                    with_unit(names[j], units),
                    _sequence_lines(values[..., j], role, axis),
                    y_limits=(low - room, high + room),
                )
            )
    stems = "one feature of each group" if len(panels) // 2 < len(names) else "every feature"
    return Figure(
        panels,
        f"Real sequences on the left, generated ones on the right, in the units of the file, on one scale ({stems}). "
        f"Thin: {min(THIN_LINES, len(real))} single sequences, evenly spaced through the set. Thick: the mean at each "
        "frame; shaded: where 90 % of all sequences lie. Look for the same shape of the mean, the same width of the "
        "band, and single lines that are as rough and as persistent as the real ones. Generated sequences are "
        "new: none on the "
        "right is meant to match one on the left.",
        "Thin curves of single sequences with mean and 90 % band, real and generated side by side.",
        columns=2,
    )


def _sequence_lines(values: np.ndarray, role: str, axis: Axis) -> list[Line]:
    x = axis.places(values.shape[1])
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    chosen = np.unique(np.linspace(0, len(values) - 1, THIN_LINES).round().astype(int))
    label = "real" if role == "truth" else "generated"
    lines = [Line(f"{label}, single sequences", role, x, values[i], thin=True) for i in chosen]
    return [*lines, Line(f"{label}: mean and 90 % of sequences", role, x, values.mean(axis=0), low, high)]


def with_unit(name: str, units: dict[str, str]) -> str:
    """``temp_EWR (°F)``; the name alone without a known unit."""
    unit = next((unit for stem, unit in units.items() if name.startswith(stem)), "")
    return f"{name} ({unit})" if unit else name


def training_figure(
    history: Sequence[dict[str, Any]], best_step: int, config: TrainingConfig, num_frames: int, num_features: int
) -> Figure:
    """The loss by step, and the step whose parameters were kept.

    Args:
        history: One record for each evaluation, as in ``model.record["training"]``.
        best_step: The step that was kept.
        config: Settings of the training.
        num_frames, num_features: N and d.
    """
    steps = [entry["step"] for entry in history]
    # the mean squared error of an entry, in the unit of the held-out loss: nats a sequence
    nats = 0.5 * float(clock(config.max_time) - clock(config.min_time)) * num_frames * num_features
    held_out = [entry["held_out_loss"] for entry in history]
    kept = next((i for i, step in enumerate(steps) if step == best_step), len(steps) - 1)
    series = [
        Line("held out for early stopping", "held-out", steps, held_out),
        Line("kept", "learnt", [steps[kept]], [held_out[kept]], markers=True),
    ]
    trained = [entry for entry in history if "train_loss" in entry]
    if trained:  # there is none before the first step
        at, loss = [entry["step"] for entry in trained], [nats * entry["train_loss"] for entry in trained]
        series.insert(0, Line("training (running mean)", "truth", at, loss, thin=True))
    series = [line for line in series if np.isfinite(line.y).all()]
    caption = (
        "Denoising loss of a sequence in nats, up to a constant that depends on the data alone: only "
        "differences matter. "
        "The checkpoint is taken where the held-out curve is lowest. Where the curve rises again, the network "
        "overfits: it "
        "memorises the training sequences."
    )
    y = [value for line in series for value in line.y[len(line.y) // 10 :]]
    room = 0.05 * (max(y) - min(y)) or 1.0
    limits = (min(y) - room, max(y) + room)
    panel = LinePanel("", "train step", "denoising loss (nats a sequence)", series, y_limits=limits)
    return Figure(
        [panel], caption, "Training loss and held-out loss by training step, with the step of the checkpoint."
    )


class Drawable(Protocol):
    """What a figure needs of a model."""

    @property
    def num_frames(self) -> int: ...
    @property
    def num_features(self) -> int: ...
    @property
    def feature_names(self) -> tuple[str, ...]: ...
    @property
    def training(self) -> TrainingConfig: ...
    @property
    def transform(self) -> Transform: ...
    @property
    def record(self) -> dict[str, Any]: ...
    def sample_values(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> tuple[np.ndarray, pd.DatetimeIndex | None]: ...


def draw_model(
    model: Drawable, real: Any, what: str | None, num_samples: int, generator: torch.Generator
) -> report.Plot:
    """See :meth:`Model.plot`."""
    what = ("training" if real is None else "lags") if what is None else what
    if what not in WHAT:
        raise InputError(f"what must be one of {', '.join(WHAT)}, got {what!r}")
    if what == "training":
        outcome = model.record.get("training")
        if outcome is None:
            raise InputError("the model has no record of its training, so there is no curve to draw")
        sizes = model.num_frames, model.num_features
        return report.plot(training_figure(outcome["history"], outcome["best_step"], model.training, *sizes))
    if real is None:
        raise InputError(f"what={what!r} needs real sequences to draw beside: model.plot(x, {what!r})")
    sequences = from_array(real, frames=model.num_frames if np.ndim(real) == 2 else None).complete()
    shape = len(sequences), model.num_frames, model.num_features
    if sequences.values.shape != shape:
        got = sequences.values.shape[1:]
        raise InputError(f"real must be sequences of {shape[1]} frames with {shape[2]} features, got {got}")
    size = model.num_frames * model.num_features
    number = max(32, min(_checks.count("num_samples", num_samples, 2), MOST_VALUES // size))
    generated, starts = model.sample_values(number, generator=generator)
    if what == "sequences":
        names = model.feature_names
        return report.plot(sequence_figure(sequences.values, generated, names, {}, Axis.of(sequences)))
    scaled = {
        "real": torch.from_numpy(model.transform.apply(sequences.values, sequences.starts)),
        "generated": torch.from_numpy(model.transform.apply(generated, starts)),
    }
    return report.plot(_dependence_figure(what, scaled, model.feature_names, sequences))


def _dependence_figure(what: str, scaled: dict[str, Tensor], names: Sequence[str], sequences: SequenceSet) -> Figure:
    """Correlations of the first features that vary, in scaled coordinates, as on the page of a run."""
    real = scaled["real"]
    varying = (real - real.mean(dim=0)).square().mean(dim=(0, 1)) > 0
    chosen = varying.nonzero().flatten().tolist()[:MOST_FEATURES]
    if not chosen:
        raise InputError("real must vary between sequences in at least one feature, but none does")
    real, generated = (values[..., chosen] for values in scaled.values())
    shown = [names[j] for j in chosen]
    if what == "features":
        each = {
            name: lagged_correlation(values, max_lag=0) for name, values in (("real", real), ("generated", generated))
        }
        return feature_figure(each, shown)
    axis, most = Axis.of(sequences), min(real.shape[1] - 1, MOST_LAGS)
    block = min(BLOCK, len(real)) if sequences.consecutive else 1
    band = correlation_band(real, block=block, max_lag=most)
    others = {"generated": lagged_correlation(generated, max_lag=most)}
    return lag_figure(band, others, {"generated": "learnt"}, shown, axis.unit, axis.scale)
