"""Guided samplers against exact conditional laws, and the flow's density against the density, with exact scores."""

import math

import pytest
import torch

from kronoscope import sampling
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence
from kronoscope.sampling import conditional

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


def test_replacement_with_nothing_to_replace_is_the_sampler():
    """Once a step it has the sampler's exact law; 2000 sequences, five standard errors of a variance."""
    nothing, table = torch.zeros_like(MASK), sampling.exponential_sde(48)
    options = {"method": "replacement", "table": table, "dtype": torch.float64}
    law = sampling.law(table, PROCESS.score, 5, 2, denoise=True).covariance()
    x = sampling.sample_given(PROCESS.score, nothing, VALUES, 2000, **options, resamplings=1).flatten(1)
    assert float((x.var(0) / law.diagonal() - 1).abs().max()) < 5 * math.sqrt(2 / 2000)
    # the expected distance of 2000 sequences is 0.047
    assert float((torch.cov(x.T) - law).norm() / law.norm()) < 0.1
    x = sampling.sample_given(PROCESS.score, nothing, VALUES, 2000, **options, resamplings=3).flatten(1)
    assert float((torch.cov(x.T) - PROCESS.covariance()).norm() / PROCESS.covariance().norm()) < 0.16


def test_replacement_of_everything_draws_the_values_at_every_step():
    """The score is called with alpha values + sigma noise: its mean over many sequences is known."""
    seen = []

    def score(x, t):
        seen.append((t, x.mean(0), x.std(0)))
        return PROCESS.score(x, t)

    everything = torch.ones_like(MASK)
    table = sampling.exponential_sde(6)
    options = {"method": "replacement", "table": table, "dtype": torch.float64, "resamplings": 2}
    x = sampling.sample_given(score, everything, VALUES, 1000, **options)
    assert torch.equal(x, VALUES.expand(1000, -1, -1))
    assert [t for t, _, _ in seen] == [t for t in (*table.times,) for _ in range(2)] + [table.end_time]
    for t, mean, deviation in seen:
        # five standard errors of 1000; at the last call the noise was added once as well
        sigma = math.sqrt(-math.expm1(-t))
        assert float((mean - math.exp(-t / 2) * VALUES).abs().max()) < 5 * sigma / math.sqrt(1000)
        assert float((deviation / sigma - 1).abs().max()) < 5 / math.sqrt(2000)


def test_replacement_names_the_call_at_which_a_score_fails():
    table = sampling.exponential_sde(6)
    options = {"method": "replacement", "table": table, "dtype": torch.float64}
    for k in range(6):
        failing = lambda x, t, k=k: x * (math.nan if t == table.times[k] else -1.0)  # noqa: E731
        with pytest.raises(ValueError, match=rf"score call {k + 1} of 6 of replacement"):
            sampling.sample_given(failing, MASK, VALUES, 2, **options)


def test_conjugate_gradients_solve_each_sequence_by_itself():
    generator = torch.Generator().manual_seed(0)
    roots = torch.randn(3, 6, 6, dtype=torch.float64, generator=generator)
    matrices = roots @ roots.mT + 0.5 * torch.eye(6, dtype=torch.float64)
    right = torch.randn(3, 3, 2, dtype=torch.float64, generator=generator)
    right[2] = 0

    def product(v, sign=1.0):
        return sign * (matrices @ v.reshape(3, 6, 1)).reshape(v.shape)

    want = torch.linalg.solve(matrices, right.reshape(3, 6, 1)).reshape(3, 3, 2)
    got = conditional._solve(product, right, 12)
    assert float((product(got) - right).norm() / right.norm()) < conditional.CG_TOLERANCE
    torch.testing.assert_close(got, want, rtol=0, atol=1e-2 * float(want.abs().max()))
    assert torch.equal(got[2], torch.zeros(3, 2, dtype=torch.float64))
    first = (right.square().sum((1, 2)) / (right * product(right)).sum((1, 2))).nan_to_num()
    torch.testing.assert_close(conditional._solve(product, right, 1), first[:, None, None] * right)
    assert not bool(conditional._solve(lambda v: product(v, -1.0), right, 12).any())  # no step uphill


