"""Optimised grids of DPM-Solver++ 2M: the exact law of the sampler judges them, which the optimiser does not call."""

import pytest
import torch

from kronoscope import diffusion, metrics, models, sampling
from kronoscope.kernels import Matern, PowerExponential
from kronoscope.processes import DenseGaussian, GaussianSequence
from kronoscope.sampling import optimised_grid
from kronoscope.sampling.optimised_grid import multistep
from kronoscope_evidence.yardstick import spatial_covariance, yardstick


@pytest.fixture(scope="module")
def table():
    """For the yardstick, 16 calls."""
    return sampling.dpm_solver(16, grid="optimised", law=yardstick())


def test_sixteen_calls_on_the_yardstick_are_below_a_ten_thousandth_of_a_nat(table):
    process = yardstick()
    assert table.num_calls == 16
    assert (table.times[0], table.end_time) == (8.0, 0.01)
    assert sampling.law_error(sampling.dpm_solver(16), process) > 3e-3
    assert sampling.law_error(table, process) < 1e-6
    generated = sampling.law(table, process.score, 32, 4)
    exact = DenseGaussian(
        float(diffusion.alpha(0.01)) ** 2 * process.covariance()
        + float(diffusion.sigma_squared(0.01)) * torch.eye(128, dtype=torch.float64),
        4,
    )
    assert metrics.gaussian_kl(exact, generated) < 1e-6


def test_times_alone_gain_less_than_times_and_weights():
    process = yardstick()
    errors = [
        sampling.law_error(table, process)
        for table in (
            sampling.dpm_solver(12),
            sampling.optimised(12, process, 0.01, 8.0, extrapolation=False),
            sampling.optimised(12, process, 0.01, 8.0),
        )
    ]
    assert errors[1] < errors[0] / 4
    assert errors[2] < errors[1] / 100


@pytest.mark.parametrize("kernel", [PowerExponential(4.0), PowerExponential(12.0), Matern(8.0, 1.5)])
def test_a_grid_carries_over_to_other_kernels(kernel, table):
    """It is no polynomial that fits 128 numbers: laws that it never saw are generated nearly as well."""
    other = GaussianSequence(kernel, spatial_covariance(), times=32)
    assert sampling.law_error(table, other) < 1e-4 < sampling.law_error(sampling.dpm_solver(16), other)


def test_the_table_on_a_uniform_grid_is_that_of_dpm_solver():
    table = sampling.dpm_solver(9, 0.05, 5.0)
    clocks = diffusion.clock(diffusion.times_on_clock(0.05, 5.0, 10))
    shares = torch.full((9,), 0.5, dtype=torch.float64)
    shares[0] = 0.0
    again = multistep("dpm-solver", clocks, shares, 0.05, 5.0)
    for name in ("times", "from_state", "from_denoised", "from_previous", "noise"):
        assert getattr(again, name) == pytest.approx(getattr(table, name), rel=1e-12, abs=1e-14)
    assert again.end_time == table.end_time


def test_weights_of_second_order_keep_the_order_on_an_uneven_grid():
    """Halving every step of an uneven grid divides the error of the variance by four."""
    law = DenseGaussian(torch.tensor([[3.0]], dtype=torch.float64), 1)
    low, high = 0.05, 3.0
    c_low, c_high = (1 + 2 * float(torch.exp(torch.tensor(-t, dtype=torch.float64))) for t in (low, high))
    ends = diffusion.clock(diffusion.times_on_clock(low, high, 2))
    errors = []
    for count in (80, 160):
        position = torch.linspace(0, 1, count + 1, dtype=torch.float64)
        clocks = ends[0] + (ends[1] - ends[0]) * (0.4 * position + 0.6 * position**2)
        gaps = -clocks.diff()
        shares = torch.cat([torch.zeros(1, dtype=torch.float64), gaps[1:] / (2 * gaps[:-1])])
        table = multistep("uneven", clocks, shares, low, high)
        errors.append(abs(float(sampling.law(table, law.score, 1, 1).covariance()) - c_low / c_high))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)


def test_spectra_of_any_law_are_taken_and_the_extremes_survive():
    white = DenseGaussian(torch.eye(6, dtype=torch.float64), 2)
    assert sampling.law_error(sampling.dpm_solver(4, grid="optimised", law=white), white) < 1e-10
    narrow = GaussianSequence(PowerExponential(64.0, 2.0), torch.eye(1, dtype=torch.float64), times=600)
    table = sampling.optimised(8, narrow, 0.01, 8.0)
    assert all(later < earlier for earlier, later in zip(table.times, table.times[1:], strict=False))


