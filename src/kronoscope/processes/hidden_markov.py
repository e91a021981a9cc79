"""Hidden Markov sequences: a regime that changes from frame to frame."""

from __future__ import annotations

import math

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime
from ..diffusion import alpha, sigma_squared
from ..linalg import eigendecomposition
from ..linalg.draws import standard_normal
from ..linalg.eigen import refuse_singular
from .conditional import ConditionalLaw, observations, observed_log_density
from .forward_backward import Chain, conditional_steps, draw_paths, smooth
from .sequence_law import SequenceLaw, children, log_weights


class HiddenMarkov(SequenceLaw):
    """Frames that are Gaussian given a hidden state, which is a Markov chain (docs/theory.md, section 10). Exact.

    x_i | state k ~ N(mean_k, Sigma_k), independently given the states. Noise is added frame by frame, so x_t is a
    hidden Markov sequence, too, with N(alpha_t mean_k, alpha_t^2 Sigma_k + sigma_t^2 I), and
        score_i(x, t) = sum_k P(state of frame i is k | x_t = x) score_k(x_i, t)
    by the forward-backward algorithm, O(N K^2).

    Args:
        transition: (K, K); row k holds P(next state | state k) and adds up to 1.
        means: (K, d).
        covariances: (K, d, d), symmetric and positive semi-definite.
        times: Number of frames N.
        initial: (K,), distribution of the first frame's state; None means the chain's stationary distribution.

    Raises:
        InputError: Rows or ``initial`` are not probabilities, a matrix is not a covariance, shapes disagree, or the
            stationary distribution is not unique.

    Example:
        >>> law = HiddenMarkov([[0.9, 0.1], [0.2, 0.8]], [[0.0], [3.0]], [[[1.0]], [[0.5]]], times=10)
        >>> law.responsibilities(law.sample(2), t=0.01).shape
        torch.Size([2, 10, 2])
    """

    def __init__(
        self,
        transition: ArrayLike | Tensor,
        means: ArrayLike | Tensor,
        covariances: ArrayLike | Tensor,
        times: int,
        initial: ArrayLike | Tensor | None = None,
    ) -> None:
        frames = _checks.count("times", times)
        steps = _checks.tensor("transition", transition, torch.float64)
        if steps.ndim != 2 or steps.shape[0] != steps.shape[1] or not steps.numel():
            raise InputError(f"transition must have shape (states, states), got {tuple(steps.shape)}")
        states = len(steps)
        log_steps = torch.stack([log_weights(f"transition[{k}]", row, states) for k, row in enumerate(steps)])
        self._means = _checks.finite("means", _checks.tensor("means", means, torch.float64, steps.device))
        if self._means.ndim != 2 or len(self._means) != states:
            raise InputError(f"means must have shape ({states}, features), got {tuple(self._means.shape)}")
        features = self._means.shape[1]
        given = _checks.tensor("covariances", covariances, device=steps.device)
        if given.shape != (states, features, features):
            raise InputError(
                f"covariances must have shape ({states}, {features}, {features}), got {tuple(given.shape)}"
            )
        parts = [eigendecomposition(f"covariances[{k}]", matrix) for k, matrix in enumerate(given)]
        self._covariances = given.to(torch.float64)
        self._values = torch.stack([part.values for part in parts])
        self._vectors = torch.stack([part.vectors for part in parts])
        first = _stationary(log_steps.exp()) if initial is None else log_weights("initial", initial, states)
        self._chain = Chain(first.to(steps.device), log_steps[None])
        self._shape = (frames, features)

    def _structure(self) -> dict[str, object]:
        return {"states": len(self._means)}

    @property
    def transition(self) -> Tensor:
        """(K, K), float64."""
        return self._chain.log_transitions[0].exp()

    @property
    def initial(self) -> Tensor:
        """Distribution of the first frame's state, (K,), float64."""
        return self._chain.log_initial.exp()

    @property
    def state_probabilities(self) -> Tensor:
        """P(state of frame i), (N, K), float64."""
        rows = [self.initial]
        for _ in range(self.num_frames - 1):
            rows.append(rows[-1] @ self.transition)
        return torch.stack(rows)

    @property
    def mean(self) -> Tensor:
        return self.state_probabilities @ self._means

    def covariance(self) -> Tensor:
        """Frame-major, (N d, N d), float64."""
        first, steps = self._chain.log_initial, self._chain.log_transitions.expand(self.num_frames - 1, -1, -1)
        means = self._means.expand(self.num_frames, -1, -1)
        covariances = self._covariances.expand(self.num_frames, -1, -1, -1)
        return _path_covariance(first, steps, means, covariances)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        n = _checks.count("n", n, 0)
        paths, source = children(generator, 2)
        uniform = torch.rand(n, self.num_frames, dtype=torch.float64, generator=paths, device=paths.device)
        chain = self._chain
        states = draw_paths(chain.log_initial, chain.log_transitions, uniform.to(self._means.device))
        roots = self._vectors * torch.where(self._values > 0, self._values, 0.0).sqrt()[:, None]
        white = standard_normal(n, self._shape, source, self._means.device)
        return self._means[states] + torch.einsum("nfij,nfj->nfi", roots[states], white)

    def log_prob(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        return self.log_prob_and_score(x, t)[0]

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        return self.log_prob_and_score(x, t)[1]

    def responsibilities(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        """P(state of frame i is k | x_t = x), (batch, frames, states)."""
        return smooth(self._chain, self._emissions(*self._checked(x, t))[0])[1].to(x)

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        logs, scaled = self._emissions(*self._checked(x, t))
        evidence, shares = smooth(self._chain, logs)
        score = -torch.einsum("bnk,kij,bnkj->bni", shares, self._vectors, scaled)
        return evidence.to(x), score.to(x)

    def _emissions(self, y: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x_i | state), (batch, frames, K), and V_k' C_k^-1 (x_i - alpha mean_k), (batch, frames, K, d)."""
        shrink, keep = (part.reshape(-1, 1, 1, 1) for part in (alpha(time), torch.exp(-time)))
        variances = keep * self._values + sigma_squared(time).reshape(-1, 1, 1, 1)
        low, high = variances.amin(3), variances.amax(3)
        worst = int((low / high).argmin())
        refuse_singular(float(low.flatten()[worst]), float(high.flatten()[worst]), variances.shape[3])
        rotated = torch.einsum("kij,bnki->bnkj", self._vectors, y[:, :, None] - shrink * self._means)
        logs = (rotated.square() / variances + variances.log() + math.log(2 * math.pi)).sum(3)
        return -0.5 * logs, rotated / variances

    def condition_on(self, mask: Tensor, values: Tensor) -> HiddenMarkovConditional:
        """The law of whole sequences given some entries. Exact: the states given the observed entries are a chain.

        Args:
            mask: (frames, features), bool; True = observed.
            values: (frames, features); unobserved entries are ignored and may be NaN.

        Raises:
            InputError: Shapes disagree, an observed value is not finite, or a state's observed entries have a singular
                covariance.
        """
        mask, values = observations(self.mean, mask, values)
        logs = values.new_zeros(self.num_frames, len(self._means))
        means, covariances = [], []
        for i, (seen, frame) in enumerate(zip(mask, values, strict=True)):
            pairs = [_given(mean, cov, seen, frame) for mean, cov in zip(self._means, self._covariances, strict=True)]
            means.append(torch.stack([pair[0] for pair in pairs]))
            covariances.append(torch.stack([pair[1] for pair in pairs]))
            if bool(seen.any()):
                terms = zip(self._means, self._covariances, strict=True)
                logs[i] = torch.stack([observed_log_density(m[None], c, seen[None], frame[None]) for m, c in terms])
        first, steps = conditional_steps(self._chain, logs)
        return HiddenMarkovConditional(first, steps, torch.stack(means), torch.stack(covariances), ~mask)


class HiddenMarkovConditional(ConditionalLaw):
    """A hidden Markov sequence given some entries.

    Args:
        log_first: log P(state of frame 0 | observed), (K,).
        log_steps: log P(state of frame i + 1 | state of frame i, observed), (N - 1, K, K).
        means: Of each frame given its state and the observed entries, (N, K, d).
        covariances: The same, (N, K, d, d); zero in observed rows and columns.
        hidden: (N, d), bool; True = unobserved.
    """

    def __init__(
        self, log_first: Tensor, log_steps: Tensor, means: Tensor, covariances: Tensor, hidden: Tensor
    ) -> None:
        self._first, self._steps = log_first, log_steps
        self._means, self._covariances, self._hidden = means, covariances, hidden

    @property
    def _observed(self) -> Tensor:
        return ~self._hidden

    @property
    def state_probabilities(self) -> Tensor:
        """P(state of frame i | observed), (N, K), float64."""
        rows = [self._first.exp()]
        for step in self._steps:
            rows.append(rows[-1] @ step.exp())
        return torch.stack(rows)

    @property
    def mean(self) -> Tensor:
        return torch.einsum("nk,nkd->nd", self.state_probabilities, self._means)

    def covariance(self) -> Tensor:
        hidden = self._hidden.flatten()
        return _path_covariance(self._first, self._steps, self._means, self._covariances)[hidden][:, hidden]

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        n = _checks.count("n", n, 0)
        paths, source = children(generator, 2)
        frames, _, features = self._means.shape
        uniform = torch.rand(n, frames, dtype=torch.float64, generator=paths, device=paths.device)
        states = draw_paths(self._first, self._steps, uniform.to(self._means.device))
        values, vectors = torch.linalg.eigh(self._covariances)
        roots = vectors * values.clamp_min(0.0).sqrt()[..., None, :]
        at = torch.arange(frames, device=states.device)
        white = standard_normal(n, (frames, features), source, self._means.device)
        draws = self._means[at, states] + torch.einsum("nfij,nfj->nfi", roots[at, states], white)
        return torch.where(self._hidden, draws, self._means[:, 0])


def _given(mean: Tensor, covariance: Tensor, seen: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of a Gaussian frame given its observed entries, which have no spread left."""
    if not bool(seen.any()):
        return mean, covariance
    gain = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, ~seen]).mT
    centre, spread = torch.where(seen, frame, mean), torch.zeros_like(covariance)
    centre[~seen] += gain @ (frame - mean)[seen]
    inner = covariance[~seen][:, ~seen] - gain @ covariance[seen][:, ~seen]
    spread[(~seen).nonzero(), (~seen).nonzero().mT] = 0.5 * (inner + inner.mT)
    return centre, spread


def _path_covariance(first: Tensor, steps: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """Covariance of frames with ``means`` (N, K, d) and ``covariances`` given the states of a chain."""
    frames, _, features = means.shape
    shares = [first.exp()]
    for step in steps:
        shares.append(shares[-1] @ step.exp())
    centred = means - torch.einsum("nk,nkd->nd", torch.stack(shares), means)[:, None]
    result = means.new_zeros(frames, features, frames, features)
    for i in range(frames):
        within = torch.einsum("k,kij->ij", shares[i], covariances[i])
        weighted = shares[i][:, None] * centred[i]
        result[i, :, i] = within + weighted.mT @ centred[i]
        for j in range(i + 1, frames):
            weighted = steps[j - 1].exp().mT @ weighted
            result[i, :, j] = weighted.mT @ centred[j]
            result[j, :, i] = result[i, :, j].mT
    return result.reshape(frames * features, frames * features)


def _stationary(transition: Tensor) -> Tensor:
    """log of the distribution pi with pi P = pi.

    Raises:
        InputError: It is not unique.
    """
    states = len(transition)
    system = torch.cat([transition.mT - torch.eye(states, dtype=torch.float64), torch.ones(1, states).double()])
    if int(torch.linalg.matrix_rank(system[:-1], rtol=1e-12)) < states - 1:
        raise InputError("transition has more than one stationary distribution: give initial=")
    target = torch.zeros(states + 1, dtype=torch.float64)
    target[-1] = 1.0
    solution = torch.linalg.lstsq(system, target[:, None]).solution[:, 0].clamp_min(0.0)
    return (solution / solution.sum()).log()
