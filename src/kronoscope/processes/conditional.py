"""The law of a sequence given some of its entries."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .. import _checks, report
from .._display import Displayed
from .._errors import InputError
from ..linalg.conditioning import condition
from ..linalg.draws import standard_normal
from ..linalg.eigen import Eigendecomposition, refuse_singular
from .figures import conditional_figure

CONDITION_LIMIT = 2**13


class ConditionalLaw(Displayed, ABC):
    """The Gaussian law of a sequence with covariance K, given exactly observed entries.

    mean_u = mu_u + K_uo K_oo^-1 (y_o - mu_o),    K_u = K_uu - K_uo K_oo^-1 K_ou
    """

    @property
    @abstractmethod
    def _observed(self) -> Tensor:
        """(frames, features), bool; True = observed."""

    def _facts(self) -> dict[str, object]:
        frames, features = self._observed.shape
        observed = f"{int(self._observed.sum())} of {frames * features} entries"
        return {"frames": frames, "features": features, "observed": observed}

    def plot(self, level: float = 0.9) -> report.Plot:
        """What is observed of the first features, the conditional mean, and central intervals of that probability.

        Raises:
            InputError: ``level`` is not between 0 and 1, or too many entries are unobserved for :meth:`covariance`.
        """
        if not 0 < _checks.real("level", level) < 1:
            raise InputError(f"level must be greater than 0 and less than 1, got {level:g}")
        observed, mean = self._observed.cpu(), self.mean.cpu()
        spread = torch.zeros_like(mean)
        spread[~observed] = self.covariance().diagonal().clamp_min(0).sqrt().cpu()
        reach = float(torch.special.ndtri(torch.tensor(0.5 + 0.5 * level, dtype=torch.float64))) * spread
        names = [f"feature {j}" for j in range(mean.shape[1])]
        return report.plot(conditional_figure(names, observed, mean, mean - reach, mean + reach, level))

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """The complete conditional mean, (frames, features), float64: observed entries as given."""

    @abstractmethod
    def covariance(self) -> Tensor:
        """Covariance of the unobserved entries in frame-major order, float64.

        Its round-off is 1e-15 of the covariance before conditioning; conditional variances below that have no digit.

        Raises:
            InputError: There are too many of them.
        """

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """``n`` complete sequences, (n, frames, features), float64; observed entries are exactly as given.

        Args:
            n: How many.
            generator: Source of randomness; None means seed 0.
        """


class DenseConditional(ConditionalLaw):
    """By dense factors of K = Gamma kron Sigma.

    Where whole frames are observed, K_uo K_oo^-1 = Gamma_uo Gamma_oo^-1 kron I: only the temporal matrix is solved.

    Args:
        mean: (frames, features), float64.
        temporal: Gamma, or the covariance of the flattened sequence with ``spatial`` = [[1]].
        spatial: Sigma.
        mask: (frames, features), bool; True = observed.
        values: (frames, features), float64; only observed entries are read.

    Raises:
        InputError: The observed entries have a singular covariance.
    """

    def __init__(self, mean: Tensor, temporal: Tensor, spatial: Tensor, mask: Tensor, values: Tensor) -> None:
        self._hidden = ~mask
        frame_by_frame = whole_frames(mask) and len(temporal) == len(mean)
        if not frame_by_frame:
            temporal, spatial = torch.kron(temporal, spatial), torch.ones_like(spatial[:1, :1])
        rows = mask[:, 0] if frame_by_frame else mask.flatten()
        deviation = (values - mean)[mask].reshape(int(rows.sum()), len(spatial))
        shift, self._temporal = condition(temporal, rows, deviation)
        self._spatial = spatial
        self._mean = torch.where(mask, values, mean)
        self._mean[self._hidden] += shift.flatten()

    @property
    def _observed(self) -> Tensor:
        return ~self._hidden

    @property
    def mean(self) -> Tensor:
        return self._mean.clone()

    def covariance(self) -> Tensor:
        size = len(self._temporal) * len(self._spatial)
        if size > 2 * CONDITION_LIMIT:
            raise InputError(f"covariance() needs at most {2 * CONDITION_LIMIT} unobserved entries, got {size}")
        return torch.kron(self._temporal, self._spatial)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        n = _checks.count("n", n, 0)
        shape = len(self._temporal), len(self._spatial)
        white = standard_normal(n, shape, _checks.generator_or_seed_zero(generator), self._mean.device)
        draws = self._mean.repeat(n, 1, 1)
        draws[:, self._hidden] += (_root(self._temporal) @ white @ _root(self._spatial).mT).flatten(1)
        return draws


def _root(matrix: Tensor) -> Tensor:
    decomposition = Eigendecomposition(*torch.linalg.eigh(matrix))
    return decomposition.vectors * decomposition.root_values


def whole_frames(mask: Tensor) -> bool:
    """Whether every frame is observed completely or not at all."""
    return bool((mask.all(1) | (~mask).all(1)).all())


def observations(mean: Tensor, mask: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """``mask`` and ``values`` on the device of ``mean``, values in float64, if they fit it.

    Raises:
        InputError: Shapes disagree, or an observed value is not finite.
        TypeError: ``mask`` is not boolean.
    """
    mask, values = (_checks.tensor(*part, device=mean.device) for part in (("mask", mask), ("values", values)))
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean (True = observed), got {mask.dtype}")
    for name, given in (("mask", mask), ("values", values)):
        if given.shape != mean.shape:
            raise InputError(f"{name} must have shape {tuple(mean.shape)} (frames, features), got {tuple(given.shape)}")
    values = values.to(torch.float64)
    _checks.finite("values", torch.where(mask, values, 0.0))
    return mask, values


def observed_log_density(mean: Tensor, covariance: Tensor, mask: Tensor, values: Tensor) -> Tensor:
    """log N(y_o; mu_o, K_oo) of the observed entries alone, a number.

    Args:
        mean: (frames, features), float64.
        covariance: K, dense and frame-major.
        mask: (frames, features), bool; True = observed.
        values: (frames, features), float64.

    Raises:
        InputError: The observed entries have a singular covariance.
    """
    observed = mask.flatten()
    known = covariance[observed][:, observed]
    factor, failed = torch.linalg.cholesky_ex(known)
    pivots = factor.diagonal().square()
    refuse_singular(0.0 if int(failed) else float(pivots.min()), float(known.diagonal().max()), len(known))
    white = torch.linalg.solve_triangular(factor, (values - mean)[mask][:, None], upper=False)
    return -0.5 * (white.square().sum() + pivots.log().sum() + len(known) * math.log(2 * math.pi))
