"""The exact error of separable laws: beside the dense quadrature, and at lengths that have none."""

import pytest
import torch

import kronoscope as ks
from kronoscope import InputError, estimators, metrics
from kronoscope.models import extended_law, extended_score, spectral_law
from kronoscope.processes import SeparableGaussian
from kronoscope_evidence.learning.exact import separable_score_kl
from kronoscope_evidence.learning.jobs import fitted
from kronoscope_evidence.learning.learners import LEARNERS
from kronoscope_evidence.learning.length import measure_extension
from kronoscope_evidence.learning.length_page import COMPARED, OWN, REPEATED, SPECTRUM, ExtensionJob


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def learnt(frames):
    network = ks.nn.UnrolledTransformer.from_law(
        ks.GaussianSequence(ks.kernels.Matern(2.0, 1.5), torch.tensor([[1.0, 0.3], [0.3, 0.6]]), times=8)
    )
    return extended_law(network, frames)


def truth(frames):
    return ks.GaussianSequence(ks.kernels.PowerExponential(3.0), torch.tensor([[0.8, -0.2], [-0.2, 1.2]]), times=frames)


@pytest.mark.parametrize("frames", [8, 24])
def test_it_is_the_dense_quadrature(frames):
    """Gamma and Sigma both differ, so the laws have no common eigenvectors."""
    dense = metrics.score_kl(learnt(frames).score, truth(frames), linear=True, dtype=torch.float64)
    assert separable_score_kl(learnt(frames), truth(frames), 0.01, 6.0) == pytest.approx(dense.value, rel=1e-7)


def test_it_is_the_difference_of_divergences_of_dense_gaussians():
    p, q = truth(12), learnt(12)
    expected = metrics.gaussian_kl(p, q, 0.05) - metrics.gaussian_kl(p, q, 2.0)
    assert separable_score_kl(q, p, 0.05, 2.0) == pytest.approx(expected, rel=1e-9)


def test_at_1024_frames_monte_carlo_agrees():
    """Four standard errors: fails by chance once in 16000."""
    p, q = truth(1024), learnt(1024)
    sampled = metrics.score_kl(q.score, p, num_samples=96, dtype=torch.float64, batch_size=64)
    assert 0 < sampled.standard_error < 0.02 * sampled.value
    assert abs(separable_score_kl(q, p, 0.01, 6.0) - sampled.value) < 4 * sampled.standard_error


def test_the_true_law_costs_nothing():
    p = truth(1024)
    same = SeparableGaussian(p.temporal_covariance, p.spatial_covariance)
    assert abs(separable_score_kl(same, p, 0.01, 6.0)) < 1e-9


def test_what_it_refuses():
    with pytest.raises(
        InputError, match=r"law must have \(frames, features\) \(24, 2\) like the process, got \(8, 2\)"
    ):
        separable_score_kl(learnt(8), truth(24), 0.01, 6.0)
    p = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), torch.eye(2), times=8, mean=torch.ones(8, 2))
    with pytest.raises(InputError, match="process must have mean zero, got entries up to 1"):
        separable_score_kl(learnt(8), p, 0.01, 6.0)


def test_maximum_likelihood_is_run_longer_as_the_network_is():
    """Its factors, extended, beside the dense quadrature of the score of the dense law."""
    job = ExtensionJob("stationary-separable", 40, 0, frames=8, features=2, factors=(1, 4))
    row = measure_extension(job)
    law = estimators.StationarySeparable(min_time=0.01).fit(job.truth().sample(40, generator=seeded(5)).float())
    for factor, error in zip((1, 4), row.errors, strict=True):
        dense = ks.processes.DenseGaussian(extended_law(law, 8 * factor).covariance(), 2)
        expected = metrics.score_kl(dense.score, job.truth(factor), linear=True).value
        assert (error.method, error.factor, error.standard_error) == (OWN, factor, 0.0)
        assert error.kl == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("learner", ["unrolled", "position", "unet"])
def test_a_trained_network_is_measured_at_every_factor(learner):
    """The structured errors of the unrolled network beside the dense quadrature of its own score."""
    training = {"max_steps": 3, "evaluate_every": 3, "held_out_draws": 32, "batch_size": 8}
    job = ExtensionJob(learner, 40, 0, frames=8, features=2, training=training, factors=(1, 4))
    row = measure_extension(job)
    methods = (OWN, *COMPARED) if learner == "unrolled" else (OWN,)
    assert {(each.method, each.factor) for each in row.errors} == {(m, k) for m in methods for k in (1, 4)}
    linear = learner != "unet"  # round-off is all that affine scores have
    assert all((each.standard_error < 1e-6 * each.kl) == linear for each in row.errors)
    x = job.truth().sample(40, generator=seeded(5)).float()
    network = fitted(LEARNERS[learner], x, job).network
    for factor in (1, 4):
        expected = metrics.score_kl(
            extended_score(network, 8 * factor), job.truth(factor), num_samples=1024, linear=linear
        ).value
        assert row.kl(OWN, factor) == pytest.approx(expected, rel=1e-4 if linear else 0.15)
    if learner == "unrolled":
        own = extended_law(network, 8)
        stretches = SeparableGaussian(torch.block_diag(*[own.temporal_covariance] * 4), own.spatial_covariance)
        for method, law in ((REPEATED, stretches), (SPECTRUM, spectral_law(network, 32))):
            expected = metrics.score_kl(law.score, job.truth(4), linear=True).value
            assert row.kl(method, 4) == pytest.approx(expected, rel=1e-4)
