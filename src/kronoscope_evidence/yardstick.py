"""The process on which learners and metrics are compared (docs/theory.md, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

FRAMES, FEATURES, LENGTHSCALE = 32, 4, 8.0
MIN_TIME, MAX_TIME = 1e-2, 6.0  # diffusion times between which score errors are integrated
FIRST_DATA_SEED = 5


def spatial_covariance(features: int = FEATURES) -> Tensor:
    """Sigma = A A'/d + 0.3 I scaled to trace d, (d, d); A is standard normal from a generator with seed 0."""
    a = torch.randn(features, features, generator=torch.Generator().manual_seed(0)).double()
    sigma = a @ a.T / features + 0.3 * torch.eye(features, dtype=torch.float64)
    return sigma * features / sigma.trace()


def yardstick() -> GaussianSequence:
    """Exponential kernel of lengthscale 8 frames, N = 32, d = 4."""
    return GaussianSequence(PowerExponential(LENGTHSCALE), spatial_covariance(), times=FRAMES)


def training_data(n: int) -> Tensor:
    """``n`` sequences of the yardstick in float32, (n, N, d); the same in every study."""
    return yardstick().sample(n, generator=torch.Generator().manual_seed(FIRST_DATA_SEED)).float()
