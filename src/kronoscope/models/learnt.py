"""The Gaussian distribution that a network learnt, where its score is affine in x."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import diffusion
from .._display import Displayed
from .._errors import InputError
from .._typing import ScoreFunction
from ..nn import MixtureTransformer
from ..processes import DenseGaussian, Mixture, SeparableGaussian

PROBES = 3
SIZES = (0.1, 1.0, 10.0)
FLOOR = 1e-2
FAR = 10.0  # standard deviations of the mean from zero, beyond which the map is read again around the mean


@dataclass(frozen=True, eq=False, repr=False)
class LearntLaw(Displayed):
    """The Gaussian laws of the noised data and of the data with score s(x, t0) = -B (x - m), in scaled coordinates.

    Attributes:
        time: t0.
        noised: N(m, C) with C = B^-1, B symmetrised: the law at t0.
        data: N(m / alpha, K) with K = (C - sigma^2 I) / alpha^2, its eigenvalues raised to ``floor`` where lower.
        asymmetry: |B - B'| / |B + B'|, Frobenius; 0 for the score of any law.
        floor: 1e-2 sigma^2 / alpha^2: directions in which the data vary less are lost under the noise of t0.
        raised: How many of the N d eigenvalues were raised.
        lowest: The lowest eigenvalue before that; negative where the score contradicts its own noise.
        round_off: Of one score call at t0, relative, root mean square: to so much the law is known.
    """

    time: float
    noised: DenseGaussian
    data: DenseGaussian
    asymmetry: float
    floor: float
    raised: int
    lowest: float
    round_off: float = 0.0

    def noised_log_prob(self, x: Tensor) -> Tensor:
        """log density of the noised data at t0."""
        return self.noised.log_prob(x)

    def _facts(self) -> dict[str, object]:
        return {
            "frames": self.data.num_frames,
            "features": self.data.num_features,
            "time": self.time,
            "asymmetry": self.asymmetry,
            "lowest eigenvalue": self.lowest,
            "raised to the floor": self.raised,
            "round-off": self.round_off,
        }


@dataclass(frozen=True, eq=False, repr=False)
class LearntMixture(Displayed):
    """The mixture whose score a :class:`kronoscope.nn.MixtureTransformer` computes, in scaled coordinates. Exact.

    Attributes:
        time: t0, the lowest trained time.
        data: The law of the data: components :class:`SeparableGaussian`, one for each component and scale.
    """

    time: float
    data: Mixture

    def _facts(self) -> dict[str, object]:
        weights = ", ".join(f"{weight:.3g}" for weight in self.data.weights.tolist()[:8])
        return {"components": len(self.data.components), "weights": weights, "time": self.time}

    def noised_log_prob(self, x: Tensor) -> Tensor:
        """log density of the noised data at t0."""
        return self.data.log_prob(x, self.time)


def learnt_mixture(network: MixtureTransformer, t: float) -> LearntMixture:
    """Read the law off the network's parameters."""
    gammas, sigmas = (part.detach().cpu() for part in network.covariances())
    shares = network.log_shares().detach().double().exp().cpu()
    parts, weights = [], []
    for k, mean in enumerate(network.means().cpu()):
        for m, factor in enumerate(network.factors.tolist()):
            parts.append(SeparableGaussian(factor * gammas[k], sigmas[k], mean))
            weights.append(float(network.weights[k]) * float(shares[k, m]))
    return LearntMixture(t, Mixture(parts, weights))


def is_affine(score: ScoreFunction, t: float, num_frames: int, num_features: int, device: torch.device) -> bool:
    """Whether s(x, t) respects random affine combinations, to 1e-8: four sequences in float64, cheap at any size.

    The sequences differ in size, since a mixture is affine where one component has all the probability.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(PROBES, num_frames, num_features, dtype=torch.float64, generator=generator).to(device)
    x = x * torch.tensor(SIZES, dtype=torch.float64, device=device)[:, None, None]
    weights = torch.tensor([1.7, -2.4, 1.7], dtype=torch.float64, device=device)  # they add to 1
    mixed = torch.einsum("k,kij->ij", weights, x)[None]
    with torch.no_grad():
        values = diffusion.evaluate(score, torch.cat([x, mixed]), t)
    error = values[-1] - torch.einsum("k,kij->ij", weights, values[:-1])
    return float(error.norm()) <= 1e-8 * float(values.norm())


def learnt_law(
    score: ScoreFunction, t: float, num_frames: int, num_features: int, device: torch.device | str = "cpu"
) -> LearntLaw:
    """Read the law off a score that is affine in x: N d + 2 sequences in one batch, one decomposition.

    Args:
        score: Computes in float64.
        t: t0, the lowest trained time.
        num_frames, num_features: N and d, N d at most 4096.
        device: Where the score is called.

    Raises:
        InputError: The score is not affine or not the gradient of a log density: its matrix is not positive definite.
    """
    read = diffusion.read_affine_map(score, t, num_frames, num_features, device=device)
    values, vectors, mean = _decomposed(read, t)
    if float((values * (vectors.T @ mean).square()).mean()) > FAR**2:
        spread = vectors / values.sqrt()
        read = diffusion.read_affine_map(score, t, num_frames, num_features, device=device, center=mean, spread=spread)
        values, vectors, mean = _decomposed(read, t)
    matrix, mean = read.matrix, mean.reshape(num_frames, num_features)
    asymmetry = float((matrix - matrix.T).norm() / (matrix + matrix.T).norm())
    noise, shrink = -math.expm1(-t), math.exp(-t)
    variances = (1 / values - noise) / shrink
    floor = FLOOR * noise / shrink
    kept = variances.clamp_min(floor)
    return LearntLaw(
        t,
        _gaussian(vectors, 1 / values, num_features, mean),
        _gaussian(vectors, kept, num_features, mean / math.sqrt(shrink)),
        asymmetry,
        floor,
        int((variances < floor).sum()),
        float(variances.min()),
        read.round_off / float(values.sum().sqrt()),
    )


def _decomposed(read: diffusion.AffineMap, t: float) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues and eigenvectors of B = -ds/dx, symmetrised, and the m with B (m - center) = s(center)."""
    values, vectors = torch.linalg.eigh(-0.5 * (read.matrix + read.matrix.T))
    if float(values[0]) <= 0:
        raise InputError(
            f"the score at t = {t:g} is not the gradient of a log density: -ds/dx must be positive definite, "
            f"but has the eigenvalue {float(values[0]):.3g}; train for longer, or use model.generated_law"
        )
    return values, vectors, read.center + vectors @ ((vectors.T @ read.value) / values)


def with_floor(law: DenseGaussian, t: float, num_features: int) -> DenseGaussian:
    """The law with the eigenvalues of its covariance raised to the floor of :class:`LearntLaw`."""
    values, vectors = torch.linalg.eigh(law.covariance())
    return _gaussian(vectors, values.clamp_min(FLOOR * math.expm1(t)), num_features, law.mean)


def _gaussian(vectors: Tensor, values: Tensor, num_features: int, mean: Tensor) -> DenseGaussian:
    covariance = (vectors * values) @ vectors.T
    return DenseGaussian(0.5 * (covariance + covariance.T), num_features, mean)
