"""What every Gaussian law of sequences can do, whatever the structure of its covariance."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime
from ..diffusion import alpha, sigma_squared
from ..linalg import Covariance
from .conditional import CONDITION_LIMIT, ConditionalLaw, DenseConditional, observations, whole_frames
from .coordinates import ScaledScore
from .matheron import IteratedConditional
from .sequence_law import Moments, SequenceLaw

DENSE_LIMIT = 2**14
REACH_90 = 1.6449  # standard deviations that hold 90 % of a normal law
MOST_ERROR = 1e-4  # relative, of a score by round-off


def require_law(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is a Gaussian law.

    Raises:
        TypeError: As said, with the argument that ``value`` was given for.
    """
    if not isinstance(value, GaussianLaw):
        raise TypeError(f"{name} must be a Gaussian law, such as ks.GaussianSequence, got {_checks.kind(value)}")


def require_score_and_law(score: object, process: object) -> None:
    """Check that the pair is a score and a law of the same shape; swapped arguments are named.

    Raises:
        TypeError: An argument is of another kind, or both are swapped.
        InputError: The score is that of a law of another shape, or of a model that scales its data and ``process`` is
            not in the model's coordinates.
    """
    if isinstance(score, SequenceLaw) and not isinstance(process, SequenceLaw):
        raise TypeError(
            "score and process are swapped: score must be a function of (x, t) and process a law, "
            f"got {_checks.kind(score)} as score and {_checks.kind(process)} as process"
        )
    _checks.score("score", score)
    if not isinstance(process, SequenceLaw):
        raise TypeError(f"process must be a law, such as ks.GaussianSequence, got {_checks.kind(process)}")
    owner = getattr(score, "__self__", None)
    if isinstance(owner, SequenceLaw):
        got, want = (owner.num_frames, owner.num_features), (process.num_frames, process.num_features)
        if got != want:
            raise InputError(
                f"score must be of as many (frames, features) as process, {want}, got the score of a law of {got}"
            )
    if isinstance(owner, ScaledScore) and owner.coordinates != process.coordinates:
        if owner.coordinates is None:
            raise InputError("process must be in the units of the data, as score is, but it is one that a model scaled")
        raise InputError(
            "process must be in the coordinates of score, which is that of a model that scales its data: give "
            "model.scaled(process); if process is in them already, give lambda x, t: model.score(x, t) as score"
        )


