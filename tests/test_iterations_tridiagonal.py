"""Cyclic reduction against LAPACK's banded solver, and the Markov covariance against the dense one."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tolerances import EXACT, relative_error
from torch.nn.functional import pad

from kronoscope._errors import InputError
from kronoscope.iterations import CyclicReduction, cyclic_reduction, markov_recurrence
from kronoscope.kernels import PowerExponential


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dominant(frames, *batch, seed=0):
    """Diagonally dominant symmetric tridiagonal matrices: dominance, neighbours and diagonals."""
    beside, excess = normal(*batch, frames - 1, seed=seed), 0.01 + normal(*batch, frames, seed=seed + 1).abs()
    return excess, beside, excess + pad(beside.abs(), (0, 1)) + pad(beside.abs(), (1, 0))


def banded(diagonal, beside, right_side):
    bands = np.vstack([np.append(0.0, beside), diagonal]) if len(diagonal) > 1 else np.array([diagonal])
    return torch.tensor(scipy.linalg.solveh_banded(bands, right_side))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8, 9, 31, 64, 65, 1000, 2**16 + 1])
def test_it_solves_what_lapack_solves_in_the_levels_that_it_promises(frames):
    excess, beside, diagonal = dominant(frames)
    table, b = cyclic_reduction(excess, beside), normal(frames, seed=2)
    assert table.num_levels == math.ceil(math.log2(frames)) == len(table.after)
    assert relative_error(table.solve(b), banded(diagonal.numpy(), beside.numpy(), b.numpy())) < EXACT[torch.float64]


def test_batches_of_matrices_and_of_right_sides():
    excess, beside, diagonal = dominant(37, 3, 2)
    b = normal(5, 3, 2, 37)
    solved = cyclic_reduction(excess, beside).solve(b)
    dense = torch.diag_embed(diagonal) + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    assert relative_error(solved, torch.linalg.solve(dense, b[..., None])[..., 0]) < 1e-12
    assert cyclic_reduction(excess, beside).solve(b.float()).dtype == torch.float32


gaps = st.lists(st.floats(1e-6, 50.0), min_size=0, max_size=40)


@settings(max_examples=60, deadline=None)
@given(gaps, st.floats(0.1, 100.0), st.floats(1e-3, 6.0))
@example([1e-3] * 30, 100.0, 6.0)
@example([1e-6] * 30, 100.0, 1.0)
@example([1e-6, 10.0] * 10, 10.0, 0.01)
def test_the_markov_solver_is_the_dense_one_at_any_times(gap, lengthscale, t):
    times = torch.tensor([0.0, *gap], dtype=torch.float64).cumsum(0)
    scale, noise = math.exp(-t), -math.expm1(-t)
    dense = scale * PowerExponential(lengthscale).covariance(times) + noise * torch.eye(len(times), dtype=torch.float64)
    table, b = markov_recurrence(times, lengthscale, scale, noise), normal(len(times))
    assert relative_error(table.solve(b), torch.linalg.solve(dense, b)) < EXACT[torch.float64]


def test_diffusion_times_and_spatial_eigenvalues_are_its_batch():
    t = torch.tensor([1e-6, 1e-3, 0.1, 6.0], dtype=torch.float64)[:, None]
    spatial, h = torch.tensor([0.3, 1.0, 2.7], dtype=torch.float64), torch.arange(200, dtype=torch.float64)
    table = markov_recurrence(h, 8.0, torch.exp(-t) * spatial, -torch.expm1(-t))
    b = normal(4, 3, 200)
    assert table.reduction.pivot.shape == (4, 3, 200)
    assert table.reduction.num_levels == 8
    gamma, eye = PowerExponential(8.0).covariance(h), torch.eye(200, dtype=torch.float64)
    dense = (torch.exp(-t) * spatial)[..., None, None] * gamma - torch.expm1(-t)[..., None, None] * eye
    assert relative_error(table.solve(b), torch.linalg.solve(dense, b[..., None])[..., 0]) < EXACT[torch.float64]


def test_without_noise_it_is_the_precision():
    h = torch.tensor([0.0, 0.1, 1.0, 7.0, 1e4], dtype=torch.float64)  # the last frame stands alone
    precision = markov_recurrence(h, 3.0, 1.0, 0.0).solve(torch.eye(5, dtype=torch.float64))
    np.testing.assert_allclose(precision.numpy(), PowerExponential(3.0).covariance(h).inverse().numpy(), atol=1e-12)


def test_a_float32_right_side_stays_so():
    table, b = markov_recurrence(torch.arange(64.0), 8.0, 0.9, 0.1), normal(64)
    assert table.solve(b.float()).dtype == torch.float32
    assert relative_error(table.solve(b.float()), table.solve(b)) < EXACT[torch.float32]


def test_bad_input_is_refused():
    h = torch.arange(4.0)
    for arguments, message in (
        ((h.flip(0), 1.0, 1.0, 1.0), "times must have shape .frames,. and increase strictly"),
        ((torch.zeros(3), 1.0, 1.0, 1.0), "increase strictly"),
        ((h[:0], 1.0, 1.0, 1.0), "times must have shape"),
        ((h, 0.0, 1.0, 1.0), "lengthscale must be greater than 0"),
        ((h, 1.0, 0.0, 1.0), "scale must be greater than 0 and noise 0 or greater, got as low as 0 and 1"),
        ((h, 1.0, 1.0, -1.0), "got as low as 1 and -1"),
        ((h, 1.0, math.nan, 1.0), "scale must be finite"),
    ):
        with pytest.raises(InputError, match=message):
            markov_recurrence(*arguments)
    with pytest.raises(InputError, match="dominance and neighbour must have shapes"):
        cyclic_reduction(h, h)
    with pytest.raises(InputError, match="dominance must be finite"):
        cyclic_reduction(h / 0, h[:-1])
    with pytest.raises(InputError, match="the matrix must be positive definite, but has the pivot"):
        cyclic_reduction(-3 * torch.ones(4), 2 * torch.ones(3))
    with pytest.raises(InputError, match=r"right_side must end with 4 frames, got \(3,\)"):
        markov_recurrence(h, 1.0, 1.0, 1.0).solve(torch.ones(3))
    with pytest.raises(InputError, match="before must have shape"):
        CyclicReduction(torch.zeros(1, 4), torch.zeros(2, 4), torch.ones(4))
