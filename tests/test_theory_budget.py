"""The error budget: each term against laws that are put together here, and models whose terms are known."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from kronoscope import metrics, models, sampling, theory
from kronoscope.estimators import StationarySeparable
from kronoscope.kernels import PowerExponential
from kronoscope.processes import DenseGaussian, GaussianSequence
from kronoscope.theory.budget import _Laws

SPATIAL = torch.tensor([[1.0, 0.3], [0.3, 0.6]], dtype=torch.float64)
N = 600


def process():
    return GaussianSequence(PowerExponential(3.0), SPATIAL, times=6)


def noised(law, t):
    identity = torch.eye(law.mean.numel(), dtype=torch.float64)
    return DenseGaussian(math.exp(-t) * law.covariance() + (1 - math.exp(-t)) * identity, law.num_features)


@pytest.fixture(scope="module", autouse=True)
def fewer_calls():
    """96 calls stand for continuous time here: 1e-6 nats off, in a third of the time."""
    patch = pytest.MonkeyPatch()
    patch.setattr("kronoscope.theory.budget.FINE_CALLS", {True: 96, False: 96})
    yield
    patch.undo()


@pytest.fixture(scope="module")
def x():
    return process().sample(N, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def fitted(x):
    return models.fit(x, network="unrolled", max_steps=300, validation=0.05, progress=False)


@pytest.fixture(scope="module")
def budget(fitted, x):
    return theory.error_budget(fitted, process(), steps=32, data=x)


def test_the_terms_add_up_to_the_exact_divergence(budget):
    assert abs(budget.interaction) <= max(0.05 * budget.measured, 1e-4)
    terms = {name: term.nats for name, term in budget.terms.items()}
    assert budget.total == pytest.approx(sum(terms.values()) - terms["early stopping"], rel=1e-12)
    assert terms["estimation"] > 10 * terms["approximation"]
    assert 0.5 < budget.share <= 1


def test_the_measured_total_is_that_of_the_samplers_law(budget, fitted):
    times = fitted.training.min_time, fitted.training.max_time
    generated = sampling.law(sampling.dpm_solver(32, *times), fitted.score, 6, 2, dtype=torch.float32)
    assert budget.measured == pytest.approx(metrics.gaussian_kl(noised(process(), times[0]), generated), rel=1e-3)


@pytest.mark.parametrize("sampler", ["dpm-solver", "exponential-sde"])
def test_the_start_is_what_an_integrator_makes_of_white_noise(sampler):
    """Variances of the flow and of the reverse SDE with the exact score, dv/dtau = v (1 - k/c) + k - 1, by scipy."""
    low, high, kind = 0.05, 1.5, 1 if sampler == "dpm-solver" else 2
    mean = torch.full((6, 2), 0.4, dtype=torch.float64)
    truth = GaussianSequence(PowerExponential(3.0), SPATIAL, times=6, mean=mean)
    laws = _Laws(truth, sampling.SAMPLERS[sampler](8, low, high), low, high)
    start = laws._from_noise()
    values, vectors = torch.linalg.eigh(truth.covariance())
    along = (vectors.T @ mean.reshape(-1)).tolist()
    ends = []
    for value, m in zip(values.tolist(), along, strict=True):

        def slope(tau, state, value=value, m=m):
            t = high - tau
            c = 1 + (value - 1) * math.exp(-t)
            v, x = state
            drift = 0.5 * x - 0.5 * kind * (x - math.exp(-t / 2) * m) / c
            return [v * (1 - kind / c) + kind - 1, drift]

        ends.append(solve_ivp(slope, (0, high - low), [1.0, 0.0], rtol=1e-10, atol=1e-12).y[:, -1])
    variances, means = torch.tensor(np.array(ends)).T
    torch.testing.assert_close((vectors * variances) @ vectors.T, start.covariance(), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(vectors @ means, start.mean.reshape(-1), rtol=1e-7, atol=1e-9)


def test_discretisation_and_early_stopping_are_those_of_the_exact_score(budget, fitted):
    low, high = fitted.training.min_time, fitted.training.max_time
    exact = noised(process(), low)
    stepped = sampling.law(sampling.dpm_solver(32, low, high), process().score, 6, 2, start=noised(process(), high))
    assert budget.terms["discretisation"].nats == pytest.approx(metrics.gaussian_kl(exact, stepped), rel=1e-6)
    assert budget.terms["early stopping"].nats == pytest.approx(metrics.gaussian_kl(process(), exact), rel=1e-9)
    assert budget.measured_at_zero > budget.terms["early stopping"].nats


def test_a_network_at_the_minimiser_has_estimation_alone(x):
    model = models.fit(x, network="unrolled", initial="stationary-separable", max_steps=0, progress=False)
    found = theory.error_budget(model, process(), data=x)
    low = model.training.min_time
    law = StationarySeparable(min_time=low).fit(x[model.record["split"]["train"]])
    assert found.share == pytest.approx(1.0, abs=1e-3)
    assert found.terms["optimisation"].nats < 1e-6
    expected = metrics.gaussian_kl(noised(process(), low), noised(law, low))
    assert found.terms["estimation"].nats == pytest.approx(expected, rel=1e-3)


def test_a_network_at_the_truth_has_neither(x):
    model = models.fit(x, network="unrolled", initial=process(), max_steps=0, progress=False)
    found = theory.error_budget(model, process(), data=x)
    assert found.share < 1e-2
    assert found.terms["estimation"].nats + found.terms["optimisation"].nats < 1e-6
    assert abs(found.interaction) < 1e-5


def test_shallow_networks_pay_for_approximation(x):
    model = models.fit(
        x, network="unrolled", network_options={"num_blocks": 3, "gradients": "unrolled"}, max_steps=5, progress=False
    )
    assert theory.error_budget(model, process(), data=x).terms["approximation"].nats > 1e-3


def test_references_can_be_given(fitted, x):
    law = StationarySeparable(min_time=0.01).fit(x)
    found = theory.error_budget(fitted, process(), best=process().score, minimiser=law.score)
    assert found.terms["approximation"].nats < 1e-6
    assert found.terms["estimation"].nats > 0


def test_other_scores_get_an_inequality_that_says_so(x):
    model = models.fit(
        x, network="dit", max_steps=5, progress=False, network_options={"width": 16, "num_blocks": 1, "num_heads": 2}
    )
    found = theory.error_budget(model, process())
    assert not found.is_exact
    assert found.measured is found.interaction is None
    assert set(found.terms) == {"early stopping", "start", "score", "discretisation"}
    low, high = model.training.min_time, model.training.max_time
    assert found.terms["score"].nats == metrics.score_kl(model.score, process(), low, high).value
    white = DenseGaussian(torch.eye(12, dtype=torch.float64), 2)
    assert found.terms["start"].nats == pytest.approx(metrics.gaussian_kl(noised(process(), high), white), rel=1e-6)
    assert "upper bound" in str(found)


def test_a_budget_shows_itself(budget):
    assert len(repr(budget)) < 400
    for shown in (str(budget), budget._repr_html_()):
        assert "interaction" in shown
        assert "discretisation" in shown


def test_refusals(fitted, x):
    for call, says in (
        (lambda: theory.error_budget(fitted, process()), "data is needed"),
        (lambda: theory.error_budget(fitted, process(), data=x[:50]), "data must be the sequences"),
        (lambda: theory.error_budget(fitted, process(), data=x, sampler="rk4"), "sampler must be one of"),
        (lambda: theory.error_budget(fitted, process(), data=x[:, :3]), "data must have shape"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
    with pytest.raises(TypeError, match="model must be a fitted kronoscope model"):
        theory.error_budget(process(), fitted)
    wrong = GaussianSequence(PowerExponential(3.0), SPATIAL, times=5)
    with pytest.raises(ValueError, match="start must be a law of"):
        sampling.law(sampling.ddim(4), process().score, 6, 2, start=wrong)
