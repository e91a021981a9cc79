"""The step between frames and the starts of sequences: their types, and steps as JSON."""

from __future__ import annotations

import pandas as pd

from .time_forms import FloatArray

Starts = pd.DatetimeIndex | FloatArray | None
Step = pd.Timedelta | float | None


def step_to_json(step: Step) -> float | dict[str, int] | None:
    """A step as plain JSON: a number, or whole nanoseconds for clock time."""
    return {"nanoseconds": nanoseconds(step)} if isinstance(step, pd.Timedelta) else step


def step_from_json(plain: float | dict[str, int] | None) -> Step:
    """Inverse of :func:`step_to_json`."""
    return pd.Timedelta(plain["nanoseconds"], unit="ns") if isinstance(plain, dict) else plain


def nanoseconds(step: pd.Timedelta) -> int:
    """The step as whole nanoseconds."""
    return int(step.as_unit("ns").value)
