"""Shrunk and tapered covariances: against scikit-learn, loops, and what they are for."""

import math

import numpy as np
import pytest
import torch

from kronoscope import InputError, estimators, metrics
from kronoscope.estimators import LedoitWolf, SampleCovariance, Tapered
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

covariance_module = pytest.importorskip("sklearn.covariance")
SIGMA = torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64)
PROCESS = GaussianSequence(PowerExponential(2.0), SIGMA, times=9)


def drawn(n, seed=0, process=PROCESS):
    return process.sample(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [1, 2, 7, 40, 1000])
@pytest.mark.parametrize("mean", ["zero", "free"])
def test_ledoit_wolf_is_that_of_scikit_learn(n, mean):
    if mean == "free" and n == 1:
        with pytest.raises(InputError, match="x must have at least 2 sequences"):
            LedoitWolf(mean=mean).fit(drawn(n))
        return
    x = drawn(n)
    flat = x.flatten(1).numpy() - (x.flatten(1).mean(0).numpy() if mean == "free" else 0)
    theirs, _ = covariance_module.ledoit_wolf(flat, assume_centered=True)
    law = LedoitWolf(mean=mean).fit(x)
    np.testing.assert_allclose(law.covariance().numpy(), theirs, rtol=1e-10, atol=1e-12)
    assert law.num_parameters == 18 * 19 // 2 + (18 if mean == "free" else 0)


def test_ledoit_wolf_has_a_score_from_fewer_sequences_than_entries():
    law = LedoitWolf().fit(drawn(5))
    assert float(torch.linalg.eigvalsh(law.covariance())[0]) > 0
    assert bool(law.score(drawn(3), 0.0).isfinite().all())


def test_ledoit_wolf_beats_the_sample_covariance_where_data_are_few():
    x = drawn(60)
    shrunk, plain = (metrics.score_kl(e(min_time=1e-2).fit(x).score, PROCESS, linear=True).value
                     for e in (LedoitWolf, SampleCovariance))  # fmt: skip
    assert shrunk < 0.8 * plain


@pytest.mark.parametrize("bandwidth", [1, 2, 3, 6, 8, 16, 40])
def test_tapered_is_the_definition_entry_by_entry(bandwidth):
    x = drawn(200)
    moment = np.einsum("ni,nj->ij", *[x.flatten(1).numpy()] * 2) / len(x)
    expected = np.zeros_like(moment)
    for i in range(18):
        for j in range(18):
            lag, half = abs(i // 2 - j // 2), bandwidth / 2
            weight = 1.0 if lag <= half else (2 - lag / half if lag < bandwidth else 0.0)
            expected[i, j] = weight * moment[i, j]
    values, vectors = np.linalg.eigh(expected)
    expected = (vectors * np.maximum(values, 0)) @ vectors.T
    law = Tapered(bandwidth=bandwidth).fit(x)
    np.testing.assert_allclose(law.covariance().numpy(), expected, rtol=1e-9, atol=1e-10)
    entries = sum(1 for i in range(18) for j in range(i + 1) if abs(i // 2 - j // 2) < bandwidth)
    assert law.num_parameters == entries == Tapered(bandwidth=bandwidth).count_parameters(9, 2)


def test_a_wide_taper_is_the_sample_covariance():
    x = drawn(30)
    law = Tapered(bandwidth=18).fit(x)
    torch.testing.assert_close(law.covariance(), SampleCovariance().fit(x).covariance())
    assert law.num_parameters == SampleCovariance().count_parameters(9, 2)


def test_negative_eigenvalues_are_projected_away():
    """A slow kernel cut off: indefinite before the projection, a covariance after it, with a score above t = 0."""
    process = GaussianSequence(PowerExponential(30.0, 2.0), SIGMA, times=9)
    x = drawn(2000, process=process)
    law = Tapered(bandwidth=4).fit(x)
    lowest = torch.linalg.eigvalsh(law.covariance())[0]
    assert abs(float(lowest)) < 1e-12
    assert bool(law.score(x[:2], 1e-2).isfinite().all())


def test_the_bandwidth_that_is_chosen_is_the_best_of_the_folds():
    """Against a loop over folds and bandwidths with the dense matrices."""
    x = drawn(43, seed=3)
    flat = x.flatten(1).numpy()
    lags = np.abs(np.subtract.outer(np.arange(18) // 2, np.arange(18) // 2))
    losses = []
    for k in range(1, 19):
        weights = np.clip(2 - 2 * lags / k, 0, 1)
        loss = 0.0
        for fold in range(5):
            inside = np.arange(43) % 5 == fold
            rest, own = (part.T @ part / len(part) for part in (flat[~inside], flat[inside]))
            loss += np.sum((weights * rest - own) ** 2)
        losses.append(loss)
    best = int(np.argmin(losses)) + 1
    assert 1 < best < 18
    expected = Tapered(bandwidth=best).fit(x)
    law = Tapered().fit(x)
    torch.testing.assert_close(law.covariance(), expected.covariance())
    assert law.num_parameters == expected.num_parameters < Tapered().count_parameters(9, 2)


def test_the_chosen_bandwidth_widens_with_the_data():
    """As n grows, lags that were noise become signal: entries kept grow on the average of ten draws."""
    kept = [np.mean([Tapered().fit(drawn(n, seed)).num_parameters for seed in range(10)]) for n in (20, 200, 2000)]
    assert kept[0] < kept[1] < kept[2]


def test_tapering_beats_the_sample_covariance_for_short_memory_and_few_sequences():
    process = GaussianSequence(PowerExponential(1.0), SIGMA, times=24)
    x = drawn(100, process=process)
    tapered, plain = (metrics.score_kl(e(min_time=1e-2).fit(x).score, process, linear=True).value
                      for e in (Tapered, SampleCovariance))  # fmt: skip
    assert tapered < 0.5 * plain


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="bandwidth must be at least 1, got 0"):
        Tapered(bandwidth=0)
    with pytest.raises(TypeError, match=r"bandwidth must be a whole number, got 2\.5"):
        Tapered(bandwidth=2.5)
    with pytest.raises(InputError, match="x must have at least 2 sequences"):
        Tapered().fit(drawn(1))
    with pytest.raises(InputError, match="x must have at least 2 sequences for a bandwidth to be chosen"):
        Tapered(min_time=0.01).fit(drawn(1))
    assert math.isfinite(float(Tapered(bandwidth=2).fit(drawn(1)).covariance().sum()))
    assert {"LedoitWolf", "Tapered"} <= set(estimators.__all__)
