"""Records as plain JSON values and back: one codec for every file of records that kronoscope writes.

A record is a frozen dataclass whose fields hold numbers, text, None, tuples, lists, dictionaries with text as keys, or
further records. The class that reads says what is expected, so nothing is guessed: what comes back equals what was
written, or an error names the field that does not fit.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import cattrs

from ._errors import InputError
from .settings.options import suggestion

R = TypeVar("R")

_NUMBERS = re.compile(r"\[\n\s*([-+.,eE\d\s]+?)\n\s*\]")
_PLAIN = (str, float, int, bool)
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_plain(record: object) -> Any:
    """A record as values that JSON holds; numbers that are not finite become the texts NaN, Infinity, -Infinity.

    Raises:
        TypeError: The record holds something else, such as a tensor.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: to_plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, dict):
        if not all(isinstance(key, str) for key in record):
            raise TypeError("the keys of a record's dictionary must be text")
        return {key: to_plain(value) for key, value in record.items()}
    if isinstance(record, (tuple, list)):
        return [to_plain(value) for value in record]
    if record is None or type(record) in (str, bool, int):
        return record
    if type(record) is float:
        return record if math.isfinite(record) else _not_finite(record)
    raise TypeError(f"{type(record).__name__} cannot be written as a record")


def from_plain(kind: type[R], plain: Any) -> R:
    """The record of class ``kind`` that :func:`to_plain` turned into ``plain``.

    Raises:
        InputError: A field is missing, unknown, or holds a value of another type; the message names it.
    """
    if not isinstance(plain, dict):
        raise InputError(f"this is not a {kind.__name__}: expected an object with its fields, got {plain!r}"[:200])
    try:
        return _CONVERTER.structure(plain, kind)
    except cattrs.BaseValidationError as error:
        unknown = _first_unknown(error)
        if unknown is not None:
            raise InputError(f"this is not a {kind.__name__}: it has no field {unknown}") from None
        raise InputError(f"this is not a {kind.__name__}: {cattrs.transform_error(error)[0]}") from None


def parse_json(text: str | bytes) -> Any:
    """The plain values that a JSON text holds.

    Raises:
        ValueError: It is not JSON, or nested too deep; the message is one line.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deep") from None


def to_text(plain: Any) -> str:
    """Plain values as JSON text that ends with a line break; a list of numbers stands on one line."""
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text) + "\n"


def _first_unknown(error: BaseException) -> str | None:
    """An unknown field, and the one that was meant, where a record has one."""
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        name = min(error.extra_fields)
        return f"{name!r}{suggestion(name, [field.name for field in dataclasses.fields(error.cl)])}"
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next(filter(None, map(_first_unknown, inner)), None)


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _exactly(*kinds: type) -> Any:
    def structure(value: Any, _kind: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"expected {kinds[0].__name__}, got {type(value).__name__}")
        return value

    return structure


def _float(value: Any, _kind: Any) -> float:
    if type(value) in (int, float):
        return float(value)
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    raise TypeError(f"expected float, got {value!r}")


def _is_plain_union(kind: Any) -> bool:
    """Whether a field may hold several kinds of plain value, such as text or a number."""
    members = [*filter(lambda member: member is not type(None), get_args(kind))]
    return get_origin(kind) in (Union, UnionType) and len(members) > 1 and any(m in _PLAIN for m in members)


def _structure_union(value: Any, kind: Any) -> Any:
    members = get_args(kind)
    if type(value) in members:
        return value
    if float in members and type(value) is int:
        return float(value)
    raise TypeError(f"expected {kind}, got {value!r}")


def _new_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, bool, int):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook_func(_is_plain_union, _structure_union)
    return converter


_CONVERTER = _new_converter()
