"""``kronoscope reproduce jacobian``: the covariance that a trained network believes in, read off its Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .. import probes
from .._errors import InputError
from .._typing import ScoreFunction
from ..processes import GaussianSequence
from . import jacobian_page
from .control import control_process
from .reproductions import Finding
from .stages import Stage
from .yardstick_networks import NULLS, network

TIMES = (0.1, 0.2, 0.5)
TIME = 0.2
MAX_LAG = 16


@dataclass(frozen=True, eq=False)
class Reading:
    """What one score believes at one noise level.

    Attributes:
        kind: "exact", "trained" or a null.
        t: Diffusion time.
        relative_error: Of the mean Jacobian, in the Frobenius norm.
        profile, profile_error: gamma(lag) for lag 0..MAX_LAG.
        gap, gap_error: Largest |gamma(lag) - truth|, and the standard error there.
        lengthscale, exponent: (value, standard error); None where there is no covariance to fit.
        sigma, sigma_error: Spatial covariance, (d, d), and standard errors.
        sigma_gap: Largest |entry - truth| of it, and the standard error there.
        modes, modes_error: Precision by mode, (N, d), and standard errors.
        true_modes: What it should be.
    """

    kind: str
    t: float
    relative_error: float
    profile: list[float]
    profile_error: list[float]
    gap: float
    gap_error: float
    lengthscale: tuple[float, float] | None
    exponent: tuple[float, float] | None
    sigma: Tensor
    sigma_error: Tensor
    sigma_gap: tuple[float, float]
    modes: Tensor
    modes_error: Tensor
    true_modes: Tensor


@dataclass(frozen=True, eq=False)
class JacobianResult:
    """All that the page shows."""

    process: GaussianSequence
    readings: list[Reading]
    exact_gap: float
    samples: int

    def of(self, kind: str, t: float = TIME) -> Reading:
        """The reading of that score at that noise level."""
        return next(one for one in self.readings if (one.kind, one.t) == (kind, t))


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Train on the yardstick and on its nulls; put all of them and the exact score under the microscope."""
    process = control_process()
    samples = 10 if quick else 60
    scores: dict[str, tuple[ScoreFunction, torch.dtype]] = {"exact": (process.score, torch.float64)}
    for kind in ("trained", *NULLS):
        model = network("dit", kind, quick=quick, seed=seed, folder=folder, stage=stage)
        scores[kind] = (model.score, torch.float32)
    readings = []
    with stage("microscope") as show:
        for number, (kind, (score, dtype)) in enumerate(scores.items()):
            for t in TIMES:
                count = 2 if kind == "exact" else samples
                readings.append(read(kind, score, process, t, count, seed, dtype))
            show((number + 1) / len(scores), kind)
    exact = probes.jacobian(process.score, process, t=TIME, num_samples=2)
    result = JacobianResult(process, readings, float((exact.value - exact.truth).abs().max()), samples)
    return Finding(jacobian_page.page(result, quick), _record(result))


def read(
    kind: str, score: ScoreFunction, process: GaussianSequence, t: float, count: int, seed: int, dtype: torch.dtype
) -> Reading:
    """Probe one score at one noise level."""
    generator = torch.Generator().manual_seed(seed + 17)
    probe = probes.jacobian(score, process, t, num_samples=count, generator=generator, dtype=dtype)
    profile = probe.lag_profile(MAX_LAG)
    truth = process.temporal_covariance[0, : MAX_LAG + 1]
    scale = exponent = None
    try:
        fit = probe.fit_kernel(MAX_LAG)
        scale, exponent = (fit.lengthscale, fit.lengthscale_error), (fit.exponent, fit.exponent_error)
    except (InputError, ValueError):
        pass  # a belief that is no covariance: the page shows a dash
    modes, true_modes = probe.by_mode(process)
    sigma = probe.spatial_covariance()
    gap, gap_error = _largest(profile, truth)
    return Reading(
        kind,
        t,
        probe.relative_error,
        profile.value.tolist(),
        profile.standard_error.tolist(),
        gap,
        gap_error,
        scale,
        exponent,
        sigma.value,
        sigma.standard_error,
        _largest(sigma, process.spatial_covariance),
        modes.value,
        modes.standard_error,
        true_modes,
    )


def _largest(found: probes.Measured, truth: Tensor) -> tuple[float, float]:
    """Largest |entry - truth|, and the standard error of that entry."""
    off = (found.value - truth).abs().flatten()
    place = int(off.argmax())
    return float(off[place]), float(found.standard_error.flatten()[place])


def _record(result: JacobianResult) -> dict:
    rows = [
        {
            "score": one.kind,
            "t": one.t,
            "relative_error": one.relative_error,
            "gamma": one.profile,
            "gamma_standard_error": one.profile_error,
            "largest_gap": one.gap,
            "largest_gap_standard_error": one.gap_error,
            "lengthscale": None if one.lengthscale is None else list(one.lengthscale),
            "exponent": None if one.exponent is None else list(one.exponent),
            "spatial_covariance": one.sigma.tolist(),
            "spatial_covariance_standard_error": one.sigma_error.tolist(),
            "spatial_largest_gap": one.sigma_gap[0],
            "spatial_largest_gap_standard_error": one.sigma_gap[1],
            "precision_by_mode": one.modes.tolist(),
            "precision_by_mode_standard_error": one.modes_error.tolist(),
        }
        for one in result.readings
    ]
    return {"exact_score_entry_gap": result.exact_gap, "samples": result.samples, "readings": rows}
