"""Guided samplers against exact conditional laws, and the flow's density against the density, with exact scores."""

import math

import pytest
import torch

from kronoscope import sampling
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

SIGMA = torch.tensor([[1.0, 0.5], [0.5, 0.8]], dtype=torch.float64)
PROCESS = GaussianSequence(PowerExponential(3.0), SIGMA, times=5)
MASK = torch.zeros(5, 2, dtype=torch.bool)
MASK[:3], MASK[4, 0] = True, True
VALUES = PROCESS.sample(1, generator=torch.Generator().manual_seed(4))[0]
EXACT = PROCESS.condition_on(MASK, VALUES)


def drawn(method, num=1500, calls=64, **options):
    return sampling.sample_given(
        PROCESS.score,
        MASK,
        VALUES,
        num,
        method=method,
        table=sampling.exponential_sde(calls),
        dtype=torch.float64,
        **options,
    )


@pytest.mark.parametrize("t", [0.02, 0.3, 2.0])
def test_mmps_is_the_exact_conditional_score(t):
    """Of x_t given y: x_0 given y is Gaussian, so x_t is N(alpha m, alpha^2 S + sigma^2 I), S = 0 where observed."""
    covariance = torch.zeros(10, 10, dtype=torch.float64)
    hidden = (~MASK).flatten()
    covariance[hidden[:, None] & hidden] = EXACT.covariance().flatten()
    noised = math.exp(-t) * covariance - math.expm1(-t) * torch.eye(10, dtype=torch.float64)
    x = torch.randn(6, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    want = -torch.linalg.solve(noised, (x - math.exp(-t / 2) * EXACT.mean).flatten(1).T).T.reshape(x.shape)
    got = sampling.guided_score(PROCESS.score, MASK, VALUES, "mmps", max_iterations=50)(x, t)
    # conjugate gradients stop at a residual of 1e-4
    assert float((got - want).norm() / want.norm()) < 1e-3


def test_mmps_draws_the_conditional_law():
    x = drawn("mmps")[:, ~MASK]
    mean, covariance = x.mean(0), torch.cov(x.T)
    want = EXACT.covariance()
    # five standard errors, one in a million, and the sampler's own bias of about a hundredth of the variance
    error = 5 * (want.diagonal() / len(x)).sqrt() + 0.02
    assert bool(((mean - EXACT.mean[~MASK]).abs() < error).all())
    assert float((covariance - want).norm() / want.norm()) < 0.12


def test_dps_is_the_gradient_that_it_claims():
    t, k = 0.3, PROCESS.covariance()
    noised = math.exp(-t) * k - math.expm1(-t) * torch.eye(10, dtype=torch.float64)
    jacobian = math.exp(-t / 2) * torch.linalg.solve(noised, k)  # of E[x_0 | x_t]
    x = torch.randn(4, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen = MASK.flatten().double()
    residual = seen * (VALUES.flatten() - x.flatten(1) @ jacobian)
    want = residual @ jacobian.T / -math.expm1(-t)
    got = sampling.guided_score(PROCESS.score, MASK, VALUES, "dps")(x, t) - PROCESS.score(x, t)
    assert float((got.flatten(1) - want).norm() / want.norm()) < 1e-9


def test_replacement_comes_near_with_resampling():
    x = drawn("replacement", num=400)[:, ~MASK]
    error = float((x.mean(0) - EXACT.mean[~MASK]).norm())
    assert error < 0.35 * float((EXACT.mean[~MASK]).norm())  # the second is the error of no condition at all


@pytest.mark.parametrize("method", sampling.CONDITIONAL_METHODS)
def test_observed_entries_come_back_exactly(method):
    x = drawn(method, num=3, calls=8)
    assert torch.equal(x[:, MASK], VALUES[MASK].expand(3, -1))
    assert bool(torch.isfinite(x).all())


def test_nothing_observed_is_the_law_itself():
    x = sampling.sample_given(
        PROCESS.score, torch.zeros_like(MASK), VALUES * math.nan, 2000, method="mmps", dtype=torch.float64
    )
    covariance = torch.cov(x.flatten(1).T)
    assert float((covariance - PROCESS.covariance()).norm() / PROCESS.covariance().norm()) < 0.12


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="method must be one of replacement, dps, mmps, got 'magic'"):
        drawn("magic")
    with pytest.raises(ValueError, match="values must be finite"):
        sampling.guided_score(PROCESS.score, MASK, VALUES * math.inf)
    with pytest.raises(TypeError, match="mask must be boolean"):
        sampling.guided_score(PROCESS.score, MASK.float(), VALUES)
    with pytest.raises(ValueError, match="both have shape"):
        sampling.guided_score(PROCESS.score, MASK, VALUES[:2])
    with pytest.raises(ValueError, match="without memory"):
        sampling.sample_given(PROCESS.score, MASK, VALUES, 2, method="replacement", table=sampling.dpm_solver(8))


def test_the_flow_has_the_density_of_the_law():
    x = PROCESS.sample(6, generator=torch.Generator().manual_seed(2))
    found = sampling.flow_log_prob(PROCESS.score, x, min_time=0.05, max_time=12.0, num_steps=64)
    assert found.kind == "exact divergence"
    assert bool((found.standard_errors == 0).all())
    # p_T is N(0, I) up to exp(-12) times the excess covariance
    assert found.values.tolist() == pytest.approx(PROCESS.log_prob(x, 0.05).tolist(), abs=2e-3)
    assert found.step_error < 0.02


def test_hutchinson_holds_its_standard_error():
    x = PROCESS.sample(6, generator=torch.Generator().manual_seed(2))
    told = {"min_time": 0.05, "max_time": 12.0, "num_steps": 16}
    found = sampling.flow_log_prob(PROCESS.score, x, num_probes=60, **told)
    exact = sampling.flow_log_prob(PROCESS.score, x, **told)
    assert found.kind == "Hutchinson"
    # the same probes at every step, so the error is a t variable: five of them, one in 2e5 at 59 degrees of freedom
    assert bool(((found.values - exact.values).abs() < 5 * found.standard_errors).all())
    assert float(found.standard_errors.max()) < 1.0
