"""How a column of text writes its numbers, so that a new one looks like those that are there."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# Beyond so many decimals a number is written with the digits that tell it from its neighbours.
MOST_DECIMALS = 15
_ROUND_OFF_DIGITS = 15
_GROUPED = re.compile(r"[+-]?\d{1,3}([., \u00a0\u2009\u202f'\u2019])\d{3}(?!\d)")
_NUMBER = re.compile(r"[+-]?(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?")


@dataclass(frozen=True)
class NumberStyle:
    """What the numbers of a column have in common.

    Attributes:
        most, least: decimals of the number with most, and of the one with fewest.
        whole: every number is a whole one, whatever its decimals.
        scientific: some numbers are written with an exponent.
        quoted: most numbers stand in quotation marks.
        width: of all cells, where they are padded to one width; else None.
        margin: blanks before a number.
        decimal: the mark between the whole part and the decimals.
        thousands: the mark between thousands; empty without one.
    """

    most: int
    least: int
    whole: bool
    scientific: bool = False
    quoted: bool = False
    width: int | None = None
    margin: str = ""
    decimal: str = "."
    thousands: str = ""

    @classmethod
    def of(cls, cells: Iterable[str], decimal: str = ".") -> NumberStyle:
        """The style of the raw text of cells, quotation marks and blanks included; other text is skipped."""
        decimals: list[int] = []
        whole, scientific, quoted, number, thousands = True, False, 0, 0, ""
        margins: Counter[str] = Counter()
        widths: set[int] = set()
        for raw, count in Counter(cells).items():
            widths.add(len(raw))
            text = raw.strip()
            inside = text.strip('"').strip().replace("\u2212", "-")
            if (grouped := _GROUPED.match(inside)) and grouped[1] != decimal:
                thousands = grouped[1]
                inside = inside.replace(thousands, "")
            match = _NUMBER.fullmatch(inside if decimal == "." else inside.replace(decimal, "."))
            if match is None or not (match[1] or match[2]):
                continue
            match = _without_round_off(match)
            exponent = int(match[3] or 0)
            fraction = match[2] or ""
            decimals.append(max(0, len(fraction) - exponent))
            scientific |= match[3] is not None
            whole = whole and len(fraction.rstrip("0")) - exponent <= 0
            quoted += count * text.startswith('"')
            margins[raw[: len(raw) - len(raw.lstrip())]] += count
            number += count
        if not number:
            return cls(MOST_DECIMALS + 1, 0, False, decimal=decimal)
        margin = margins.most_common(1)[0][0]
        padded = len(widths) == 1 and (len(margins) > 1 or len(margin) > 1)
        return cls(
            max(decimals),
            min(decimals),
            whole,
            scientific,
            2 * quoted > number,
            widths.pop() if padded else None,
            margin,
            decimal,
            thousands,
        )

    def write(self, value: float) -> str:
        """The number with as many decimals as the column has; a whole one where the column holds nothing else."""
        if self.whole:
            value = float(round(value))
        rounded = round(value, self.most) + 0.0  # no minus before a zero
        if self.scientific or self.most > MOST_DECIMALS:
            text = repr(rounded)
            if self.whole and self.least == 0 and text.endswith(".0"):
                text = text[:-2]
        else:
            text = f"{rounded:.{self.most}f}"
            surplus = self.most - self.least
            if surplus:
                kept = text.rstrip("0")
                text = text[: max(len(kept), len(text) - surplus)].rstrip(".")
        if self.thousands and "e" not in text:
            before, point, after = text.partition(".")
            text = f"{int(before):,}".replace(",", self.thousands) + self.decimal * bool(point) + after
            return f"-{text}" if before.startswith("-") and not int(before) else text
        return text.replace(".", self.decimal)

    def cell(self, raw: str, value: float, separator: str = ",") -> str:
        """The raw text of a cell with the number in place of what ``raw`` holds."""
        text = self.write(value)
        if self.quoted or separator in text:
            text = f'"{text}"'
        if self.width == len(raw):
            return text.rjust(self.width)
        if not raw.strip():
            return self.margin + text
        return raw[: len(raw) - len(raw.lstrip())] + text + raw[len(raw.rstrip()) :]


def _without_round_off(number: re.Match[str]) -> re.Match[str]:
    """The number as it was before round-off gave it 15 digits or more: 12.65858 for 12.658579999999999."""
    digits = (number[1] + (number[2] or "")).lstrip("0")
    if len(digits) < _ROUND_OFF_DIGITS:
        return number
    value = float(number[0])
    short = f"{value:.{_ROUND_OFF_DIGITS - 3}g}"
    is_round_off = abs(float(short) - value) <= 4 * sys.float_info.epsilon * abs(value)
    return (_NUMBER.fullmatch(short) or number) if is_round_off else number
