"""Whether a changed program gives the old numbers: every number of an old ``results.json`` occurs in the new one.

The names of fields may change and numbers may be added; a number that is lost or differs by more than 1e-9 (relative)
is a failure. Run both programs on one thread (``OMP_NUM_THREADS=1``), with the same seed and size.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TOLERANCE = 1e-9
FILE = "results.json"
IGNORED = ("seconds", "seed", "format")  # times, and what belongs to the request
SHOWN = 3


def run(old: str, new: str) -> Iterator[dict[str, Any]]:
    """A row a study: how many of the old numbers are missing in the new folder.

    Args:
        old: Folder of a study, or a folder of such folders, as ``kronoscope reproduce NAME --quick`` writes them.
        new: The same, of the changed program.
    """
    for name in studies(old):
        yield _row(name or Path(old).name, Path(old) / name / FILE, Path(new) / name / FILE)


def studies(folder: str) -> list[str]:
    """Names of the folders in ``folder`` that hold results; the empty name where ``folder`` itself holds them.

    Raises:
        ValueError: There are none.
    """
    if (Path(folder) / FILE).exists():
        return [""]
    names = sorted(path.parent.name for path in Path(folder).glob(f"*/{FILE}"))
    if not names:
        raise ValueError(f"{folder} holds no {FILE}, nor does a folder in it: give one that kronoscope reproduce wrote")
    return names


def _row(name: str, old: Path, new: Path) -> dict[str, Any]:
    before = numbers(json.loads(old.read_text(encoding="utf-8")))
    lost = missing(before, numbers(json.loads(new.read_text(encoding="utf-8")))) if new.exists() else before
    note = "every number is there" if not lost else "; ".join(f"{path} = {value!r}" for path, value in lost[:SHOWN])
    if not new.exists():
        note = f"{new} does not exist"
    row = {"name": f"{name}: numbers that are lost, of {len(before)}", "value": len(lost), "unit": "numbers"}
    return row | {"note": note, "failed": int(bool(lost) or not new.exists())}


def numbers(values: Any, path: str = "$") -> list[tuple[str, float]]:
    """The finite numbers in plain JSON values, each with its path; booleans are no numbers."""
    if isinstance(values, dict):
        return [pair for key, value in values.items() if key not in IGNORED for pair in numbers(value, f"{path}.{key}")]
    if isinstance(values, list):
        return [pair for index, value in enumerate(values) for pair in numbers(value, f"{path}[{index}]")]
    if isinstance(values, (int, float)) and not isinstance(values, bool) and math.isfinite(values):
        return [(path, float(values))]
    return []


def missing(old: list[tuple[str, float]], new: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Those of the old numbers that have no partner of their own among the new ones."""
    left = sorted(value for _, value in new)
    lost = []
    for path, value in sorted(old, key=lambda pair: pair[1]):
        margin = TOLERANCE * abs(value)
        index = bisect.bisect_left(left, value - margin)
        if index < len(left) and left[index] <= value + margin:
            left.pop(index)
        else:
            lost.append((path, value))
    return lost
