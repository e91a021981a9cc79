"""Published metrics that train a network: discriminative and predictive score, Context-FID."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

WIDTH, STEPS, BATCH, LEARNING_RATE = 16, 120, 128, 1e-2
TEST_SHARE = 0.2


def discriminative_score(real: Tensor, other: Tensor, generator: torch.Generator) -> float:
    """|accuracy - 1/2| of a recurrent classifier on sequences that it was not trained on; 0 to 1/2.

    One GRU layer of 16 units, the mean of its states read out linearly, 120 steps of Adam; a fifth of each set is for
    testing. The published one has two layers of d / 2 units, reads the last state, and takes 2000 steps. Both must
    hold equally many sequences.

    Args:
        real, other: (n, N, d), standardised.
        generator: Of the split, the weights and the batches.

    Source: Yoon, Jarrett and van der Schaar, "Time-series generative adversarial networks", NeurIPS 2019, section 5.
    """
    test = max(1, round(TEST_SHARE * len(real)))
    parts = [(x[order[test:]], x[order[:test]]) for x, order in ((x, _order(x, generator)) for x in (real, other))]
    x = torch.cat([parts[0][0], parts[1][0]]).float()
    y = torch.cat([torch.zeros(len(parts[0][0])), torch.ones(len(parts[1][0]))])
    network = _Recurrent(real.shape[2], 1, generator)

    def loss(rows: Tensor) -> Tensor:
        logits = network.pooled(x[rows]).squeeze(1)
        return nn.functional.binary_cross_entropy_with_logits(logits, y[rows])

    _train(network, loss, len(x), generator)
    with torch.no_grad():
        right = [(network.pooled(held.float()).squeeze(1) > 0).float() for _, held in parts]
    accuracy = (1 - right[0]).mean() / 2 + right[1].mean() / 2
    return abs(float(accuracy) - 0.5)


def predictive_score(real: Tensor, other: Tensor, generator: torch.Generator) -> float:
    """Mean absolute error, on the real sequences, of a recurrent forecaster that was trained on the others.

    One GRU layer of 16 units predicts the next frame (all features) from the frames so far, 120 steps of Adam on the
    absolute error; in standard deviations. The published one predicts the last feature alone from the others, with
    d / 2 units and 5000 steps. A sequence of one frame predicts nothing: 0.

    Args:
        real, other: (n, N, d), standardised.
        generator: Of the weights and the batches.

    Source: Yoon, Jarrett and van der Schaar, NeurIPS 2019, section 5 ("train on synthetic, test on real").
    """
    if real.shape[1] < 2:
        return 0.0
    network = _forecaster(other, generator)
    with torch.no_grad():
        return float((network.every(real[:, :-1].float()) - real[:, 1:].float()).abs().mean())


def context_fid(real: Tensor, other: Tensor, generator: torch.Generator) -> float:
    """Frechet distance between what a sequence encoder makes of the two sets.

        |m - m'|^2 + tr(S + S' - 2 (S^(1/2) S' S^(1/2))^(1/2))

    with mean m and covariance S of the encodings. The encoder is the GRU of the predictive score, trained to forecast
    the real sequences, its states averaged over the frames; the published one is a contrastive TS2Vec, so values
    compare within this library only. A single frame is encoded by an untrained GRU.

    Args:
        real, other: (n, N, d), standardised.
        generator: Of the weights and the batches.

    Source: Jeha et al., "PSA-GAN", ICLR 2022, section 4.
    """
    network = _forecaster(real, generator) if real.shape[1] > 1 else _Recurrent(real.shape[2], 1, generator)
    with torch.no_grad():
        first, two = (network.states(x.float()).mean(dim=1).double() for x in (real, other))
    return frechet(first.mean(dim=0), first.T.cov(), two.mean(dim=0), two.T.cov())


def frechet(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> float:
    """Squared Frechet (Wasserstein-2) distance of two Gaussians."""
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp_min(0).sqrt().sum()
    spread = covariance.trace() + other_covariance.trace() - 2 * shared
    return max(0.0, float((mean - other_mean).square().sum() + spread))


class _Recurrent(nn.Module):
    """A GRU with a linear head, its weights drawn from ``generator``."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, outputs)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-(WIDTH**-0.5), WIDTH**-0.5, generator=generator)

    def states(self, x: Tensor) -> Tensor:
        states: Tensor = self.gru(x)[0]
        return states

    def pooled(self, x: Tensor) -> Tensor:
        read: Tensor = self.head(self.states(x).mean(dim=1))
        return read

    def every(self, x: Tensor) -> Tensor:
        read: Tensor = self.head(self.states(x))
        return read


def _forecaster(x: Tensor, generator: torch.Generator) -> _Recurrent:
    """Train a network to predict the next frame of ``x``."""
    values = x.float()
    network = _Recurrent(x.shape[2], x.shape[2], generator)

    def loss(rows: Tensor) -> Tensor:
        batch = values[rows]
        return (network.every(batch[:, :-1]) - batch[:, 1:]).abs().mean()

    _train(network, loss, len(x), generator)
    return network


def _train(network: nn.Module, loss: Callable[[Tensor], Tensor], n: int, generator: torch.Generator) -> None:
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        rows = torch.randint(n, (min(BATCH, n),), generator=generator)
        optimiser.zero_grad()
        loss(rows).backward()
        optimiser.step()


def _order(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randperm(len(x), generator=generator)
