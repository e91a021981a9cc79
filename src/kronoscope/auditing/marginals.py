"""Marginal distribution of each feature: its centre and its tails."""

from __future__ import annotations

import torch
from torch import Tensor

from .pool import Pool
from .tally import Tally

BODY = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
TAILS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
FEWEST_BEYOND = 10  # values of the pool beyond a level of the tails


def marginals(pool: Pool, tally: Tally) -> None:
    """Share of the values at or below each of 13 quantiles of the pool, by feature and in the mean of the features."""
    quantiles = _quantiles(pool, BODY)
    shares = torch.stack([(pool.values <= q).double().mean(dim=1) for q in quantiles], dim=1)

    def label(j: int) -> str:
        return f"share of {_at(pool, j % pool.features, quantiles[j // pool.features], 'at or below')}"

    tally.add(shares.flatten(1), label, "%", 100.0)
    together = shares.mean(dim=2)
    tally.add(together, lambda k: f"share of all features at or below their {100 * BODY[k]:g} % quantiles", "%", 100.0)


def tails(pool: Pool, tally: Tally) -> None:
    """Share of the values beyond far quantiles of the pool, mean extremes of a sequence, and values that repeat."""
    values, count = pool.values, pool.values[..., 0].numel()
    levels = [p for p in TAILS if p * count >= FEWEST_BEYOND] or [TAILS[-1]]
    low, high = _quantiles(pool, levels), _quantiles(pool, [1 - p for p in levels])
    for k, p in enumerate(levels):
        below, above = (values < low[k]).double().mean(dim=1), (values > high[k]).double().mean(dim=1)
        for share, at, how in ((below, low[k], "below"), (above, high[k], "above")):

            def label(j: int, at: Tensor = at, how: str = how) -> str:
                return f"share of {_at(pool, j, at, how)}"

            tally.add(share, label, "%", 100.0)
        both = torch.stack([below.mean(dim=1), above.mean(dim=1), (below + above).mean(dim=1)], dim=1)

        def together(j: int, p: float = p) -> str:
            side = (f"below their {100 * p:g} %", f"above their {100 - 100 * p:g} %", f"in the outer {200 * p:g} %")[j]
            return f"share of all features {side} quantiles"

        tally.add(both, together, "%", 100.0)
    centred = values.mean(dim=(0, 1))
    for extreme, how in ((values.amax(dim=1), "largest"), (values.amin(dim=1), "smallest")):
        psi = (extreme - centred) / pool.scale
        shown = tally.relabelling.means(extreme)

        def name(j: int, how: str = how) -> str:
            return f"{how} value of {pool.names[j]} in a sequence, on average"

        tally.add(psi, name, pool.unit, pool.scale, shown)
    if pool.frames > 1:
        repeats = (values[:, 1:] == values[:, :-1]).double().mean(dim=1)
        tally.add(
            repeats,
            lambda j: f"share of the values of {pool.names[j]} that repeat the previous frame exactly",
            "%",
            100.0,
        )


def _quantiles(pool: Pool, levels: tuple[float, ...] | list[float]) -> Tensor:
    """Order statistics of each feature over the pool: (levels, d)."""
    ordered = pool.ordered
    places = [min(len(ordered) - 1, max(0, round(p * len(ordered)) - (p <= 0.5))) for p in levels]
    return ordered[places]


def _at(pool: Pool, feature: int, levels: Tensor, how: str) -> str:
    unit = f" {pool.units[feature]}" if pool.units[feature] else ""
    return f"the values of {pool.names[feature]} {how} {float(levels[feature]):.4g}{unit}"
