"""Correlations of a set of sequences by lag and feature pair, with a bootstrap band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._display import Tabular
from .._errors import InputError


def lagged_correlation(x: Tensor, *, max_lag: int | None = None) -> Tensor:
    """Correlation of every feature pair at every lag, averaged over the frames.

    With z the sequences less the mean over them of every (frame, feature),

        C[l, a, b] = mean_{n, i < N - l} z[n, i, a] z[n, i + l, b] / sqrt(v_a v_b),    v_a = mean_{n, i} z[n, i, a]^2

    so feature ``b`` is the later one. Rescaling a feature or moving the mean of a frame changes nothing.

    Args:
        x: (n, frames, features), n >= 2.
        max_lag: The greatest lag; None for frames - 1.

    Returns:
        (max_lag + 1, features, features), float64.

    Raises:
        InputError: Bad input, or a feature that does not vary between sequences.
    """
    z, lags = _centred(x, max_lag)
    covariance = torch.stack([_lag_products(z, lag).mean(dim=0) for lag in range(lags)])
    return covariance / _scales(covariance[0].diagonal())


@dataclass(frozen=True, eq=False, repr=False)
class CorrelationBand(Tabular):
    """A band about the lagged correlations of a set of sequences.

    Attributes:
        lower, upper: Ends of the band, entry by entry, like ``center``.
        center: ``lagged_correlation`` of the set itself, (lags, features, features).
        level: Share of the bootstrap draws that an entry's interval holds.
        block: Length of the blocks of sequences that were drawn together.
    """

    lower: Tensor
    upper: Tensor
    center: Tensor
    level: float
    block: int

    def _facts(self) -> dict[str, object]:
        width = (self.upper - self.lower)[self.counted()]
        return {
            "lags": len(self.center),
            "features": self.center.shape[1],
            "level": self.level,
            "block": self.block,
            "median width": float(width.median()) if width.numel() else 0.0,
        }

    def _columns(self) -> dict[str, Sequence[object]]:
        places = torch.cartesian_prod(*(torch.arange(size) for size in self.center.shape)).T.tolist()
        values = {"correlation": self.center, "lower": self.lower, "upper": self.upper}
        return dict(zip(("lag", "feature", "later feature"), places)) | {
            name: part.flatten().tolist() for name, part in values.items()
        }

    def inside(self, correlation: Tensor) -> Tensor:
        """Whether each entry of ``correlation`` lies in the band; like ``center``, bool.

        Raises:
            InputError: Another shape.
        """
        if correlation.shape != self.center.shape:
            raise InputError(f"correlation must have shape {tuple(self.center.shape)}, got {tuple(correlation.shape)}")
        value = correlation.to(self.center)
        return (self.lower <= value) & (value <= self.upper)

    def counted(self) -> Tensor:
        """Which entries say something: at lag 0 each pair of features once, at other lags all. Bool, like center."""
        mask = torch.ones(self.center.shape, dtype=torch.bool, device=self.center.device)
        mask[0] = mask[0].triu(1)
        return mask

    def share_inside(self, correlation: Tensor) -> float:
        """Share of the entries of ``correlation`` inside the band, trivial and repeated ones not counted.

        Raises:
            InputError: Another shape, or one feature in one frame, of which there is nothing to count.
        """
        counted = self.counted()
        if not bool(counted.any()):
            raise InputError("one feature in one frame has no correlations")
        return float(self.inside(correlation)[counted].double().mean())


def correlation_band(
    x: Tensor,
    *,
    block: int,
    num_draws: int = 1000,
    level: float = 0.95,
    max_lag: int | None = None,
    generator: torch.Generator | None = None,
) -> CorrelationBand:
    """Band about ``lagged_correlation(x)`` by a moving-block bootstrap of sequences.

    A draw takes n sequences as blocks of ``block`` neighbours that start anywhere, the last block cut off, and
    estimates everything anew, the frame means included. Ends are quantiles of the draws, entry by entry: at 0.95 about
    one true entry in twenty lies outside.

    Args:
        x: (n, frames, features) in order of time; n >= 2.
        block: Sequences in a block, at most n: 7 for days that depend on their neighbours, 1 for exchangeable
            sequences.
        num_draws: Bootstrap draws, at least 2.
        level: Share of the draws within the band.
        max_lag: The greatest lag; None for frames - 1.
        generator: None means seed 0.

    Raises:
        InputError: Bad input, or a feature that does not vary within some draw.

    Source: Kunsch, "The jackknife and the bootstrap for general stationary observations", Ann. Stat. 17 (1989).
    """
    z, lags = _centred(x, max_lag)
    if not 0 < _checks.real("level", level) < 1:
        raise InputError(f"level must be greater than 0 and less than 1, got {level:g}")
    if _checks.count("block", block) > len(z):
        raise InputError(f"block must be at most the number of sequences, {len(z)}, got {block}")
    draws = _checks.count("num_draws", num_draws, least=2)
    weights = _block_weights(len(z), block, draws, _checks.generator_or_seed_zero(generator)).to(z.device)
    means = (weights @ z.flatten(1)).reshape(draws, *z.shape[1:])
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64, device=z.device)
    lower, upper, center = [], [], []
    for lag in range(lags):
        products = _lag_products(z, lag)
        drawn = (weights @ products.flatten(1)).reshape(draws, *products.shape[1:]) - _lag_products(means, lag)
        if lag == 0:
            scales = _scales(drawn.diagonal(dim1=1, dim2=2))
            scale = _scales(products.mean(dim=0).diagonal())
        low, high = torch.quantile(drawn / scales, tails, dim=0)
        lower.append(low)
        upper.append(high)
        center.append(products.mean(dim=0) / scale)
    return CorrelationBand(torch.stack(lower), torch.stack(upper), torch.stack(center), float(level), int(block))


def _centred(x: Tensor, max_lag: int | None) -> tuple[Tensor, int]:
    """The sequences less their frame means, in float64, and the number of lags."""
    _checks.finite("x", _checks.sequences("x", x))
    if len(x) < 2:
        raise InputError(f"x must hold at least 2 sequences, got {len(x)}")
    greatest = x.shape[1] - 1 if max_lag is None else _checks.count("max_lag", max_lag, least=0)
    if greatest >= x.shape[1]:
        raise InputError(f"max_lag must be less than the number of frames, {x.shape[1]}, got {greatest}")
    values = x.detach().to(torch.float64)
    return values - values.mean(dim=0), greatest + 1


def _lag_products(z: Tensor, lag: int) -> Tensor:
    """Mean over the frames of z[i, a] z[i + lag, b] of every sequence: (n, features, features)."""
    frames = z.shape[1] - lag
    return torch.einsum("nia,nib->nab", z[:, :frames], z[:, lag:]) / frames


def _scales(variances: Tensor) -> Tensor:
    """sqrt(v_a v_b), (..., features, features)."""
    if bool((variances <= 0).any()):
        feature = int((variances <= 0).nonzero()[0][-1])
        raise InputError(f"x must vary between sequences, but feature {feature} does not (in some bootstrap draw)")
    root = variances.sqrt()
    return root.unsqueeze(-1) * root.unsqueeze(-2)


def _block_weights(n: int, block: int, draws: int, generator: torch.Generator) -> Tensor:
    """Share of every sequence in every draw, (draws, n)."""
    starts = torch.randint(n - block + 1, (draws, -(-n // block), 1), generator=generator, device=generator.device)
    chosen = (starts.cpu() + torch.arange(block)).flatten(1)[:, :n]
    counts = torch.zeros(draws, n, dtype=torch.float64)
    return counts.scatter_add_(1, chosen, torch.ones_like(chosen, dtype=torch.float64)) / n
