"""The learnt law, conditioning and held-out nats of a model, against the process whose exact score stands in for it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_cases import PROCESS, SIGMA, fitted, seeded, values

import kronoscope as ks
from kronoscope import data, sampling
from kronoscope.models.learnt import learnt_law

MASK = torch.tensor([[1, 1], [1, 0], [1, 1], [0, 0]]).bool()
SHIFTED = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), SIGMA, times=4, mean=torch.full((4, 2), 0.7))


class Exact(torch.nn.Module):
    """epsilon of a process, and nonlinear by ``bend`` tanh(x)."""

    def __init__(self, process, bend=0.0):
        super().__init__()
        self.process, self.bend = process, bend
        self.unused = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, t):
        sigma = (-torch.expm1(-t.double())).sqrt().reshape(-1, 1, 1)
        return -sigma * self.process.score(x, t) + self.bend * torch.tanh(x)


@pytest.fixture(scope="module")
def plain():
    return fitted(max_steps=1)


def model_of(plain, process=PROCESS, bend=0.0):
    return replace(plain, network=Exact(process, bend).requires_grad_(False))


def test_the_law_is_that_of_the_process(plain):
    law = model_of(plain, SHIFTED).law()
    assert law.asymmetry < 1e-12
    assert law.raised == 0
    assert torch.allclose(law.data.covariance(), SHIFTED.covariance(), atol=1e-9)
    assert torch.allclose(law.data.mean, SHIFTED.mean, atol=1e-9)


def test_the_law_of_data_far_from_zero_keeps_its_accuracy():
    """Mean 1e8 in float64: the round-off of a call, 1e-8 of the score, is stated and covers the error of the law."""
    far = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), SIGMA, times=4, mean=torch.full((4, 2), 1e8))
    precision = torch.linalg.inv(math.exp(-0.01) * far.covariance() - math.expm1(-0.01) * torch.eye(8).double())
    offset = 1e8 * math.exp(-0.005) * precision.sum(dim=1)
    law = learnt_law(lambda x, t: (offset - x.flatten(1) @ precision).view_as(x), 0.01, 4, 2)
    assert torch.allclose(law.data.mean, far.mean, rtol=1e-14, atol=0)
    assert float((law.data.covariance() - far.covariance()).abs().max()) < 100 * law.round_off
    assert 1e-10 < law.round_off < 1e-6


def test_directions_lost_under_the_noise_are_counted(plain):
    smooth = ks.GaussianSequence(ks.kernels.PowerExponential(6.0, 2.0), SIGMA, times=4)
    law = model_of(plain, smooth).law()
    below = int((torch.linalg.eigvalsh(smooth.covariance()) < law.floor).sum())
    assert law.raised == below > 0
    assert torch.linalg.eigvalsh(law.data.covariance())[0] == pytest.approx(law.floor, rel=1e-6)


def test_conditioning_equals_that_of_the_process(plain):
    x = SHIFTED.sample(1, generator=seeded(2))[0]
    got, want = model_of(plain, SHIFTED).condition_on(MASK, x), SHIFTED.condition_on(MASK, x)
    assert got.method == "exact"
    assert torch.allclose(got.mean, want.mean, atol=1e-8)
    lower, upper = got.interval(0.9)
    half = 1.6448536269514722 * want.covariance().diagonal().sqrt()
    assert torch.allclose((upper - lower)[~MASK] / 2, half, atol=1e-8)
    assert torch.equal(upper[MASK], x[MASK])
    draws = got.sample(4000)
    assert torch.equal(draws[:, MASK], x[MASK].expand(4000, -1))
    error = 5 * (want.covariance().diagonal() / 4000).sqrt()  # one in 6e5 for each of three
    assert bool(((draws.mean(0) - want.mean)[~MASK].abs() < error).all())


def test_scaling_and_units_go_through(plain):
    x = 30 + 5 * values(60)
    model = fitted(x, mean="free", scaling="standard")
    law = model.law().data
    scale = torch.from_numpy(model.transform.scale).repeat(4)
    units = ks.processes.DenseGaussian(
        law.covariance() * scale * scale[:, None],
        2,
        law.mean * torch.from_numpy(model.transform.scale) + torch.from_numpy(model.transform.mean),
    )
    got = model.condition_on(MASK, torch.where(MASK, x[0], torch.nan))
    assert torch.allclose(got.mean, units.condition_on(MASK, x[0]).mean, atol=1e-8)
    assert model.log_prob(x[:3], of="data").values.tolist() == pytest.approx(units.log_prob(x[:3]).tolist(), abs=1e-8)


def test_arrays_come_back_as_they_came():
    x = values(40).numpy()
    model = fitted(x)
    got = model.condition_on(MASK.numpy(), x[0])
    assert isinstance(got.mean, np.ndarray)
    assert got.sample(3).shape == (3, 4, 2)
    assert np.array_equal(got.sample(3)[:2], got.sample(2))
    grid = data.to_array(x, replace(model.container, kind="grid", dims=("member", "time", "place")), ["a", "b"])
    again = fitted(grid).condition_on(MASK.numpy(), grid[0]).mean
    assert again.dims == ("time", "place")


def test_nonlinear_scores_take_guidance(plain):
    model = model_of(plain, bend=0.005)
    assert not model.is_affine
    x = PROCESS.sample(1, generator=seeded(2))[0]
    got = model.condition_on(MASK, x, num_calls=16)
    assert got.method == "mmps"
    want = PROCESS.condition_on(MASK, x)
    # 200 draws: five standard errors, and room for the bend
    room = 5 * (want.covariance().diagonal() / 200).sqrt() + 0.05
    assert bool(((got.mean - want.mean)[~MASK].abs() < room).all())
    with pytest.raises(ValueError, match="needs a learnt law"):
        model.condition_on(MASK, x, method="exact")
    with pytest.raises(ValueError, match="not affine"):
        model.law()


def test_nats_are_those_of_the_process(plain):
    model, x = model_of(plain), PROCESS.sample(4, generator=seeded(2))
    assert model.log_prob(x, of="data").values.tolist() == pytest.approx(PROCESS.log_prob(x).tolist(), abs=1e-8)
    noise = torch.expm1(torch.tensor(0.01, dtype=torch.float64)) * torch.eye(8, dtype=torch.float64)
    noised = ks.processes.DenseGaussian(PROCESS.covariance() + noise, 2)
    exact = model.log_prob(x)
    assert exact.kind == "exact"
    assert exact.values.tolist() == pytest.approx(noised.log_prob(x).tolist(), abs=1e-8)
    flow = sampling.flow_log_prob(model.score, x * np.exp(-0.005), num_steps=32)
    # the flow ends in N(0, I) at T = 8, the law in covariance I + exp(-8) (K - I)
    assert (flow.values - 0.005 * 8).tolist() == pytest.approx(exact.values.tolist(), abs=5e-3)


def test_bad_input_is_refused(plain):
    model, x = model_of(plain), torch.zeros(4, 2)
    for told, words in (
        ((MASK[:3], x), "mask must have shape"),
        ((MASK, x[:, :1]), "values must have shape"),
        ((MASK, x * torch.nan), "values must be finite where mask is True"),
    ):
        with pytest.raises(ValueError, match=words):
            model.condition_on(*told)
    with pytest.raises(TypeError, match="mask must be boolean"):
        model.condition_on(MASK.int(), x)
    with pytest.raises(ValueError, match="method must be one of"):
        model.condition_on(MASK, x, method="magic")
    with pytest.raises(ValueError, match="of must be"):
        model.log_prob(x[None], of="units")


class Slipping(Exact):
    """As ``Exact``, less a small multiple of the direction that varies most: too much for the lowest time."""

    def forward(self, x, t):
        top = torch.linalg.eigh(self.process.covariance()).eigenvectors[:, -1].reshape(x.shape[1:]).to(x)
        return super().forward(x, t) - 0.04 * top * (x * top).sum(dim=(1, 2), keepdim=True)


def test_a_score_of_no_law_is_conditioned_as_what_it_generates(plain):
    model = replace(plain, network=Slipping(PROCESS).requires_grad_(False))
    assert model.is_affine
    assert not model.has_law
    assert model_of(plain).has_law
    with pytest.raises(ks.InputError, match="not the gradient of a log density"):
        model.law()
    with pytest.raises(ks.InputError, match="not the gradient of a log density"):
        model.log_prob(PROCESS.sample(4), of="data")
    held_out = PROCESS.sample(50, generator=seeded(6))
    flow, t0 = model.log_prob(held_out, num_steps=128), model.training.min_time
    table = sampling.dpm_solver(1024, t0, model.training.max_time)
    law = sampling.law(table, model._double.score, *held_out.shape[1:])  # of the same flow, by another integrator
    want = law.log_prob(held_out.double() * math.exp(-t0 / 2)) - 0.5 * t0 * held_out[0].numel()
    assert flow.kind == "exact divergence"
    assert float((flow.values - want).abs().max()) < 0.02
    drawn = model.sample(4000, generator=seeded(5)).double().flatten(1)
    want = model.generated_law.covariance()
    spread = ((want**2 + want.diagonal() * want.diagonal()[:, None]) / 4000).sqrt()
    assert bool(((drawn.T @ drawn / 4000 - want).abs() < 5 * spread).all())  # one in 3e4 for all 36
    x = PROCESS.sample(1, generator=seeded(2))[0]
    got, truth = model.condition_on(MASK, x), PROCESS.condition_on(MASK, x)
    assert got.method == "exact"
    with pytest.raises(ks.InputError, match="the learnt score is not the gradient of a density"):
        model.condition_on(MASK, x, method="mmps")
    deviations = truth.covariance().diagonal().sqrt()
    assert bool(((got.mean - truth.mean)[~MASK].abs() < 0.3 * deviations).all())
