"""``fit``, ``load`` and the fitted model: where data, network, training and sampling meet."""

from .conditioning import ConditionalSequence
from .fit import FitSettings, fit, fit_run
from .folder import read_settings
from .forecasting import forecast, impute
from .initial import ESTIMATORS
from .learnt import LearntLaw
from .model import Model, load
from .networks import NETWORKS, NetworkPreset, training_config

__all__ = [
    "ESTIMATORS",
    "NETWORKS",
    "ConditionalSequence",
    "FitSettings",
    "LearntLaw",
    "Model",
    "NetworkPreset",
    "fit",
    "fit_run",
    "forecast",
    "impute",
    "load",
    "read_settings",
    "training_config",
]
