"""The cases of docs/theory.md, section 4, and the depth that each solver needs, computed from its coefficients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kronoscope import diffusion
from kronoscope.compiler import CompiledScore
from kronoscope.compiler.lowering import cosine_basis
from kronoscope.iterations import (
    chebyshev,
    gradient_descent,
    heavy_ball,
    iterations_needed,
    krylov_floor,
    relative_error,
    residual_factors,
    spectrum_optimal,
)
from kronoscope.kernels import Kernel, Matern, PowerExponential, RationalQuadratic
from kronoscope.processes import GaussianSequence

FEATURES = 4
KERNELS: dict[str, Kernel] = {
    "squared exponential, lengthscale 4": PowerExponential(4.0, 2.0),
    "Matérn 3/2, lengthscale 8": Matern(8.0, 1.5),
    "rational quadratic, lengthscale 8": RationalQuadratic(8.0, 1.0),
    "exponential, lengthscale 8": PowerExponential(8.0),
}


@dataclass(frozen=True)
class Reference:
    """A row of the table in docs/theory.md, section 4: a case and the depths that it states."""

    name: str
    kernel: Kernel
    frames: int
    time: float
    condition_number: float
    depths: dict[str, int]


REFERENCES = (
    Reference(
        "exponential, lengthscale 8", PowerExponential(8.0), 64, 1e-3, 1767,
        {"gradient-descent": 5264, "chebyshev": 152, "preconditioned-chebyshev": 4},
    ),
    Reference(
        "exponential, lengthscale 8", PowerExponential(8.0), 64, 1e-1, 271,
        {"gradient-descent": 821, "chebyshev": 60, "preconditioned-chebyshev": 4},
    ),
    Reference(
        "squared exponential, lengthscale 4", PowerExponential(4.0, 2.0), 64, 1e-3, 15988,
        {"gradient-descent": 54442, "chebyshev": 475, "preconditioned-chebyshev": 18},
    ),
    Reference(
        "exponential, lengthscale 32", PowerExponential(32.0), 256, 1e-2, 9137,
        {"gradient-descent": 27379, "chebyshev": 347, "preconditioned-chebyshev": 4},
    ),
)  # fmt: skip


def spatial_covariance() -> Tensor:
    """(A A'/4 + 0.3 I) scaled to trace 4, A standard normal from numpy's default_rng(0)."""
    a = torch.from_numpy(np.random.default_rng(0).standard_normal((FEATURES, FEATURES)))
    matrix = a @ a.T / 4 + 0.3 * torch.eye(FEATURES, dtype=torch.float64)
    return matrix * FEATURES / matrix.trace()


def process_of(kernel: Kernel, frames: int) -> GaussianSequence:
    """A zero-mean process with that kernel and the Sigma above."""
    return GaussianSequence(kernel, spatial_covariance(), times=frames)


@dataclass(frozen=True, eq=False)
class Spectra:
    """Eigenvalues of a separable covariance, with and without noise and preconditioning.

    Attributes:
        temporal: Gamma, (frames, frames).
        along_frames: Its eigenvalues, (frames,).
        along_features: Of Sigma, (features,).
    """

    temporal: Tensor
    along_frames: Tensor
    along_features: Tensor

    @classmethod
    def of(cls, process: GaussianSequence) -> Spectra:
        """Decompose once. Eigenvalues that round-off made negative are set to zero."""
        temporal = process.temporal_covariance
        values = torch.linalg.eigvalsh(temporal).clamp(min=0.0)
        return cls(temporal, values, torch.linalg.eigvalsh(process.spatial_covariance))

    def noised(self, t: float) -> Tensor:
        """Eigenvalues of C_t, (frames features,)."""
        return math.exp(-t) * torch.outer(self.along_frames, self.along_features).flatten() - math.expm1(-t)

    def preconditioned(self, t: float) -> tuple[Tensor, Tensor]:
        """Eigenvalues of M^-1 C_t, M the diagonal of C_t in the cosine basis, and their weights m in the error.

        With M^-1/2 C M^-1/2 = W L W' the error is tr r(M^-1 C) C^-1 r(C M^-1) = sum_i (W' M^-1 W)_ii r_i^2 / L_i.
        """
        basis = cosine_basis(len(self.along_frames))
        rotated = basis.T @ self.temporal @ basis
        values, counts = [], []
        for spatial in self.along_features.tolist():
            noised = math.exp(-t) * spatial * rotated - math.expm1(-t) * torch.eye(len(basis), dtype=torch.float64)
            root = noised.diagonal().rsqrt()
            eigenvalues, vectors = torch.linalg.eigh(root[:, None] * noised * root)
            values.append(eigenvalues)
            counts.append((root[:, None] * vectors).square().sum(0))
        return torch.cat(values), torch.cat(counts)


def depths(spectra: Spectra, t: float, tolerance: float, robust: bool = True) -> dict[str, int]:
    """The fewest iterations whose relative root-mean-square error under p_t is at most ``tolerance``, by solver.

    Args:
        spectra: Of the process.
        t: Diffusion time.
        tolerance: Of the error.
        robust: Include the spectrum-optimal coefficients that stay accurate in float64.
    """
    eigenvalues = spectra.noised(t)
    low, high = float(eigenvalues.min()), float(eigenvalues.max())
    most = int(iterations_needed("chebyshev", high / low, tolerance))
    needed = {
        "gradient-descent": _gradient_descent(eigenvalues, low, high, tolerance),
        "chebyshev": _first(relative_error(chebyshev(low, high, most), eigenvalues)[0], tolerance),
    }
    longer = int(iterations_needed("heavy-ball", high / low, tolerance))
    needed["heavy-ball"] = _first(relative_error(heavy_ball(low, high, longer), eigenvalues)[0], tolerance)
    inside, counts = spectra.preconditioned(t)
    ends = float(inside.min()), float(inside.max())
    fewer = int(iterations_needed("chebyshev", ends[1] / ends[0], tolerance))
    needed["preconditioned-chebyshev"] = _first(relative_error(chebyshev(*ends, fewer), inside, counts)[0], tolerance)
    floor = krylov_floor(eigenvalues, min(most, len(eigenvalues))).sqrt()
    needed["floor"] = 1 + _first(floor, tolerance)
    if robust:
        table = spectrum_optimal(eigenvalues, most)
        needed["spectrum-optimal"] = _first(relative_error(table, eigenvalues)[0], tolerance)
    return needed


def condition_number(spectra: Spectra, t: float) -> float:
    """kappa_t."""
    eigenvalues = spectra.noised(t)
    return float(eigenvalues.max() / eigenvalues.min())


def network_error(compiled: CompiledScore, t: float, seed: int, draws: int = 16) -> float:
    """Relative error of the network's score on drawn sequences, |s - s*| / |s*| over all of them."""
    process, generator = compiled.process, torch.Generator().manual_seed(seed)
    data = process.sample(draws, generator=generator)
    times = torch.full((draws,), t, dtype=torch.float64)
    x = diffusion.noise(data, times, torch.randn(data.shape, dtype=data.dtype, generator=generator))
    exact = process.score(x, t)
    with torch.no_grad():
        return float((compiled.score(x, t) - exact).norm() / exact.norm())


def _gradient_descent(eigenvalues: Tensor, low: float, high: float, tolerance: float) -> int:
    """By bisection: all steps are alike, so r_K = r_1^K."""
    factor = residual_factors(gradient_descent(low, high, 1), eigenvalues)[0, 1].abs()
    weight = 1 / eigenvalues / (1 / eigenvalues).sum()

    def error(count: int) -> float:
        return math.sqrt(float((weight * factor ** (2 * count)).sum()))

    below, enough = 0, 1
    while error(enough) > tolerance:
        below, enough = enough, 2 * enough
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (middle, enough) if error(middle) > tolerance else (below, middle)
    return enough


def _first(errors: Tensor, tolerance: float) -> int:
    return int((errors <= tolerance).nonzero()[0])
