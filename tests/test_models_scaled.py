"""``model.scaled(process)``: the truth in the coordinates of the model's score, against laws computed by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from model_cases import fitted, seeded, values

import kronoscope as ks
from kronoscope import InputError, processes

SPATIAL = torch.tensor([[4.0, 30.0], [30.0, 400.0]], dtype=torch.float64)
MEAN = torch.tensor([[1.0, -50.0], [2.0, 0.0], [0.0, 10.0], [5.0, 20.0]], dtype=torch.float64)
KERNEL = ks.kernels.PowerExponential(lengthscale=3.0)
PROCESS = ks.GaussianSequence(KERNEL, SPATIAL, times=4, mean=MEAN)
T0, T = 1e-2, 6.0

LAWS = {
    "sequence": PROCESS,
    "dense": processes.DenseGaussian(PROCESS.covariance(), 2, MEAN),
    "separable": processes.SeparableGaussian(PROCESS.temporal_covariance, SPATIAL, MEAN),
    "block-toeplitz": processes.BlockToeplitzSequence(
        torch.stack([0.5**m * SPATIAL @ torch.tensor([[1.0, 0.1 * m], [0.0, 1.0]]).double() for m in range(4)])
    ),
    "sum": processes.KroneckerSum([(KERNEL, SPATIAL), (ks.kernels.White(), torch.eye(2))], 4, MEAN),
    "float32": ks.GaussianSequence(KERNEL, SPATIAL.float(), times=4),
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    x = PROCESS.sample(400, generator=seeded(3))
    return ks.fit(x, "unrolled", mean="free", scaling="standard", max_steps=60, batch_size=64)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_scaled_law_is_of_the_same_kind_and_has_the_moments_of_scaled_draws(law):
    shift, scale = torch.arange(8.0).reshape(4, 2), torch.tensor([0.5, 20.0])
    got = law.scaled(shift, scale)
    map_back = torch.diag(scale.double().repeat(4))
    assert type(got) is type(law)
    torch.testing.assert_close(map_back @ got.covariance() @ map_back, law.covariance(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(got.mean * scale + shift, law.mean)
    x = law.sample(5, generator=seeded(0))
    jacobian = 4 * float(scale.double().log().sum())
    torch.testing.assert_close(got.log_prob((x - shift) / scale), law.log_prob(x) + jacobian, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("shift", "scale", "message"),
    [
        (torch.zeros(4, 3), torch.ones(2), r"shift and scale must have shapes \(4, 2\) and \(2,\), got \(4, 3\)"),
        (torch.zeros(4, 2), torch.tensor([1.0, 0.0]), "scale must be greater than 0, got 0"),
        (torch.full((4, 2), math.nan), torch.ones(2), "shift must be finite"),
    ],
)
def test_bad_scales_are_refused(shift, scale, message):
    with pytest.raises(InputError, match=message):
        PROCESS.scaled(shift, scale)


def kl(mean, covariance, other_mean, other_covariance):
    """KL(p | q) of two Gaussians, written out."""
    inverse = np.linalg.inv(other_covariance)
    away = other_mean - mean
    trace = np.trace(inverse @ covariance) + away @ inverse @ away - len(mean)
    return 0.5 * (trace + np.linalg.slogdet(other_covariance)[1] - np.linalg.slogdet(covariance)[1])


def test_score_kl_of_a_scaled_model_is_the_closed_form_in_the_units_of_the_data(model):
    """Scaled noise is noise of covariance sigma_t^2 S^2 in the data's units, where KL is the same."""
    learnt, spread = model.law().data, np.diag(np.tile(model.transform.scale, 4))
    means = [MEAN.flatten().numpy(), (model.transform.mean + learnt.mean.numpy() * model.transform.scale).ravel()]
    covariances = [PROCESS.covariance().numpy(), spread @ learnt.covariance().numpy() @ spread]

    def at(t):
        shrink, noise = math.exp(-t), (1 - math.exp(-t)) * spread @ spread
        centre = model.transform.mean.ravel()
        p, q = ((math.sqrt(shrink) * (m - centre), shrink * c + noise) for m, c in zip(means, covariances, strict=True))
        return kl(*p, *q)

    expected = at(T0) - at(T)
    assert expected > 0.1  # the network trained for 60 steps: an error that both must see
    got = ks.metrics.score_kl(model.score, model.scaled(PROCESS), T0, T, linear=True)
    assert got.value == pytest.approx(expected, rel=1e-3)
    drawn = ks.metrics.score_kl(model.score, model.scaled(PROCESS), T0, T, num_samples=20_000)
    assert abs(drawn.value - expected) < 4 * drawn.standard_error < 0.2 * expected


