"""Normal scores against scipy's laws, a process made by a known map, finite differences and quadrature."""

import json

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import kronoscope as ks
from kronoscope import data, models
from kronoscope._errors import InputError
from kronoscope.data import margins
from kronoscope.data.margins import MonotoneMap
from kronoscope.models.preparation import prepare

LAWS = {
    "normal": stats.norm(3, 2),
    "lognormal": stats.lognorm(1.0),
    "gamma": stats.gamma(2),
    "student": stats.t(3),
}
FRAMES, LENGTHSCALE = 8, 4.0
GAMMA = np.exp(-np.abs(np.subtract.outer(np.arange(FRAMES), np.arange(FRAMES))) / LENGTHSCALE)


def gaussian(n, seed):
    return np.random.default_rng(seed).multivariate_normal(np.zeros(FRAMES), GAMMA, size=n)[..., None]


@pytest.fixture(scope="module")
def lognormal_model():
    told = {"mean": "feature", "scaling": "standard", "max_steps": 500}
    return {m: ks.fit(np.exp(gaussian(800, 1)), margins=m, **told) for m in ("normal-scores", None)}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_map_is_the_known_one_within_sampling_error(law):
    # 4000 values, 17 pieces. Pointwise sd of an empirical score is sqrt(p (1 - p) / m) / phi(z) <= 0.06 at the ends,
    # so the bound is 2.5 of them there and far more inside.
    # A straight line misses the other laws by far.
    u = law.rvs(4000, random_state=np.random.default_rng(0))
    levels = np.linspace(0.01, 0.99, 99)
    found = MonotoneMap.fit(u).apply(law.ppf(levels))
    assert np.abs(found - stats.norm.ppf(levels)).max() < 0.15
    straight = (law.ppf(levels) - u.mean()) / u.std()
    assert law is LAWS["normal"] or np.abs(straight - stats.norm.ppf(levels)).max() > 0.3


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_density_inverse_and_slope(law):
    rng = np.random.default_rng(2)
    found = MonotoneMap.fit(law.rvs(4000, random_state=rng))
    fresh = law.rvs(50_000, random_state=rng)
    z, slope = found.apply(fresh), found.log_slope(fresh)
    # Excess over the true entropy is about p / 2m = 0.003 for 20 parameters and what the tails miss.
    assert (law.logpdf(fresh) - stats.norm.logpdf(z) - slope).mean() < 0.01
    wide = np.concatenate([fresh, [-1e3, 1e3, *found.values]])
    assert np.allclose(found.invert(found.apply(wide)), wide, rtol=1e-9, atol=1e-9)
    inside = wide[np.min(np.abs(wide[:, None] - found.values), axis=1) > 1e-4]  # the second derivative jumps at knots
    step = 1e-6 * np.maximum(1, np.abs(inside))
    differences = (found.apply(inside + step) - found.apply(inside - step)) / (2 * step)
    assert np.allclose(np.log(differences), found.log_slope(inside), atol=1e-5)
    order = np.sort(wide)
    assert (np.diff(found.apply(order))[np.diff(order) > 1e-9] > 0).all()
    assert np.isfinite(found.log_slope(order)).all()


def test_the_density_integrates_to_one():
    found = MonotoneMap.fit(LAWS["student"].rvs(1000, random_state=np.random.default_rng(3)))
    dense = np.linspace(found.invert(np.array([-7.0]))[0], found.invert(np.array([7.0]))[0], 2_000_001)
    direct = integrate.trapezoid(stats.norm.pdf(found.apply(dense)) * np.exp(found.log_slope(dense)), dense)
    assert direct == pytest.approx(1, abs=1e-5)


def test_missing_values_pass_and_do_not_count():
    u = np.random.default_rng(4).gamma(2, size=(60, FRAMES, 2))
    holes = u.copy()
    holes[::3, 2] = np.nan
    fitted = data.Transform.fit(holes, mean="feature", scaling="standard", margins="normal-scores")
    z = fitted.apply(holes)
    assert (np.isnan(z) == np.isnan(holes)).all()
    assert np.allclose(fitted.invert(z), holes, equal_nan=True)
    assert np.isfinite(fitted.log_slope(holes)).all()


def test_out_of_fold_scores_of_training_values_are_standard_normal():
    # 25 sequences, so that the mean of each frame follows its own values: in the fold's place they are wider by 1/25.
    values = np.exp(np.random.default_rng(5).standard_normal((25, 16, 1)) / 2)
    fitted = data.Transform.fit(values, mean="free", scaling="standard", margins="normal-scores")
    z = fitted.out_of_fold(values, mean="free")
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(1, abs=0.03)


def test_json_round_trip_and_older_records():
    values = np.exp(gaussian(60, 6))
    fitted = data.Transform.fit(values, mean="feature", scaling="standard", margins="normal-scores")
    again = data.Transform.from_json(fitted.to_json())
    assert np.array_equal(again.apply(values), fitted.apply(values))
    older = json.loads(fitted.to_json())
    del older["margins"]
    assert data.Transform.from_json(json.dumps(older)).margins is None
    broken = json.loads(fitted.to_json())
    broken["margins"][0]["values"][1] = broken["margins"][0]["values"][0]
    with pytest.raises(InputError, match="increase"):
        data.Transform.from_json(json.dumps(broken))