def test_the_flow_is_solved_to_fourth_order():
    x = PROCESS.sample(3, generator=torch.Generator().manual_seed(2))
    runs = {
        steps: sampling.flow_log_prob(PROCESS.score, x, min_time=0.3, max_time=6.0, num_steps=steps)
        for steps in (16, 32)
    }
    fine = sampling.flow_log_prob(PROCESS.score, x, min_time=0.3, max_time=6.0, num_steps=96).values
    errors = {steps: float((run.values - fine).abs().max()) for steps, run in runs.items()}
    assert 10 < errors[16] / errors[32] < 25
    assert runs[32].step_error == pytest.approx(float((runs[32].values - runs[16].values).abs().max()), rel=1e-9)


def test_flow_densities_say_what_they_are():
    x = PROCESS.sample(4, generator=torch.Generator().manual_seed(2))
    options = {"num_steps": 4, "num_probes": 3}
    first = sampling.flow_log_prob(PROCESS.score, x, **options)
    again = sampling.flow_log_prob(PROCESS.score, x, **options, generator=torch.Generator().manual_seed(0))
    other = sampling.flow_log_prob(PROCESS.score, x, **options, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)
    frame = first.to_frame()
    assert list(frame.columns) == ["log density", "standard error"]
    assert frame["log density"].tolist() == first.values.tolist()
    assert frame["standard error"].tolist() == first.standard_errors.tolist()
    for part in ("sequences=4", "mean=", "kind=", "Hutchinson", "step_error="):
        assert part in repr(first).replace("step error", "step_error"), part
    error = float(first.values.std()) / 2  # of a mean of four
    assert f"+- {error:.2g}" in repr(first)
    wide = GaussianSequence(PowerExponential(3.0), SIGMA, times=33)
    assert sampling.flow_log_prob(wide.score, wide.sample(1), num_steps=2).kind == "Hutchinson"  # 66 entries
    defaults = sampling.flow_log_prob(PROCESS.score, x)
    written = sampling.flow_log_prob(PROCESS.score, x, min_time=0.01, max_time=8.0, num_steps=32)
    assert torch.equal(defaults.values, written.values)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_steps": 3}, "num_steps must be even, so that half as many say the error, got 3"),
        ({"num_steps": 0}, "num_steps must be at least 2"),
        ({"num_probes": 1}, "num_probes must be at least 2"),
        ({"x": torch.full((1, 5, 2), math.nan)}, "^x must be finite"),
        ({"x": torch.zeros(5, 2)}, "^x must have shape"),
        ({"score": 3}, "^score must be"),
    ],
)
def test_flow_densities_refuse(options, says):
    x = torch.zeros(1, 5, 2, dtype=torch.float64)
    arguments = {"score": PROCESS.score, "x": x, "num_steps": 2} | options
    with pytest.raises((ValueError, TypeError), match=says):
        sampling.flow_log_prob(arguments.pop("score"), arguments.pop("x"), **arguments)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num": 0}, "^num must be at least 1, got 0"),
        ({"resamplings": 0}, "^resamplings must be at least 1, got 0"),
        ({"dtype": torch.int64}, "^dtype must be"),
        ({"score": 3}, "^score must be"),
        ({"table": 16}, "^table must be a sampler"),
        ({"mask": "all"}, "^mask must be"),
        ({"values": "none"}, "^values must be"),
    ],
)
def test_conditional_samples_refuse(options, says):
    arguments = {"score": PROCESS.score, "mask": MASK, "values": VALUES, "num": 1} | options
    with pytest.raises((ValueError, TypeError), match=says):
        sampling.sample_given(**arguments)
    with pytest.raises(ValueError, match=r"^max_iterations must be at least 1, got 0"):
        sampling.guided_score(PROCESS.score, MASK, VALUES, max_iterations=0)
    with pytest.raises(ValueError, match=r"^method must be 'mmps' or 'dps', got 'replacement'"):
        sampling.guided_score(PROCESS.score, MASK, VALUES, "replacement")
