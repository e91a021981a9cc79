"""From a covariance to the weights of a transformer, with a certificate: ``compile_score``."""

from .certificate import Certificate, ErrorAtTime
from .compiled import CompiledScore, compile_score
from .folder import load, save, verify
from .lowering import ITERATIONS, Lowered
from .options import Options
from .planning import Plan, plan
from .reading import read

__all__ = [
    "ITERATIONS",
    "Certificate",
    "CompiledScore",
    "ErrorAtTime",
    "Lowered",
    "Options",
    "Plan",
    "compile_score",
    "load",
    "plan",
    "read",
    "save",
    "verify",
]