class GaussianLaw(SequenceLaw):
    """A Gaussian law N(mean, K) of sequences (frames, features), and of their noised marginals at every t.

    X_t | X_0 ~ N(alpha_t X_0, sigma_t^2 I) has C_t = alpha_t^2 K + sigma_t^2 I (docs/theory.md, section 2).
    Subclasses give K as an operator; everything computes in float64 on the device of the covariance that the
    law was made from, and results come back in the dtype and on the device of ``x``.
    """

    def __init__(self, mean: Tensor | None, num_parameters: int | None, shape: tuple[int, int], like: Tensor) -> None:
        self._shape = shape
        self._coordinates: str | None = None
        self._num_parameters = None if num_parameters is None else _checks.count("num_parameters", num_parameters, 0)
        if mean is None:
            self._mean = torch.zeros(shape, dtype=torch.float64, device=like.device)
            return
        self._mean = _checks.tensor("mean", mean, torch.float64, like.device).clone()
        if self._mean.shape != shape:
            raise InputError(f"mean must have shape {shape} (frames, features), got {tuple(self._mean.shape)}")
        _checks.finite("mean", self._mean)

    def _facts(self) -> dict[str, object]:
        facts = super()._facts()
        facts["mean"] = "given" if bool(self._mean.any()) else "zero"
        return facts if self._num_parameters is None else {**facts, "parameters": self._num_parameters}

    def _moments(self, frames: int) -> Moments:
        """Exact, in place of those of draws."""
        temporal, spatial = self._leading(frames)
        if self._is_separable:
            variance = temporal.diagonal()[:, None] * spatial.diagonal()
        else:
            variance = temporal.diagonal().reshape(frames, self.num_features)
            joint = temporal.reshape(frames, self.num_features, frames, self.num_features)
            temporal, spatial = torch.einsum("iaja->ij", joint), torch.einsum("iaib->ab", joint)
        center, reach = self._mean[:frames], REACH_90 * variance.sqrt()
        return Moments(temporal, spatial, center, center - reach, center + reach)

    def _leading(self, frames: int) -> tuple[Tensor, Tensor]:
        """As :attr:`kronecker_factors`, of the first frames."""
        temporal, spatial = self.kronecker_factors
        size = frames if self._is_separable else frames * self.num_features
        return temporal[:size, :size], spatial

    @property
    @abstractmethod
    def operator(self) -> Covariance:
        """K, ready to solve."""

    @property
    @abstractmethod
    def kronecker_factors(self) -> tuple[Tensor, Tensor]:
        """Dense Gamma and Sigma with K = Gamma kron Sigma; a law without that structure gives K and [[1]]."""

    @property
    def _is_separable(self) -> bool:
        """Whether K is Gamma kron Sigma."""
        return True

    @abstractmethod
    def _rescaled(self, mean: Tensor, scale: Tensor) -> GaussianLaw:
        """The law of the same kind with that mean (N, d), and K divided by ``scale`` (d,) in rows and columns."""

    def scaled(self, shift: Tensor, scale: Tensor, coordinates: str | None = None) -> GaussianLaw:
        """The law of (x - shift) / scale, of the same kind: N((mean - shift) / scale, K_ij / (scale_i scale_j)).

        Args:
            shift: (frames, features).
            scale: (features,), greater than 0.
            coordinates: A name for the new coordinates; see :attr:`coordinates`.

        Raises:
            InputError: A wrong shape, values that are not finite, or a scale that is not positive.
        """
        shift = _checks.finite("shift", _checks.tensor("shift", shift, torch.float64, self._mean.device))
        scale = _checks.finite("scale", _checks.tensor("scale", scale, torch.float64, self._mean.device))
        if shift.shape != self._shape or scale.shape != self._shape[1:]:
            raise InputError(
                f"shift and scale must have shapes {self._shape} and {self._shape[1:]}, got {tuple(shift.shape)} and "
                f"{tuple(scale.shape)}"
            )
        if not bool((scale > 0).all()):
            raise InputError(f"scale must be greater than 0, got {float(scale.min()):g}")
        law = self._rescaled((self._mean - shift) / scale, scale)
        law._coordinates = coordinates
        return law

    @property
    def coordinates(self) -> str | None:
        """A name of the coordinates that :meth:`scaled` brought the law to; None for those of the data."""
        return self._coordinates

    @property
    def mean(self) -> Tensor:
        """mu, shape (frames, features), float64."""
        return self._mean

    @property
    def num_parameters(self) -> int | None:
        """How many free parameters the law was fitted with; None where it was given, not fitted."""
        return self._num_parameters

    def covariance(self) -> Tensor:
        """K, dense and frame-major, shape (N d, N d), float64.

        Raises:
            InputError: N d is above 2^14.
        """
        self._refuse_above("covariance()", "num_frames * num_features", self._mean.numel(), DENSE_LIMIT)
        return torch.kron(*self.kronecker_factors)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent sequences, (n, frames, features), float64. Draw i does not depend on ``n``.

        Args:
            n: How many.
            generator: Source of randomness; None means seed 0.
        """
        n = _checks.count("n", n, 0)
        return self._mean + self.operator.sample(n, _checks.generator_or_seed_zero(generator))

    def log_prob(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        """log density in nats of the marginal at diffusion time ``t``, shape (batch,).

            log p_t(x) = -1/2 [ y' C_t^-1 y + log det C_t + N d log(2 pi) ],    y = x - alpha_t mean

        Args:
            x: (batch, frames, features).
            t: A number or (batch,); 0 is the law of the data.

        Raises:
            InputError: Bad input, or C_t is singular to working precision (as a singular K is at t = 0), or so near
                that round-off would be more than 1e-4 (:meth:`score_error`).
        """
        y, scale, noise = self._centred(x, t)
        quadratic = (y * self.operator.solve(y, scale, noise)).sum(dim=(1, 2))
        constant = self.operator.log_det(scale, noise) + self._mean.numel() * math.log(2 * math.pi)
        self._refuse_inaccurate("density", t)
        return (-0.5 * (quadratic + constant)).to(x)

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """grad log p_t(x) = -C_t^-1 (x - alpha_t mean), shape, dtype and device of ``x``.

        Args:
            x: (batch, frames, features).
            t: A number or (batch,); 0 gives the score of the data.

        Raises:
            InputError: Bad input, or C_t is singular to working precision (as a singular K is at t = 0), or so near
                that round-off would be more than 1e-4 of the score (:meth:`score_error`).
            ConvergenceError: The iterative solver of long sequences stopped short of its tolerance.
        """
        y, scale, noise = self._centred(x, t)
        solved = self.operator.solve(y, scale, noise)
        self._refuse_inaccurate("score", t)
        return -solved.to(x)

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        y, scale, noise = self._centred(x, t)
        solved = self.operator.solve(y, scale, noise)
        constant = self.operator.log_det(scale, noise) + self._mean.numel() * math.log(2 * math.pi)
        self._refuse_inaccurate("score", t)
        return (-0.5 * ((y * solved).sum(dim=(1, 2)) + constant)).to(x), -solved.to(x)

    def score_error(self, t: float) -> float:
        """Estimate of the relative root-mean-square error of :meth:`score` by round-off, under the marginal at ``t``.

        Round-off of 2e-16 of the largest eigenvalue is an error of 2e-16 kappa_t where the variance is smallest. A
        factor of K that is diagonal has none. Above 1e-4, :meth:`score` and :meth:`log_prob` refuse.

        Args:
            t: Diffusion time; 0 is the law of the data.
        """
        time = _checks.diffusion_time(t, 1, self._mean)
        return self.operator.relative_error(float(torch.expm1(time)))

    def denoise(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """E[x_0 | x_t = x] = mean + alpha_t K C_t^-1 (x - alpha_t mean); ``x`` itself at t = 0.

        Args:
            x: (batch, frames, features).
            t: A number or (batch,).
        """
        y, scale, noise = self._centred(x, t)
        if bool((noise == 0).all()):
            return x.clone()
        noised = noise > 0
        safe = torch.where(noised, noise, 1.0)
        factor = alpha(-torch.log(scale))
        pulled = self.operator.product(self.operator.solve(y, scale, safe)) * factor.reshape(-1, 1, 1)
        return torch.where(noised.reshape(-1, 1, 1), self._mean + pulled, y + self._mean).to(x)

    def spectral_bounds(self, t: float) -> tuple[float, float]:
        """Smallest and largest eigenvalue of C_t: exact where K is decomposed, else an interval that holds them."""
        time = _checks.diffusion_time(t, 1, self._mean)
        scale, noise = float(torch.exp(-time)), float(sigma_squared(time))
        low, high = self.operator.eigenvalue_bounds()
        return scale * low + noise, scale * high + noise

    def condition_number(self, t: float) -> float:
        """kappa_t, the ratio of the :meth:`spectral_bounds`; infinite for a singular covariance at t = 0."""
        low, high = self.spectral_bounds(t)
        return high / low if low > 0 else math.inf

    def condition_on(self, mask: Tensor, values: Tensor) -> ConditionalLaw:
        """The law of whole sequences given that some entries are known exactly.

        By dense factors up to 2^13 entries, or 2^13 frames where these are observed as a whole or not at all; else by
        conjugate gradients to a relative residual of 1e-10.

        Args:
            mask: (frames, features), bool; True = observed.
            values: (frames, features); unobserved entries are ignored and may be NaN.

        Raises:
            InputError: Shapes disagree, an observed value is not finite, the observed entries have a singular
                covariance, or the law itself is too large to solve.
            ConvergenceError: The iteration stopped short: the observed entries of a long sequence have a covariance
                that is too near singular.
        """
        mask, values = observations(self._mean, mask, values)
        size = self.num_frames if self._is_separable and whole_frames(mask) else mask.numel()
        if size > CONDITION_LIMIT:
            return IteratedConditional(self._mean, self.operator, mask, values)
        return DenseConditional(self._mean, *self.kronecker_factors, mask, values)

    def _centred(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor, Tensor]:
        _checks.finite("x", _checks.sequences("x", x, *self._shape).detach())
        time = _checks.diffusion_time(t, x.shape[0], self._mean)
        shrink = alpha(time).reshape(-1, 1, 1)
        y = x.to(dtype=torch.float64, device=self._mean.device) - shrink * self._mean
        return y, torch.exp(-time), sigma_squared(time)

    def _refuse_inaccurate(self, what: str, t: DiffusionTime) -> None:
        """Refuse what round-off would spoil; the smallest t decides."""
        time = torch.as_tensor(t, dtype=torch.float64).reshape(-1)
        if not time.numel():
            return
        earliest = float(time.min())
        error = self.score_error(earliest)
        if error > MOST_ERROR:
            raise InputError(
                f"the {what} at t = {earliest:g} would be off by up to {error:.1e} of itself by round-off: the "
                f"covariance has the condition number {self.condition_number(earliest):.1e}; take a larger t, or add a "
                "nugget of 1e-9 of the variance to the covariance"
            )

    def _refuse_above(self, what: str, size_name: str, size: int, limit: int) -> None:
        if size > limit:
            raise InputError(f"{what} needs {size_name} of at most {limit}, got {size}")
