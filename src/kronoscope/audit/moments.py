"""Means, and covariances by lag and pair of features: three questions from one pass over the products of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .inputs import Pool
from .resampling import DTYPE
from .tally import Label, Tally

VALUES = 2**24  # of products held at once
WHITE_LAGS = 16  # of what frames add: white noise has no more to say at longer lags


def mean(pool: Pool, tally: Tally) -> None:
    """Means by frame and feature, by feature over all frames, and of what a frame adds to the frames before it."""
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
    tally.add(added, lambda j: f"mean of {names[j]}, cleared of what the past and the other features tell", "sd")


def _shifted(pool: Pool, tally: Tally) -> tuple[Tensor, Tensor]:
    first, second = tally.relabelling.means(pool.values.flatten(1))
    return first, second


def covariances(pool: Pool, covariance: Tally, autocorrelation: Tally, cross: Tally) -> None:
    """Covariance by lag and pair; correlation of a feature with itself and with the others by lag."""
    x, d = pool.x.to(DTYPE), pool.features
    zero = lag_products(x, [0])[:, 0]
    own = zero.diagonal(dim1=1, dim2=2)
    pooled = own.mean(dim=0)
    root = pooled.sqrt()
    sizes = pool.scale[:, None] * pool.scale
    one, two = (m.double() for m in covariance.relabelling.means(own))
    for lags in chunks(range(pool.frames), len(x) * d * d):
        phi = lag_products(x, lags)
        contrast = covariance.relabelling.contrast(phi.flatten(1)).unflatten(1, phi.shape[1:])
        base = covariance.relabelling.contrast(own)
        for k, lag in enumerate(lags):
            wanted = torch.ones(d, d, dtype=torch.bool)
            wanted = wanted.triu() if lag == 0 else wanted
            a, b = wanted.nonzero(as_tuple=True)
            covariance.count(
                phi[:, k, a, b],
                contrast[:, k, a, b],
                _pair("covariance of", pool.names, a, b, lag),
                _products(pool, a, b),
                sizes[a, b],
            )
            means = [m.double() for m in _group_means(covariance, phi, k)]
            same = a == b
            for tally, keep in ((autocorrelation, same if lag else same & False), (cross, ~same)):
                if not bool(keep.any()):
                    continue
                i, j = a[keep], b[keep]
                rho = phi[:, k, i, j].mean(dim=0) / (root[i] * root[j])
                psi = phi[:, k, i, j] / (root[i] * root[j]) - rho / 2 * (own[:, i] / pooled[i] + own[:, j] / pooled[j])
                moved = contrast[:, k, i, j] / (root[i] * root[j]) - rho / 2 * (
                    base[:, i] / pooled[i] + base[:, j] / pooled[j]
                )
                values = tuple(m[i, j] / (o[i] * o[j]).sqrt() for m, o in zip(means, (one, two)))
                tally.count(psi, moved, _pair("correlation of", pool.names, i, j, lag), "", 1.0, (values[0], values[1]))
    _white(pool, covariance)
    _together(pool, autocorrelation)


def _white(pool: Pool, tally: Tally) -> None:
    """What frames add to the frames before them: white in the pool, so that deviations stand alone."""
    d, names = pool.features, pool.names
    u = pool.u.to(DTYPE)
    what = "what frames add to the frames before them"
    for lags in chunks(range(min(pool.frames, WHITE_LAGS)), len(u) * d * d):
        phi = lag_products(u, lags)
        for k, lag in enumerate(lags):
            wanted = torch.ones(d, d, dtype=torch.bool)
            a, b = (wanted.triu() if lag == 0 else wanted).nonzero(as_tuple=True)
            tally.add(phi[:, k, a, b], _pair(f"covariance, in {what}, of", names, a, b, lag), "of the variance")
        trace = phi.diagonal(dim1=2, dim2=3).mean(dim=-1)
        tally.add(trace, lambda k, lags=lags: _all(f"covariance, in {what},", lags[k]), "of the variance")  # type: ignore[misc]


def _together(pool: Pool, tally: Tally) -> None:
    """Autocorrelation of all features together, of the sequences and of what frames add."""
    for z, lags, what in (
        (pool.v, pool.frames, "autocorrelation"),
        (pool.u, min(pool.frames, WHITE_LAGS), "autocorrelation, in what frames add to the frames before them,"),
    ):
        traces = torch.stack([_trace(z, lag) for lag in range(lags)], dim=1)
        if lags < 2:
            continue
        psi, values = ratio(tally, traces[:, 1:], traces[:, :1])
        tally.add(psi, lambda j, what=what: _all(what, j + 1), "", 1.0, values)  # type: ignore[misc]


def ratio(tally: Tally, above: Tensor, below: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Linear part, at the pool, of mean(above) / mean(below), and that ratio in both sets."""
    top, bottom = above.mean(dim=0), below.mean(dim=0)
    one, two = tally.relabelling.means(torch.cat([above, below], dim=1).double())
    n = above.shape[1]
    return (above - top / bottom * below) / bottom, (one[:n] / one[n:], two[:n] / two[n:])


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


def _group_means(tally: Tally, phi: Tensor, k: int) -> tuple[Tensor, Tensor]:
    one, two = tally.relabelling.means(phi[:, k].flatten(1))
    return one.unflatten(0, phi.shape[2:]), two.unflatten(0, phi.shape[2:])


def _pair(what: str, names: tuple[str, ...], a: Tensor, b: Tensor, lag: int) -> Label:
    def label(j: int) -> str:
        one, two = names[int(a[j])], names[int(b[j])]
        return f"{what} {one} with {two}{later(lag)}" if lag else f"{what} {one} with {two} in the same frame"

    return label


def later(lag: int) -> str:
    """ " 3 frames later"."""
    return f" {lag} frame{'' if lag == 1 else 's'} later"


def _all(what: str, lag: int) -> str:
    return f"{what} of all features together{later(lag) if lag else ' in the same frame'}"


def _products(pool: Pool, a: Tensor, b: Tensor) -> Label:
    def unit(j: int) -> str:
        one, two = pool.units[int(a[j])], pool.units[int(b[j])]
        return "" if not (one or two) else f"({one})²" if one == two else f"{one or '1'}·{two or '1'}"

    return unit
