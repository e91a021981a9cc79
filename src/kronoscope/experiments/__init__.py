"""The demo and the report of a run: experiments that end in a page."""

from .control import ControlResult, control_data, control_process, run_control
from .demo import demo
from .demo_page import demo_report
from .dependence import Comparison, compare
from .longer import longer
from .reproductions import REPRODUCTIONS, Finding, Reproduction, reproduce
from .run_page import run_report
from .weather import WEATHER_NETWORK, WeatherResult, run_weather

__all__ = [
    "REPRODUCTIONS",
    "WEATHER_NETWORK",
    "Comparison",
    "ControlResult",
    "Finding",
    "Reproduction",
    "WeatherResult",
    "compare",
    "control_data",
    "control_process",
    "demo",
    "demo_report",
    "longer",
    "reproduce",
    "run_control",
    "run_report",
    "run_weather",
]
