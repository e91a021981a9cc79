"""``kronoscope reproduce heads``: lags and heads that a kernel needs, by its decay, lengthscale and the tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..compiler import compile_score
from ..kernels import FractionalGaussianNoise, Kernel, PowerExponential, RationalQuadratic, Wendland
from ..processes import GaussianSequence
from . import heads_page
from .depth_cases import Slope, network_error, slope
from .reproductions import Finding
from .stages import Stage

LAGS = 2**20
PRACTICAL, ASYMPTOTIC = (1e-1, 1e-12), (1e-20, 1e-150)
POLYNOMIAL = (1e-1, 1e-5)
LENGTHSCALES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
AT_ACCURACY = 1e-3
MIN_TIME = 1e-1
TOLERANCES = (0.3, 0.1, 3e-2, 1e-2, 3e-3, 1e-3)


@dataclass(frozen=True)
class Law:
    """A kernel and the power law that its decay makes for the lags.

    Attributes:
        name: For the page.
        kernel: With lengthscale 8.
        exponent: J grows like log(1/accuracy)^exponent, or, ``polynomial``, like (1/accuracy)^exponent.
        polynomial: Which of the two.
    """

    name: str
    kernel: Kernel
    exponent: float
    polynomial: bool = False


LAWS = (
    Law("stretched exponential, ν = 0.5", PowerExponential(8.0, 0.5), 2.0),
    Law("exponential, ν = 1", PowerExponential(8.0), 1.0),
    Law("ν = 1.5", PowerExponential(8.0, 1.5), 1 / 1.5),
    Law("squared exponential, ν = 2", PowerExponential(8.0, 2.0), 0.5),
    Law("polynomial, lag⁻²", RationalQuadratic(8.0, 1.0), 1.0, polynomial=True),
    Law("polynomial, lag⁻⁴", RationalQuadratic(8.0, 2.0), 1 / 3, polynomial=True),
)
COMPILED: dict[str, Kernel] = {
    "stretched exponential, ν = 0.5, lengthscale 1": PowerExponential(1.0, 0.5),
    "exponential, lengthscale 4": PowerExponential(4.0),
    "squared exponential, lengthscale 4": PowerExponential(4.0, 2.0),
    "compact (Wendland), 0 beyond 12": Wendland(12.0, 1),
    "polynomial, lag⁻⁴, lengthscale 4": RationalQuadratic(4.0, 2.0),
    "long memory (fractional noise, H = 0.8)": FractionalGaussianNoise(0.8),
}


@dataclass(frozen=True)
class Growth:
    """Lags by accuracy of one law, and the exponents that were fitted."""

    law: Law
    accuracies: list[float]
    lags: list[int]
    practical: Slope
    asymptotic: Slope | None


@dataclass(frozen=True)
class Kept:
    """A compiled network: its tolerance, the lags that it keeps, those that would do, its heads by kind, its error."""

    tolerance: float
    kept: int
    needed: int
    heads: dict[str, int]
    bound: float
    error: float


@dataclass(frozen=True)
class HeadsResult:
    """All that the page shows."""

    growth: list[Growth]
    by_lengthscale: dict[str, list[int]]
    lengthscale_slopes: dict[str, Slope]
    networks: dict[str, list[Kept]]
    frames: int


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """Lags by law, accuracy and lengthscale; then networks of every decay class."""
    frames, tolerances = (48, TOLERANCES[1::2]) if quick else (128, TOLERANCES)
    with stage("lags by law"):
        growth = [_growth(law) for law in LAWS]
        lengths = {law.name: [_lags(_scaled(law.kernel, ell), AT_ACCURACY) for ell in LENGTHSCALES] for law in LAWS}
        logs = [math.log(ell) for ell in LENGTHSCALES]
        slopes = {name: slope(logs, [math.log(lag) for lag in row]) for name, row in lengths.items()}
    networks: dict[str, list[Kept]] = {}
    with stage("compiled networks") as show:
        for number, (name, kernel) in enumerate(COMPILED.items()):
            process = GaussianSequence(kernel, torch.eye(1, dtype=torch.float64), times=frames)
            networks[name] = [_kept(process, tolerance, seed) for tolerance in tolerances]
            show((number + 1) / len(COMPILED), name)
    result = HeadsResult(growth, lengths, slopes, networks, frames)
    return Finding(heads_page.page(result), _record(result))


def _growth(law: Law) -> Growth:
    tails = _tails(law.kernel)
    ends = POLYNOMIAL if law.polynomial else PRACTICAL
    accuracies = np.geomspace(*ends, 23).tolist()
    lags = [_first(tails, accuracy) for accuracy in accuracies]
    if law.polynomial:
        return Growth(law, accuracies, lags, slope(_logs(accuracies), [math.log(lag) for lag in lags]), None)
    small = np.geomspace(*ASYMPTOTIC, 23).tolist()
    far = [_first(tails, accuracy) for accuracy in small]
    return Growth(law, accuracies, lags, _loglog(accuracies, lags), _loglog(small, far))


def _loglog(accuracies: list[float], lags: list[int]) -> Slope:
    return slope([math.log(value) for value in _logs(accuracies)], [math.log(lag) for lag in lags])


def _logs(accuracies: list[float]) -> list[float]:
    return [-math.log(accuracy) for accuracy in accuracies]


def _tails(kernel: Kernel) -> Tensor:
    """2 sum_{m > J} |gamma(m)| over the whole sum of |gamma|, J = 0, 1, ...: Gershgorin's bound, as the compiler's."""
    values = kernel.at_lag(torch.arange(LAGS, dtype=torch.float64)).abs()
    beyond = 2 * torch.cat([values.flip(0).cumsum(0).flip(0)[1:], torch.zeros(1, dtype=torch.float64)])
    return beyond / (beyond[0] + values[0])


def _first(tails: Tensor, accuracy: float) -> int:
    return int((tails <= accuracy).nonzero()[0])


def _lags(kernel: Kernel, accuracy: float) -> int:
    return _first(_tails(kernel), accuracy)


def _scaled(kernel: Kernel, lengthscale: float) -> Kernel:
    if isinstance(kernel, PowerExponential):
        return PowerExponential(lengthscale, kernel.exponent)
    assert isinstance(kernel, RationalQuadratic)
    return RationalQuadratic(lengthscale, kernel.mixture)


def _kept(process: GaussianSequence, tolerance: float, seed: int) -> Kept:
    kinds = {
        kind: compile_score(process, tolerance=tolerance, min_time=MIN_TIME, heads=kind)
        for kind in ("affine", "arc", "trapezoid")
    }
    affine = kinds["affine"]
    sizes = {kind: compiled.network.sizes().num_heads for kind, compiled in kinds.items()}
    error = network_error(affine, MIN_TIME, seed)
    kept, needed = affine.iteration.num_lags, _needed(process, tolerance)
    return Kept(tolerance, kept, needed, sizes, affine.bound, error)


def _needed(process: GaussianSequence, tolerance: float) -> int:
    """The fewest lags whose exact solve is within ``tolerance``, in the same error and by the definition."""
    frames = process.num_frames
    noise, eye = -math.expm1(-MIN_TIME), torch.eye(frames, dtype=torch.float64)
    lag = torch.arange(frames, dtype=torch.float64)
    distance = (lag[:, None] - lag).abs()
    exact = math.exp(-MIN_TIME) * process.temporal_covariance
    inverse = torch.linalg.inv(exact + noise * eye)
    for kept in range(frames):
        cut = torch.where(distance <= kept, exact, 0.0) + noise * eye
        if float(torch.linalg.eigvalsh(cut).min()) <= 0:
            continue
        gap = torch.linalg.inv(cut) - inverse
        if float(torch.trace(gap @ (exact + noise * eye) @ gap.T) / torch.trace(inverse)) <= tolerance**2:
            return kept
    return frames - 1


def _record(result: HeadsResult) -> dict:
    return {
        "growth": [
            {"law": one.law.name, "accuracies": one.accuracies, "lags": one.lags, "expected": one.law.exponent}
            | {"slope": vars(one.practical), "asymptotic": None if one.asymptotic is None else vars(one.asymptotic)}
            for one in result.growth
        ],
        "lengthscales": list(LENGTHSCALES),
        "lags_by_lengthscale": result.by_lengthscale,
        "frames": result.frames,
        "networks": {name: [vars(one) for one in row] for name, row in result.networks.items()},
    }
