"""p-values of questions, and of all questions together: step-down over the same relabellings."""

from __future__ import annotations

import torch
from torch import Tensor


def p_values(statistic: Tensor) -> Tensor:
    """p-value of every relabelling as if it were the one that came: its rank among all, ties against it.

    Args:
        statistic: (draws + 1,), greater is further from equal laws.

    Returns:
        (draws + 1,), multiples of 1 / (draws + 1); entry 0 is the p-value of the test, which is exact.
    """
    ordered = statistic.sort().values
    below = torch.searchsorted(ordered, statistic, side="left")
    return (len(statistic) - below).double() / len(statistic)


def step_down(statistics: Tensor) -> Tensor:
    """p-values adjusted for the number of questions, as they came.

    The smallest p-value of a relabelling over the questions is compared with its own distribution, so questions that
    say the same cost nothing (no Bonferroni loss); then the question is set aside and the rest are judged alone. Where
    the p-value is the smallest that so many draws can give, the standardised statistic decides between relabellings.

    Args:
        statistics: (questions, draws + 1).

    Returns:
        (questions,) adjusted p-values, which hold the family-wise error rate.

    Source: Westfall and Young, "Resampling-Based Multiple Testing" (1993), algorithm 2.8.
    """
    ranks = torch.stack([p_values(row) for row in statistics])
    spread = statistics.std(dim=1, keepdim=True)
    excess = (statistics - statistics.mean(dim=1, keepdim=True)) / torch.where(spread > 0, spread, 1.0)
    within = 0.5 + torch.atan(excess) / torch.pi  # in (0, 1): orders relabellings of one rank, never across ranks
    key = ranks - within / statistics.shape[1]
    order = key[:, 0].argsort()
    adjusted = torch.empty(len(key), dtype=torch.float64)
    running = 0.0
    for place, question in enumerate(order.tolist()):
        smallest = key[order[place:]].min(dim=0).values
        share = float((smallest <= key[question, 0] + 1e-12).double().mean())
        running = max(running, share)
        adjusted[question] = max(running, float(ranks[question, 0]))
    return adjusted
