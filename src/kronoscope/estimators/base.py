"""What the estimators share: options, the mean, moments of the data, refusal of too few sequences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from ..diffusion import sigma_squared
from ..processes import GaussianLaw

Mean = str | Tensor
_MEANS = ("zero", "feature", "free")
_INDEPENDENT = 1e-12


@dataclass(frozen=True, repr=False)
class Moments(Displayed):
    """Sufficient statistics of the sequences about their mean, and the noise that the likelihood looks through.

    Attributes:
        mean: mu, (frames, features).
        roots: R, (rank, frames, features), with sum_r vec(R_r) vec(R_r)' = S, the second moment about ``mean``.
        min_time: t0; the likelihood is that of x at t0, with the noise integrated out exactly: its second moment
            is alpha^2 S + sigma^2 I (docs/theory.md, section 5).
        centred: The sequences themselves less ``mean``, (n, frames, features), where ``S`` is not enough.
    """

    mean: Tensor
    roots: Tensor
    min_time: float
    centred: Tensor

    @property
    def scale(self) -> float:
        """alpha^2 at ``min_time``."""
        return 1.0 - self.noise

    @property
    def noise(self) -> float:
        """sigma^2 at ``min_time``."""
        return float(sigma_squared(self.min_time))

    @property
    def spatial_moment(self) -> Tensor:
        """sum_r R_r' R_r / N, (features, features)."""
        return torch.einsum("rij,rik->jk", self.roots, self.roots) / self.roots.shape[1]

    @property
    def temporal_moment(self) -> Tensor:
        """sum_r R_r R_r' / d, (frames, frames)."""
        return torch.einsum("rij,rkj->ik", self.roots, self.roots) / self.roots.shape[2]

    @property
    def second_moment(self) -> Tensor:
        """S, (frames features, frames features), frame-major."""
        flat = self.roots.flatten(1)
        return flat.mT @ flat


@dataclass(frozen=True, eq=False, repr=False)
class Estimator(ABC, Displayed):
    """A structure of Gaussian laws, fitted by maximum likelihood to sequences.

    Args:
        min_time: t0 of the likelihood: that of the noised sequence x at diffusion time t0, in expectation over
            the noise. It is what score matching on [t0, T] converges to; 0 is the likelihood of the data.
        mean: "zero"; "feature", one mean per feature (the average over sequences and frames); "free", one per
            frame and feature (the average over sequences); or a known mean (frames, features).

    Raises:
        InputError: ``min_time`` is negative or ``mean`` is none of these.
    """

    min_time: float = 0.0
    mean: Mean = "zero"

    def __post_init__(self) -> None:
        _checks.non_negative("min_time", self.min_time)
        if isinstance(self.mean, Tensor):
            _checks.finite("mean", self.mean)
        elif self.mean not in _MEANS:
            raise InputError(f'mean must be "zero", "feature", "free" or a tensor, got {self.mean!r}')

    def fit(self, x: Tensor | NDArray[np.floating]) -> GaussianLaw:
        """The law of the structure that fits ``x`` best.

        Args:
            x: (n, frames, features), tensor or numpy array.

        Raises:
            InputError: Bad input, or too few sequences for the structure.
            ConvergenceError: The iteration stopped short of the maximum.
        """
        data = _sequences(x)
        n, frames, features = data.shape
        averaged = self._mean_choice == "free" or (self._mean_choice == "feature" and frames == 1)
        least = (1 if self.min_time > 0 else self._least_sequences(frames, features)) + averaged
        if n < least:
            raise InputError(
                f"x must have at least {least} sequences for {type(self).__name__} with {frames} frames of "
                f"{features} features, got {n}"
            )
        mean = self._mean_of(data)
        moments = Moments(mean, _roots(data - mean), float(self.min_time), data - mean)
        if not bool(moments.roots.any()):
            raise InputError("x must vary: it equals its mean everywhere")
        return self._fit(moments, self.count_parameters(frames, features))

    def count_parameters(self, num_frames: int, num_features: int) -> int:
        """Free parameters of the structure, those of an estimated mean included."""
        frames, features = _checks.count("num_frames", num_frames), _checks.count("num_features", num_features)
        of_mean = {"zero": 0, "known": 0, "feature": features, "free": frames * features}[self._mean_choice]
        return self._covariance_parameters(frames, features) + of_mean

    @abstractmethod
    def _covariance_parameters(self, frames: int, features: int) -> int:
        """Free parameters of the covariance."""

    @abstractmethod
    def _least_sequences(self, frames: int, features: int) -> int:
        """How many sequences the likelihood at t = 0 needs to be bounded (a necessary number)."""

    @abstractmethod
    def _fit(self, moments: Moments, num_parameters: int) -> GaussianLaw:
        """Maximum likelihood within the structure."""

    @property
    def _mean_choice(self) -> str:
        return "known" if isinstance(self.mean, Tensor) else self.mean

    def _mean_of(self, data: Tensor) -> Tensor:
        shape = data.shape[1:]
        if isinstance(self.mean, Tensor):
            if self.mean.shape != shape:
                raise InputError(f"mean must have shape {tuple(shape)}, got {tuple(self.mean.shape)}")
            return self.mean.detach().to(data)
        averages = {"zero": data.new_zeros(1), "feature": data.mean(dim=(0, 1)), "free": data.mean(dim=0)}
        return averages[self.mean].expand(shape).clone()


def refuse_dependent(moments: Moments) -> None:
    """Refuse data whose features, or frames, are linearly dependent to round-off: their likelihood has no maximum.

    Frames of fewer sequences than it takes to tell are let through. Behind noise there always is a maximum.

    Raises:
        InputError: A correlation matrix is singular to working precision.
    """
    rank, frames, features = moments.roots.shape
    if moments.min_time > 0:
        return
    for what, moment, enough in (
        ("features", moments.spatial_moment, True),
        ("frames", moments.temporal_moment, rank * features >= frames),
    ):
        root = moment.diagonal().sqrt()
        singular = bool((root == 0).any())
        singular = singular or float(torch.linalg.eigvalsh(moment / torch.outer(root, root))[0]) < _INDEPENDENT
        if enough and singular:
            raise InputError(
                f"x must have linearly independent {what} for the likelihood at min_time = 0 to have a maximum, but "
                "they are dependent to working precision; take a min_time above 0, or leave some out"
            )


def _sequences(x: Tensor | NDArray[np.floating]) -> Tensor:
    data = _checks.tensor("x", x)
    return _checks.finite("x", _checks.sequences("x", data).detach().to("cpu", torch.float64))


def _roots(centred: Tensor) -> Tensor:
    """Rows with the same second moment as ``centred`` / sqrt(n), at most frames * features of them."""
    n, frames, features = centred.shape
    scaled = centred / n**0.5
    if n <= frames * features:
        return scaled
    return torch.linalg.qr(scaled.flatten(1), mode="r").R.reshape(-1, frames, features)