def test_a_law_in_other_coordinates_is_refused(model):
    other = fitted(PROCESS.sample(50, generator=seeded(9)), mean="free", scaling="standard")
    for law in (PROCESS, other.scaled(PROCESS)):
        with pytest.raises(InputError, match=r"coordinates of score.*give model\.scaled\(process\)"):
            ks.metrics.score_kl(model.score, law)
        with pytest.raises(InputError, match=r"give model\.scaled\(process\)"):
            ks.probes.jacobian(model.score, law)
    with pytest.raises(InputError, match="process must be in the units of the data"):
        model.scaled(model.scaled(PROCESS))
    with pytest.raises(InputError, match="process must be in the units of the data, as score is"):
        ks.metrics.score_kl(fitted().score, other.scaled(PROCESS))
    assert ks.metrics.score_kl(lambda x, t: model.score(x, t), PROCESS, num_samples=64).value > 0


def test_the_jacobian_probe_takes_the_scaled_law(model):
    probe = ks.probes.jacobian(model.score, model.scaled(PROCESS), 0.2, num_samples=4)
    assert tuple(probe.value.shape) == (8, 8)


def test_a_model_that_scales_nothing_takes_the_process_itself():
    model = fitted()
    law = ks.GaussianSequence(KERNEL, torch.eye(2), times=4)
    assert model.coordinates is None
    assert model.scaled(law) is law
    assert ks.metrics.score_kl(model.score, law, num_samples=64).value > 0


def test_a_loaded_model_has_the_coordinates_of_the_saved_one(model, tmp_path):
    assert ks.load(model.save(tmp_path / "run")).coordinates == model.coordinates


def test_margins_and_shapes_are_refused_by_name():
    curved = fitted(values(60), margins="normal-scores", mean="free", scaling="standard")
    with pytest.raises(InputError, match=r'fitted with margins="normal-scores".*fit with margins=None, or compare'):
        curved.scaled(PROCESS)
    with pytest.raises(InputError, match=r"process must have \(4, 2\) frames and features, as the model, got \(5, 2\)"):
        fitted().scaled(ks.GaussianSequence(KERNEL, SPATIAL, times=5))
    with pytest.raises(TypeError, match="process must be a Gaussian law"):
        fitted().scaled(SPATIAL)


def test_a_seasonal_cycle_is_subtracted_at_the_start_that_is_given(tmp_path):
    times = pd.date_range("2020-01-01", periods=4 * 400, freq="D")
    season = np.cos(2 * np.pi * np.arange(len(times)) / 365.2425)
    series = xr.DataArray(
        np.stack([season, 3 * season], axis=1) + 0.1 * torch.randn(len(times), 2, generator=seeded(0)).numpy(),
        dims=("time", "feature"), coords={"time": times, "feature": ["a", "b"]},
    )  # fmt: skip
    transform = ks.data.Transform.fit(
        series.values.reshape(-1, 4, 2),
        times[::4],
        pd.Timedelta("1D"),
        mean="free",
        scaling="standard",
        num_harmonics=1,
    )
    model = ks.Model(fitted().network, transform, fitted().container, ("a", "b"), fitted().training)
    with pytest.raises(InputError, match="start must be given"):
        model.scaled(PROCESS)
    got = model.scaled(PROCESS, start="2020-04-01")
    zero = transform.apply(MEAN.numpy()[None], pd.DatetimeIndex(["2020-04-01"]))[0]
    np.testing.assert_allclose(got.mean.numpy(), zero, rtol=1e-12)
    assert np.abs(model.scaled(PROCESS, start="2020-08-01").mean.numpy() - zero).max() > 0.5
