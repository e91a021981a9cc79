"""Semi-synthetic video: balls and sprites on Gaussian process paths, and the decoder that reads the paths back."""

from .balls import BallVideo, digit
from .decoding import Decoded, Validation, decode, trial, validate

__all__ = ["BallVideo", "Decoded", "Validation", "decode", "digit", "trial", "validate"]
