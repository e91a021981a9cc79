"""Mixtures of laws of sequences: a regime drawn once for each sequence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime
from .conditional import ConditionalLaw, observations, observed_log_density
from .law import GaussianLaw
from .sequence_law import Exactness, SequenceLaw, children, choices, log_weights


class Mixture(SequenceLaw):
    """p = sum_k w_k p_k: each sequence comes from one of K laws (docs/theory.md, section 10).

        score(x, t) = sum_k r_k(x, t) score_k(x, t),    r = softmax_k[ log w_k + log p_k,t(x) ]

    It is as exact as its components are, since noise is added to each in the same way.

    Args:
        components: K laws of the same frames and features, Gaussian or not.
        weights: K probabilities that add up to 1.

    Raises:
        InputError: No component, components of different shapes, or weights that are not probabilities.
        TypeError: A component is not a law.

    Example:
        >>> from kronoscope.kernels import PowerExponential
        >>> from kronoscope.processes import GaussianSequence
        >>> calm = GaussianSequence(PowerExponential(20.0), 0.5 * torch.eye(2), times=8)
        >>> windy = GaussianSequence(PowerExponential(2.0), 2.0 * torch.eye(2), times=8)
        >>> law = Mixture([calm, windy], [0.7, 0.3])
        >>> law.responsibilities(windy.sample(1), t=0.01).argmax(1).tolist()
        [1]
    """

    def __init__(self, components: Sequence[SequenceLaw], weights: ArrayLike | Tensor) -> None:
        if not isinstance(components, Sequence) or not components:
            raise TypeError(f"components must be a list of laws, got {_checks.kind(components)}")
        for k, law in enumerate(components):
            if not isinstance(law, SequenceLaw):
                raise TypeError(f"components[{k}] must be a law, such as ks.GaussianSequence, got {_checks.kind(law)}")
            shape, first = (law.num_frames, law.num_features), (components[0].num_frames, components[0].num_features)
            if shape != first:
                raise InputError(
                    f"components must have the same (frames, features), but components[{k}] has {shape} and "
                    f"components[0] has {first}"
                )
        self._components = tuple(components)
        self._shape = (components[0].num_frames, components[0].num_features)
        self._log_weights = log_weights("weights", weights, len(components)).to(components[0].mean.device)

    def _structure(self) -> dict[str, object]:
        kinds = ", ".join(sorted({type(law).__name__ for law in self._components}))
        weights = ", ".join(f"{weight:.3g}" for weight in self.weights.tolist()[:8])
        return {"components": f"{len(self._components)} ({kinds})", "weights": weights}

    @property
    def components(self) -> tuple[SequenceLaw, ...]:
        """The laws p_k."""
        return self._components

    @property
    def weights(self) -> Tensor:
        """w, shape (components,), float64."""
        return self._log_weights.exp()

    @property
    def mean(self) -> Tensor:
        return torch.einsum("k,knd->nd", self.weights, torch.stack([law.mean for law in self._components]))

    def covariance(self) -> Tensor:
        """sum_k w_k (K_k + (mu_k - mu)(mu_k - mu)'), frame-major, (N d, N d), float64.

        Raises:
            InputError: A component has no covariance, or is too large.
        """
        between = torch.stack([(law.mean - self.mean).flatten() for law in self._components])
        within = sum(w * covariance_of(law) for w, law in zip(self.weights, self._components, strict=True))
        return torch.as_tensor(within) + torch.einsum("k,ki,kj->ij", self.weights, between, between)

    @property
    def exactness(self) -> Exactness:
        worst = max((law.exactness for law in self._components), key=lambda e: (_RANK[e.kind], e.error))
        return Exactness(worst.kind, worst.error)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        n = _checks.count("n", n, 0)
        chooser, *sources = children(generator, len(self._components) + 1)
        index = choices(self._log_weights, n, chooser)
        draws = torch.empty(n, *self._shape, dtype=torch.float64, device=self.mean.device)
        for k, (law, source) in enumerate(zip(self._components, sources, strict=True)):
            drawn = law.sample(int((index == k).sum()), generator=source)
            draws[index.to(draws.device) == k] = drawn
        return draws

    def responsibilities(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        """P(component k | x_t = x), shape (batch, components)."""
        logits = torch.stack([law.log_prob(x, t).double() for law in self._components], 1)
        return (logits + self._log_weights).softmax(1).to(x)

    def log_prob(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        y, time = self._checked(x, t)
        logits = torch.stack([law.log_prob(y, time) for law in self._components], 1)
        return (logits + self._log_weights).logsumexp(1).to(x)

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        return self.log_prob_and_score(x, t)[1]

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        y, time = self._checked(x, t)
        pairs = [law.log_prob_and_score(y, time) for law in self._components]
        logits = torch.stack([pair[0] for pair in pairs], 1) + self._log_weights
        shares = logits.softmax(1)
        total = torch.zeros_like(y)
        for k, (_, score) in enumerate(pairs):
            total += shares[:, k, None, None] * score
        return logits.logsumexp(1).to(x), total.to(x)

    def condition_on(self, mask: Tensor, values: Tensor) -> MixtureConditional:
        """The law of whole sequences given some entries: a mixture of conditionals, with weights updated by the data.

        w_k becomes w_k p_k(observed) / sum_j w_j p_j(observed). Components must be Gaussian or mixtures of those.

        Args:
            mask: (frames, features), bool; True = observed.
            values: (frames, features); unobserved entries are ignored and may be NaN.

        Raises:
            InputError: As for a Gaussian law.
            TypeError: A component has no closed conditional.
        """
        mask, values = observations(self.mean, mask, values)
        logits = self._log_weights + torch.stack([_observed(law, mask, values) for law in self._components])
        parts = [_closed(law).condition_on(mask, values) for law in self._components]
        return MixtureConditional(parts, logits.log_softmax(0), ~mask)

    def observed_log_prob(self, mask: Tensor, values: Tensor) -> Tensor:
        """log density of the observed entries alone, a number."""
        mask, values = observations(self.mean, mask, values)
        logits = torch.stack([_observed(law, mask, values) for law in self._components])
        return (logits + self._log_weights).logsumexp(0)


class MixtureConditional(ConditionalLaw):
    """A mixture of conditional laws.

    Args:
        parts: One for each component.
        log_weights: log P(component | observed), (components,).
        hidden: (frames, features), bool; True = unobserved.
    """

    def __init__(self, parts: Sequence[ConditionalLaw], log_weights: Tensor, hidden: Tensor) -> None:
        self._parts = tuple(parts)
        self._log_weights = log_weights
        self._hidden = hidden

    @property
    def _observed(self) -> Tensor:
        return ~self._hidden

    @property
    def weights(self) -> Tensor:
        """P(component | observed), (components,), float64."""
        return self._log_weights.exp()

    @property
    def components(self) -> tuple[ConditionalLaw, ...]:
        """The components' conditional laws."""
        return self._parts

    @property
    def mean(self) -> Tensor:
        return torch.einsum("k,knd->nd", self.weights, torch.stack([part.mean for part in self._parts]))

    def covariance(self) -> Tensor:
        within = torch.stack([part.covariance() for part in self._parts])
        means = torch.stack([part.mean for part in self._parts])
        centred = (means - self.mean)[:, self._hidden]
        between = torch.einsum("k,ki,kj->ij", self.weights, centred, centred)
        return torch.einsum("k,kij->ij", self.weights, within) + between

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        n = _checks.count("n", n, 0)
        chooser, *sources = children(generator, len(self._parts) + 1)
        index = choices(self._log_weights, n, chooser)
        draws = self.mean.repeat(n, 1, 1)
        for k, (part, source) in enumerate(zip(self._parts, sources, strict=True)):
            draws[index.to(draws.device) == k] = part.sample(int((index == k).sum()), generator=source)
        return draws


_RANK = {"exact": 0, "quadrature": 1, "monte-carlo": 2}


def covariance_of(law: SequenceLaw) -> Tensor:
    """The dense covariance of a law that has one in closed form.

    Raises:
        TypeError: It has none.
    """
    method = getattr(law, "covariance", None)
    if method is None:
        raise TypeError(f"a {type(law).__name__} has no covariance in closed form")
    covariance: Tensor = method()
    return covariance


def _closed(law: SequenceLaw) -> GaussianLaw | Mixture:
    if not isinstance(law, GaussianLaw | Mixture):
        raise TypeError(
            f"condition_on needs Gaussian components, or mixtures of them, got a {type(law).__name__}: it has no "
            "conditional law in closed form"
        )
    return law


def _observed(law: SequenceLaw, mask: Tensor, values: Tensor) -> Tensor:
    closed = _closed(law)
    if isinstance(closed, Mixture):
        return closed.observed_log_prob(mask, values)
    if not bool(mask.any()):
        return torch.zeros((), dtype=torch.float64, device=values.device)
    return observed_log_density(closed.mean, closed.covariance(), mask, values)
