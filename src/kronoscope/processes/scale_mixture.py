"""Elliptical laws: a Gaussian sequence whose variance is drawn once for each sequence."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cached_property

import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime
from ..diffusion import alpha, sigma_squared
from ..linalg import SpectralCovariance
from ..linalg.eigen import refuse_singular
from .law import GaussianLaw, require_law
from .sequence_law import Exactness, SequenceLaw, children, choices, log_weights, relative_rms

_CHUNK = 2**24  # numbers in flight
_TAIL = 1e-30  # probability of the scales beyond the last node
_SPACING = 0.55  # of the width of the scale's posterior, which is that of a log-gamma variable: at most 1e-9 is missed
_WIDEST = 0.4  # step of log w; the trapezoid misses exp(-pi^2 / 0.4) where few numbers are seen
_EDGE = 1e-9  # posterior probability of the last node above which x is out of reach
TRIED_TIMES = (1e-3, 0.1, 1.0)  # at which the quadrature's error is measured


class _Nodes:
    """Factors w_m of the covariance and log probabilities of them."""

    def __init__(self, scales: Tensor, log_probabilities: Tensor) -> None:
        self.scales, self.log_probabilities = scales, log_probabilities


class _Elliptical(SequenceLaw):
    """x = mean + sqrt(w) z, z ~ N(0, K): a sum over factors w_m in the eigenvectors of K, which all of them share.

    With y = x - alpha_t mean in these coordinates and v_mj = alpha_t^2 w_m lam_j + sigma_t^2,
        log p_m = -1/2 sum_j [ y_j^2 / v_mj + log v_mj + log 2 pi ],    score = -sum_m r_m y_j / v_mj.
    """

    def __init__(self, process: GaussianLaw) -> None:
        require_law("process", process)
        operator = process.operator
        if not isinstance(operator, SpectralCovariance):
            raise InputError(f"process must have at most 2048 frames on a regular grid, got {process.num_frames}")
        self._process = process
        self._spectrum = operator
        self._shape = (process.num_frames, process.num_features)

    @property
    def process(self) -> GaussianLaw:
        """N(mean, K)."""
        return self._process

    @property
    def mean(self) -> Tensor:
        return self._process.mean

    @property
    @abstractmethod
    def _nodes(self) -> _Nodes:
        """The factors of the covariance and their probabilities."""

    def log_prob(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        return self.log_prob_and_score(x, t)[0]

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        return self.log_prob_and_score(x, t)[1]

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        y, time = self._checked(x, t)
        density, score = self._at_nodes(y, time, self._nodes)
        return density.to(x), score.to(x)

    def scale_posterior(self, x: Tensor, t: DiffusionTime = 0.0) -> tuple[Tensor, Tensor]:
        """Factors w_m, (nodes,), and their probabilities given x_t = x, (batch, nodes)."""
        y, time = self._checked(x, t)
        logits = self._logits(self._rotated(y, time), time.expand(len(y)), self._nodes)
        return self._nodes.scales, logits.softmax(1)

    def _rotated(self, y: Tensor, time: Tensor) -> Tensor:
        centred = y - alpha(time).reshape(-1, 1, 1) * self.mean
        return self._spectrum.rotate(centred).flatten(1)

    def _at_nodes(self, y: Tensor, time: Tensor, nodes: _Nodes) -> tuple[Tensor, Tensor]:
        rotated, times = self._rotated(y, time), time.expand(len(y))
        size = max(1, _CHUNK // (len(nodes.scales) * rotated.shape[1]))
        densities, factors = [y.new_empty(0)], [rotated[:0]]
        for part, at in zip(rotated.split(size), times.split(size), strict=True):
            logits = self._logits(part, at, nodes)
            shares = logits.softmax(1)
            self._refuse_far(shares)
            densities.append(logits.logsumexp(1))
            factors.append(torch.einsum("bm,bmj->bj", shares, self._variances(at, nodes).reciprocal()))
        score = -self._spectrum.unrotate((torch.cat(factors) * rotated).reshape(y.shape))
        return torch.cat(densities), score

    def _variances(self, times: Tensor, nodes: _Nodes) -> Tensor:
        """v, (batch, nodes, N d)."""
        spread = nodes.scales[:, None] * self._spectrum.eigenvalues.flatten()
        return torch.exp(-times)[:, None, None] * spread + sigma_squared(times)[:, None, None]

    def _logits(self, rotated: Tensor, times: Tensor, nodes: _Nodes) -> Tensor:
        """log P(w_m) + log p_m, (batch, nodes)."""
        variances = self._variances(times, nodes)
        if variances.numel():
            low, high = variances.amin(dim=2), variances.amax(dim=2)
            worst = (low / high).argmin()
            refuse_singular(float(low.flatten()[worst]), float(high.flatten()[worst]), variances.shape[2])
        quadratic = (rotated.square()[:, None] / variances).sum(2) + variances.log().sum(2)
        return nodes.log_probabilities - 0.5 * (quadratic + rotated.shape[1] * math.log(2 * math.pi))

    def _refuse_far(self, shares: Tensor) -> None:
        """Refuse sequences for which the sum over the nodes is cut off; nothing to refuse where the sum is complete."""


class ScaleMixture(_Elliptical):
    """x = mean + sqrt(w) z with z ~ N(0, K) and w one of K factors: calm and restless sequences of one shape. Exact.

    Args:
        process: N(mean, K).
        scales: Factors w_m of the covariance (of the variance, not of the standard deviation), greater than 0.
        weights: Their probabilities, which add up to 1.

    Raises:
        InputError: A scale is not positive, weights are not probabilities, or the process is too long to decompose.

    Example:
        >>> from kronoscope.kernels import PowerExponential
        >>> from kronoscope.processes import GaussianSequence
        >>> process = GaussianSequence(PowerExponential(8.0), torch.eye(2), times=16)
        >>> law = ScaleMixture(process, scales=[0.5, 4.0], weights=[0.8, 0.2])
        >>> law.score(law.sample(3), t=0.1).shape
        torch.Size([3, 16, 2])
    """

    def __init__(self, process: GaussianLaw, scales: ArrayLike | Tensor, weights: ArrayLike | Tensor) -> None:
        super().__init__(process)
        device = process.mean.device
        factors = _checks.finite("scales", _checks.tensor("scales", scales, torch.float64, device))
        if factors.ndim != 1 or not factors.numel():
            raise InputError(f"scales must be a 1-D array, got shape {tuple(factors.shape)}")
        if not bool((factors > 0).all()):
            raise InputError(f"scales must be greater than 0, got {float(factors.min()):g}")
        self._both = _Nodes(factors, log_weights("weights", weights, len(factors)).to(device))

    @property
    def _nodes(self) -> _Nodes:
        return self._both

    def _structure(self) -> dict[str, object]:
        return {"of": type(self._process).__name__, "scales": self.scales}

    @property
    def scales(self) -> Tensor:
        """w, shape (scales,), float64."""
        return self._both.scales

    @property
    def weights(self) -> Tensor:
        """Probabilities of the scales, float64."""
        return self._both.log_probabilities.exp()

    def covariance(self) -> Tensor:
        """E[w] K, frame-major, (N d, N d), float64."""
        return float((self.weights * self.scales).sum()) * self._process.covariance()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        chooser, source = children(generator, 2)
        draws = self._process.sample(n, generator=source) - self.mean
        index = choices(self._both.log_probabilities, len(draws), chooser).to(draws.device)
        return self.mean + draws * self.scales[index].sqrt()[:, None, None]


class StudentT(_Elliptical):
    """Student's t process: x = mean + sqrt(w) z, z ~ N(0, K), 1/w ~ Gamma(dof/2, rate dof/2).

    At t = 0 it is the multivariate t distribution with scale matrix K, in closed form. At t > 0 the density is an
    integral over w by the trapezoidal rule in log w, whose error falls geometrically; see :attr:`exactness`.

    Args:
        process: N(mean, K): K is the scale matrix; the covariance is dof / (dof - 2) K, for dof above 2.
        dof: Degrees of freedom, greater than 0. The law approaches N(mean, K) as they grow.

    Raises:
        InputError: ``dof`` is not positive, or the process is too long to decompose.

    Source: Shah, Wilson and Ghahramani, Student-t processes as alternatives to Gaussian processes, AISTATS 2014.
    """

    def __init__(self, process: GaussianLaw, dof: float) -> None:
        super().__init__(process)
        self._dof = _checks.positive("dof", dof)

    def _structure(self) -> dict[str, object]:
        return {"of": type(self._process).__name__, "dof": self._dof}

    @property
    def dof(self) -> float:
        """Degrees of freedom."""
        return self._dof

    def covariance(self) -> Tensor:
        """dof / (dof - 2) K, frame-major, float64.

        Raises:
            InputError: dof is 2 or less: the covariance is infinite.
        """
        if self._dof <= 2:
            raise InputError(f"the covariance is infinite for dof of at most 2, got dof = {self._dof:g}")
        return self._dof / (self._dof - 2) * self._process.covariance()

    @cached_property
    def exactness(self) -> Exactness:
        x, finer = self.sample(8), self._rule(2)
        errors = []
        for t in TRIED_TIMES:
            time = torch.tensor(t, dtype=torch.float64, device=x.device)
            noised = alpha(time) * x + sigma_squared(time).sqrt() * torch.randn(
                x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
            ).to(x)
            coarse, fine = (self._at_nodes(noised, time, nodes)[1] for nodes in (self._nodes, finer))
            errors.append(relative_rms(coarse, fine))
        return Exactness("quadrature", max(errors))

    @cached_property
    def _nodes(self) -> _Nodes:
        return self._rule(1)

    def _rule(self, refine: int) -> _Nodes:
        """A trapezoidal rule in log w that is narrower than any posterior of it, and reaches beyond all of them."""
        half, size = self._dof / 2, self.mean.numel()
        step = min(_WIDEST, _SPACING * math.sqrt(2 / (size + self._dof))) / refine
        widest = half / float(stats.gamma.ppf(_TAIL, half))
        least = half / float(stats.gamma.isf(_TAIL, half + size / 2))
        count = math.ceil((math.log(widest) - math.log(least)) / step) + 1
        log_w = math.log(least) + step * torch.arange(count, dtype=torch.float64, device=self.mean.device)
        # density of log w: that of 1/w = g is Gamma(half, rate half), and d log w = -d log g
        log_density = half * math.log(half) - math.lgamma(half) - half * log_w - half * torch.exp(-log_w)
        return _Nodes(log_w.exp(), log_density + math.log(step))

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        y, time = self._checked(x, t)
        if not bool((time == 0).any()):
            return super().log_prob_and_score(x, t)
        if not bool((time == 0).all()):
            raise InputError("t must be 0 for all sequences or for none: the two are computed in different ways")
        size, centred = y[0].numel() if len(y) else self.mean.numel(), y - self.mean
        unit, zero = y.new_ones(()), y.new_zeros(())
        solved = self._spectrum.solve(centred, unit, zero)
        square = (centred * solved).sum((1, 2))
        constant = math.lgamma((self._dof + size) / 2) - math.lgamma(self._dof / 2)
        constant -= 0.5 * size * math.log(self._dof * math.pi)
        density = constant - 0.5 * self._spectrum.log_det(unit, zero)
        density = density - 0.5 * (self._dof + size) * torch.log1p(square / self._dof)
        score = -(self._dof + size) / (self._dof + square)[:, None, None] * solved
        return density.to(x), score.to(x)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        chooser, source = children(generator, 2)
        draws = self._process.sample(n, generator=source) - self.mean
        uniform = torch.rand(len(draws), dtype=torch.float64, generator=chooser, device=chooser.device)
        precision = stats.gamma.ppf(uniform.cpu().numpy(), self._dof / 2) / (self._dof / 2)
        return self.mean + draws / torch.as_tensor(precision).to(draws).sqrt()[:, None, None]

    def _refuse_far(self, shares: Tensor) -> None:
        edge = float(shares[:, -1].max()) if len(shares) else 0.0
        if edge > _EDGE:
            raise InputError(
                "x lies too far from the mean for the quadrature over the scale: no scale of a probability above "
                f"{_TAIL:g} explains it"
            )
