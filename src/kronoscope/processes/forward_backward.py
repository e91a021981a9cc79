"""The forward-backward algorithm for hidden Markov chains, and draws of hidden paths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_UNDERFLOW = 1e-280  # of a normalising sum: below it the chain is computed with logarithms


@dataclass(frozen=True)
class Chain:
    """A Markov chain over K hidden states.

    Attributes:
        log_initial: (K,).
        log_transitions: (N - 1, K, K), or (1, K, K) for all steps alike; [., k, l] is log P(l | k).
    """

    log_initial: Tensor
    log_transitions: Tensor

    def log_step(self, i: int) -> Tensor:
        """log P(state of frame i + 1 | state of frame i), (K, K)."""
        return self.log_transitions[i if len(self.log_transitions) > 1 else 0]


def smooth(chain: Chain, log_emissions: Tensor) -> tuple[Tensor, Tensor]:
    """log evidence (batch,), and P(state of frame i | all frames), (batch, frames, K).

    Probabilities are scaled frame by frame. Sequences whose probabilities underflow all the same are computed again
    with logarithms, which is slower.

    Args:
        chain: The prior of the states; its rows need not add up to one (quadrature weights may be in them).
        log_emissions: log p(x_i | state), (batch, frames, K).
    """
    top = log_emissions.amax(2, keepdim=True)
    emissions = (log_emissions - top).exp()
    evidence, posterior, smallest = _scaled(chain, emissions)
    lost = smallest < _UNDERFLOW
    if bool(lost.any()):
        evidence[lost], posterior[lost] = _logarithmic(chain, (log_emissions - top)[lost])
    return evidence + top.sum((1, 2)), posterior


def _scaled(chain: Chain, emissions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, frames, _ = emissions.shape
    forward = torch.empty_like(emissions)
    state, total = chain.log_initial.exp().expand(batch, -1), emissions.new_zeros(batch)
    smallest = emissions.new_full((batch,), 1.0)
    for i in range(frames):
        joint = state * emissions[:, i]
        norm = joint.sum(1, keepdim=True)
        smallest = torch.minimum(smallest, norm[:, 0])
        total = total + norm[:, 0].clamp_min(_UNDERFLOW).log()
        forward[:, i] = joint / norm.clamp_min(_UNDERFLOW)
        if i + 1 < frames:
            state = forward[:, i] @ chain.log_step(i).exp()
    posterior, back = torch.empty_like(emissions), emissions.new_ones(batch, emissions.shape[2])
    for i in reversed(range(frames)):
        joint = forward[:, i] * back
        norm = joint.sum(1, keepdim=True)
        smallest = torch.minimum(smallest, norm[:, 0])
        posterior[:, i] = joint / norm.clamp_min(_UNDERFLOW)
        if i:
            back = (emissions[:, i] * back) @ chain.log_step(i - 1).exp().mT
            back = back / back.amax(1, keepdim=True).clamp_min(_UNDERFLOW)
    return total, posterior, smallest


def _logarithmic(chain: Chain, log_emissions: Tensor) -> tuple[Tensor, Tensor]:
    frames = log_emissions.shape[1]
    forward = [chain.log_initial + log_emissions[:, 0]]
    for i in range(1, frames):
        forward.append((forward[-1][:, :, None] + chain.log_step(i - 1)).logsumexp(1) + log_emissions[:, i])
    back, posterior = torch.zeros_like(forward[-1]), torch.empty_like(log_emissions)
    for i in reversed(range(frames)):
        posterior[:, i] = (forward[i] + back).softmax(1)
        if i:
            back = (chain.log_step(i - 1) + (log_emissions[:, i] + back)[:, None]).logsumexp(2)
    return forward[-1].logsumexp(1), posterior


def conditional_steps(chain: Chain, log_emissions: Tensor) -> tuple[Tensor, Tensor]:
    """The chain given one sequence: log P(state of frame 0 | all), (K,), and its log transitions, (N - 1, K, K)."""
    frames, states = log_emissions.shape
    back, steps = log_emissions.new_zeros(states), []
    for i in reversed(range(1, frames)):
        joint = chain.log_step(i - 1) + log_emissions[i] + back
        back = joint.logsumexp(1)
        steps.append((joint - back[:, None]).nan_to_num(nan=-torch.inf))
    first = (chain.log_initial + log_emissions[0] + back).log_softmax(0)
    return first, torch.stack(steps[::-1]) if steps else log_emissions.new_empty(0, states, states)


def draw_paths(log_first: Tensor, log_steps: Tensor, uniform: Tensor) -> Tensor:
    """Paths of states, (n, frames), from uniform numbers of that shape.

    Args:
        log_first: (K,).
        log_steps: (frames - 1, K, K), or (1, K, K) for all steps alike.
        uniform: (n, frames), float64.
    """
    first, steps = _bounds(log_first), _bounds(log_steps)
    state = torch.searchsorted(first, uniform[:, 0].contiguous(), right=True)
    path = [state]
    for i in range(1, uniform.shape[1]):
        rows = steps[i - 1 if len(steps) > 1 else 0][state]
        state = torch.searchsorted(rows, uniform[:, i : i + 1].contiguous(), right=True)[:, 0]
        path.append(state)
    return torch.stack(path, 1)


def _bounds(log_probabilities: Tensor) -> Tensor:
    """Cumulative probabilities without the last, which is 1 up to round-off."""
    return log_probabilities.exp().cumsum(-1)[..., :-1].contiguous()
