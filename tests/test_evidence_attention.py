"""The study of attention: means along the lags, hardly trained networks, and invented results that turn each check."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from kronoscope.kernels import PowerExponential
from kronoscope.probes import AttentionProbe
from kronoscope.report import Table
from kronoscope_evidence.inside import attention
from kronoscope_evidence.inside.attention_page import (
    NAMES,
    TIME,
    Attention,
    Head,
    Rank,
    Result,
    Untrained,
    checks,
    page,
)
from kronoscope_evidence.inside.networks import Training
from kronoscope_evidence.stages import quiet
from kronoscope_evidence.study import Run


def maps(heads=3, frames=7):
    return torch.randn(heads, frames, frames, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_lag_means_are_the_nearest_toeplitz_matrices():
    # the projection onto Toeplitz matrices, by least squares over their 2 N - 1 entries
    given = maps()
    basis = np.stack([scipy.linalg.toeplitz(*np.split(row, [7])) for row in _unit_rows(7)])
    for each, got in zip(given, attention.lag_means(given), strict=True):
        solved = np.linalg.lstsq(basis.reshape(13, -1).T, each.numpy().ravel(), rcond=None)[0]
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
    for each, got in zip(symmetric, attention.share_by_lag(given), strict=True):
        y = each[above]
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


def test_hardly_trained_networks_are_ranked_among_untrained_ones():
    training = Training(100, {"dit": 3, "position": 3, "unrolled": 60}, held_out_draws=1)
    result = attention.measure(Run(attention.Size(32, 19, (0.05, TIME), training), 0, quiet))
    assert result.compiled_gap < 1e-6
    by = {(each.name, each.kind): each for each in result.attention if each.t == TIME}
    assert len(result.attention) == 2 * len(by)  # every network at both noise levels
    assert set(by) == {(name, kind) for name in NAMES for kind in attention.KINDS} - {("unrolled", "untrained")}
    assert by["unrolled", "trained"].rank is None
    for name in ("position", "dit softmax"):  # among 19 and itself; untrained ones are no exception
        rank = by[name, "untrained"].rank
        assert 1 / 20 <= rank.p_value <= rank.family_p_value
        assert rank.family_p_value > 0.06
    for each in result.attention:  # Gamma is a function of the lag: beyond a head's own lag means nothing is left
        assert max(abs(head.rest) for head in each.heads) < 1e-9
    (head,) = by["unrolled", "trained"].heads
    assert head.lag_share == pytest.approx(1.0)  # by its architecture
    assert head.lag_means == pytest.approx(head.gamma)
    assert page(result).sections[0].blocks[1].rows[0][:2] == ("unrolled, trained", 1)


def invented(name, kind, t, best):
    """A network whose best head agrees with Gamma that well, and its other head half as well."""
    heads = tuple(Head(gamma, gamma, 0.9, gamma, 0.0) for gamma in (best, -best / 2))
    profile = (0.0,) * (2 * attention.FRAMES - 1)
    return Attention(name, kind, t, heads, Rank(0.01, 0.01, 1), profile, profile)


def invented_result(**changes):
    """Trained heads reach 0.9, nulls 0.5, at every noise level."""
    networks = [
        invented(name, kind, t, 0.9 if kind == "trained" else 0.5)
        for name in NAMES
        for kind in attention.KINDS
        for t in attention.TIMES
    ]
    untrained = tuple(Untrained(name, t, 0.4) for name in NAMES for t in attention.TIMES)
    made = Result(tuple(networks), untrained, 39, (1.0,) + (0.5,) * (attention.FRAMES - 1), 1e-9)
    return replace(made, **changes)


def with_best(result, name, kind, t, best):
    key = (name, kind, t)
    changed = [invented(*key, best) if (each.name, each.kind, each.t) == key else each for each in result.attention]
    return replace(result, attention=tuple(changed))


def holds(result):
    return [check.holds for check in checks(result)]


def test_invented_results_turn_each_check():
    result = invented_result()
    assert holds(result) == [True] * 5
    assert holds(invented_result(compiled_gap=1e-5)) == [False, True, True, True, True]
    for number, name in enumerate(NAMES, start=1):
        only = [k != number for k in range(5)]
        for kind, best in (("trained", 0.45), ("white", 0.95), ("permuted", 0.95), ("other", 0.95)):
            assert holds(with_best(result, name, kind, TIME, best)) == only
        untrained = [
            replace(each, best=0.95) if (each.name, each.t) == (name, TIME) else each for each in result.untrained
        ]
        assert holds(replace(result, untrained=tuple(untrained))) == only


def test_another_noise_level_is_shown_but_does_not_decide():
    result = with_best(invented_result(), "position", "white", 1.0, 0.95)
    check = {check.label: check for check in checks(result)}["best head of position-only"]
    assert check.holds
    assert "passed at 2 of 3 noise levels" in check.expected
    (table,) = [block for block in page(result).sections[1].blocks if isinstance(block, Table)]
    assert table.rows[1] == ("position-only", 0.9, 0.5, 0.9, 0.5, 0.9, 0.95)
    assert table.highlight_cells == ((1, 5),)
