"""From a covariance to the weights of a transformer, with a certificate: ``compile_score``."""

from .certificate import Certificate, ErrorAtTime
from .compiled import CompiledScore, compile_score
from .cost import check_matrices
from .folder import check_target, load, save
from .lowering import Lowered
from .options import ITERATIONS, Options
from .planning import Plan, plan
from .structure import Structure, structure_of
from .verifying import verify

__all__ = [
    "ITERATIONS",
    "Certificate",
    "CompiledScore",
    "ErrorAtTime",
    "Lowered",
    "Options",
    "Plan",
    "Structure",
    "check_matrices",
    "check_target",
    "compile_score",
    "load",
    "plan",
    "save",
    "structure_of",
    "verify",
]
