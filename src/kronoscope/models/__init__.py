"""``fit``, ``load`` and the fitted model: where data, network, training and sampling meet."""

from .conditioning import ConditionalSequence
from .extrapolation import extended_law, extended_score, spectral_law
from .fit import fit
from .folder import PAGE, RECORDS, check_files, has_page, is_finished, page_written, read_run, read_settings
from .forecasting import forecast, impute
from .heads import HeadsChoice, choose_heads
from .initialisation import ESTIMATORS
from .learnt import LearntLaw
from .loading import load, load_but_page
from .model import Model
from .networks import NETWORKS, NetworkPreset, training_config
from .run_fitting import FitSettings, fingerprint, fit_run

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
    "check_files",
    "choose_heads",
    "extended_law",
    "extended_score",
    "fingerprint",
    "fit",
    "fit_run",
    "forecast",
    "has_page",
    "impute",
    "is_finished",
    "load",
    "load_but_page",
    "page_written",
    "read_run",
    "read_settings",
    "spectral_law",
    "training_config",
]
