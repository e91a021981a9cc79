"""Parts are disjoint, in the promised places, and far enough from each other."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kronoscope import data
from kronoscope._errors import InputError


def made(n, consecutive=True, first="2013-01-02", step="1D"):
    starts = pd.date_range(first, periods=n, freq=step)
    values = np.zeros((n, 2, 1))
    return data.SequenceSet(values, ("a",), starts, pd.Timedelta("1h"), consecutive, data.Container("table"))


@given(
    n=st.integers(1, 400),
    test=st.one_of(st.none(), st.floats(0.01, 0.9), st.just("weeks:5")),
    validation=st.floats(0, 0.9),
    gap=st.integers(0, 4),
    consecutive=st.booleans(),
)
def test_parts_are_disjoint_and_apart(n, test, validation, gap, consecutive):
    gap = gap if consecutive else 0
    try:
        parts = data.split(made(n, consecutive), test=test, validation=validation, gap=gap)
    except InputError as error:
        reason = str(error)
        parts = None
    if parts is None:
        assert "no sequence is left to train on" in reason or "holds out nothing" in reason
        return
    held = np.concatenate([parts.validation, parts.test])
    everything = np.concatenate([parts.train, held])
    assert len(np.unique(everything)) == len(everything)
    assert len(parts.train)
    for part in (parts.train, parts.validation, parts.test):
        assert (np.diff(part) > 0).all()
    if len(held):
        assert np.abs(parts.train[:, None] - held).min() > gap
    far = np.ones(n, dtype=bool) if not len(held) else np.abs(np.arange(n)[:, None] - held).min(axis=1) > gap
    assert np.flatnonzero(far).tolist() == parts.train.tolist()  # nothing is dropped without need
    rest = n - len(parts.test)
    assert len(parts.validation) == (max(1, round(validation * rest)) if validation else 0)


def test_every_fifth_week_of_the_year():
    days = made(700)
    held = days.starts[data.split(days, test="weeks:5").test]
    first = pd.Timestamp("2013-01-29")  # week 5 is 29 January to 4 February
    want = [first + pd.Timedelta(days=35 * k + j) for k in range(10) for j in range(7)]
    assert list(held[:70]) == want
    assert held[70] == pd.Timestamp("2014-01-29")


def test_a_fraction_is_the_last_part():
    assert data.split(made(40), test=0.25, validation=0).test.tolist() == list(range(30, 40))


@pytest.mark.parametrize("years", [1, 2, 8])
def test_validation_sees_every_season(years):
    days = made(365 * years)
    parts = data.split(days, validation=0.1)
    stretches = np.split(parts.validation, np.flatnonzero(np.diff(parts.validation) > 1) + 1)
    assert len(stretches) == 8
    assert max(map(len, stretches)) - min(map(len, stretches)) <= 1
    assert set(days.starts[parts.validation].quarter) == {1, 2, 3, 4}


def test_plain_arrays_are_drawn_at_random_and_again_the_same():
    plain = made(100, consecutive=False)
    one, two = data.split(plain), data.split(plain)
    assert one.validation.tolist() == two.validation.tolist()
    assert np.diff(one.validation).max() > 1
    other = data.split(plain, generator=torch.Generator().manual_seed(1))
    assert other.validation.tolist() != one.validation.tolist()
    assert data.split(plain, test=[3, 1]).test.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 1.5}, "fraction in \\(0, 1\\)"),
        ({"test": "months:5"}, "weeks:K"),
        ({"test": "weeks:1"}, "weeks:K"),
        ({"test": "weeks:52"}, "holds out nothing"),
        ({"test": [0, 0]}, "different indices"),
        ({"test": [10]}, "different indices from 0 to 9"),
        ({"test": [0.5]}, "array of indices"),
        ({"test": 3}, "array of indices"),
        ({"test": list(range(10))}, "no sequence is left to train on"),
        ({"gap": 10}, "no sequence is left to train on: of 10, 1 are held out and gap is 10"),
        ({"gap": -1}, "gap must be at least 0"),
        ({"validation": 1.0}, "validation must be a fraction"),
    ],
)
def test_impossible_parts(options, message):
    with pytest.raises(InputError, match=message):
        data.split(made(10), **options)


def test_gaps_and_weeks_need_a_record():
    with pytest.raises(InputError, match="no neighbours"):
        data.split(made(10, consecutive=False), gap=1)
    with pytest.raises(InputError, match="needs sequences with clock times"):
        data.split(data.from_array(np.zeros((5, 2, 1))), test="weeks:5")


def test_subset_and_with_values():
    days = made(10)
    some = days.subset([7, 2])
    assert list(some.starts) == [days.starts[7], days.starts[2]]
    with pytest.raises(InputError, match="values must have shape"):
        some.with_values(np.zeros((3, 2, 1)))
    assert some.with_values(np.ones((2, 2, 1))).values.sum() == 4
