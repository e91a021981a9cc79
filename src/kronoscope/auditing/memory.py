"""Memorisation: whether generated sequences lie nearer to training than to held-out sequences.

Given the generated sequences, training and held-out ones are exchangeable unless the generator memorised its training
set. This holds for any generator, however wrong its distribution: the question responds to memorisation alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .pool import Pool
from .resampling import DTYPE
from .tally import Tally

ROWS = 512


def memorisation(pool: Pool, generated: Tensor, tally: Tally) -> None:
    """Nearest real neighbours of the generated sequences, and their distances.

    Args:
        pool: Held-out (first) and training (second) sequences.
        generated: (m, N, d) in natural units.
        tally: Of relabellings of held-out and training sequences.
    """
    root = math.sqrt(pool.frames * pool.features)
    centre = pool.values.mean(dim=0)
    known = (pool.values - centre).div(pool.scale).flatten(1) / root
    new = (generated - centre).div(pool.scale).flatten(1) / root
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))  # ties must not follow the labels
    nearest = torch.full((len(known),), torch.inf, dtype=torch.float64)
    count, close, near = (torch.zeros(len(known), dtype=torch.float64) for _ in range(3))
    for rows in new.split(ROWS):
        distance = _exactly(rows, known)
        nearest = torch.minimum(nearest, distance.amin(dim=0))
        two, index = distance[:, order].topk(2, largest=False)
        index = order[index]
        ratio = two[:, 0] / two[:, 1].clamp_min(1e-300)
        count.index_add_(0, index[:, 0], torch.ones_like(ratio))
        near.index_add_(0, index[:, 0], 1 - ratio)
        close.index_add_(0, index[:, 0], (ratio < 0.5).double())
    total = len(new)
    texts = (
        "generated sequences whose nearest real neighbour is in this set, per real sequence",
        "the same, weighted by one minus the ratio of the nearest to the second nearest distance",
        "the same, counted where the nearest distance is below half of the second nearest",
    )
    psi = torch.stack([count, near, close], dim=1) * (len(known) / total)
    tally.add(psi, lambda j: texts[j], "", total / len(known), toward=1)
    rank = torch.empty(len(known), 1, dtype=torch.float64)
    rank[order[nearest[order].argsort(stable=True)], 0] = torch.arange(len(known), dtype=torch.float64) / len(known)
    halves = torch.stack([(rank[:, 0] < q).double() for q in (0.02, 0.05, 0.1, 0.25, 0.5)], dim=1)
    shares = (2, 5, 10, 25, 50)
    tally.add(
        halves,
        lambda j: f"share among the {shares[j]} % of sequences nearest to a generated sequence",
        "%",
        100.0,
        toward=1,
    )
    tally.add(rank, lambda j: "mean rank of the distance to the nearest generated sequence", "%", 100.0, toward=-1)


def _exactly(rows: Tensor, known: Tensor) -> Tensor:
    """Distances without the cancellation that matrix products would bring to near copies."""
    return torch.cdist(rows.to(DTYPE), known.to(DTYPE), compute_mode="donot_use_mm_for_euclid_dist").double()
