"""Options that say how a .csv file is written, for every command that reads one as ``fit`` does."""

from __future__ import annotations

import csv
from typing import Annotated

import typer

READING = "Reading SOURCE"

Separator = Annotated[
    str | None,
    typer.Option(
        help="Between the columns of a .csv: a character, tab or space; default: found.", rich_help_panel=READING
    ),
]
Decimal = Annotated[
    str | None,
    typer.Option(
        help="Decimal mark of a .csv, . or , where numbers could be read with either; default: found.",
        rich_help_panel=READING,
    ),
]
NaValues = Annotated[
    list[str] | None,
    typer.Option(
        "--na-values",
        help="A text that means a missing value in a .csv, besides NA, NaN, null and nothing. Repeatable.",
        rich_help_panel=READING,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(help="Of a .csv, such as utf-16-le; default: UTF-8, else cp1252.", rich_help_panel=READING),
]
DayFirst = Annotated[
    bool | None,
    typer.Option(
        "--dayfirst/--monthfirst",
        help="Whether 03/04/2024 is the 3rd of April, where all times could be read with either; default: refused.",
        show_default=False,
        rich_help_panel=READING,
    ),
]


def split_names(text: str | None) -> list[str] | None:
    """Names separated by commas; one that holds a comma stands in quotation marks."""
    return next(csv.reader([text], skipinitialspace=True)) if text else None
