"""The settings of a fit as frozen records, from which command line, run folder and keywords of Python all come.

Each default is written once, in the record; the few that depend on the kind of input are in ``DEFAULTS``. Nothing here
loads torch or pandas, so that ``kronoscope fit --help`` is quick.
"""

from .fitting import DEFAULTS, FitOptions, FitSettings, InputDefaults, PreparationOptions, ScaledFitOptions
from .options import Option, Range, check_keywords, described, option_of, options_of
from .preparation import Scaling, ScalingOptions, SplitOptions, SplitRule
from .reading import ArrayOptions, FileSource, Reading, ReadingOptions
from .sampling import SampleOptions
from .training import TrainingConfig, TrainingSettings

__all__ = [
    "DEFAULTS",
    "ArrayOptions",
    "FileSource",
    "FitOptions",
    "FitSettings",
    "InputDefaults",
    "Option",
    "PreparationOptions",
    "Range",
    "Reading",
    "ReadingOptions",
    "SampleOptions",
    "ScaledFitOptions",
    "Scaling",
    "ScalingOptions",
    "SplitOptions",
    "SplitRule",
    "TrainingConfig",
    "TrainingSettings",
    "check_keywords",
    "described",
    "option_of",
    "options_of",
]
