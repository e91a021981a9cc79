"""The field's metrics against numpy, statsmodels, POT and laws whose answer is known."""

import math

import numpy as np
import ot
import pytest
import torch
from statsmodels.tsa.stattools import acf

from kronoscope import metrics
from kronoscope._errors import InputError
from kronoscope.metrics import learners, summaries
from kronoscope_evidence.trials.planted import Autoregression


def draw(n=60, frames=8, features=3, seed=0):
    return Autoregression(frames, features).independent(n, torch.Generator().manual_seed(seed))


def test_marginals_are_those_of_numpy_histograms():
    x, y = draw(seed=1), 1.3 * draw(seed=2)
    found = []
    for a in range(3):
        edges = np.linspace(float(x[..., a].min()), float(x[..., a].max()), summaries.BINS + 1)
        for i in range(8):
            one, two = (
                np.histogram(np.clip(z[:, i, a].numpy(), edges[0], edges[-1]), edges)[0] / len(z) for z in (x, y)
            )
            found.append(np.abs(one - two))
    assert summaries.marginal_difference(x, y) == pytest.approx(np.mean(found), rel=1e-9)


def test_autocorrelations_are_those_of_statsmodels():
    x, y = draw(1, 40, 2, seed=1), draw(1, 40, 2, seed=2)
    one, two = (
        np.stack([acf(z[0, :, a].numpy(), adjusted=True, nlags=39, fft=False)[1:] for a in range(2)]) for z in (x, y)
    )
    assert summaries.autocorrelation_difference(x, y) == pytest.approx(np.abs(one - two).mean(), rel=1e-9)


def test_correlations_are_those_of_numpy():
    x, y = draw(seed=1), draw(seed=2)
    one, two = (np.corrcoef(z.flatten(0, 1).numpy().T) for z in (x, y))
    assert summaries.correlational_score(x, y) == pytest.approx(np.abs(one - two).sum() / 10, rel=1e-9)


def test_frechet_distance_is_that_of_pot():
    x, y = draw(200, 1, 3, seed=1)[:, 0], 2 * draw(200, 1, 3, seed=2)[:, 0] + 1
    moments = [m for z in (x, y) for m in (z.mean(dim=0), z.T.cov())]
    expected = ot.gaussian.bures_wasserstein_distance(
        *(m.numpy() for m in (moments[0], moments[2], moments[1], moments[3]))
    )
    assert learners.frechet(*moments) == pytest.approx(float(expected) ** 2, rel=1e-6)


def test_a_classifier_tells_what_differs_and_nothing_else():
    g = torch.Generator
    far = learners.discriminative_score(draw(200, seed=1), draw(200, seed=2) + 2, g().manual_seed(0))
    near = learners.discriminative_score(draw(200, seed=1), draw(200, seed=2), g().manual_seed(0))
    assert far > 0.4
    assert near < 0.17  # 80 test sequences: three standard errors of the accuracy


def test_a_forecaster_nears_the_error_that_nobody_beats():
    law = Autoregression(12, 1)
    x, y = (law.independent(400, torch.Generator().manual_seed(s)) for s in (1, 2))
    scale = float(x.std())
    error = learners.predictive_score(x / scale, y / scale, torch.Generator().manual_seed(0))
    least = math.sqrt(2 / math.pi) * math.sqrt(1 - 0.8**2)  # E|e| of the innovation, in sd of the series
    assert 0.97 * least < error < 1.1 * least


def test_references_hold_the_same_chance_as_values(monkeypatch):
    monkeypatch.setattr(learners, "STEPS", 10)
    found = metrics.published_metrics(draw(40, seed=1), draw(40, seed=2), num_splits=2)
    again = metrics.published_metrics(draw(40, seed=1), draw(40, seed=2), num_splits=2)
    assert found == again
    assert [one.name for one in found] == list(metrics.PUBLISHED)
    white = torch.randn(200, 8, 3, generator=torch.Generator().manual_seed(3))
    wrong = metrics.published_metrics(draw(200, seed=1), white, names=["auto-correlation difference"])[0]
    assert wrong.value > 2 * wrong.reference
    assert wrong.standard_error > 0


def test_units_and_offsets_change_nothing():
    names = [name for name in metrics.PUBLISHED if name not in metrics.TRAINED]
    x, y = draw(40, seed=1), draw(40, seed=2)
    factor = torch.tensor([3.0, 0.01, 1e6], dtype=torch.float64)
    one = metrics.published_metrics(x, y, names=names)
    two = metrics.published_metrics(x * factor + 5, y * factor + 5, names=names)
    for a, b in zip(one, two):
        assert a.value == pytest.approx(b.value, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"names": ["FID"]}, "names must be among"),
        ({"real": draw(10)}, "real must hold at least 20 sequences, got 10"),
        ({"generated": draw(20)}, "generated must hold at least half as many sequences as real, 30, got 20"),
        ({"generated": draw(features=2)}, "generated must have shape"),
        ({"num_splits": 1}, "num_splits must be at least 2"),
        ({"real": torch.zeros(30, 8, 3)}, "feature 0 does not"),
    ],
)
def test_bad_input_is_named(change, says):
    with pytest.raises(InputError, match=says):
        metrics.published_metrics(**{"real": draw(), "generated": draw(seed=1), **change})