def test_atoms_are_refused_by_name_and_rounding_is_not():
    rng = np.random.default_rng(7)
    rain = np.maximum(rng.standard_normal((100, 8, 2)), 0)
    rain[..., 0] = rng.standard_normal((100, 8))
    with pytest.raises(InputError, match=r"'rain': 5\d % of its training values equal 0"):
        data.Transform.fit(rain, mean="feature", scaling=None, margins="normal-scores", feature_names=["wind", "rain"])
    constant = np.ones((100, 8, 1))
    with pytest.raises(InputError, match="does not vary"):
        data.Transform.fit(constant, mean="feature", scaling="standard", margins="normal-scores")
    with pytest.raises(InputError, match="margins must be"):
        data.Transform.fit(rain, mean="zero", scaling=None, margins="ranks")
    rounded = np.round(4 * rng.standard_normal((100, 8, 1)))  # one value holds about 10 %
    fitted = data.Transform.fit(rounded, mean="feature", scaling="standard", margins="normal-scores")
    assert np.allclose(fitted.invert(fitted.apply(rounded)), rounded)
    assert fitted.apply(rounded).std() == pytest.approx(1, abs=0.05)


def test_held_out_values_do_not_reach_the_map():
    values = np.exp(gaussian(100, 8))

    def map_of(values):
        scaled = {"mean": "feature", "scaling": "standard", "margins": "normal-scores"}
        settings = models.FitSettings.for_input("array", test=0.2, validation=0.2, **scaled)
        prepared = prepare(data.from_array(values), settings, torch.Generator().manual_seed(0))
        return prepared.transform.to_json(), prepared.record["split"]

    clean, split = map_of(values)
    poisoned = values.copy()
    poisoned[split["test"]] = 1e6
    poisoned[split["validation"]] = -1e6
    assert map_of(poisoned)[0] == clean
    poisoned[split["train"][0]] *= 2
    assert map_of(poisoned)[0] != clean


def test_what_is_learnt_of_a_lognormal_process(lognormal_model, tmp_path):
    model, plain = lognormal_model["normal-scores"], lognormal_model[None]
    learnt = model.law().data.covariance().numpy()
    scale = np.sqrt(np.diag(learnt))
    assert np.abs(learnt / np.outer(scale, scale) - GAMMA).max() < 0.08
    z = gaussian(4000, 9)
    truth = stats.multivariate_normal(np.zeros(FRAMES), GAMMA).logpdf(z[..., 0]) - z.sum(axis=(1, 2))
    found = {m: fitted.log_prob(np.exp(z), of="data").values.numpy() for m, fitted in lognormal_model.items()}
    assert (truth - found["normal-scores"]).mean() < 0.15  # nats a sequence
    assert (truth - found[None]).mean() > 2
    model.save(tmp_path / "run")
    assert np.array_equal(ks.load(tmp_path / "run").log_prob(np.exp(z), of="data").values, found["normal-scores"])
    # One frame of each of 1500 sequences, so that values are independent: a true margin fails 1 in 1000 tests.
    fresh = np.exp(gaussian(1500, 10))[:, 3, 0]
    assert stats.ks_2samp(model.sample(1500)[:, 3, 0], fresh).pvalue > 1e-3
    assert stats.ks_2samp(plain.sample(1500)[:, 3, 0], fresh).pvalue < 1e-9


def test_forecasts_are_in_the_users_units(lognormal_model):
    model = lognormal_model["normal-scores"]
    mask = np.zeros((FRAMES, 1), dtype=bool)
    mask[:5] = True
    given = model.condition_on(mask, np.exp(gaussian(1, 11))[0])
    draws = given.sample_values(200_000)
    mean, (lower, upper) = given.mean_values(), given.interval_values(0.9)
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - mean) <= 4 * error + 1e-9).all()  # 1 in 5000 for three entries
    assert (mean[~mask] > 1.02 * np.median(draws, axis=0)[~mask]).all()  # not the image of the mean
    inside = ((draws >= lower) & (draws <= upper)).mean(axis=0)[~mask]
    assert np.allclose(inside, 0.9, atol=0.003)
    assert (given.sample_values(3)[:, mask] == given.mean_values()[mask]).all()


def test_groups_too_close_become_one_at_their_weighted_mean():
    groups = [(0.0, -1.0, 3), (1.0, 0.0, 2), (1.0, 0.5, 5), (1.0, 0.7, 3), (2.0, 1.0, 1)]
    middle = tuple(np.average([[1.0, 0.0], [1.0, 0.5], [1.0, 0.7]], axis=0, weights=[2, 5, 3]))
    assert margins._rising(groups) == [(0.0, -1.0), pytest.approx(middle), (2.0, 1.0)]
    level = [(0.0, -1.0, 1), (1.0, 0.5, 1), (2.0, 0.5, 3)]  # values rise, scores do not
    assert margins._rising(level) == [(0.0, -1.0), pytest.approx((1.75, 0.5))]
