"""The scaled coordinates of a model: their name, and Gaussian processes in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pandas as pd
import torch

from .. import data
from .._errors import InputError
from ..processes import GaussianLaw, require_law


def coordinates_of(transform: data.Transform) -> str | None:
    """A name of the coordinates that a transform leads to; None where it changes nothing."""
    return None if transform.is_identity else hashlib.sha256(transform.to_json().encode()).hexdigest()


def scaled_process(
    process: GaussianLaw,
    transform: data.Transform,
    coordinates: str | None,
    starts: Callable[[], pd.DatetimeIndex | None],
) -> GaussianLaw:
    """``process`` after the transform; see :meth:`Model.scaled`.

    Args:
        process: In the units of the data.
        transform: Of a fitted model.
        coordinates: As :func:`coordinates_of` names them.
        starts: Gives the clock time of the first frame, or refuses; called where the transform is affine.
    """
    require_law("process", process)
    if process.coordinates is not None:
        raise InputError("process must be in the units of the data, but model.scaled(...) has scaled this one already")
    got, want = (process.num_frames, process.num_features), (transform.num_frames, transform.num_features)
    if got != want:
        raise InputError(f"process must have {want} frames and features, as the model, got {got}")
    if coordinates is None:
        return process
    if transform.margins is not None:
        raise InputError(
            'process cannot be scaled: this model was fitted with margins="normal-scores", a nonlinear map of each '
            "feature, after which a Gaussian law is not Gaussian; fit with margins=None, or compare samples by ks.audit"
        )
    shift, scale = transform.shift_and_scale(starts())
    return process.scaled(torch.from_numpy(shift), torch.from_numpy(scale), coordinates)
