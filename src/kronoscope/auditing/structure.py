"""Separability, stationarity and time symmetry: how far each set departs from them, compared between the sets.

A degree is the sum of squares of the departures of a set, as a share. Since
sum(C_real^2) - sum(C_generated^2) = (C_real - C_generated) . (C_real + C_generated), its difference is, at the pool, a
mean over sequences like everything else; the values shown are freed of the part that chance adds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .moments import lag_products, later
from .pool import Pool
from .resampling import DTYPE
from .tally import Tally

MOST_LAGS = 16
THIRD_LAGS = 8


def separability(pool: Pool, tally: Tally) -> None:
    """Departure from a separable covariance C(l) = gamma(l) Sigma, a temporal times a spatial one.

    With the features made uncorrelated within a frame, that is where C(l) is a multiple of the identity at every lag;
    what C(l) has beyond is the departure. The degree is its share of sum_l |C(l)|^2, l >= 1.
    """
    d, lags = pool.features, few_lags(pool.frames)
    names = pool.names
    for z, where in ((pool.v, ""), (pool.u, ", of the innovations")):
        phi = lag_products(z.to(DTYPE), lags)
        beyond = phi.clone()
        beyond.diagonal(dim1=2, dim2=3).sub_(phi.diagonal(dim1=2, dim2=3).mean(dim=-1, keepdim=True))

        def label(j: int, where: str = where) -> str:
            lag, a, b = j // (d * d), j // d % d, j % d
            return f"departure from a separable covariance, {names[a]} with {names[b]}{later(lags[lag])}{where}"

        tally.add(beyond.flatten(1), label, "of the variance")
        if not where:
            _degree(
                tally, beyond.flatten(1), phi.flatten(1), "share of the dependence across frames that is not separable"
            )


def stationarity(pool: Pool, tally: Tally) -> None:
    """Departure from stationarity: how variance and the covariance of neighbouring frames depend on the frame.

    The degree is the mean square, over frames and features, of the relative departure of the variance from its mean.
    """
    x, d = pool.x, pool.features
    squared = pool.scale.square()
    for phi, what in ((x.square(), "variance"), (x[:, :-1] * x[:, 1:], "covariance with the next frame")):
        departure = phi - phi.mean(dim=1, keepdim=True)
        frames = departure.shape[1]

        def label(j: int, what: str = what) -> str:
            return f"{what} of {pool.names[j % d]} in frame {j // d}, minus the mean over all frames"

        tally.add(departure.flatten(1), label, lambda j: _square(pool.units[j % d]), squared.repeat(frames))
        trend = torch.linspace(-1, 1, frames, dtype=torch.float64) * 3**0.5
        tally.add(
            torch.einsum("i,tia->ta", trend, departure) / frames,
            lambda j, what=what: f"trend over the frames of the {what} of {pool.names[j]}",  # type: ignore[misc]
            lambda j: _square(pool.units[j]),
            squared,
        )
        if what == "variance":
            overall = phi.mean(dim=1).repeat(1, frames)
            _degree(tally, departure.flatten(1), overall, "mean squared relative change of the variance over frames")


def asymmetry(pool: Pool, tally: Tally) -> None:
    """Time asymmetry: how far the sequences differ from the same sequences reversed in time.

    Second order: C_ab(l) - C_ba(l), features made uncorrelated within a frame; the degree is
    sum |C - C'|^2 / sum |C + C'|^2 over lags. Third order, of a feature alone: E x_i^2 x_{i+l} - E x_i x_{i+l}^2.
    """
    d, lags, names = pool.features, few_lags(pool.frames), pool.names
    if d > 1:
        phi = lag_products(pool.v.to(DTYPE), lags)
        a, b = torch.triu_indices(d, d, 1)
        difference = phi[:, :, a, b] - phi[:, :, b, a]

        def label(j: int) -> str:
            lag, pair = divmod(j, len(a))
            first, second = names[int(a[pair])], names[int(b[pair])]
            return f"lead of {first} over {second} ({first} with {second}{later(lags[lag])}, minus the reverse)"

        tally.add(difference.flatten(1), label, "of the variance")
        both = (phi + phi.mT).flatten(1) / 2**0.5
        _degree(tally, difference.flatten(1), both, "share of the dependence across frames that is asymmetric in time")
    x = pool.x
    third = range(1, min(THIRD_LAGS, pool.frames - 1) + 1)
    for lag in third:
        early, late = x[:, : pool.frames - lag], x[:, lag:]

        def alone(j: int, lag: int = lag) -> str:
            return f"third-order time asymmetry of {names[j]}{later(lag)}"

        tally.add((early.square() * late - early * late.square()).mean(dim=1), alone, "sd³")


def few_lags(frames: int) -> list[int]:
    """All lags from 1, or at most ``MOST_LAGS`` that grow ever further apart."""
    last = frames - 1
    if last <= MOST_LAGS:
        return list(range(1, frames))
    half = MOST_LAGS // 2
    ratio = (last / half) ** (1 / (MOST_LAGS - half))
    return [*range(1, half + 1), *sorted({round(half * ratio**k) for k in range(1, MOST_LAGS - half + 1)} - {half})]


def _degree(tally: Tally, departure: Tensor, everything: Tensor, label: str) -> None:
    """Difference of sum(mean(departure)^2) / sum(mean(everything)^2) between the sets."""
    relabelling = tally.relabelling
    size = float(everything.mean(dim=0).double().square().sum())
    pooled = departure.mean(dim=0)
    values = []
    n = relabelling.num_first
    for part, of_departure, of_all in zip(
        (slice(None, n), slice(n, None)), relabelling.means(departure), relabelling.means(everything)
    ):
        rows = departure[part]
        chance = float(rows.var(dim=0).double().sum()) / len(rows)
        total = float(of_all.double().square().sum())
        values.append(torch.tensor([max(0.0, float(of_departure.double().square().sum()) - chance) / total]))
    psi = (2 / size) * (departure @ pooled)[:, None]
    tally.add(psi, lambda j: label, "", 1.0, (values[0], values[1]))


def _square(unit: str) -> str:
    return f"({unit})²" if unit else ""
