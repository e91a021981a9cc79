"""Options of the command line made from the fields of a record, so that help, default and range are written once."""

from __future__ import annotations

import csv
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from .._errors import InputError
from ..settings import Option, options_of

Command = TypeVar("Command", bound=Callable[..., Any])
Record = TypeVar("Record")
_REPEATED = ("limits", "na_values", "network_options")


def with_options(
    records: Mapping[str, type[Any]],
    *,
    before: str,
    names: Sequence[str] | None = None,
    defaults: Mapping[str, object] | None = None,
) -> Callable[[Command], Command]:
    """Give a command, in place of its ``**options``, an option for each field of records; one left out arrives as None.

    Args:
        records: Classes of ``kronoscope.settings`` by heading in the help. Their defaults apply where the records are
            made, and are shown here.
        before: The parameter of the command that the options stand before.
        names: The fields; None takes all.
        defaults: What to show for fields whose default the record does not hold.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        made = [
            _parameter(field, option, get_type_hints(record)[name], panel, (defaults or {}).get(name, field.default))
            for panel, record in records.items()
            for name, (field, option) in options_of(record).items()
            if names is None or name in names
        ]
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        at = [parameter.name for parameter in own].index(before)
        both = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own[:at], *made, *own[at:])]
        command.__signature__ = signature.replace(parameters=both)  # type: ignore[attr-defined]
        command.__annotations__ |= {parameter.name: parameter.annotation for parameter in made}
        return command

    return decorate


def _parameter(field: Field[Any], option: Option, hint: Any, panel: str, default: object) -> inspect.Parameter:
    kind: Any = list[str] if field.name in _REPEATED else _plain_type(hint)
    info = typer.Option(*option.flags, help=_help(option, default), show_default=False, rich_help_panel=panel)
    annotation = Annotated[kind | None, info]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _plain_type(hint: Any) -> type:
    """The type of one word on the command line: a number or yes and no where the field holds nothing else."""
    members = {member for member in get_args(hint) or (hint,) if member is not type(None)}
    return members.pop() if members in ({int}, {float}, {bool}) else str


def _help(option: Option, default: object) -> str:
    text = option.help
    if option.choices and not all(word in text for word in option.choices):
        text = f"{text.rstrip('.')}: {', '.join(option.choices[:-1])} or {option.choices[-1]}."
    shown = option.unset or ("none" if default is None and "none" in option.choices else default)
    return text if shown is None or shown is MISSING or shown == "" else f"{text}  [default: {shown}]"


def given_of(record: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that were given on the command line, by name, as the record takes them."""
    names = options_of(record)
    return {
        name: _parsed(name, value, names[name][1])
        for name, value in options.items()
        if name in names and value is not None and value != []
    }


def record_of(record: type[Record], options: Mapping[str, Any]) -> Record:
    """The record that the options on the command line describe."""
    return record(**given_of(record, options))


def _parsed(name: str, value: Any, option: Option) -> Any:
    if name in _PARSERS:
        return _PARSERS[name](value)
    return None if value == "none" and "none" in option.choices and name != "calendar" else value


def split_names(text: str) -> list[str] | None:
    """Names separated by commas; one that holds a comma stands in quotation marks."""
    return next(csv.reader([text], skipinitialspace=True)) if text else None


def _limits(texts: list[str]) -> dict[str, tuple[float, float]]:
    from .. import data

    return data.parse_limits(texts)


def _network_options(texts: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"--option must be written NAME=VALUE, got {text!r}")
        try:
            options[name] = json.loads(value)
        except (ValueError, RecursionError):
            options[name] = value
    return options


def _test(text: str) -> float | str:
    if ":" in text:
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--test must be a share such as 0.2 or weeks:5, got {text!r}") from None


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "columns": split_names,
    "limits": _limits,
    "network_options": _network_options,
    "test": _test,
}
