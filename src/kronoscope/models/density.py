"""Log density of sequences under a fitted model, in the units of the data."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _checks, data, sampling
from .._errors import InputError
from .._typing import ScoreFunction
from .learnt import LearntLaw, LearntMixture


def log_density(
    x: Tensor | np.ndarray,
    starts: Any,
    of: str,
    *,
    transform: data.Transform,
    law: LearntLaw | LearntMixture | None,
    score: ScoreFunction,
    times: tuple[float, float],
    device: torch.device,
    num_steps: int,
    num_probes: int | None,
    generator: torch.Generator | None,
) -> sampling.FlowLikelihood:
    """See :meth:`Model.log_prob`; exact where there is a ``law``, else by the flow of ``score`` in float64.

    Args:
        x, starts, of, num_steps, num_probes, generator: As for :meth:`Model.log_prob`.
        transform: From the units of the data to scaled coordinates.
        law: Of an affine score, where it is that of a law; or of a mixture network.
        score: In scaled coordinates, float64.
        times: The range in which the score was trained.
        device: Of the network.
    """
    if of not in ("noised", "data"):
        raise InputError(f"of must be 'noised' or 'data', got {of!r}")
    frames, features = transform.num_frames, transform.num_features
    given = _checks.array("x", x, "iuf")
    if given.ndim != 3 or not len(given) or given.shape[1:] != (frames, features):
        raise InputError(f"x must have shape (n, {frames}, {features}), got {given.shape}")
    if not np.isfinite(given).all():
        raise InputError(f"x must be finite, but {int((~np.isfinite(given)).sum())} values are NaN or infinite")
    dated = transform.clock_times(starts, len(given))
    scaled = torch.from_numpy(transform.apply(given, dated))
    units = torch.from_numpy(transform.log_slope(given, dated))
    earliest, latest = times
    shrunk = scaled * math.exp(-earliest / 2)
    volume = -0.5 * earliest * frames * features
    if law is not None:
        values = law.data.log_prob(scaled) if of == "data" else law.noised_log_prob(shrunk) + volume
        return sampling.FlowLikelihood(values + units, torch.zeros_like(values), "exact", 0.0)
    flow = sampling.flow_log_prob(
        score,
        shrunk.to(device),
        min_time=earliest,
        max_time=latest,
        num_steps=num_steps,
        num_probes=num_probes,
        generator=generator,
    )
    return replace(flow, values=flow.values + volume + units.to(flow.values))
