"""``python -m benchmarks [NAME ...]``: run the named benchmarks (all by default) and print their rows."""

from __future__ import annotations

import importlib
import sys
import time

from rich.console import Console
from rich.table import Table

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
    "compiler",
    "compiler-speed",
    "forgeries",
)
COLUMNS = ("name", "value", "unit", "baseline", "ratio", "floor", "note")


def main(asked: list[str]) -> int:
    """Print one table a benchmark; an unknown name is refused with the list."""
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        print(f"benchmarks: no {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 200)
    for name in asked or NAMES:
        began = time.monotonic()
        rows = []
        for row in importlib.import_module(f"benchmarks.{name.replace('-', '_')}").run():
            rows.append(row)
            ratio = "" if row.get("ratio") is None else f", ratio {_cell(row['ratio'])}"
            print(f"{name}: {row['name']}: {_cell(row['value'])}{ratio} ({row['note']})", file=sys.stderr, flush=True)
        table = Table(title=f"{name} ({time.monotonic() - began:.0f} s)")
        for column in COLUMNS:
            table.add_column(column, justify="right" if column in ("value", "ratio") else "left")
        for row in rows:
            table.add_row(*(_cell(row.get(column)) for column in COLUMNS))
        console.print(table)
    return 0


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
