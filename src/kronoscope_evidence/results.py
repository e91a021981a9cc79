"""The results of a study as a file, and the page made from it without measuring again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kronoscope import InputError, report
from kronoscope._codec import from_plain, parse_json, to_plain, to_text

from .registry import study
from .study import RECOMMENDATIONS, Check

RESULTS = "results.json"
STORED = Path(__file__).parent / "stored"  # results of full runs, by name of the study
FORMAT = "kronoscope-study-1"
NOT_EVALUATED = "not evaluated: quick run"


@dataclass(frozen=True)
class Header:
    """How a result came about.

    Attributes:
        format: Of the file.
        study: Name of the study.
        quick: Whether it ran in the quick size, which is not evidence.
        seed: Of everything random.
        seconds: How long it took.
    """

    format: str
    study: str
    quick: bool
    seed: int
    seconds: float


@dataclass(frozen=True)
class Results:
    """A header and the study's own result record."""

    header: Header
    result: Any

    def checks(self) -> list[Check]:
        """The numbers that could refute the claim; those of a quick run are not evaluated."""
        checks = study(self.header.study).checks(self.result)
        return [replace(check, holds=None) for check in checks] if self.header.quick else checks

    def page(self) -> report.Report:
        """The page. Nothing is measured."""
        entry = study(self.header.study)
        page = entry.page(self.result)
        numbers = [_number(check, self.header.quick) for check in entry.checks(self.result)]
        facts = [*page.facts, ("seed", self.header.seed), ("seconds", self.header.seconds)]
        if self.header.quick:
            facts.append(("size", "quick: a smoke run; its numbers are not evidence"))
            page = replace(
                page,
                title=f"Smoke run: {page.title}",
                sections=[section for section in page.sections if section.title != RECOMMENDATIONS],
            )
        return replace(page, facts=facts, verdict=report.Verdict(numbers))

    def to_text(self) -> str:
        """The text of the file."""
        return to_text({**to_plain(self.header), "result": to_plain(self.result)})


def _number(check: Check, quick: bool) -> report.Number:
    if quick and check.holds is not None:
        return report.Number(check.shown, check.label, NOT_EVALUATED)
    standing = "neutral" if check.holds is None else "good" if check.holds else "bad"
    return report.Number(check.shown, check.label, check.expected, standing)


def is_study(folder: Path) -> bool:
    """Whether the folder holds the results of a study; damaged ones count, so that :func:`load` says what is wrong."""
    return is_of_format(folder / RESULTS, FORMAT)


def load(path: Path) -> Results:
    """The results in a file that ``kronoscope reproduce`` wrote.

    Raises:
        InputError: The file is missing, damaged, or of another format or study; the message names the file.
    """
    plain = read(path, FORMAT, "kronoscope reproduce")
    try:
        result = from_plain(study(str(plain.get("study"))).result, plain.pop("result", None))
        return Results(from_plain(Header, plain), result)
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}") from None


def is_stored(name: str) -> bool:
    """Whether the result of a full run of that study comes with kronoscope."""
    return (STORED / f"{name}.json").exists()


def stored(name: str) -> Results:
    """The result of a full run of that study, as it comes with kronoscope.

    Raises:
        InputError: There is no such study, or its full result is not stored; the message says how to measure it.
    """
    minutes = study(name).minutes[0]
    if not is_stored(name):
        raise InputError(
            f"{name} has no stored result yet; kronoscope reproduce {name} measures it in about {minutes:g} minutes. "
            f"Stored are {', '.join(sorted(path.stem for path in STORED.glob('*.json')))}"
        )
    return load(STORED / f"{name}.json")


def is_of_format(path: Path, name: str) -> bool:
    """Whether a file of results begins with that format, in any version."""
    try:
        return f'"format": "{name.rpartition("-")[0]}-' in path.read_text(encoding="utf-8")[:200]
    except (OSError, UnicodeDecodeError):
        return False


def read(path: Path, name: str, command: str) -> dict[str, object]:
    """The plain values in a file of results, not checked further than its format.

    Raises:
        InputError: The file is missing, damaged or of another format; the message names the command that writes it.
    """
    try:
        plain = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: the folder holds no results of `{command}`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if not isinstance(plain, dict) or plain.get("format") != name:
        raise InputError(f"{path} is not of the format {name}: run `{command}` again")
    return plain
