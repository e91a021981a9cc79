"""Conditioning on observed entries against the dense formulas, written out."""

import math

import pytest
import torch
from tolerances import ITERATIVE, STANDARD_ERRORS, relative_error

from kronoscope._errors import ConvergenceError, InputError
from kronoscope.kernels import Cauchy, Constant, Cosine, Matern, PowerExponential
from kronoscope.linalg import ToeplitzKroneckerCovariance
from kronoscope.processes import (
    BlockToeplitzSequence,
    DenseGaussian,
    GaussianSequence,
    KroneckerSum,
    SeparableGaussian,
    sequence,
)
from kronoscope.processes import law as law_module
from kronoscope.processes.matheron import IteratedConditional

SPATIAL = torch.tensor([[2.0, 0.3, -0.1], [0.3, 1.0, 0.2], [-0.1, 0.2, 0.4]], dtype=torch.float64)
FRAMES = 12


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def process():
    mean = torch.randn(FRAMES, 3, generator=seeded(2), dtype=torch.float64)
    return GaussianSequence(PowerExponential(4.0), SPATIAL, times=FRAMES, mean=mean)


def law_of(kind):
    p = process()
    rotation = torch.tensor([[0.0, 0.3, 0.0], [-0.3, 0.0, 0.1], [0.2, 0.0, 0.4]], dtype=torch.float64)
    blocks = torch.stack([torch.linalg.matrix_power(0.5 * rotation, m) for m in range(FRAMES)])
    return {
        "sequence": p,
        "separable": SeparableGaussian(p.temporal_covariance, SPATIAL, p.mean),
        "dense": DenseGaussian(p.covariance(), 3, p.mean),
        "block-toeplitz": BlockToeplitzSequence(blocks, p.mean),
        "kronecker-sum": KroneckerSum([(p.kernel, SPATIAL), (Cosine(5.0), torch.eye(3))], FRAMES, p.mean),
    }[kind]


KINDS = ["sequence", "separable", "dense", "block-toeplitz", "kronecker-sum"]


@pytest.fixture
def iterated(monkeypatch):
    """Nothing is small enough for dense factors."""
    monkeypatch.setattr(law_module, "CONDITION_LIMIT", 0)
    monkeypatch.setattr(sequence, "STRUCTURED_ABOVE", 1)


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", masks())
def test_conditioning_by_iteration_is_the_dense_formula(kind, name, iterated):
    law, mask = law_of(kind), masks()[name]
    values = law.sample(1, generator=seeded(5))[0]
    given = law.condition_on(mask, torch.where(mask, values, torch.nan))
    assert isinstance(given, IteratedConditional)
    mean, covariance = by_the_book(law, mask, values)
    assert relative_error(given.mean, mean) < ITERATIVE
    assert torch.allclose(given.covariance(), covariance, rtol=0, atol=ITERATIVE)
    assert torch.equal(given.mean[mask], values[mask])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", masks())
def test_conditioning_is_the_dense_formula(kind, name):
    law, mask = law_of(kind), masks()[name]
    values = law.sample(1, generator=seeded(5))[0]
    given = law.condition_on(mask, torch.where(mask, values, torch.nan))
    mean, covariance = by_the_book(law, mask, values)
    assert relative_error(given.mean, mean) < 1e-10
    assert given.covariance().shape == covariance.shape
    assert torch.allclose(given.covariance(), covariance, rtol=0, atol=1e-10)
    assert torch.equal(given.mean[mask], values[mask])


@pytest.mark.parametrize("name", ["scattered", "whole frames"])
def test_iterated_samples_have_the_conditional_law(name, iterated):
    """The same, by Matheron's rule."""
    check_samples(name)


@pytest.mark.parametrize("name", ["scattered", "whole frames"])
def test_samples_are_complete_and_have_the_conditional_law(name):
    check_samples(name)


def check_samples(name):
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


def test_iterated_samples_do_not_depend_on_the_number(iterated):
    given = process().condition_on(masks()["scattered"], process().sample(1)[0])
    assert torch.equal(given.sample(3), given.sample(3, generator=seeded(0)))
    assert relative_error(given.sample(2), given.sample(5)[:2]) < ITERATIVE
    assert given.sample(0).shape == (0, FRAMES, 3)


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


