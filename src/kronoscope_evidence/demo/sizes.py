"""Sizes of the demo: the full one, and the rehearsal of ``--quick``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypedDict, cast


class Settings(TypedDict, total=False):
    """What :class:`Training` gives in place of a preset."""

    max_seconds: float
    max_steps: int
    evaluate_every: int
    held_out_draws: int


@dataclass(frozen=True)
class Training:
    """Training settings in place of a preset's; None keeps the preset's."""

    max_seconds: float | None = None
    max_steps: int | None = None
    evaluate_every: int | None = None
    held_out_draws: int | None = None

    def settings(self) -> Settings:
        """Keyword arguments for ``fit``."""
        return cast(Settings, {name: value for name, value in asdict(self).items() if value is not None})


@dataclass(frozen=True)
class WeatherSize:
    """Days to generate, and to draw from every estimator; and the training."""

    num_days: int
    training: Training


@dataclass(frozen=True)
class ControlSize:
    """How much the control trains and measures.

    Attributes:
        n: Sequences to learn from.
        dit, position: Training of the networks.
        num_generated: Sequences from which the covariance of "dit" is measured.
        num_samples: Sequences of the Monte Carlo score error of "dit".
        calls: Numbers of score calls of the samplers.
    """

    n: int
    dit: Training
    position: Training
    num_generated: int
    num_samples: int
    calls: tuple[int, ...]


@dataclass(frozen=True)
class Size:
    """Of the whole demo."""

    weather: WeatherSize
    control: ControlSize


FULL = Size(
    WeatherSize(5000, Training(max_seconds=100.0)),
    ControlSize(2000, Training(max_seconds=150.0), Training(max_seconds=45.0), 2000, 4096, (8, 16, 32, 64, 128)),
)
_STEPS = Training(max_steps=20, evaluate_every=10, held_out_draws=256)
QUICK = Size(WeatherSize(64, _STEPS), ControlSize(300, _STEPS, _STEPS, 64, 256, (8, 16)))
