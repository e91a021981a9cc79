"""Long sequences on regular grids, against the decomposed law and products that share no code with the solver."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import torch
from tolerances import ITERATIVE, STANDARD_ERRORS, relative_error

from kronoscope._errors import InputError
from kronoscope.kernels import Cauchy, Cosine, FractionalGaussianNoise, Matern, PowerExponential
from kronoscope.linalg import ToeplitzKroneckerCovariance
from kronoscope.processes import GaussianSequence, SeparableGaussian, sequence

SPATIAL = torch.tensor([[2.0, 0.3, -0.1], [0.3, 1.0, 0.2], [-0.1, 0.2, 0.4]], dtype=torch.float64)
KERNELS = {
    "exponential": PowerExponential(8.0),
    "squared exponential": PowerExponential(4.0, 2.0),
    "Matern 3/2": Matern(8.0, 1.5),
    "long memory": Cauchy(5.0, 1.0, 0.4),
    "fractional noise": FractionalGaussianNoise(0.8),
}
FRAMES = 200
EACH = torch.tensor([1e-3, 0.1, 1e-3, 6.0], dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pair(monkeypatch):
    """A maker of the same law twice: by the structured and by the decomposed path."""
    monkeypatch.setattr(sequence, "STRUCTURED_ABOVE", 1)

    def make(kernel, times=FRAMES):
        mean = torch.randn(FRAMES, 3, generator=seeded(2), dtype=torch.float64)
        structured = GaussianSequence(kernel, SPATIAL, times=times, mean=mean)
        assert isinstance(structured.operator, ToeplitzKroneckerCovariance)
        return structured, SeparableGaussian(structured.temporal_covariance, SPATIAL, mean)

    return make


@pytest.mark.parametrize("t", [1e-3, 0.1, 6.0, EACH], ids=["1e-3", "0.1", "6", "each its own"])
@pytest.mark.parametrize("name", KERNELS)
def test_structured_and_decomposed_paths_agree(pair, name, t):
    structured, decomposed = pair(KERNELS[name])
    x = decomposed.sample(4, generator=seeded(1))
    assert relative_error(structured.score(x, t), decomposed.score(x, t)) < ITERATIVE
    assert relative_error(structured.log_prob(x, t), decomposed.log_prob(x, t)) < ITERATIVE
    assert relative_error(structured.denoise(x, t), decomposed.denoise(x, t)) < ITERATIVE


def test_any_regular_grid_is_structured_and_no_irregular_one(pair):
    structured, decomposed = pair(KERNELS["Matern 3/2"], times=np.linspace(-3.0, 17.3, FRAMES))
    x = decomposed.sample(2)
    assert relative_error(structured.score(x, 0.1), decomposed.score(x, 0.1)) < ITERATIVE
    bent = np.linspace(0.0, 1.0, FRAMES)
    bent[5] += 1e-9
    assert not isinstance(
        GaussianSequence(KERNELS["exponential"], SPATIAL, times=bent).operator, ToeplitzKroneckerCovariance
    )


def test_score_is_the_gradient_of_log_prob_and_differentiates_again(pair):
    structured, decomposed = pair(KERNELS["exponential"])
    x = decomposed.sample(4).requires_grad_()
    (gradient,) = torch.autograd.grad(structured.log_prob(x, EACH).sum(), x, create_graph=True)
    assert relative_error(gradient.detach(), structured.score(x, EACH).detach()) < ITERATIVE
    direction = torch.randn(x.shape, generator=seeded(3), dtype=torch.float64)
    (second,) = torch.autograd.grad((gradient * direction).sum(), x)
    zero_mean = SeparableGaussian(decomposed.temporal_covariance, SPATIAL)
    assert relative_error(second, zero_mean.score(direction, EACH)) < ITERATIVE
    (through_score,) = torch.autograd.grad((structured.score(x, EACH) * direction).sum(), x)
    assert relative_error(through_score, zero_mean.score(direction, EACH)) < ITERATIVE


def test_spectral_bounds_enclose_the_exact_ones(pair):
    for kernel in KERNELS.values():
        structured, decomposed = pair(kernel)
        low, high = structured.spectral_bounds(0.01)
        exact_low, exact_high = decomposed.spectral_bounds(0.01)
        assert low <= exact_low * (1 + 1e-12)
        assert exact_high <= high <= 2 * exact_high
        assert structured.condition_number(0.01) >= decomposed.condition_number(0.01) * (1 - 1e-12)


def test_draws_are_reproducible_and_do_not_depend_on_the_number(pair):
    structured, _ = pair(KERNELS["exponential"])
    assert torch.equal(structured.sample(3), structured.sample(3, generator=seeded(0)))
    assert relative_error(structured.sample(2), structured.sample(700)[:2]) < 1e-14


def test_float32_and_empty_batches(pair):
    structured, _ = pair(KERNELS["exponential"])
    x = structured.sample(2).float()
    assert torch.equal(structured.score(x, 0.1), structured.score(x.double(), 0.1).float())
    assert structured.score(x[:0], 0.1).shape == (0, FRAMES, 3)
    assert structured.log_prob(x[:0], 0.1).shape == (0,)
    assert structured.denoise(x[:0], 0.1).shape == (0, FRAMES, 3)


@pytest.mark.parametrize("kernel", [PowerExponential(32.0), Matern(8.0, 1.5), Cauchy(5.0, 2.0, 1.0)], ids=repr)
def test_sampler_covariances_at_4096_frames(kernel):
    """Lagged products averaged over frames and 60 sequences, at 8 lags and 6 feature pairs: within 5 standard errors.

    The variance of the lagged mean is summed exactly (Isserlis): under 1e-4 chance of failure a kernel.
    """
    frames, n = 4096, 60
    x = GaussianSequence(kernel, SPATIAL, times=frames).sample(n, generator=seeded(11)).numpy()
    gamma = kernel.at_lag(torch.arange(2 * frames)).numpy()
    both_ways = np.concatenate([gamma[:0:-1], gamma])
    centre = len(gamma) - 1
    for lag in (0, 1, 2, 5, 17, 60, 300, 2000):
        pairs = frames - lag
        k = np.arange(1 - pairs, pairs)
        weight = (pairs - np.abs(k)) / pairs**2
        straight = weight @ both_ways[centre + k] ** 2
        crossed = weight @ (both_ways[centre + k + lag] * both_ways[centre + k - lag])
        for i in range(3):
            for j in range(i, 3):
                mean = np.mean(x[:, lag:, i] * x[:, :pairs, j])
                s = SPATIAL.numpy()
                variance = (straight * s[i, i] * s[j, j] + crossed * s[i, j] ** 2) / n
                assert abs(mean - gamma[lag] * s[i, j]) < STANDARD_ERRORS * math.sqrt(variance), (lag, i, j)


@pytest.mark.parametrize("kernel", [Cosine(17.3), Matern(100.0, 2.5)], ids=["no embedding", "enlarged embedding"])
def test_kernels_that_need_another_way_to_be_drawn(kernel, monkeypatch):
    """The variance of 4 far-apart frames over 2000 draws, within 5 standard errors: fails less than once in 10^5."""
    monkeypatch.setattr(sequence, "STRUCTURED_ABOVE", 1)
    x = GaussianSequence(kernel, torch.eye(1), times=601).sample(2000)[:, ::200, 0]
    assert float((x.square().mean(0) - 1).abs().max()) < STANDARD_ERRORS * math.sqrt(2 / 2000)


def test_draws_that_are_out_of_reach_are_refused():
    with pytest.raises(InputError, match="sampling 16385 frames of this kernel is not possible"):
        GaussianSequence(Cosine(17.3), torch.eye(1), times=2**14 + 1).sample(1)


def test_long_sequences_at_time_zero_need_a_regular_covariance():
    law = GaussianSequence(PowerExponential(4.0, 2.0), SPATIAL, times=4096)
    with pytest.raises(InputError, match="singular to working precision"):
        law.score(torch.ones(1, 4096, 3), 0.0)
    with pytest.raises(InputError, match="singular to working precision"):
        law.log_prob(torch.ones(1, 4096, 3), 0.0)


def test_residual_at_a_quarter_million_frames_by_recursion():
    """C_t s + (x - alpha mu) is recomputed by the O(N) recursions of exp(-h/l): sum_j r^|i-j| s_j runs both ways."""
    frames, t, r = 2**18, 0.1, math.exp(-1 / 32)
    law = GaussianSequence(PowerExponential(32.0), SPATIAL, times=frames, tolerance=1e-8)
    x = law.sample(1)
    s = law.score(x, t)[0].numpy()
    forward = scipy.signal.lfilter([1.0], [1.0, -r], s, axis=0)
    backward = scipy.signal.lfilter([1.0], [1.0, -r], s[::-1], axis=0)[::-1]
    image = math.exp(-t) * (forward + backward - s) @ SPATIAL.numpy() - math.expm1(-t) * s
    assert np.linalg.norm(image + x[0].numpy()) <= 1.01e-8 * np.linalg.norm(x.numpy())


def test_log_prob_of_a_long_autoregression_at_time_zero():
    """exp(-h/l) is Markov, so log p(x) is a sum over transitions; 30000 frames."""
    frames, r = 30000, math.exp(-1 / 8)
    law = GaussianSequence(PowerExponential(8.0), torch.eye(2), times=frames)
    x = law.sample(2, generator=seeded(4))
    steps = (x[:, 1:] - r * x[:, :-1]) / math.sqrt(1 - r * r)
    squares = x[:, 0].square().sum(1) + steps.square().sum((1, 2))
    normaliser = frames * 2 * math.log(2 * math.pi) + (frames - 1) * 2 * math.log(1 - r * r)
    assert relative_error(law.log_prob(x), -0.5 * (squares + normaliser)) < 1e-10


def test_score_of_long_memory_at_20000_frames_is_scipys_levinson():
    frames, t, kernel = 20000, 0.1, Cauchy(5.0, 1.0, 0.4)
    law = GaussianSequence(kernel, torch.eye(1), times=frames)
    x = law.sample(1)
    column = math.exp(-t) * kernel.at_lag(torch.arange(frames)).numpy()
    column[0] -= math.expm1(-t)
    reference = -scipy.linalg.solve_toeplitz(column, x[0, :, 0].numpy())
    assert relative_error(law.score(x, t)[0, :, 0], torch.tensor(reference)) < ITERATIVE
