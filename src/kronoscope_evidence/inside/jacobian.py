"""``kronoscope reproduce jacobian``: the covariance in a trained network's Jacobian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kronoscope import InputError, probes
from kronoscope._typing import ScoreFunction
from kronoscope.processes import GaussianSequence

from ..study import Measured, Run, Study
from ..yardstick import yardstick
from .jacobian_page import EXACT_KIND, TIME, Probed, Result, checks, page
from .networks import FULL, NULLS, QUICK, Training, network

TIMES = (0.1, TIME, 0.5)
MAX_LAG = 16
EXACT_SAMPLES = 2  # its Jacobian is the same at every sequence


@dataclass(frozen=True)
class Size:
    """Noised sequences per probe, diffusion times, and the training."""

    samples: int
    times: tuple[float, ...]
    training: Training


def measure(run: Run[Size]) -> Result:
    """Train on the yardstick and on its nulls; probe all of them and the exact score."""
    process = yardstick()
    scores: dict[str, tuple[ScoreFunction, torch.dtype]] = {EXACT_KIND: (process.score, torch.float64)}
    for kind in ("trained", *NULLS):
        model = network("dit", kind, run.size.training, run.seed, run.store, run.stage)
        scores[kind] = (model.score, torch.float32)
    probed = []
    with run.stage("probing") as show:
        for number, (kind, (score, dtype)) in enumerate(scores.items(), 1):
            samples = EXACT_SAMPLES if kind == EXACT_KIND else run.size.samples
            probed += [probe(kind, score, process, t, samples, run.seed, dtype) for t in run.size.times]
            show(number / len(scores), kind)
    exact = probes.jacobian(process.score, process, t=TIME, num_samples=EXACT_SAMPLES)
    gap = float((exact.value - exact.truth).abs().max())
    gamma = tuple(process.temporal_covariance[0, : MAX_LAG + 1].tolist())
    return Result(gamma, _matrix(process.spatial_covariance), tuple(probed), gap, run.size.samples)


def probe(
    kind: str, score: ScoreFunction, process: GaussianSequence, t: float, samples: int, seed: int, dtype: torch.dtype
) -> Probed:
    """Probe one score at one noise level."""
    generator = torch.Generator().manual_seed(seed + 17)
    jacobian = probes.jacobian(score, process, t, num_samples=samples, generator=generator, dtype=dtype)
    profile, sigma = jacobian.lag_profile(MAX_LAG), jacobian.spatial_covariance()
    modes, true_modes = jacobian.by_mode(process)
    lengthscale, exponent = _kernel(jacobian)
    return Probed(
        kind=kind,
        t=t,
        relative_error=jacobian.relative_error,
        profile=tuple(profile.value.tolist()),
        profile_error=tuple(profile.standard_error.tolist()),
        gap=_largest(profile, process.temporal_covariance[0, : MAX_LAG + 1]),
        lengthscale=lengthscale,
        exponent=exponent,
        sigma=_matrix(sigma.value),
        sigma_error=_matrix(sigma.standard_error),
        sigma_gap=_largest(sigma, process.spatial_covariance),
        modes=_matrix(modes.value),
        modes_error=_matrix(modes.standard_error),
        true_modes=_matrix(true_modes),
    )


def _kernel(jacobian: probes.JacobianProbe) -> tuple[Measured | None, Measured | None]:
    """Lengthscale and exponent of the fitted kernel; None where the network's matrix is not a covariance."""
    try:
        fit = jacobian.fit_kernel(MAX_LAG)
    except (InputError, ValueError):
        return None, None
    return Measured(fit.lengthscale, fit.lengthscale_error), Measured(fit.exponent, fit.exponent_error)


def _largest(measured: probes.Measured, truth: Tensor) -> Measured:
    differences = (measured.value - truth).abs().flatten()
    place = int(differences.argmax())
    return Measured(float(differences[place]), float(measured.standard_error.flatten()[place]))


def _matrix(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


STUDY = Study(
    claim="A trained network's Jacobian shows the covariance of its training data; the Jacobians of the null "
    "networks do not.",
    full=Size(60, TIMES, FULL),
    quick=Size(10, TIMES, QUICK),
    minutes=(9, 1.5),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
