"""``python -m benchmarks [NAME ...] [--OPTION VALUE ...]``: run the named benchmarks, or all, and print their rows.

Options are arguments of a benchmark's ``run``, as in ``python -m benchmarks kills --kills 40 --only fit``.
``python -m benchmarks golden OLD_FOLDER NEW_FOLDER`` compares the results of two programs. The exit code is 1 where a
row counts failures.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import golden

NAMES = (
    "exact",
    "samplers",
    "learners",
    "tuning",
    "unrolled",
    "variants",
    "weather",
    "wind",
    "audit",
    "budget",
    "compiler",
    "compiler-speed",
    "forgeries",
    "fuzz",
    "kills",
    "mixture",
    "theory",
)
ON_REQUEST = ("golden", "mutants")  # not part of a run of all: one needs folders, the other an extra and half an hour
COLUMNS = ("name", "value", "unit", "baseline", "ratio", "floor", "note")


def main(asked: list[str]) -> int:
    """Print one table a benchmark; an unknown name is refused with the list."""
    try:
        asked, options = _folders(asked) if asked[:1] == ["golden"] else _options(asked)
        unknown = [name for name in asked if name not in (*NAMES, *ON_REQUEST)]
        if unknown:
            raise ValueError(f"no {', '.join(unknown)}; there are {', '.join((*NAMES, *ON_REQUEST))}")
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 200)
    failed = 0
    for name in asked or NAMES:
        began = time.monotonic()
        rows = []
        for row in importlib.import_module(f"benchmarks.{name.replace('-', '_')}").run(**options):
            rows.append(row)
            failed += row.get("failed", 0)
            ratio = "" if row.get("ratio") is None else f", ratio {_cell(row['ratio'])}"
            print(f"{name}: {row['name']}: {_cell(row['value'])}{ratio} ({row['note']})", file=sys.stderr, flush=True)
        table = Table(title=f"{name} ({time.monotonic() - began:.0f} s)")
        for column in COLUMNS:
            table.add_column(column, justify="right" if column in ("value", "ratio") else "left")
        for row in rows:
            table.add_row(*(escape(_cell(row.get(column))) for column in COLUMNS))
        console.print(table)
    return 1 if failed else 0


def _folders(asked: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The two folders of ``golden``."""
    if len(asked) != 3:
        raise ValueError("golden compares two folders: python -m benchmarks golden OLD_FOLDER NEW_FOLDER")
    if missing := [folder for folder in asked[1:] if not Path(folder).is_dir()]:
        raise ValueError(f"{missing[0]} is not a folder")
    golden.studies(asked[1])
    return asked[:1], {"old": asked[1], "new": asked[2]}


def _options(asked: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Names of benchmarks, and the options after them: whole numbers, or texts."""
    first = next((k for k, word in enumerate(asked) if word.startswith("--")), len(asked))
    names, words = asked[:first], asked[first:]
    if len(words) % 2 or not all(word.startswith("--") for word in words[::2]):
        raise ValueError("options come last, each with its value: --NAME VALUE")
    values = [int(word) if word.isdigit() else word for word in words[1::2]]
    return names, dict(zip((word[2:].replace("-", "_") for word in words[::2]), values, strict=True))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
