"""Numbers as text: significant digits, a true minus, thin spaces between thousands, powers of ten."""

from __future__ import annotations

import math

THIN = "\u202f"
KNOWN_DIGITS = 6  # a value known to more digits than these is rounded, and its error stands by itself
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """10 to the ``exponent``, with raised digits."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def decimal(value: float, decimals: int) -> str:
    """``value`` with so many digits after the point, groups of three set apart from five digits on."""
    text = f"{abs(value):.{decimals}f}"
    whole, point, rest = text.partition(".")
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", THIN)
    sign = "−" if value < 0 and float(text) != 0 else ""
    return sign + whole + point + rest


def significant(value: float, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits; in powers of ten below 0.001 and from a million on."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    size = int(exponent)
    if -3 <= size < 6:
        return decimal(value, max(0, digits - 1 - size))
    return f"{decimal(float(mantissa), digits - 1)}{THIN}×{THIN}{power_of_ten(size)}"


def brief(value: float, digits: int = 3) -> str:
    """``value`` to at most ``digits`` significant digits, without trailing zeros, as on an axis."""
    text = significant(value, digits)
    lead, gap, power = text.partition(f"{THIN}×")
    return (lead.rstrip("0").rstrip(".") if "." in lead else lead) + gap + power


def estimate(value: float, error: float) -> str:
    """Value and error to two digits of the error, at most six after the point: "0.696 ± 0.012".

    Where the error is below a millionth of the value, both are rounded by themselves: "0.0500 ± 1.1 × 10⁻¹¹".
    """
    if error == 0:
        return f"{significant(value)} ± 0"
    size = int(f"{error:.1e}".split("e")[1])
    if value and size < math.floor(math.log10(abs(value))) - KNOWN_DIGITS:
        return f"{significant(value)} ± {significant(error, 2)}"
    if -6 < size < 6:
        places = max(0, 1 - size)
        return f"{decimal(value, places)} ± {decimal(error, places)}"
    scale = max(size, math.floor(math.log10(abs(value))) if value else size)
    places = scale - size + 1
    lead, spread = value / 10.0**scale, error / 10.0**scale
    return f"({decimal(lead, places)} ± {decimal(spread, places)}){THIN}×{THIN}{power_of_ten(scale)}"
