"""``fit``, ``load`` and the fitted model: where data, network, training and sampling meet."""

from ..settings import FitSettings
from .conditioning import ConditionalSequence
from .extrapolation import extended_law, extended_score, spectral_law
from .fit import fit, fit_sequences, input_kind
from .folder import PAGE, RECORDS, check_files, has_page, is_finished, page_written, read_run, read_settings
from .forecasting import forecast, impute
from .heads import HeadsChoice, choose_heads
from .initialisation import ESTIMATORS
from .learnt import LearntLaw
from .loading import begun_with, load, load_but_page, source_of
from .model import Model
from .networks import NETWORKS, NetworkPreset, training_config
from .preparation import fingerprint

__all__ = [
    "ESTIMATORS",
    "NETWORKS",
    "PAGE",
    "RECORDS",
    "ConditionalSequence",
    "FitSettings",
    "HeadsChoice",
    "LearntLaw",
    "Model",
    "NetworkPreset",
    "begun_with",
    "check_files",
    "choose_heads",
    "extended_law",
    "extended_score",
    "fingerprint",
    "fit",
    "fit_sequences",
    "forecast",
    "has_page",
    "impute",
    "input_kind",
    "is_finished",
    "load",
    "load_but_page",
    "page_written",
    "read_run",
    "read_settings",
    "source_of",
    "spectral_law",
    "training_config",
]
