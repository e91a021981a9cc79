"""The step of a series, and what a set of sequences says of itself."""

import numpy as np
import pandas as pd
import pytest

from kronoscope import InputError, data
from kronoscope.data.times import most_common_step


def test_the_most_common_step_wins_and_the_smallest_of_equally_common_ones():
    days = pd.to_datetime(["2021-01-01", "2021-01-02", "2021-01-03", "2021-01-10", "2021-01-17"])
    assert most_common_step(days) == pd.Timedelta(days=1)
    assert most_common_step(days[[0, 1, 2, 3]]) == pd.Timedelta(days=1)
    assert most_common_step(days[2:]) == pd.Timedelta(days=7)
    assert most_common_step(pd.DatetimeIndex([0, 5])).value == 5  # nanoseconds
    assert most_common_step(np.array([0.0, 0.5, 1.0, 3.0])) == pytest.approx(0.5, rel=1e-12)


def test_what_has_no_step_is_refused():
    with pytest.raises(InputError, match="at least 2 times are needed to know the step, got 1"):
        most_common_step(pd.to_datetime(["2021-01-01"]))
    with pytest.raises(InputError, match="2021-01-01"):
        most_common_step(pd.to_datetime(["2021-01-01", "2021-01-01", "2021-01-02"]))
    with pytest.raises(InputError, match=r"span .* of their most common step"):
        most_common_step(np.array([0.0, 1e-300, 2e-300, 1.0]))


def test_a_set_of_sequences_says_what_it_holds():
    values = np.arange(24.0).reshape(4, 3, 2)
    values[1, 2, 0] = np.nan
    dropped, masked = (repr(data.from_array(values, missing=missing)) for missing in ("drop", "mask"))
    assert dropped.startswith(
        "SequenceSet(sequences=3, frames=3, features='2 (feature_0, feature_1)', missing_values=0"
    )
    assert masked.startswith("SequenceSet(sequences=4, frames=3, features='2 (feature_0, feature_1)', missing_values=1")
