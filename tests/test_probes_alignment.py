"""Value matrices beside Sigma: eigenvectors and eigenvalues, with p-values that are what they say."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

from kronoscope import probes
from kronoscope._errors import InputError

SIGMA = torch.tensor([[1.0, 0.5, 0.2], [0.5, 2.0, -0.3], [0.2, -0.3, 0.7]], dtype=torch.float64)
RUNS = 200


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(seed, size=3):
    return torch.randn(size, size, generator=generator(seed), dtype=torch.float64)


def uniform(p_values, draws):
    """Kolmogorov-Smirnov at 1 % against the uniform law, made continuous within the steps of the draws."""
    drawn = torch.rand(len(p_values), generator=generator(5), dtype=torch.float64).tolist()
    return scipy.stats.kstest([p - u / (draws + 1) for p, u in zip(p_values, drawn)], "uniform").pvalue > 0.01


def test_alignment_is_uniform_on_random_matrices():
    """By the cosine, and by the angles of every dimension."""
    found = []
    for seed in range(RUNS):
        a = gaussian(seed)
        found.append(probes.alignment(a @ a.T, SIGMA, rotations=99, generator=generator(seed + 1)))
    assert uniform([one.p_value for one in found], 99)
    for k in range(2):
        assert uniform([one.angle_p_values[k] for one in found], 99)


def test_the_spectrum_is_uniform_on_untrained_value_matrices():
    found = [probes.spectrum(gaussian(s), SIGMA, draws=99, generator=generator(s + 1)).p_value for s in range(RUNS)]
    assert uniform(found, 99)


@pytest.mark.parametrize("scale", [3.0, -1.0])
def test_a_multiple_of_sigma_is_sigma_whatever_its_sign(scale):
    found = probes.alignment(scale * SIGMA, SIGMA, rotations=199)
    assert found.cosine == pytest.approx(math.copysign(1.0, scale))
    assert found.p_value == 1 / 200
    np.testing.assert_allclose(found.angles, 0, atol=1e-5)
    assert found.angle_p_values == (1 / 200, 1 / 200)
    other = probes.spectrum(scale * SIGMA, SIGMA, draws=199)
    assert other.distance == pytest.approx(0, abs=1e-12)
    assert other.p_value == 1 / 200
    np.testing.assert_allclose(other.shares, other.truth, atol=1e-12)


def test_angles_are_those_of_scipy():
    a, b = gaussian(1, 5), gaussian(2, 5)
    one, two = a @ a.T, b @ b.T
    found = probes.alignment(one, two, rotations=19)
    assert found.cosine > 0
    first, second = (np.linalg.eigh(m.numpy())[1][:, ::-1] for m in (one, two))
    for k in range(1, 5):
        want = np.rad2deg(scipy.linalg.subspace_angles(first[:, :k], second[:, :k]).max())
        assert found.angles[k - 1] == pytest.approx(want, abs=1e-4)


def test_the_spectrum_knows_nothing_of_directions_and_the_alignment_nothing_of_the_spectrum():
    q = torch.linalg.qr(gaussian(3)).Q
    turned = q @ SIGMA @ q.T
    assert probes.spectrum(turned, SIGMA, draws=99).distance == pytest.approx(0, abs=1e-12)
    assert probes.alignment(turned, SIGMA, rotations=99).p_value > 0.05
    shifted = SIGMA + 5 * torch.eye(3, dtype=torch.float64)  # the same axes, a flatter spectrum
    assert probes.alignment(shifted, SIGMA, rotations=99).cosine == pytest.approx(1)
    assert probes.spectrum(shifted, SIGMA, draws=99).distance > 0.2


@pytest.mark.parametrize("flatness", [2.0, 5.0])
def test_the_p_value_of_a_spectrum_is_that_of_the_ensemble(flatness):
    """d = 2 beside Sigma = I: m I + r R has m/|M| uniform on [-1, 1] (Archimedes), which gives p in closed form.

    D = r/(2 |m|) where |m| > r, so p = 1 - 1/sqrt(1 + 4 D^2); 20000 draws, five standard errors (failure rate 1e-6).
    """
    values = torch.tensor([[flatness, 1.0], [-1.0, flatness - 1.0]], dtype=torch.float64)
    found = probes.spectrum(values, torch.eye(2, dtype=torch.float64), draws=20_000)
    share = flatness / (2 * flatness - 1)
    np.testing.assert_allclose(found.shares, [share, 1 - share], atol=1e-12)
    assert found.distance == pytest.approx(share - 0.5)
    want = 1 - 1 / math.sqrt(1 + 4 * found.distance**2)
    assert abs(found.p_value - want) < 5 * math.sqrt(want * (1 - want) / 20_000)


def test_bad_matrices_are_named():
    for probe in (probes.alignment, probes.spectrum):
        with pytest.raises(InputError, match=r"must both be \(d, d\) with d at least 2, got \(3, 3\) and \(2, 2\)"):
            probe(SIGMA, torch.eye(2))
        with pytest.raises(InputError, match="values must be finite"):
            probe(SIGMA * torch.nan, SIGMA)
    with pytest.raises(InputError, match="draws must be at least 19"):
        probes.spectrum(SIGMA, SIGMA, draws=5)
    with pytest.raises(InputError, match="values has no symmetric part"):
        probes.spectrum(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.eye(2))
