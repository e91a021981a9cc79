"""From a covariance to the weights of a transformer, with a certificate: ``compile_score``."""

from .certificate import Certificate, ErrorAtTime
from .compiled import CompiledScore, compile_score
from .cost import check_matrices
from .folder import check_target, load, save
from .lowering import ITERATIONS, Lowered
from .options import Options
from .planning import Plan, plan
from .reading import read
from .verifying import verify

__all__ = [
    "ITERATIONS",
    "Certificate",
    "CompiledScore",
    "ErrorAtTime",
    "Lowered",
    "Options",
    "Plan",
    "check_matrices",
    "check_target",
    "compile_score",
    "load",
    "plan",
    "read",
    "save",
    "verify",
]
