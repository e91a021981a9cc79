"""Checks of record fields. Each returns the plain value and raises an ``InputError`` that names what was wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from .._errors import InputError

# Control characters, lone surrogates and bidirectional overrides: no place on a page, whatever name they came in.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

T = TypeVar("T")


def settle(record: object, **values: object) -> None:
    """Store checked values in a frozen record that is being built."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def text(name: str, value: str, empty: bool = True) -> str:
    """``value`` as printable text; ``empty=False`` refuses nothing but blanks."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, got {value!r}")
    if not empty and not value.strip():
        raise InputError(f"{name} must not be empty")
    return _UNPRINTABLE.sub("\ufffd", value.replace("\r\n", "\n"))


def number(name: str, value: float) -> float:
    """``value`` as a finite float."""
    if isinstance(value, (bool, str)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(result):
        raise InputError(f"{name} must be finite, got {result}")
    return result


def numbers(name: str, values: Iterable[float], least: int = 0, length: int | None = None) -> tuple[float, ...]:
    """``values`` as a tuple of finite floats, of the length asked for."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of numbers, got {values!r}")
    result = tuple(number(f"{name}[{i}]", v) for i, v in enumerate(values))
    if length is not None and len(result) != length:
        raise InputError(f"{name} must hold {length} numbers, got {len(result)}")
    if len(result) < least:
        raise InputError(f"{name} must hold at least {least} numbers, got {len(result)}")
    return result


def limits(name: str, values: Sequence[float] | None) -> tuple[float, ...] | None:
    """``values`` as (low, high) with low < high, or None."""
    if values is None:
        return None
    low, high = numbers(name, values, length=2)
    if low >= high:
        raise InputError(f"{name} must be (low, high) with low < high, got ({low:g}, {high:g})")
    return low, high


def whole(name: str, value: int, least: int = 0) -> int:
    """``value`` as an int of at least ``least``."""
    if isinstance(value, (bool, str)) or int(value) != value:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise InputError(f"{name} must be at least {least}, got {value}")
    return int(value)


def flag(name: str, value: bool) -> bool:
    """``value``, if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """``value``, if it is one of ``choices``."""
    options = list(choices)
    if value not in options:
        raise InputError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return value


def records(name: str, values: Iterable[Any], kinds: type[T] | tuple[type[T], ...], least: int = 0) -> tuple[T, ...]:
    """``values`` as a tuple whose members are all of ``kinds``."""
    if isinstance(values, (str, dict)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of records, got {values!r}")
    result = tuple(values)
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    for i, value in enumerate(result):
        if not isinstance(value, wanted):
            raise TypeError(
                f"{name}[{i}] must be {' or '.join(k.__name__ for k in wanted)}, got {type(value).__name__}"
            )
    if len(result) < least:
        raise InputError(f"{name} must hold at least {least}, got {len(result)}")
    return result


def texts(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """``values`` as a tuple of printable texts."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of texts, got {values!r}")
    return tuple(text(f"{name}[{i}]", v) for i, v in enumerate(values))
