"""``fit``, ``load`` and the fitted model: where data, network, training and sampling meet."""

from .conditioning import ConditionalSequence
from .fit import FitSettings, fit, fit_run
from .folder import read_settings
from .forecasting import forecast, impute
from .heads import HeadsChoice, choose_heads
from .initial import ESTIMATORS
from .learnt import LearntLaw
from .model import Model, load
from .networks import NETWORKS, NetworkPreset, training_config

__all__ = [
    "ESTIMATORS",
    "NETWORKS",
    "ConditionalSequence",
    "FitSettings",
    "HeadsChoice",
    "LearntLaw",
    "Model",
    "NetworkPreset",
    "choose_heads",
    "fit",
    "fit_run",
    "forecast",
    "impute",
    "load",
    "read_settings",
    "training_config",
]
