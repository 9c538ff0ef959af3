"""Numbers, shares and durations as text."""

from __future__ import annotations

from typing import Any

NONE = "–"


def number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits; a dash for none."""
    if value is None or isinstance(value, (str, bool)):
        return NONE if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3 or size >= 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa.replace('-', '−')}·10{raised}"
    whole = len(str(int(size))) if size >= 1 else 0
    places = max(digits - whole, 0)
    if size < 1:
        places = digits + f"{size:.6f}"[2:].find(next(c for c in f"{size:.6f}"[2:] if c != "0"))
    return f"{value:.{places}f}".replace("-", "−")


def interval(bounds: Any, digits: int = 3) -> str:
    """A confidence interval in brackets; a dash for none."""
    if not bounds:
        return NONE
    return f"[{number(bounds[0], digits)}, {number(bounds[1], digits)}]"


def percent(share: Any) -> str:
    """A share as a percentage."""
    return NONE if share is None else f"{100 * share:.1f}\u202f%"


def seconds(value: Any) -> str:
    """A duration in ms, s, min or h."""
    if value is None:
        return NONE
    if value < 1:
        return f"{1e3 * value:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    if value < 7200:
        return f"{value / 60:.1f} min"
    return f"{value / 3600:.1f} h"
