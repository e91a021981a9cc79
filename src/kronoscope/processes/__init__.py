"""Laws of sequences: sample, log_prob, score, denoise, condition_on; each says how exact it is."""

from .change_point import ChangePoint
from .conditional import ConditionalLaw
from .coordinates import ScaledScore
from .hidden_markov import HiddenMarkov, HiddenMarkovConditional
from .law import GaussianLaw, require_law, require_score_and_law
from .markov_chain import MarkovChainSequence, StochasticVolatility, double_well
from .matrices import DenseGaussian, SeparableGaussian
from .mixture import Mixture, MixtureConditional
from .nonseparable import BlockToeplitzSequence, KroneckerSum
from .scale_mixture import ScaleMixture, StudentT
from .sequence import GaussianSequence
from .sequence_law import Exactness, SequenceLaw
from .squared_error import SquaredError, affine_squared_error, sampled_squared_error

__all__ = [
    "BlockToeplitzSequence",
    "ChangePoint",
    "ConditionalLaw",
    "DenseGaussian",
    "Exactness",
    "GaussianLaw",
    "GaussianSequence",
    "HiddenMarkov",
    "HiddenMarkovConditional",
    "KroneckerSum",
    "MarkovChainSequence",
    "Mixture",
    "MixtureConditional",
    "ScaleMixture",
    "ScaledScore",
    "SeparableGaussian",
    "SequenceLaw",
    "SquaredError",
    "StochasticVolatility",
    "StudentT",
    "affine_squared_error",
    "double_well",
    "require_law",
    "require_score_and_law",
    "sampled_squared_error",
]
