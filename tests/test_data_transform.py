"""The transform against statsmodels, against itself backwards, and against leaks."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from kronoscope import data
from kronoscope._errors import InputError

HOUR = pd.Timedelta("1h")


@pytest.fixture(scope="module")
def year():
    """A year of days of 24 hours, three features with seasons, units and diurnal cycles of their own."""
    rng = np.random.default_rng(3)
    starts = pd.date_range("2013-01-02", periods=360, freq="D", tz="America/New_York")
    angle = 2 * np.pi * np.arange(360)[:, None, None] / 365.2425
    day = np.sin(2 * np.pi * np.arange(24) / 24)[None, :, None]
    values = rng.standard_normal((360, 24, 3)) + 20 * np.cos(angle + np.arange(3)) + day + [50, 0, 1e4]
    return data.SequenceSet(values * [1, 0.01, 3], ("a", "b", "c"), starts, HOUR, True, data.Container("table"))


@pytest.mark.parametrize("num_harmonics", [1, 2, 3])
def test_seasonal_cycle_is_ordinary_least_squares(year, num_harmonics):
    fitted = data.Transform.fit(year.values, year.starts, HOUR, mean="zero", scaling=None, num_harmonics=num_harmonics)
    origin = pd.Timestamp("1970-01-01", tz="UTC")
    hours = np.array([(s - origin) / HOUR for s in year.starts])[:, None] + np.arange(24)
    tau = hours.ravel() / 24 / 365.2425
    waves = [f(2 * np.pi * k * tau) for k in range(1, num_harmonics + 1) for f in (np.cos, np.sin)]
    design = sm.add_constant(np.stack(waves, axis=1))
    for j in range(3):
        want = sm.OLS(year.values[..., j].ravel(), design).fit()
        np.testing.assert_allclose(fitted.cycle[:, j], want.params[1:], rtol=1e-9, atol=1e-9)
        left = fitted.apply(year.values, year.starts)[..., j].ravel()
        np.testing.assert_allclose(left, want.resid + want.params[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("mean", "num_harmonics"), [("zero", 2), ("feature", 0), ("free", 0), ("free", 2)])
def test_out_of_fold_values_know_nothing_of_themselves(year, mean, num_harmonics):
    """Every fold equals what a transform fitted to the others makes of it, with the scale of all."""
    options = {"mean": mean, "num_harmonics": num_harmonics, "scaling": "standard"}
    fitted = data.Transform.fit(year.values, year.starts, HOUR, **options)
    got = fitted.out_of_fold(year.values, year.starts, mean=mean)
    for fold in (slice(0, 18), slice(18, 36), slice(342, 360)):
        others = np.delete(np.arange(360), fold)
        without = data.Transform.fit(year.values[others], year.starts[others], HOUR, **{**options, "scaling": None})
        want = without.apply(year.values[fold], year.starts[fold]) / fitted.scale
        np.testing.assert_allclose(got[fold], want, rtol=1e-9, atol=1e-9)


def test_out_of_fold_values_spread_as_new_ones_do():
    """Daily levels that last 10 days, n = 200: in-sample anomalies vary less than new days, out-of-fold ones do not.

    400 records; the ratio of mean squares has a standard error of about 0.01.
    """
    rng = np.random.default_rng(0)
    starts = pd.date_range("2020-01-01", periods=400, freq="D", tz="UTC")
    inside, outside, new = [], [], []
    for _ in range(400):
        levels = np.repeat(rng.standard_normal(40), 10)[:, None, None] * np.ones((1, 2, 1))
        fitted = data.Transform.fit(
            levels[:365], starts[:365], pd.Timedelta("12h"), mean="free", scaling=None, num_harmonics=2
        )
        inside.append((fitted.apply(levels[:365], starts[:365]) ** 2).mean())
        outside.append((fitted.out_of_fold(levels[:365], starts[:365], mean="free") ** 2).mean())
        new.append((fitted.apply(levels[370:], starts[370:]) ** 2).mean())
    assert np.mean(inside) / np.mean(new) < 0.85
    assert np.mean(outside) / np.mean(new) == pytest.approx(1, abs=0.06)


def test_nothing_fitted_needs_no_folds(year):
    fitted = data.Transform.fit(year.values, mean="zero", scaling=None)
    np.testing.assert_array_equal(fitted.out_of_fold(year.values, mean="zero"), year.values)


@pytest.mark.parametrize("mean", ["zero", "feature", "free"])
@pytest.mark.parametrize("scaling", [None, "standard"])
@pytest.mark.parametrize("num_harmonics", [0, 2])
def test_round_trip_by_way_of_json(year, mean, scaling, num_harmonics):
    fitted = data.Transform.fit(
        year.values[:300], year.starts[:300], HOUR, mean=mean, scaling=scaling, num_harmonics=num_harmonics
    )
    again = data.Transform.from_json(fitted.to_json())
    z = fitted.apply(year.values, year.starts)
    np.testing.assert_array_equal(again.apply(year.values, year.starts), z)
    np.testing.assert_allclose(again.invert(z, year.starts), year.values, rtol=1e-12, atol=1e-12)
    inside = z[:300]
    if mean == "free":
        np.testing.assert_allclose(inside.mean(axis=0), 0, atol=1e-9)
    elif mean == "feature":
        np.testing.assert_allclose(inside.mean(axis=(0, 1)), 0, atol=1e-9)
    if scaling == "standard":
        np.testing.assert_allclose(np.sqrt((inside**2).mean(axis=(0, 1))), 1, rtol=1e-12)
    else:
        assert (fitted.scale == 1).all()


def test_without_options_nothing_changes(year):
    fitted = data.Transform.fit(year.values, mean="zero", scaling=None)
    np.testing.assert_array_equal(fitted.apply(year.values), year.values)


def test_held_out_values_change_nothing(year):
    """Poison in validation and test values must not reach what is fitted to the training part of the split."""

    def fitted(sequences):
        parts = data.split(sequences, test="weeks:5", validation=0.1, gap=1)
        train = sequences.subset(parts.train)
        transform = data.Transform.fit(
            train.values, train.starts, train.step, mean="free", scaling="standard", num_harmonics=2
        )
        return parts, transform.to_json()

    parts, clean = fitted(year)
    poisoned = year.values.copy()
    poisoned[parts.validation] = 1e9
    poisoned[parts.test] = -1e9
    assert fitted(year.with_values(poisoned))[1] == clean
    touched = year.values.copy()
    touched[parts.train[0], 0, 0] += 1.0
    assert fitted(year.with_values(touched))[1] != clean


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": "median"}, "mean must be one of"),
        ({"scaling": "robust"}, "scaling must be None or 'standard'"),
        ({"num_harmonics": -1}, "num_harmonics must be at least 0"),
        ({"num_harmonics": 1, "starts": None}, "need sequences with clock times"),
        ({"num_harmonics": 1, "starts": np.arange(360.0)}, "need sequences with clock times"),
        ({"num_harmonics": 1, "step": 1.0}, "need sequences with clock times"),
        ({"values": np.zeros((0, 24, 3))}, "must have shape"),
        ({"values": np.full((360, 24, 3), np.nan)}, "has no value in the training"),
        ({"values": np.full((360, 24, 3), np.inf)}, "must be finite"),
        ({"values": np.full((360, 24, 3), 0.1), "mean": "zero"}, "a, b, c do not vary"),
        ({"values": np.full((360, 24, 3), 1e200), "mean": "zero"}, "the feature 'a' reaches 1e\\+200"),
        ({"values": np.full((360, 24, 3), 0.1)}, "a, b, c do not vary"),
    ],
)
def test_bad_fits(year, change, message):
    values = {"values": year.values, "starts": year.starts, "step": HOUR, "mean": "free", "scaling": "standard"}
    with pytest.raises(InputError, match=message):
        data.Transform.fit(**(values | {"feature_names": year.feature_names} | change))


def test_too_little_of_the_year_and_foreign_shapes(year):
    month = year.subset(range(40))
    with pytest.raises(InputError, match="too little of the year for 2 annual harmonics"):
        data.Transform.fit(month.values, month.starts, HOUR, mean="free", scaling=None, num_harmonics=2)
    fitted = data.Transform.fit(year.values, year.starts, HOUR, mean="free", scaling=None, num_harmonics=2)
    with pytest.raises(InputError, match=r"must have shape \(n, 24, 3\), got \(360, 12, 3\)"):
        fitted.apply(year.values[:, :12], year.starts)
    with pytest.raises(InputError, match="need sequences with clock times"):
        fitted.invert(year.values)
    with pytest.raises(InputError, match="one time a sequence"):
        fitted.apply(year.values, year.starts[:5])
    for text in (
        "",
        "{}",
        '{"num_frames": 2, "num_features": 1, "cycle": [], "mean": [1], "scale": [1], "step": null}',
    ):
        with pytest.raises(InputError, match="not the record of a transform"):
            data.Transform.from_json(text)


@pytest.mark.parametrize("num_harmonics", [0, 2])
@pytest.mark.parametrize("mean", ["feature", "free"])
def test_missing_values_are_ignored_in_fitting_and_stay_missing(year, mean, num_harmonics):
    """Each feature as pandas and statsmodels fit what is left of it."""
    options = {"mean": mean, "scaling": "standard", "num_harmonics": num_harmonics}
    hidden = np.random.default_rng(0).random(year.values.shape) < 0.2
    values = np.where(hidden, np.nan, year.values)
    fitted = data.Transform.fit(values, year.starts, HOUR, **options)
    got = fitted.apply(values, year.starts)
    np.testing.assert_array_equal(np.isnan(got), hidden)
    np.testing.assert_allclose(fitted.invert(got, year.starts)[~hidden], year.values[~hidden], rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(np.isnan(fitted.out_of_fold(values, year.starts, mean=mean)), hidden)
    centred = pd.DataFrame((values - fitted.invert(np.zeros_like(values), year.starts))[..., 1])
    np.testing.assert_allclose(centred.mean() if mean == "free" else centred.stack().mean(), 0, atol=1e-9)
    np.testing.assert_allclose(fitted.scale[1], np.sqrt((centred.stack() ** 2).mean()), rtol=1e-12)
    if num_harmonics:
        days = year.starts.as_unit("s").asi8[:, None] / 86400 + np.arange(values.shape[1]) / 24
        angle = 2 * np.pi * days.ravel() / 365.2425
        waves = np.column_stack([w(k * angle) for k in (1, 2) for w in (np.cos, np.sin)])
        told = sm.OLS(values[..., 1].ravel(), sm.add_constant(waves), missing="drop").fit()
        np.testing.assert_allclose(fitted.cycle[:, 1], told.params[1:], rtol=1e-6, atol=1e-9)


def test_a_feature_without_a_value_is_named(year):
    values = year.values.copy()
    values[..., 1] = np.nan
    name = year.feature_names[1]
    with pytest.raises(InputError, match=f"'{name}' has no value in the training"):
        data.Transform.fit(values, mean="feature", scaling=None, feature_names=year.feature_names)
    values = year.values.copy()
    values[:, 3, 1] = np.nan
    with pytest.raises(InputError, match=f"'{name}' has no value at frame 3 .*--mean feature"):
        data.Transform.fit(values, mean="free", scaling=None, feature_names=year.feature_names)
    data.Transform.fit(values, mean="feature", scaling=None)
