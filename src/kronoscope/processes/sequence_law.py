"""What every law of sequences can do, Gaussian or not."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .. import _checks, report
from .._display import Displayed
from .._errors import InputError
from .._typing import DiffusionTime
from ..diffusion import alpha, sigma_squared
from .figures import law_figure

MOST_FRAMES = 128  # of a figure
MOMENT_DRAWS = 2000  # for the moments of a law that is not Gaussian
MOST_VALUES = 2**22  # of those draws


@dataclass(frozen=True)
class Exactness:
    """How the score and the density of a law are computed.

    Attributes:
        kind: "exact" (closed form, up to round-off), "quadrature" (a sum over nodes) or "monte-carlo".
        error: Relative root-mean-square error of the score under the noised law, the largest over the times that were
            tried; 0 for "exact". It is measured against a rule with twice the nodes.
    """

    kind: Literal["exact", "quadrature", "monte-carlo"]
    error: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind == "exact" else f"{self.kind} (relative error of the score {self.error:.1e})"


@dataclass(frozen=True, eq=False, repr=False)
class Moments(Displayed):
    """What a figure shows of a law's first frames.

    Attributes:
        temporal: Covariance of the frames, averaged over the features.
        spatial: Covariance of the features, averaged over the frames.
        mean, lower, upper: Of every entry, with the ends of the central interval that holds 90 %.
        draws: From how many draws they were estimated; 0 where they are exact.
    """

    temporal: Tensor
    spatial: Tensor
    mean: Tensor
    lower: Tensor
    upper: Tensor
    draws: int = 0


class SequenceLaw(Displayed, ABC):
    """A distribution of sequences (frames, features) whose noised marginals have a computable score.

    X_t | X_0 ~ N(alpha_t X_0, sigma_t^2 I); p_t is the density of X_t (docs/theory.md, section 2).
    """

    _shape: tuple[int, int]

    def _facts(self) -> dict[str, object]:
        return {"frames": self.num_frames, "features": self.num_features} | self._structure()

    def _structure(self) -> dict[str, object]:
        """Facts of what the law is made of. By default none."""
        return {}

    def plot(self, num_draws: int = 5, *, generator: torch.Generator | None = None) -> report.Plot:
        """Correlation between frames and between features, and a few draws of the first features.

        Args:
            num_draws: Sequences to draw.
            generator: None means seed 0.

        Returns:
            A figure of the first 128 frames at most.
        """
        frames, count = min(MOST_FRAMES, self.num_frames), _checks.count("num_draws", num_draws)
        draws = self.sample(count, generator=generator)[:, :frames].cpu()
        moments = self._moments(frames)
        parts = (
            moments.temporal.cpu(),
            moments.spatial.cpu(),
            moments.mean.cpu(),
            moments.lower.cpu(),
            moments.upper.cpu(),
        )
        notes = [f"Of {self.num_frames} frames the first {frames} are shown."] if frames < self.num_frames else []
        notes += [f"Correlations, mean and band are estimates from {moments.draws} draws."] if moments.draws else []
        return report.plot(law_figure(draws, *parts, " ".join(notes)))

    def _moments(self, frames: int) -> Moments:
        """Of the first frames, by draws."""
        number = max(200, min(MOMENT_DRAWS, MOST_VALUES // (self.num_frames * self.num_features)))
        x = self.sample(number)[:, :frames]
        z = x - x.mean(dim=0)
        lower, upper = torch.quantile(x, torch.tensor([0.05, 0.95], dtype=x.dtype, device=x.device), dim=0)
        temporal, spatial = torch.einsum("nia,nja->ij", z, z), torch.einsum("nia,nib->ab", z, z)
        return Moments(temporal, spatial, x.mean(dim=0), lower, upper, number)

    @property
    def num_frames(self) -> int:
        """N."""
        return self._shape[0]

    @property
    def num_features(self) -> int:
        """d."""
        return self._shape[1]

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """E[X_0], shape (frames, features), float64."""

    @property
    def coordinates(self) -> str | None:
        """A name of the coordinates that a model's scaling brought the law to; None for those of the data."""
        return None

    @property
    def exactness(self) -> Exactness:
        """How :meth:`score` and :meth:`log_prob` are computed."""
        return Exactness("exact")

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent sequences, (n, frames, features), float64. Draw i does not depend on ``n``.

        Args:
            n: How many.
            generator: Source of randomness; None means seed 0.
        """

    @abstractmethod
    def log_prob(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        """log p_t(x) in nats, shape (batch,).

        Args:
            x: (batch, frames, features).
            t: A number or (batch,); 0 is the law of the data.
        """

    @abstractmethod
    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """grad log p_t(x), shape, dtype and device of ``x``.

        Args:
            x: (batch, frames, features).
            t: A number or (batch,); 0 gives the score of the data.
        """

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        """:meth:`log_prob` and :meth:`score` together, for about the price of one."""
        return self.log_prob(x, t), self.score(x, t)

    def denoise(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """E[x_0 | x_t = x] = (x + sigma_t^2 score(x, t)) / alpha_t (Tweedie's formula); ``x`` itself at t = 0.

        Args:
            x: (batch, frames, features).
            t: A number or (batch,).
        """
        y, time = self._checked(x, t)
        if bool((time == 0).all()):
            return x.clone()
        noised = torch.where(time > 0, time, 1.0)
        pulled = y + sigma_squared(noised).reshape(-1, 1, 1) * self.score(y, noised)
        return torch.where((time > 0).reshape(-1, 1, 1), pulled / alpha(noised).reshape(-1, 1, 1), y).to(x)

    def _checked(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        """``x`` in float64 on the law's device, and the times, of shape () or (batch,).

        Raises:
            InputError: A wrong shape, or values that are not finite.
            TypeError: ``x`` is not a floating tensor.
        """
        _checks.finite("x", _checks.sequences("x", x, *self._shape).detach())
        time = _checks.diffusion_time(t, x.shape[0], self.mean)
        return x.to(dtype=torch.float64, device=self.mean.device), time


def log_weights(name: str, weights: object, count: int) -> Tensor:
    """log of probabilities that add up to one.

    Raises:
        InputError: Another number of them, a negative one, or another sum than 1 (to 1e-6).
    """
    values = _checks.finite(name, _checks.tensor(name, weights, torch.float64))
    if values.shape != (count,):
        raise InputError(f"{name} must be {count} probabilities, got shape {tuple(values.shape)}")
    if bool((values < 0).any()):
        raise InputError(f"{name} must not be negative, got {float(values.min()):g}")
    total = float(values.sum())
    if abs(total - 1) > 1e-6:
        raise InputError(f"{name} must add up to 1, got {total:g}; divide them by their sum")
    return (values / total).log()


def children(generator: torch.Generator | None, count: int) -> list[torch.Generator]:
    """Independent generators that are seeded by ``generator``, so that no stream depends on how much another takes."""
    parent = _checks.generator_or_seed_zero(generator)
    seeds = torch.randint(2**62, (count,), generator=parent, device=parent.device)
    return [torch.Generator(device=parent.device).manual_seed(seed) for seed in seeds.tolist()]


def choices(log_probabilities: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """``n`` indices drawn with those probabilities; draw i does not depend on ``n``."""
    uniform = torch.rand(n, dtype=torch.float64, generator=generator, device=generator.device)
    bounds = log_probabilities.exp().cumsum(0).to(uniform.device)
    return torch.searchsorted(bounds[:-1].contiguous(), uniform, right=True)


def relative_rms(got: Tensor, reference: Tensor) -> float:
    """|got - reference| / |reference|."""
    return float((got - reference).norm() / reference.norm().clamp_min(math.ulp(0.0)))
