"""Lagged correlations against brute force and statsmodels; the band against its definition and its coverage."""

import math

import numpy as np
import pytest
import torch
from statsmodels.tsa.stattools import ccovf

from kronoscope import metrics
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

SIGMA = torch.tensor([[1.0, 0.6, 0.0], [0.6, 2.0, -0.5], [0.0, -0.5, 0.7]], dtype=torch.float64)


def process(frames=6):
    return GaussianSequence(PowerExponential(3.0), SIGMA, times=frames)


def brute(x):
    """The definition, one entry at a time."""
    n, frames, features = x.shape
    z = x - x.mean(axis=0)
    found = np.zeros((frames, features, features))
    scale = [math.sqrt(np.mean([z[s, i, a] ** 2 for s in range(n) for i in range(frames)])) for a in range(features)]
    for lag, a, b in np.ndindex(found.shape):
        pairs = [z[s, i, a] * z[s, i + lag, b] for s in range(n) for i in range(frames - lag)]
        found[lag, a, b] = np.mean(pairs) / (scale[a] * scale[b])
    return found


def test_lagged_correlation_by_brute_force():
    x = process().sample(9) + torch.arange(18.0).reshape(6, 3)
    got = metrics.lagged_correlation(x)
    np.testing.assert_allclose(got.numpy(), brute(x.numpy()), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(metrics.lagged_correlation(x, max_lag=2), got[:3])


def test_lagged_correlation_is_that_of_statsmodels():
    """Sequences of +z and -z have frame means of nought, so their products are those of the series z."""
    z = np.random.default_rng(0).normal(size=(20, 2)).cumsum(axis=0)
    got = metrics.lagged_correlation(torch.from_numpy(np.stack([z, -z])))
    for a, b in np.ndindex(2, 2):
        # statsmodels: sum_i first[i + lag] second[i], about no mean, over N - lag
        want = ccovf(z[:, b], z[:, a], demean=False, adjusted=True)
        scale = math.sqrt((z[:, a] ** 2).mean() * (z[:, b] ** 2).mean())
        np.testing.assert_allclose(got[:, a, b].numpy(), want / scale, rtol=1e-10, atol=1e-12)


def test_the_later_feature_comes_second():
    drive = torch.randn(500, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.stack([drive[:, 1:], drive[:, :-1]], dim=-1)  # feature 1 repeats feature 0 one frame later
    got = metrics.lagged_correlation(x)
    assert got[1, 0, 1] > 0.95
    assert abs(got[1, 1, 0]) < 0.1


def test_lagged_correlation_converges_to_the_truth():
    """Entries of 20000 sequences: standard error below 0.01, so 0.04 fails with probability under 1e-4 an entry."""
    got = metrics.lagged_correlation(process().sample(20_000))
    root = SIGMA.diagonal().sqrt()
    want = torch.exp(-torch.arange(6.0) / 3)[:, None, None] * (SIGMA / torch.outer(root, root))
    assert float((got - want).abs().max()) < 0.04


@pytest.mark.parametrize("block", [1, 4, 10])
def test_band_by_its_definition(block):
    """Each draw repeated with real copies of the sequences, through ``lagged_correlation`` itself."""
    x = process(4).sample(10)
    band = metrics.correlation_band(x, block=block, num_draws=50, level=0.8, generator=torch.Generator().manual_seed(3))
    starts = torch.randint(10 - block + 1, (50, -(-10 // block), 1), generator=torch.Generator().manual_seed(3))
    draws = []
    for draw in starts:
        index = [int(s) + k for s in draw.flatten() for k in range(block)][:10]
        draws.append(metrics.lagged_correlation(x[index]).numpy())
    np.testing.assert_allclose(band.lower, np.quantile(draws, 0.1, axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(band.upper, np.quantile(draws, 0.9, axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(band.center, metrics.lagged_correlation(x), rtol=1e-12, atol=1e-14)
    assert (band.level, band.block) == (0.8, block)


def test_band_covers_the_truth():
    """40 sets of 150 sequences: the mean share of true entries inside the 90 % band.

    Entries of a set depend on each other: the share of one set has a standard deviation of about 0.1, so the mean of
    40 one of 0.016. A percentile band of 150 sequences lies about a point below its level: the window 0.82 to 0.95
    leaves 4 standard deviations below. A band of half or of twice the width gives 0.59 and 0.999.
    """
    root = SIGMA.diagonal().sqrt()
    truth = torch.exp(-torch.arange(4.0) / 3)[:, None, None] * (SIGMA / torch.outer(root, root))
    shares = [
        metrics.correlation_band(
            process(4).sample(150, generator=torch.Generator().manual_seed(seed)), block=1, num_draws=300, level=0.9
        ).share_inside(truth)
        for seed in range(40)
    ]
    assert 0.82 < np.mean(shares) < 0.95


def test_blocks_widen_the_band_of_dependent_sequences():
    """Sequences that come seven at a time say what one in seven says: the band is about sqrt 7 as wide."""
    x = process(4).sample(40).repeat_interleave(7, dim=0)
    narrow, wide = (metrics.correlation_band(x, block=block, num_draws=400) for block in (1, 14))
    ratio = float(((wide.upper - wide.lower) / (narrow.upper - narrow.lower))[1:].median())
    assert 2.0 < ratio < 3.2


def test_share_inside_counts_each_entry_once():
    x = process(3).sample(30)
    band = metrics.correlation_band(x, block=1, num_draws=50)
    assert int(band.counted().sum()) == 3 + 2 * 9
    assert band.share_inside(band.center) == 1.0
    moved = band.center.clone()
    moved[0] = 2.0  # the diagonal and the lower half do not count
    assert band.share_inside(moved) == pytest.approx(1 - 3 / 21)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(5, 3, 2)}, "feature 0 does not"),
        ({"x": torch.randn(1, 3, 2)}, "at least 2 sequences"),
        ({"x": torch.full((5, 3, 2), math.nan)}, "x must be finite"),
        ({"block": 11}, "block must be at most the number of sequences, 10, got 11"),
        ({"level": 1.0}, "level must be greater than 0 and less than 1"),
        ({"num_draws": 1}, "num_draws must be at least 2"),
        ({"max_lag": 6}, "max_lag must be less than the number of frames"),
    ],
)
def test_band_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        metrics.correlation_band(**({"x": process().sample(10), "block": 1} | change))


def test_band_refuses_other_shapes_and_nothing_to_count():
    band = metrics.correlation_band(process().sample(10), block=1, num_draws=10)
    with pytest.raises(ValueError, match="correlation must have shape"):
        band.share_inside(band.center[:2])
    alone = metrics.correlation_band(torch.randn(10, 1, 1), block=1, num_draws=10)
    with pytest.raises(ValueError, match="has no correlations"):
        alone.share_inside(alone.center)
