"""Units of features, where a file says them, and whether two files mean the same."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import InputError
from .messages import list_names
from .sequences import Container

Units = tuple[str | None, ...]
# Other ways to write one unit; blanks and marks of powers are passed over before.
_SAME = (
    ("degC", "deg_C", "celsius", "Celsius", "degree_Celsius", "degrees_Celsius", "degree_C", "degrees_C", "°C"),
    ("K", "kelvin", "Kelvin", "degK", "degree_K", "degrees_K"),
    ("m s-1", "m/s", "meter/second", "metre/second"),
    ("mm", "millimeter", "millimetre", "millimeters", "millimetres"),
    ("%", "percent"),
    ("1", "", "dimensionless"),
)


def units_of(container: Container, names: Sequence[str]) -> Units:
    """The unit of each feature; None where the source says none."""
    attrs = container.variable_attrs
    shared = container.variable is not None or (len(attrs) == 1 and next(iter(attrs)) not in names)
    first = next(iter(attrs.values()), {})
    each = [first if shared else attrs.get(name, {}) for name in names]
    return tuple(str(attributes["units"]) if "units" in attributes else None for attributes in each)


def is_same_unit(a: str, b: str) -> bool:
    """Whether two texts name one unit: the same but for blanks and marks of powers, or known to be the same.

    >>> is_same_unit("m s**-1", "m/s"), is_same_unit("degC", "K")
    (True, False)
    """
    plain = [" ".join(text.replace("**", "").replace("^", "").split()) for text in (a, b)]
    return plain[0] == plain[1] or any(plain[0] in names and plain[1] in names for names in _SAME)


def compare_units(names: Sequence[str], ours: Units, theirs: Units, whose: tuple[str, str]) -> list[str]:
    """Notes on features whose unit only one of two sources says.

    Args:
        names: of the features.
        ours, theirs: their units.
        whose: of what, as in "the run" and "file.nc".

    Raises:
        InputError: a feature in two units.
    """
    for name, a, b in zip(names, ours, theirs, strict=True):
        if a is not None and b is not None and not is_same_unit(a, b):
            raise InputError(
                f"{name} is in '{a}' in {whose[0]}, but in '{b}' in {whose[1]}: convert the values to '{a}' and give "
                "them that unit in the file"
            )
    notes = []
    for unsaid, said, present, absent in ((theirs, ours, *whose), (ours, theirs, *reversed(whose))):
        only = [f"{name} in '{s}'" for name, s, u in zip(names, said, unsaid, strict=True) if s and u is None]
        if only:
            notes.append(f"Units could not be compared: {present} has {list_names(only, 4)}, {absent} has none.")
    return notes
