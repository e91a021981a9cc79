"""Conditioning on observed entries against the dense formulas, written out."""

import pytest
import torch
from tolerances import STANDARD_ERRORS, relative_error

from kronoscope._errors import InputError
from kronoscope.kernels import Constant, PowerExponential
from kronoscope.processes import DenseGaussian, GaussianSequence, SeparableGaussian

SPATIAL = torch.tensor([[2.0, 0.3, -0.1], [0.3, 1.0, 0.2], [-0.1, 0.2, 0.4]], dtype=torch.float64)
FRAMES = 12


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def process():
    mean = torch.randn(FRAMES, 3, generator=seeded(2), dtype=torch.float64)
    return GaussianSequence(PowerExponential(4.0), SPATIAL, times=FRAMES, mean=mean)


def law_of(kind):
    p = process()
    return {
        "sequence": p,
        "separable": SeparableGaussian(p.temporal_covariance, SPATIAL, p.mean),
        "dense": DenseGaussian(p.covariance(), 3, p.mean),
    }[kind]


def masks():
    gaps = torch.ones(FRAMES, 3, dtype=torch.bool)
    gaps[3:6] = gaps[9] = False
    return {
        "scattered": torch.rand(FRAMES, 3, generator=seeded(4)) < 0.6,
        "whole frames": gaps,
        "one feature hidden": torch.tensor([True, False, True]).repeat(FRAMES, 1),
        "one entry seen": torch.arange(FRAMES * 3).reshape(FRAMES, 3) == 7,
        "nothing seen": torch.zeros(FRAMES, 3, dtype=torch.bool),
        "everything seen": torch.ones(FRAMES, 3, dtype=torch.bool),
    }


def by_the_book(p, mask, values):
    o, u, k = mask.flatten().nonzero()[:, 0], (~mask).flatten().nonzero()[:, 0], p.covariance()
    gain = k[u][:, o] @ torch.linalg.inv(k[o][:, o])
    mean = p.mean.flatten().clone()
    mean[u] += gain @ (values.flatten()[o] - mean[o])
    mean[o] = values.flatten()[o]
    return mean.reshape(mask.shape), k[u][:, u] - gain @ k[o][:, u]


@pytest.mark.parametrize("kind", ["sequence", "separable", "dense"])
@pytest.mark.parametrize("name", masks())
def test_conditioning_is_the_dense_formula(kind, name):
    law, mask = law_of(kind), masks()[name]
    values = law.sample(1, generator=seeded(5))[0]
    given = law.condition_on(mask, torch.where(mask, values, torch.nan))
    mean, covariance = by_the_book(process(), mask, values)
    assert relative_error(given.mean, mean) < 1e-10
    assert given.covariance().shape == covariance.shape
    assert torch.allclose(given.covariance(), covariance, rtol=0, atol=1e-10)
    assert torch.equal(given.mean[mask], values[mask])


@pytest.mark.parametrize("name", ["scattered", "whole frames"])
def test_samples_are_complete_and_have_the_conditional_law(name):
    """About 20 means and 400 covariances within 5 standard errors: fails by chance less than once in 10^3."""
    n, mask = 20000, masks()[name]
    values = process().sample(1)[0]
    given = process().condition_on(mask, values)
    x = given.sample(n, generator=seeded(6))
    assert torch.equal(x[:, mask], values[mask].expand(n, -1))
    hidden, truth = x[:, ~mask] - given.mean[~mask], given.covariance()
    variances = truth.diagonal()
    assert float((hidden.mean(0).abs() / (variances / n).sqrt()).max()) < STANDARD_ERRORS
    error = ((truth.square() + torch.outer(variances, variances)) / n).sqrt()
    assert float(((hidden.mT @ hidden / n - truth).abs() / error).max()) < STANDARD_ERRORS


def test_samples_are_reproducible_and_do_not_depend_on_the_number():
    given = process().condition_on(masks()["scattered"], process().sample(1)[0])
    assert torch.equal(given.sample(3), given.sample(3, generator=seeded(0)))
    assert relative_error(given.sample(2), given.sample(5)[:2]) < 1e-14


def test_whole_frames_need_no_matrix_over_the_features():
    """3000 x 4 numbers: far above the dense limit, but only the 3000 frames matter."""
    frames = 3000
    law = GaussianSequence(PowerExponential(8.0), torch.eye(4), times=frames)
    mask = (torch.arange(frames) % 100 != 50)[:, None].expand(frames, 4)
    x = law.sample(1)[0]
    given = law.condition_on(mask, x)
    rho = float(torch.exp(torch.tensor(-1 / 8.0, dtype=torch.float64)))
    neighbours = rho / (1 + rho**2) * (x[49::100] + x[51::100])
    assert relative_error(given.mean[50::100], neighbours) < 1e-9
    assert given.sample(2).shape == (2, frames, 4)


def test_a_singular_observed_covariance_is_refused():
    law = GaussianSequence(Constant(), SPATIAL, times=FRAMES)
    mask = masks()["whole frames"]
    with pytest.raises(InputError, match="singular to working precision"):
        law.condition_on(mask, law.sample(1)[0])
    seen = torch.zeros(FRAMES, 3, dtype=torch.bool)
    seen[2] = True
    x = law.sample(1)[0]
    assert relative_error(law.condition_on(seen, x).mean, x[2].expand(FRAMES, 3)) < 1e-12


@pytest.mark.parametrize(
    ("mask", "values", "error", "message"),
    [
        (torch.ones(FRAMES, 3), torch.zeros(FRAMES, 3), TypeError, "mask must be boolean"),
        (torch.ones(FRAMES, 2) > 0, torch.zeros(FRAMES, 3), InputError, r"mask must have shape \(12, 3\)"),
        (torch.ones(FRAMES, 3) > 0, torch.zeros(1, FRAMES, 3), InputError, r"values must have shape \(12, 3\)"),
        (torch.ones(FRAMES, 3) > 0, torch.full((FRAMES, 3), torch.nan), InputError, "values must be finite"),
    ],
)
def test_bad_observations_are_refused(mask, values, error, message):
    with pytest.raises(error, match=message):
        process().condition_on(mask, values)


def test_problems_that_do_not_fit_are_refused_with_the_limit():
    law = GaussianSequence(PowerExponential(8.0), torch.eye(4), times=2049)
    with pytest.raises(InputError, match=r"num_frames \* num_features of at most 8192 .* got 8196"):
        law.condition_on(torch.arange(2049 * 4).reshape(2049, 4) % 3 == 0, torch.zeros(2049, 4))
