"""The demo and the report of a run: experiments that end in a page."""

from .control import ControlResult, control_data, control_process, run_control
from .demo import demo
from .demo_page import demo_report
from .dependence import Comparison, compare
from .longer import longer
from .reproductions import REPRODUCTIONS, Finding, Reproduction, reproduce
from .run_folder_page import complete_run, draw_run_page, write_run_page
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
    "complete_run",
    "control_data",
    "control_process",
    "demo",
    "demo_report",
    "draw_run_page",
    "longer",
    "reproduce",
    "run_control",
    "run_report",
    "run_weather",
    "write_run_page",
]
