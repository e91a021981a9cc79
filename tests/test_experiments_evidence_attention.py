"""The page of attention: means along the lags, nulls by noise level, and a verdict that invented results can turn."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from kronoscope.kernels import PowerExponential
from kronoscope.probes import AttentionProbe
from kronoscope.report import Table
from kronoscope_evidence.inside import attention, attention_page


def maps(heads=3, frames=7):
    return torch.randn(heads, frames, frames, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_lag_means_are_the_nearest_toeplitz_matrices():
    # the projection onto Toeplitz matrices, by least squares over their 2 N - 1 entries
    given = maps()
    basis = np.stack([scipy.linalg.toeplitz(*np.split(row, [7])) for row in _unit_rows(7)])
    for one, got in zip(given, attention.lag_means(given), strict=True):
        solved = np.linalg.lstsq(basis.reshape(13, -1).T, one.numpy().ravel(), rcond=None)[0]
        np.testing.assert_allclose(got.numpy(), np.einsum("k,kij->ij", solved, basis), atol=1e-12)


def _unit_rows(frames):
    """First column and first row (without its corner's weight) of each Toeplitz matrix with one diagonal of ones."""
    for lag in range(1 - frames, frames):
        column, row = np.zeros(frames), np.zeros(frames)
        if lag >= 0:
            column[lag] = 1
        if lag <= 0:
            row[-lag] = 1
        yield np.concatenate([column, row])


def test_share_by_lag_is_one_for_functions_of_the_lag_and_r_squared_otherwise():
    given = maps()
    above = np.triu_indices(7, 1)
    symmetric = ((given + given.mT) / 2).numpy()
    design = np.eye(6)[above[1] - above[0] - 1]  # an indicator for each lag
    for one, got in zip(symmetric, attention.share_by_lag(given), strict=True):
        y = one[above]
        rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        assert float(got) == pytest.approx(1 - rest @ rest / ((y - y.mean()) @ (y - y.mean())), abs=1e-12)
    plain = torch.stack([attention.lag_means(given)[0], torch.full((7, 7), 0.25, dtype=torch.float64)])
    assert attention.share_by_lag(plain).tolist() == pytest.approx([1.0, 1.0])


def test_own_lag_means_absorb_a_stationary_covariance_and_no_other():
    given = maps()
    probe = AttentionProbe(given, torch.zeros_like(given), ((0, 0), (0, 1), (0, 2)), 0.2)
    frames = torch.arange(7, dtype=torch.float64)
    stationary = PowerExponential(3.0).covariance(frames)
    uneven = PowerExponential(3.0).covariance(frames**2 / 6)
    for k, smooth in enumerate(attention.lag_means(given)):
        assert abs(float(probe.partial_correlation(stationary, [smooth])[k])) < 1e-12
        assert abs(float(probe.partial_correlation(uneven, [smooth])[k])) > 1e-3


def reading(name, kind, t, best):
    heads = [best, -best / 2]
    profile = [0.0] * (2 * attention.FRAMES - 1)
    return attention.Reading(name, kind, t, heads, heads, 0.01, 0.01, 1, [0.9] * 2, heads, [0.0] * 2, profile, profile)


def result(**changes):
    """Trained heads reach 0.9, nulls 0.5, at every noise level."""
    readings = [
        reading(name, kind, t, 0.9 if kind == "trained" else 0.5)
        for name in attention_page.NAMES
        for kind in attention.KINDS
        for t in attention.TIMES
    ]
    untrained = {(name, t): 0.4 for name in attention_page.NAMES for t in attention.TIMES}
    made = attention.AttentionResult(readings, [1.0] + [0.5] * (attention.FRAMES - 1), 1e-9, 39, untrained)
    return replace(made, **changes)


def altered(made, name, kind, t, best):
    key = (name, kind, t)
    return [reading(*key, best) if (one.name, one.kind, one.t) == key else one for one in made.readings]


def standings(made):
    return [one.standing for one in attention_page.page(made, False).verdict.numbers]


def test_invented_results_turn_the_verdict():
    made = result()
    assert standings(made) == ["good"] * 5
    assert standings(result(compiled_gap=1e-5))[0] == "bad"
    for number, name in enumerate(attention_page.NAMES, start=1):
        for kind, best in (("trained", 0.45), ("white", 0.95), ("permuted", 0.95), ("other", 0.95)):
            found = standings(replace(made, readings=altered(made, name, kind, attention.TIME, best)))
            assert [k for k, one in enumerate(found) if one == "bad"] == [number]
        untrained = made.untrained_best | {(name, attention.TIME): 0.95}
        assert standings(replace(made, untrained_best=untrained))[number] == "bad"


def test_another_noise_level_is_told_but_does_not_decide():
    made = result()
    page = attention_page.page(replace(made, readings=altered(made, "position", "white", 1.0, 0.95)), False)
    told = {one.label: one for one in page.verdict.numbers}["best head of position-only"]
    assert (told.standing, "passed at 2 of 3 noise levels" in told.explanation) == ("good", True)
    assert "one training each" in told.explanation
    (table,) = [block for block in page.sections[1].blocks if isinstance(block, Table)]
    assert table.rows[1] == ("position-only", 0.9, 0.5, 0.9, 0.5, 0.9, 0.95)
    assert table.highlight_cells == ((1, 5),)
