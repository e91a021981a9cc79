"""Means, and covariances by lag and pair of features: three questions from one pass over the products of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .pool import Pool
from .resampling import DTYPE
from .tally import Label, Tally

VALUES = 2**24  # of products held at once
WHITE_LAGS = 16  # of the innovations: they are white in the pool, so longer lags add nothing


def mean(pool: Pool, tally: Tally) -> None:
    """Means by frame and feature, by feature over all frames, and of the innovations."""
    x, names = pool.x, pool.names
    d = pool.features
    tally.add(
        x.flatten(1),
        lambda j: f"mean of {names[j % d]} in frame {j // d}",
        lambda j: pool.unit(j % d),
        pool.scale.repeat(pool.frames),
        _shifted(pool, tally),
    )
    base = pool.values.mean(dim=(0, 1))
    over = x.mean(dim=1)
    first, second = tally.relabelling.means(over)
    values = (base + first * pool.scale, base + second * pool.scale)
    tally.add(over, lambda j: f"mean of {names[j]} over all frames", pool.unit, pool.scale, values)
    added = pool.u.mean(dim=1)
    tally.add(added, lambda j: f"mean innovation of {names[j]} (given its past and the other features)", "sd")


def _shifted(pool: Pool, tally: Tally) -> tuple[Tensor, Tensor]:
    first, second = tally.relabelling.means(pool.values.flatten(1))
    return first, second


def covariances(pool: Pool, covariance: Tally, autocorrelation: Tally, cross: Tally) -> None:
    """Covariance by lag and pair; correlation of a feature with itself and with the others by lag."""
    x, d, names = pool.x.to(DTYPE), pool.features, pool.names
    relabelling = covariance.relabelling
    own = lag_products(x, [0])[:, 0].diagonal(dim1=1, dim2=2)
    scaled = own / own.mean(dim=0)
    half = (scaled[:, :, None] + scaled[:, None, :]) / 2
    half_contrast = relabelling.contrast(half.flatten(1)).unflatten(1, (d, d))
    root = own.mean(dim=0).sqrt()
    roots = root[:, None] * root
    variances = relabelling.means(own)
    sizes = (pool.scale[:, None] * pool.scale).flatten()
    apart = ~torch.eye(d, dtype=torch.bool)
    for lags in chunks(range(pool.frames), len(x) * d * d):
        products = lag_products(x, lags)
        contrasts = relabelling.contrast(products.flatten(1)).unflatten(1, products.shape[1:])
        for k, lag in enumerate(lags):
            phi, contrast = products[:, k], contrasts[:, k]
            once = torch.ones(d, d, dtype=torch.bool) if lag else torch.ones(d, d, dtype=torch.bool).triu()
            covariance.count(
                phi.flatten(1),
                contrast.flatten(1),
                _pair("covariance of", names, lag),
                _products(pool),
                sizes,
                keep=once.flatten(),
            )
            rho = phi.mean(dim=0) / roots
            psi, moved = phi / roots - rho * half, contrast / roots - rho * half_contrast
            values = [
                m.unflatten(0, (d, d)) / (v[:, None] * v).sqrt()
                for m, v in zip(relabelling.means(phi.flatten(1)), variances)
            ]
            label = _pair("correlation of", names, lag)
            between = (values[0].flatten(), values[1].flatten())
            terms = relabelling.scale(phi.flatten(1)) / roots.flatten()
            kept = (once & apart).flatten()
            cross.count(psi.flatten(1), moved.flatten(1), label, values=between, keep=kept, terms=terms)
            if lag:
                alone = [t.diagonal(dim1=-2, dim2=-1) for t in (psi, moved, *values)]
                itself = _itself(names, lag)
                own_terms = terms.unflatten(0, (d, d)).diagonal()
                autocorrelation.count(alone[0], alone[1], itself, values=(alone[2], alone[3]), terms=own_terms)
    _white(pool, covariance)
    _together(pool, autocorrelation)


def _white(pool: Pool, tally: Tally) -> None:
    """Covariances of the innovations: white in the pool, so that deviations are uncorrelated."""
    d, names = pool.features, pool.names
    u = pool.u.to(DTYPE)
    what = "covariance of the innovations,"
    lags = list(range(min(pool.frames, WHITE_LAGS)))
    for some in chunks(lags, len(u) * d * d):
        phi = lag_products(u, some)
        for k, lag in enumerate(some):
            once = torch.ones(d, d, dtype=torch.bool) if lag else torch.ones(d, d, dtype=torch.bool).triu()
            label = _pair(what, names, lag)
            tally.add(phi[:, k].flatten(1), label, "of the variance", keep=once.flatten())
    traces = torch.stack([_trace(u, lag) for lag in lags], dim=1)
    tally.add(traces, lambda k: _all(what, k), "of the variance")


def _together(pool: Pool, tally: Tally) -> None:
    """Autocorrelation of all features together, of the sequences and of the innovations."""
    for z, lags, what in (
        (pool.v, pool.frames, "autocorrelation"),
        (pool.u, min(pool.frames, WHITE_LAGS), "autocorrelation of the innovations,"),
    ):
        traces = torch.stack([_trace(z, lag) for lag in range(lags)], dim=1)
        if lags < 2:
            continue
        psi, values = ratio(tally, traces[:, 1:], traces[:, :1])
        tally.add(psi, lambda j, what=what: _all(what, j + 1), "", 1.0, values)  # type: ignore[misc]


def ratio(tally: Tally, above: Tensor, below: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Linear part, at the pool, of mean(above) / mean(below), and that ratio in both sets."""
    top, bottom = above.mean(dim=0), below.mean(dim=0)
    first, two = tally.relabelling.means(torch.cat([above, below], dim=1).double())
    n = above.shape[1]
    return (above - top / bottom * below) / bottom, (first[:n] / first[n:], two[:n] / two[n:])


def lag_products(z: Tensor, lags: Sequence[int]) -> Tensor:
    """Mean over the frames of z[i, a] z[i + lag, b] of every sequence: (T, lags, features, features)."""
    frames = z.shape[1]
    return torch.stack([torch.bmm(z[:, : frames - k].mT, z[:, k:]) / (frames - k) for k in lags], dim=1)


def chunks(lags: Sequence[int], values_each: int) -> Iterator[list[int]]:
    """``lags`` in runs whose products fit."""
    size = max(1, VALUES // values_each)
    for start in range(0, len(lags), size):
        yield list(lags[start : start + size])


def _trace(z: Tensor, lag: int) -> Tensor:
    frames = z.shape[1] - lag
    return (z[:, :frames] * z[:, lag:]).mean(dim=(1, 2))


def _pair(what: str, names: tuple[str, ...], lag: int) -> Label:
    d = len(names)

    def label(j: int) -> str:
        return f"{what} {names[j // d]} with {names[j % d]}{later(lag) if lag else ' in the same frame'}"

    return label


def _itself(names: tuple[str, ...], lag: int) -> Label:
    return lambda j: f"correlation of {names[j]} with itself{later(lag)}"


def later(lag: int) -> str:
    """ " 3 frames later"."""
    return f" {lag} frame{'' if lag == 1 else 's'} later"


def _all(what: str, lag: int) -> str:
    return f"{what} of all features together{later(lag) if lag else ' in the same frame'}"


def _products(pool: Pool) -> Label:
    def unit(j: int) -> str:
        first, two = pool.units[j // pool.features], pool.units[j % pool.features]
        return "" if not (first or two) else f"({first})²" if first == two else f"{first or '1'}·{two or '1'}"

    return unit