def test_a_fitted_model_samples_on_the_grid_of_its_own_law():
    process = GaussianSequence(PowerExponential(3.0), torch.eye(2, dtype=torch.float64), times=8)
    model = models.fit(process.sample(400), network="unrolled", max_steps=60)
    values = model.sample(64, num_calls=8, grid="optimised", generator=torch.Generator().manual_seed(1))
    assert values.shape == (64, 8, 2)
    calls = []
    model.sample(3, num_calls=8, grid="optimised", progress=lambda done, total: calls.append(total))
    assert set(calls) == {9}  # and one that removes the noise; none for the start
    times = model.training.min_time, model.training.max_time
    table = sampling.dpm_solver(8, *times, grid="optimised", law=model.law().data)
    generated = sampling.law(table, model.score, 8, 2, dtype=torch.float32)
    learnt = model.law().noised
    assert metrics.gaussian_kl(learnt, generated) < 1e-2


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sampling.dpm_solver(8, grid="best"), "grid must be one of uniform, optimised"),
        (lambda: sampling.dpm_solver(8, grid="optimised"), "needs law="),
        (lambda: sampling.dpm_solver(8, law=yardstick()), "law= belongs to grid='optimised'"),
        (lambda: sampling.dpm_solver(1, grid="optimised", law=yardstick()), "num_calls must be at least 2"),
        (lambda: sampling.optimised(8, yardstick(), 8.0, 0.01), "min_time must be less than max_time"),
    ],
)
def test_refusals(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_laws_too_large_to_decompose_are_refused(monkeypatch):
    monkeypatch.setattr("kronoscope.sampling.optimised_grid.MOST_ENTRIES", 5)
    with pytest.raises(ValueError, match="law must have at most 5 frames times features, got 6"):
        sampling.optimised(8, DenseGaussian(torch.eye(6, dtype=torch.float64), 2), 0.01, 8.0)


def test_a_score_is_no_law():
    with pytest.raises(TypeError, match="law must be a Gaussian law"):
        sampling.optimised(8, yardstick().score, 0.01, 8.0)


def test_a_model_without_a_law_says_what_to_do():
    process = GaussianSequence(PowerExponential(3.0), torch.eye(2, dtype=torch.float64), times=8)
    model = models.fit(process.sample(100), network="dit", max_steps=2, network_options={"width": 16, "num_blocks": 1})
    with pytest.raises(ValueError, match="needs the covariance of the learnt"):
        model.sample(2, grid="optimised")
    with pytest.raises(ValueError, match="is for sampler='dpm-solver'"):
        model.sample(2, grid="optimised", sampler="heun")
    with pytest.raises(ValueError, match="grid must be one of"):
        model.sample(2, grid="even")


def test_the_divergence_that_is_minimised_is_that_of_the_table():
    """The sum over eigenvalues against the matrix recursion of ``law_error``, for any clocks and weights."""
    law = GaussianSequence(PowerExponential(3.0), torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64), times=5)
    values, multiplicities = optimised_grid._spectrum(law)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(law.covariance()), rtol=1e-9, atol=1e-12)
    assert multiplicities.tolist() == [1.0] * 10
    dense = optimised_grid._spectrum(DenseGaussian(law.covariance(), 2))
    torch.testing.assert_close(dense[0], values, rtol=1e-9, atol=1e-12)
    ends = diffusion.clock(diffusion.times_on_clock(0.05, 5.0, 2))
    steps = torch.tensor([0.3, -0.2, 0.1, 0.0, 0.4, -0.5], dtype=torch.float64)
    clocks, shares = optimised_grid._coefficients(steps, 0.3 * steps.flip(0), ends)
    assert (float(clocks[0]), float(clocks[-1])) == pytest.approx(tuple(ends.tolist()), rel=1e-9)
    gaps = -clocks.diff()
    assert float(shares[0]) == 0
    torch.testing.assert_close(shares[1:], gaps[1:] / gaps[:-1] / 2 * torch.exp(0.3 * steps.flip(0)[1:]))
    table = optimised_grid.multistep("mine", clocks, shares, 0.05, 5.0)
    assert (table.name, table.times[0], table.end_time) == ("mine", 5.0, 0.05)
    kl = float(optimised_grid._kl(clocks, shares, values, multiplicities))
    assert kl == pytest.approx(sampling.law_error(table, law), rel=1e-7)
