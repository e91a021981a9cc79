"""Scores and densities of nearly singular covariances against 60 digits: accurate, stated, or refused."""

import mpmath
import numpy as np
import pytest
import torch

from kronoscope import metrics
from kronoscope.kernels import PowerExponential
from kronoscope.processes import (
    BlockToeplitzSequence,
    DenseGaussian,
    GaussianLaw,
    GaussianSequence,
    KroneckerSum,
    SeparableGaussian,
)

SIGMA = torch.tensor([[1.0, 0.5], [0.5, 0.8]], dtype=torch.float64)
ONE = torch.ones(1, 1, dtype=torch.float64)


def rotated(smallest, size=8):
    """A dense covariance with eigenvalues from ``smallest`` to 1 in no special basis."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))
    matrix = (q * np.geomspace(smallest, 1, size)) @ q.T
    return torch.from_numpy((matrix + matrix.T) / 2)


LAWS = {
    "smooth": lambda: GaussianSequence(PowerExponential(8.0, 2.0), SIGMA, times=8),
    "long memory": lambda: GaussianSequence(PowerExponential(1e10), ONE, times=6),
    "longer memory": lambda: GaussianSequence(PowerExponential(1e12), ONE, times=6),
    "dense 1e11": lambda: DenseGaussian(rotated(1e-11), 2),
    "dense 1e13": lambda: DenseGaussian(rotated(1e-13), 2),
    "diagonal 1e14": lambda: DenseGaussian(torch.diag(10.0 ** -torch.arange(0, 15, 2).double()), 1),
    "two good factors": lambda: SeparableGaussian(rotated(1e-7, 4), rotated(1e-7, 3)),
    "separable 1e13": lambda: SeparableGaussian(rotated(1e-13), SIGMA),
    "Kronecker sum": lambda: KroneckerSum([(PowerExponential(1e12), ONE), (PowerExponential(1e12, 2.0), ONE)], 6),
    "block-Toeplitz": lambda: BlockToeplitzSequence(torch.exp(-torch.arange(6).double() / 1e12).reshape(6, 1, 1)),
}


def reference(law: GaussianLaw, t: float):
    """Sequences of p_t, their scores and log densities, in 60 digits."""
    with mpmath.workdps(60):
        shrink, noise = mpmath.e ** -mpmath.mpf(t), -mpmath.expm1(-mpmath.mpf(t))
        temporal, spatial = (mpmath.matrix(factor.tolist()) for factor in law.kronecker_factors)
        size, d = temporal.rows * spatial.rows, spatial.rows
        marginal = mpmath.matrix(size, size)
        for k in range(size * size):
            i, j = divmod(k, size)
            marginal[i, j] = shrink * temporal[i // d, j // d] * spatial[i % d, j % d]
        for k in range(size):
            marginal[k, k] += noise
        root = mpmath.cholesky(marginal)
        log_det = 2 * sum(mpmath.log(root[k, k]) for k in range(size))
        rng, x, score, density = np.random.default_rng(1), [], [], []
        for _ in range(4):
            row = [float(value) for value in root * mpmath.matrix(rng.standard_normal(size).tolist())]
            y = mpmath.matrix(row)
            solved = mpmath.lu_solve(marginal, y)
            x.append(row)
            score.append([-float(value) for value in solved])
            quadratic = (y.T * solved)[0]
            density.append(-float(quadratic + log_det + size * mpmath.log(2 * mpmath.pi)) / 2)
    shape = (4, law.num_frames, law.num_features)
    return (
        torch.tensor(part, dtype=torch.float64) for part in (np.reshape(x, shape), np.reshape(score, shape), density)
    )


@pytest.mark.parametrize("t", [0.0, 1e-12, 1e-9])
@pytest.mark.parametrize("name", LAWS)
def test_scores_are_as_accurate_as_they_say_or_refused(name, t):
    law = LAWS[name]()
    x, score, density = reference(law, t)
    stated = law.score_error(t)
    if stated > 1e-4:
        for call in (law.score, law.log_prob):
            with pytest.raises(ValueError, match=r"by round-off: the covariance has the condition number .*larger t"):
                call(x, t)
        return
    error = float((law.score(x, t) - score).norm() / score.norm())
    assert error <= stated
    assert float((law.log_prob(x, t) - density).abs().max()) < x[0].numel() * (stated + 1e-12)


def test_what_is_refused_and_what_is_not():
    """From a condition number of 4.5e11 on, unless K is diagonal or has two factors that are far below it."""
    refused = {name for name in LAWS if LAWS[name]().score_error(0.0) > 1e-4}
    assert refused == {"longer memory", "dense 1e13", "separable 1e13", "Kronecker sum", "block-Toeplitz"}
    for name in ("diagonal 1e14", "two good factors"):
        assert LAWS[name]().condition_number(0.0) == pytest.approx(1e14, rel=1e-3)


def test_one_early_time_in_a_batch_is_refused():
    law = LAWS["longer memory"]()
    x = law.sample(3)
    with pytest.raises(ValueError, match=r"the score at t = 0 would be off by up to 2\.5e-03 of itself"):
        law.score(x, torch.tensor([0.5, 0.0, 1.0]))
    assert law.score(x, torch.tensor([0.5, 0.1, 1.0])).shape == x.shape
    assert law.score(x[:0], torch.ones(0)).shape == x[:0].shape


def test_what_needs_no_inverse_is_not_refused():
    """E[x_0 | x_t] of nearly singular laws is accurate: the inverse meets K again."""
    law = LAWS["longer memory"]()
    x = law.sample(3)
    torch.testing.assert_close(law.denoise(x, 1e-13), x, rtol=0, atol=1e-6)


def test_a_divergence_that_round_off_would_spoil_is_refused():
    p, q = LAWS["longer memory"](), LAWS["long memory"]()
    with pytest.raises(ValueError, match=r"p has a nearly singular covariance at t = 0.*take a greater t"):
        metrics.gaussian_kl(p, q)
    assert metrics.gaussian_kl(p, q, 1e-3) >= 0


def test_long_sequences_state_their_error_too():
    law = GaussianSequence(PowerExponential(64.0), SIGMA, times=4096)
    assert 1e-12 < law.score_error(0.01) < 1e-7
