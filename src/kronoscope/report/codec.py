"""Records to JSON and back, strictly: what is read back is what was written, or an error that says why not."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from .._errors import InputError
from ._files import write_text
from .figures import Bar, BarPanel, Figure, Line, LinePanel, MatrixPanel
from .movies import Animation, Movie
from .records import Column, Estimate, Facts, Number, Report, Section, Table, Text, Verdict

_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Report, Section, Text, Facts, Verdict, Number, Table, Column, Estimate,
        Figure, LinePanel, Line, MatrixPanel, BarPanel, Bar, Animation, Movie,
    )
}  # fmt: skip


def to_json(record: object) -> str:
    """JSON of a record: each record is an object whose "type" is the name of its class.

    Raises:
        TypeError: ``record`` holds something that is not a record of this package.
    """
    return json.dumps(_plain(record), ensure_ascii=False, allow_nan=False, indent=1)


def from_json(text: str) -> Any:
    """The record that :func:`to_json` wrote, checked again as if it were built anew.

    Raises:
        InputError: No JSON, an unknown type, an unknown or missing field, or a value that the record refuses.
    """
    try:
        plain = json.loads(text, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"the records are not valid JSON: {error}") from None
    if not isinstance(plain, dict):
        raise InputError(f"the records must be a JSON object with a type, got {type(plain).__name__}")
    try:
        return _record(plain)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"the records do not fit: {error}") from None


def save_records(report: Report, path: str | Path, force: bool = False) -> Path:
    """Write ``report`` as JSON, from which :func:`load_records` and ``render`` need no model.

    Raises:
        InputError: The file exists and ``force`` is False.
    """
    return write_text(path, to_json(report) + "\n", force)


def load_records(path: str | Path) -> Report:
    """The report that :func:`save_records` wrote.

    Raises:
        InputError: No such file, or no report in it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file") from None
    report = from_json(text)
    if not isinstance(report, Report):
        raise InputError(f"{path} must hold a Report, got {type(report).__name__}")
    return report


def _plain(value: object) -> object:
    if type(value) in _KINDS.values():
        return {"type": type(value).__name__} | {f.name: _plain(getattr(value, f.name)) for f in fields(value)}  # type: ignore[arg-type]
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} is not a record of a report")


def _record(plain: object) -> Any:
    if isinstance(plain, list):
        return tuple(_record(v) for v in plain)
    if not isinstance(plain, dict):
        return plain
    kind = _KINDS.get(str(plain.get("type")))
    if kind is None:
        raise InputError(f"type must be one of {', '.join(_KINDS)}, got {plain.get('type')!r}")
    given = {name: value for name, value in plain.items() if name != "type"}
    known = {f.name for f in fields(kind)}
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    if unknown := sorted(given.keys() - known):
        raise InputError(f"{kind.__name__} has no field {', '.join(unknown)}")
    if missing := sorted(needed - given.keys()):
        raise InputError(f"{kind.__name__} needs the field {', '.join(missing)}")
    return kind(**{name: _record(value) for name, value in given.items()})


def _refuse_constant(name: str) -> float:
    raise InputError(f"numbers must be finite, got {name}")
