"""Sequences that hang on one hidden number a frame: diffusions on the line, and stochastic volatility."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime
from ..diffusion import alpha, sigma_squared
from ..linalg import eigendecomposition
from ..linalg.draws import standard_normal
from .forward_backward import Chain, smooth
from .sequence_law import Exactness, SequenceLaw, children, relative_rms
from .times import is_regular, sequence_times

SHORTEST_TIME = 1e-3  # diffusion time for which the nodes are dense enough
TRIED_TIMES = (1e-3, 0.1, 1.0)
MOST_NODES = 2**12
_EDGE = 1e-9
_STEP = 0.7  # of the width of the narrowest factor; the trapezoid misses exp(-2 pi^2 / 0.7^2) = 3e-18
_WIDER = 1.25  # by how much the finer rule is wider, too

Coefficient = Callable[[Tensor], Tensor]


class GridLaw(SequenceLaw):
    """A law whose hidden number is summed over nodes of a regular grid by the trapezoidal rule."""

    @abstractmethod
    def _rule(self, refine: int) -> tuple[Tensor, Chain]:
        """Nodes (K,), and the chain over them with the spacing in its densities."""

    @abstractmethod
    def _at_nodes(self, y: Tensor, time: Tensor, nodes: Tensor, chain: Chain) -> tuple[Tensor, Tensor]:
        """log_prob and score for t > 0."""

    @cached_property
    def _coarse(self) -> tuple[Tensor, Chain]:
        return self._rule(1)

    @cached_property
    def exactness(self) -> Exactness:
        x, errors, finer = self.sample(4), [], self._rule(2)
        noise = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(x)
        for t in TRIED_TIMES:
            time = torch.tensor(t, dtype=torch.float64, device=x.device)
            noised = alpha(time) * x + sigma_squared(time).sqrt() * noise
            errors.append(
                relative_rms(self._at_nodes(noised, time, *self._coarse)[1], self._at_nodes(noised, time, *finer)[1])
            )
        return Exactness("quadrature", max(errors))

    def log_prob(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        return self.log_prob_and_score(x, t)[0]

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        return self.log_prob_and_score(x, t)[1]

    def _refuse_edges(self, shares: Tensor) -> None:
        edge = float(torch.maximum(shares[..., 0], shares[..., -1]).max()) if shares.numel() else 0.0
        if edge > _EDGE:
            raise InputError(
                f"x lies beyond the nodes of the quadrature (their ends have the probability {edge:.1e}): it is no "
                f"sequence of this {type(self).__name__}"
            )


class MarkovChainSequence(GridLaw):
    """A diffusion on the line, observed frame by frame: dx = drift(x) dh + diffusion(x) dW, by its Euler scheme.

        x_{i+1} | x_i ~ N(x_i + drift(x_i) D, diffusion(x_i)^2 D),    D = h_{i+1} - h_i,    x_0 ~ N(m, s^2)

    The law is that of the scheme, in continuous state. The score at t > 0 is (alpha E[x_0 | x_t] - x_t) / sigma_t^2 by
    the forward-backward algorithm on a grid; at t = 0 it is the closed form. Features are independent copies.

    Args:
        drift: Of a float64 tensor, elementwise.
        diffusion: The same, greater than 0; or a number.
        times: N for the times 0..N-1, or increasing times.
        bounds: Between which the sequences stay but for a negligible probability; None takes those of 4096 simulated
            sequences, wider by half of their range, and at least m - 8 s and m + 8 s.
        initial_mean, initial_std: m and s > 0.
        num_features: d.

    Raises:
        InputError: The diffusion is not positive, bounds are out of order, or the grid would need more than 4096 nodes.

    Source: docs/theory.md, section 10.
    """

    def __init__(
        self,
        drift: Coefficient,
        diffusion: Coefficient | float,
        times: int | ArrayLike | Tensor,
        *,
        bounds: tuple[float, float] | None = None,
        initial_mean: float = 0.0,
        initial_std: float = 1.0,
        num_features: int = 1,
    ) -> None:
        self._times = sequence_times(times)
        if not callable(drift):
            raise TypeError(f"drift must be a function of a tensor, got {_checks.kind(drift)}")
        self._drift = drift
        constant = None if callable(diffusion) else _checks.positive("diffusion", diffusion)
        self._diffusion: Coefficient = diffusion if callable(diffusion) else _constant(constant)
        self._first = (_checks.real("initial_mean", initial_mean), _checks.positive("initial_std", initial_std))
        self._shape = (len(self._times), _checks.count("num_features", num_features))
        self._bounds = self._simulated_bounds() if bounds is None else _ordered(bounds)
        self._rule(1)

    def _structure(self) -> dict[str, object]:
        return {"bounds": self._bounds, "nodes": len(self._coarse[0])}

    @property
    def times(self) -> Tensor:
        """h_1 < ... < h_N, float64."""
        return self._times

    @property
    def bounds(self) -> tuple[float, float]:
        """Ends of the grid."""
        return self._bounds

    @cached_property
    def mean(self) -> Tensor:
        """E[x], by the grid."""
        nodes, chain = self._coarse
        state, rows = chain.log_initial.exp(), []
        for i in range(self.num_frames):
            rows.append((state * nodes).sum() / state.sum())
            if i + 1 < self.num_frames:
                state = state @ chain.log_step(i).exp()
        return torch.stack(rows)[:, None].expand(self._shape).clone()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        n = _checks.count("n", n, 0)
        white = standard_normal(n, self._shape, _checks.generator_or_seed_zero(generator), torch.device("cpu"))
        path = [self._first[0] + self._first[1] * white[:, 0]]
        for i, step in enumerate(self._times.diff().tolist()):
            here = path[-1]
            path.append(here + self._drift(here) * step + self._spread(here) * math.sqrt(step) * white[:, i + 1])
        return _checks.finite("the simulated sequences", torch.stack(path, 1))

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        y, time = self._checked(x, t)
        if bool((time == 0).all()):
            density, score = self._of_data(y)
        elif bool((time < SHORTEST_TIME).any()):
            raise InputError(f"t must be 0 or at least {SHORTEST_TIME:g}, got {float(time.min()):g}")
        else:
            density, score = self._at_nodes(y, time, *self._coarse)
        return density.to(x), score.to(x)

    def _of_data(self, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            free = y.detach().requires_grad_()
            steps = self._times.diff()[:, None]
            density = _log_normal(free[:, 0], self._first[0], torch.tensor(self._first[1])).sum(1)
            if self.num_frames > 1:
                here = free[:, :-1]
                spread = self._spread(here) * steps.sqrt()
                density = density + _log_normal(free[:, 1:], here + self._drift(here) * steps, spread).sum((1, 2))
            (score,) = torch.autograd.grad(density.sum(), free)
        return density.detach(), score

    def _at_nodes(self, y: Tensor, time: Tensor, nodes: Tensor, chain: Chain) -> tuple[Tensor, Tensor]:
        batch, frames, features = y.shape
        series = y.mT.reshape(batch * features, frames)
        noise, shrink = (
            part.expand(batch).repeat_interleave(features)[:, None] for part in (sigma_squared(time), alpha(time))
        )
        gap = (series[:, :, None] - shrink[:, :, None] * nodes).square() / noise[:, :, None]
        evidence, shares = smooth(chain, -0.5 * (gap + (2 * math.pi * noise)[:, :, None].log()))
        self._refuse_edges(shares)
        score = (shrink * (shares @ nodes) - series) / noise
        return evidence.reshape(batch, features).sum(1), score.reshape(batch, features, frames).mT

    def _rule(self, refine: int) -> tuple[Tensor, Chain]:
        low, high = self._bounds
        if refine > 1:
            low, high = ((low + high) / 2 + _WIDER * (end - (low + high) / 2) for end in (low, high))
        steps = self._times.diff()
        trial = torch.linspace(low, high, 1025, dtype=torch.float64)
        narrowest = float(self._spread(trial).min()) * math.sqrt(float(steps.min())) if len(steps) else math.inf
        noise = math.sqrt(math.expm1(SHORTEST_TIME))
        width = 1 / math.sqrt(1 / noise**2 + 2 / narrowest**2 + 1 / self._first[1] ** 2)
        count = math.ceil((high - low) / (_STEP * width / refine)) + 1
        if count > MOST_NODES * refine * _WIDER:
            raise InputError(
                f"the grid would need {count} nodes, more than {MOST_NODES}: give narrower bounds, or a diffusion that "
                f"moves further than {narrowest:.2g} a frame"
            )
        nodes = torch.linspace(low, high, count, dtype=torch.float64)
        spacing = math.log((high - low) / (count - 1))
        first = _log_normal(nodes, self._first[0], torch.tensor(self._first[1])) + spacing
        distinct = steps[:1] if len(steps) and is_regular(self._times) else steps
        rows = [self._log_step(nodes, float(step)) + spacing for step in distinct]
        empty = torch.empty(0, count, count, dtype=torch.float64)
        return nodes, Chain(first, torch.stack(rows) if rows else empty)

    def _log_step(self, nodes: Tensor, step: float) -> Tensor:
        centre, spread = nodes + self._drift(nodes) * step, self._spread(nodes) * math.sqrt(step)
        return _log_normal(nodes[None, :], centre[:, None], spread[:, None])

    def _spread(self, x: Tensor) -> Tensor:
        spread = self._diffusion(x)
        if not bool((spread > 0).all()):
            raise InputError(f"diffusion must be greater than 0, got {float(spread.min()):g}")
        return spread

    def _simulated_bounds(self) -> tuple[float, float]:
        draws = self.sample(4096, generator=torch.Generator().manual_seed(0))
        low, high = float(draws.min()), float(draws.max())
        reach, (mean, std) = 0.25 * (high - low), self._first
        return min(low - reach, mean - 8 * std), max(high + reach, mean + 8 * std)


def double_well(
    times: int | ArrayLike | Tensor, *, noise: float = 0.5, step: float = 0.1, num_features: int = 1
) -> MarkovChainSequence:
    """dx = (x - x^3) dh + noise dW, one Euler step of ``step`` a frame: sequences that stay near -1 or 1, and hop.

    The first frame is N(0, 0.5^2). Sequences beyond -4 or 4, where the scheme explodes, have a probability below 1e-14.

    Args:
        times: N for frames ``step`` apart, or increasing times.
        noise: Greater than 0, at most 1; hops are rare where it is small.
        step: Time between frames, where ``times`` is a number; at most 0.5, beyond which the scheme is not stable.
        num_features: Independent copies.

    Raises:
        InputError: An argument is out of its range.
    """
    if _checks.positive("noise", noise) > 1:
        raise InputError(f"noise must be at most 1, got {noise:g}: sequences would leave both wells")
    if isinstance(times, int) and _checks.positive("step", step) > 0.5:
        raise InputError(f"step must be at most 0.5, got {step:g}: the Euler scheme is not stable beyond")
    grid = step * torch.arange(_checks.count("times", times), dtype=torch.float64) if isinstance(times, int) else times
    return MarkovChainSequence(
        lambda x: x - x**3, noise, grid, bounds=(-4.0, 4.0), initial_std=0.5, num_features=num_features
    )


class StochasticVolatility(GridLaw):
    """Frames whose log variance is a hidden autoregression: calm and restless stretches within a sequence.

        x_i | v ~ N(mean_i, exp(v_i) Sigma),    v_{i+1} = m + persistence (v_i - m) + volatility e_i,    e_i ~ N(0, 1)

    v starts in its stationary law. Given v, frames are independent. The sum over v is a trapezoidal rule.

    Args:
        spatial_covariance: Sigma, (d, d).
        times: Number of frames N.
        persistence: Of the log variance, at least 0 and below 1.
        volatility: Standard deviation of its steps, greater than 0.
        log_variance: m.
        mean: (N, d); None means zero.

    Raises:
        InputError: An argument is out of its range, Sigma is not a covariance, or the grid needs more than 4096 nodes.

    Source: Taylor, Modelling financial time series (1986).
    """

    def __init__(
        self,
        spatial_covariance: Tensor,
        times: int,
        *,
        persistence: float = 0.95,
        volatility: float = 0.3,
        log_variance: float = 0.0,
        mean: Tensor | None = None,
    ) -> None:
        matrix = _checks.tensor("spatial_covariance", spatial_covariance)
        parts = eigendecomposition("spatial_covariance", matrix)
        self._values, self._vectors = parts.values, parts.vectors
        self._spatial = 0.5 * (matrix + matrix.mT).to(torch.float64)
        self._shape = (_checks.count("times", times), len(matrix))
        self._persistence = _checks.non_negative("persistence", persistence)
        if self._persistence >= 1:
            raise InputError(f"persistence must be below 1, got {persistence:g}")
        self._volatility = _checks.positive("volatility", volatility)
        self._centre = _checks.real("log_variance", log_variance)
        self._mean = torch.zeros(self._shape, dtype=torch.float64, device=matrix.device)
        if mean is not None:
            self._mean = _checks.finite("mean", _checks.tensor("mean", mean, torch.float64, matrix.device)).clone()
            if self._mean.shape != self._shape:
                raise InputError(f"mean must have shape {self._shape}, got {tuple(self._mean.shape)}")
        self._rule(1)

    def _structure(self) -> dict[str, object]:
        return {"persistence": self._persistence, "volatility": self._volatility, "nodes": len(self._coarse[0])}

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def log_variance_std(self) -> float:
        """Standard deviation of v_i: volatility / sqrt(1 - persistence^2)."""
        return self._volatility / math.sqrt(1 - self._persistence**2)

    def covariance(self) -> Tensor:
        """E[exp(v)] I kron Sigma, frame-major, (N d, N d), float64: frames are uncorrelated, not independent."""
        factor = math.exp(self._centre + 0.5 * self.log_variance_std**2)
        return factor * torch.kron(torch.eye(self.num_frames, dtype=torch.float64).to(self._spatial), self._spatial)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        n = _checks.count("n", n, 0)
        hidden, source = children(generator, 2)
        steps = standard_normal(n, (self.num_frames,), hidden, self._mean.device)
        path = [self.log_variance_std * steps[:, 0]]
        for i in range(1, self.num_frames):
            path.append(self._persistence * path[-1] + self._volatility * steps[:, i])
        spread = (0.5 * (self._centre + torch.stack(path, 1))).exp()[:, :, None]
        white = standard_normal(n, self._shape, source, self._mean.device)
        roots = self._vectors * torch.where(self._values > 0, self._values, 0.0).sqrt()
        return self._mean + spread * (white @ roots.mT)

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        density, score = self._at_nodes(*self._checked(x, t), *self._coarse)
        return density.to(x), score.to(x)

    def _at_nodes(self, y: Tensor, time: Tensor, nodes: Tensor, chain: Chain) -> tuple[Tensor, Tensor]:
        rotated = (y - alpha(time).reshape(-1, 1, 1) * self._mean) @ self._vectors
        keep, noise = (part.reshape(-1, 1, 1, 1) for part in (torch.exp(-time), sigma_squared(time)))
        variances = keep * nodes.exp()[:, None] * self._values + noise
        logs = (rotated[:, :, None].square() / variances + variances.log() + math.log(2 * math.pi)).sum(3)
        evidence, shares = smooth(chain, -0.5 * logs)
        self._refuse_edges(shares)
        factors = (shares[..., None] / variances).sum(2)
        return evidence, -(factors * rotated) @ self._vectors.mT

    def _rule(self, refine: int) -> tuple[Tensor, Chain]:
        reach = (10 + 0.5 * self.num_features * self.log_variance_std) * (_WIDER if refine > 1 else 1.0)
        low, high = (self._centre + sign * reach * self.log_variance_std for sign in (-1, 1))
        width = 1 / math.sqrt(self.num_features / 2 + 2 / self._volatility**2)
        count = math.ceil((high - low) / (_STEP * width / refine)) + 1
        if count > MOST_NODES * refine * _WIDER:
            raise InputError(f"the grid would need {count} nodes, more than {MOST_NODES}: take a larger volatility")
        nodes = torch.linspace(low, high, count, dtype=torch.float64, device=self._mean.device)
        spacing = math.log((high - low) / (count - 1))
        first = _log_normal(nodes, self._centre, torch.tensor(self.log_variance_std)) + spacing
        centre = self._centre + self._persistence * (nodes - self._centre)
        step = _log_normal(nodes[None], centre[:, None], torch.tensor(self._volatility)) + spacing
        return nodes, Chain(first, step[None])


def _constant(value: float | None) -> Coefficient:
    assert value is not None
    return lambda x: torch.full_like(x, value)


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = (_checks.real("bounds", end) for end in bounds)
    if low >= high:
        raise InputError(f"bounds must be (low, high) with low < high, got ({low:g}, {high:g})")
    return low, high


def _log_normal(x: Tensor, mean: Tensor | float, std: Tensor) -> Tensor:
    std = std.to(torch.float64)
    return -0.5 * ((x - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)
