"""The door for files: reading, blocks by time stamp, leak-proof splits, scaling, writing back."""

from .block_grid import BlockGrid
from .csv_format import CsvOptions
from .demo import demo_weather_path
from .gaps import GappyFile, open_gappy
from .limits import parse_limits
from .reading import ENDINGS, from_array, read
from .sequences import Container, Coordinate, SequenceSet, Source
from .splitting import Split, split
from .tables import column_names
from .transform import Transform
from .windows import Windows, block_windows, last_window
from .writing import check_target, to_array, write, write_table

__all__ = [
    "ENDINGS",
    "BlockGrid",
    "Container",
    "Coordinate",
    "CsvOptions",
    "GappyFile",
    "SequenceSet",
    "Source",
    "Split",
    "Transform",
    "Windows",
    "block_windows",
    "check_target",
    "column_names",
    "demo_weather_path",
    "from_array",
    "last_window",
    "open_gappy",
    "parse_limits",
    "read",
    "split",
    "to_array",
    "write",
    "write_table",
]
