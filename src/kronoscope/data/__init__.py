"""The door for files: reading, blocks by time stamp, leak-proof splits, scaling, writing back."""

from .demo import demo_weather_path
from .limits import parse_limits
from .reading import ENDINGS, from_array, read
from .sequences import Container, Coordinate, SequenceSet
from .splitting import Split, split
from .transform import Transform
from .writing import check_target, to_array, write

__all__ = [
    "ENDINGS",
    "Container",
    "Coordinate",
    "SequenceSet",
    "Split",
    "Transform",
    "check_target",
    "demo_weather_path",
    "from_array",
    "parse_limits",
    "read",
    "split",
    "to_array",
    "write",
]