@pytest.mark.parametrize("kernel", [PowerExponential(8.0), Cauchy(5.0, 1.0, 0.4), Matern(8.0, 1.5)], ids=repr)
@pytest.mark.parametrize("gap", [False, True])
def test_long_sequences_agree_with_dense_factors(kernel, gap, monkeypatch):
    frames = 700
    mask = torch.rand(frames, 3, generator=seeded(4)) < 0.7
    if gap:
        mask = ((torch.arange(frames) < 300) | (torch.arange(frames) > 500))[:, None].expand(frames, 3)
    law = GaussianSequence(kernel, SPATIAL, times=frames)
    x = law.sample(1, generator=seeded(1))[0]
    few = torch.arange(frames * 3).reshape(frames, 3) % 50 != 7
    dense, dense_few = law.condition_on(mask, x), law.condition_on(few, x)
    monkeypatch.setattr(law_module, "CONDITION_LIMIT", 0)
    monkeypatch.setattr(sequence, "STRUCTURED_ABOVE", 1)
    long = GaussianSequence(kernel, SPATIAL, times=frames)
    assert isinstance(long.operator, ToeplitzKroneckerCovariance)
    assert relative_error(long.condition_on(mask, x).mean, dense.mean) < ITERATIVE
    assert relative_error(long.condition_on(few, x).covariance(), dense_few.covariance()) < ITERATIVE


def test_a_quarter_million_numbers_with_entries_missing_anywhere():
    """K^-1 (mean - mu) must vanish where nothing is seen; for exp(-h/l) the inverse of Gamma has three diagonals."""
    frames, spatial = 2**16, torch.eye(4, dtype=torch.float64) + 0.5
    law = GaussianSequence(PowerExponential(8.0), spatial, times=frames, mean=torch.ones(frames, 4))
    mask = torch.rand(frames, 4, generator=seeded(4)) < 0.6
    x = law.sample(1)[0]
    given = law.condition_on(mask, torch.where(mask, x, torch.nan))
    assert torch.equal(given.mean[mask], x[mask])
    rho = math.exp(-1 / 8.0)
    for deviation in (given.mean - 1, given.sample(1)[0] - given.mean):
        pulled = (1 + rho**2) * deviation
        pulled[[0, -1]] -= rho**2 * deviation[[0, -1]]
        pulled[1:] -= rho * deviation[:-1]
        pulled[:-1] -= rho * deviation[1:]
        pulled = torch.linalg.solve(spatial, pulled.mT).mT
        if bool(deviation[mask].any()):
            assert float(pulled[~mask].norm()) < 1e-8 * float(pulled[mask].norm())
        else:  # what the draw adds has precision (K^-1)_uu: the quadratic form is chi-squared
            squares = float((deviation * pulled).sum()) / (1 - rho**2)
            hidden = int((~mask).sum())
            assert abs(squares - hidden) < STANDARD_ERRORS * math.sqrt(2 * hidden)
    with pytest.raises(
        InputError, match="covariance\\(\\) of so long a sequence needs at most 1024 unobserved entries"
    ):
        given.covariance()


def test_observations_that_nearly_determine_each_other_are_refused_by_the_iteration(iterated):
    law = GaussianSequence(PowerExponential(30.0, 2.0), SPATIAL, times=400)
    mask = torch.rand(400, 3, generator=seeded(4)) < 0.6
    with pytest.raises(ConvergenceError, match=r"condition_on did not reach its tolerance: .* too near singular"):
        law.condition_on(mask, torch.randn(400, 3, generator=seeded(5)))


def test_long_irregular_sequences_are_refused_with_the_limit():
    times = torch.arange(2**14 + 1, dtype=torch.float64)
    times[-1] += 0.5
    law = GaussianSequence(PowerExponential(8.0), torch.eye(1), times=times)
    with pytest.raises(InputError, match="num_frames of at most 16384, got 16385"):
        law.condition_on(times[:, None] % 2 == 0, torch.zeros(2**14 + 1, 1))
