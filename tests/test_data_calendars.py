"""NetCDF files whose times follow another calendar, and variables that only describe others."""

import numpy as np
import pytest
import xarray as xr

from kronoscope import data

X = np.random.default_rng(0).standard_normal(24)


def nc(tmp_path, units, calendar=None, offsets=None, **more):
    attrs = {"units": units} | ({} if calendar is None else {"calendar": calendar})
    offsets = np.arange(len(X), dtype=float) if offsets is None else offsets
    dataset = xr.Dataset({"pr": (("time",), X), **more}, {"time": (("time",), offsets, attrs)})
    dataset.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    return tmp_path / "x.nc"


@pytest.mark.parametrize(
    ("units", "calendar"),
    [
        ("days since 2001-01-01", "noleap"),
        ("days since 2001-01-01", "360_day"),
        ("days since 0001-01-01", "365_day"),
        ("hours since 1850-01-01 00:00:00", "julian"),
        ("months since 2001-01-01", None),
        ("years since 1900-01-01", "standard"),
        ("fortnights since yesterday", None),
    ],
)
def test_times_of_other_calendars_stay_numbers_and_are_noted(tmp_path, units, calendar):
    offsets = 730_101.0 + np.arange(len(X))  # like dates YYMMDD, for who does not know the units
    path = nc(tmp_path, units, calendar, offsets)
    read = data.read(path, frames=12)
    np.testing.assert_array_equal(read.values[..., 0], X.reshape(2, 12))
    np.testing.assert_array_equal(read.starts, offsets[::12])
    assert read.step == 1.0
    which = f" in the calendar '{calendar}'" if calendar else ""
    assert read.notes == (f"The times of 'time' are read as numbers: {units}{which}.",)
    data.write(tmp_path / "o.nc", read.values, read.container, read.feature_names, starts=read.starts)
    again = data.read(tmp_path / "o.nc")
    np.testing.assert_array_equal(again.values, read.values)


@pytest.mark.parametrize("calendar", [None, "standard", "gregorian", "proleptic_gregorian"])
def test_times_of_our_calendar_become_dates(tmp_path, calendar):
    read = data.read(nc(tmp_path, "days since 2001-01-01", calendar), frames=12)
    assert str(read.starts[1]) == "2001-01-13 00:00:00"
    assert read.notes == ()


def test_variables_that_describe_others_are_left_out_and_noted(tmp_path):
    ends = (("time", "ends"), np.zeros((len(X), 2)))
    path = nc(tmp_path, "days since 2001-01-01", time_bnds=ends, crs=((), 0))
    with xr.open_dataset(path, engine="h5netcdf", decode_cf=False) as raw:
        described = raw.load()
    described["pr"].attrs["grid_mapping"] = "crs"
    described.to_netcdf(path, engine="h5netcdf")
    read = data.read(path, frames=12)
    assert read.feature_names == ("pr",)
    assert read.notes == ("Left out, since they describe other variables: time_bnds, crs.",)
    assert data.read(path, frames=12, columns=["pr"]).notes == ()


def test_variables_of_other_dimensions_name_the_option_that_reads_the_rest(tmp_path):
    path = nc(tmp_path, "days since 2001-01-01", other=(("place",), np.arange(3.0)), second=(("time",), X))
    with pytest.raises(data.reading.InputError, match=r"columns= .--columns pr,second."):
        data.read(path, frames=12)
    assert data.read(path, frames=12, columns=["pr", "second"]).feature_names == ("pr", "second")
