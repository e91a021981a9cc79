"""Files and arrays: reading, blocks by time stamp, leak-proof splits, scaling, writing back."""

from ..settings import FileSource, Reading, Scaling, SplitRule
from .block_grid import BlockGrid
from .csv_format import CsvOptions
from .demo import demo_weather_path
from .gaps import GappyFile, open_gappy
from .generated import read_generated, shared_columns
from .limits import beyond_limits, parse_limits
from .matching import arrange, match_features
from .reading import ENDINGS, from_array, read, read_source
from .sequences import Container, Coordinate, SequenceSet, Source
from .splitting import Split, split
from .tables import column_names
from .transform import Transform
from .units import compare_units, units_of
from .windows import Windows, block_windows, last_window
from .writing import check_target, to_array, write, write_table

__all__ = [
    "ENDINGS",
    "BlockGrid",
    "Container",
    "Coordinate",
    "CsvOptions",
    "FileSource",
    "GappyFile",
    "Reading",
    "Scaling",
    "SequenceSet",
    "Source",
    "Split",
    "SplitRule",
    "Transform",
    "Windows",
    "arrange",
    "beyond_limits",
    "block_windows",
    "check_target",
    "column_names",
    "compare_units",
    "demo_weather_path",
    "from_array",
    "last_window",
    "match_features",
    "open_gappy",
    "parse_limits",
    "read",
    "read_generated",
    "read_source",
    "shared_columns",
    "split",
    "to_array",
    "units_of",
    "write",
    "write_table",
]
