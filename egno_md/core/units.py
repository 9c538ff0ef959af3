"""Internal units (nm, ps, Da, K, kJ/mol, e) and the reading of quantities with units.

1 Da nm²/ps² = 1 kJ/mol, so kinetic energy needs no conversion constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from egno_md.core.errors import SpecError, WindowMismatch, shown

if TYPE_CHECKING:
    import pint

BOLTZMANN = 0.00831446261815324
"""Molar gas constant, kJ/mol/K (CODATA 2018, exact)."""

NANOMETRE_PER_ANGSTROM = 0.1
KJ_PER_KCAL = 4.184
KJ_PER_HARTREE = 2625.4996394799
NANOMETRE_PER_BOHR = 0.0529177210903

SECONDS_PER_DAY = 86400.0

DIGITS = 14
"""Significant digits of a quantity, in and out."""

Dimension = Literal[
    "time",
    "length",
    "temperature",
    "rate",
    "energy",
    "mass",
    "force",
    "stiffness",
    "pressure",
    "wall time",
    "memory",
]

UNITS: dict[Dimension, tuple[str, str]] = {
    "time": ("ps", "2 fs"),
    "length": ("nm", "0.9 nm"),
    "temperature": ("K", "300 K"),
    "rate": ("1/ps", "5 /ps"),
    "energy": ("kJ/mol", "10 kJ/mol"),
    "mass": ("Da", "1.5 Da"),
    "force": ("kJ/mol/nm", "2e4 kJ/mol/nm"),
    "stiffness": ("kJ/mol/nm**2", "1000 kJ/mol/nm**2"),
    "pressure": ("bar", "1 bar"),
    "wall time": ("s", "20 min"),
    "memory": ("GiB", "4 GiB"),
}
"""Internal unit and an example of every dimension."""

WHOLE_TOLERANCE = 1e-6
"""Relative slack when asking whether one time is a whole number of others."""


@cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint

    return pint.UnitRegistry()


LONGEST = 80
"""Characters of a quantity."""

NUMBER = re.compile(
    r"\s*[+-]?(?:inf|nan|[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:e[+-]?[0-9]+)?\s*(?:1?\s*/)?",
    re.IGNORECASE,
)
POWER = re.compile(r"(?<=[^\W\d_])\s?(?:(?:\*\*|\^)\s?[+-]?[0-9]{1,2}(?![0-9])|⁻?[¹²³⁴⁵⁶⁷⁸⁹])")

COUNTABLE = 2.0**53
"""Doubles count in whole numbers up to here."""


def parse_quantity(text: object, dimension: Dimension) -> float:
    """Read a quantity such as ``"2 fs"`` into internal units.

    Args:
        text: a string with a number and a unit, or a quantity of OpenMM's or pint's units.
        dimension: what the quantity measures.

    Returns:
        The value in internal units (ps, nm, K, 1/ps, kJ/mol, Da, kJ/mol/nm, bar).

    Raises:
        SpecError: no unit, an unknown unit, a wrong dimension, or not finite.
    """
    import pint

    target, example = UNITS[dimension]
    text = _spelled(text)
    if isinstance(text, (int, float)) or (isinstance(text, str) and _is_number(text)):
        raise SpecError(f"{shown(text)} has no unit. Write a {dimension} such as '{example}'.")
    if not isinstance(text, str):
        raise SpecError(f"{shown(text)} is not a {dimension}. Write one such as '{example}'.")
    if len(text) > LONGEST or not _is_one_number(text):
        raise SpecError(
            f"{text[:LONGEST]!r} cannot be read as a {dimension}. Write one such as '{example}'."
        )
    spelled = text.strip().replace(" /", " 1/", 1).replace("Å", "angstrom")
    try:
        value = float(_registry().Quantity(spelled).to(target).magnitude)
    except pint.DimensionalityError:
        raise SpecError(f"{text!r} is not a {dimension}. Write one such as '{example}'.") from None
    except MemoryError:
        raise
    except Exception:  # pint and Python's tokenizer under it raise many kinds
        raise SpecError(
            f"{text!r} cannot be read as a {dimension}. Write one such as '{example}'."
        ) from None
    if not np.isfinite(value):
        raise SpecError(f"{text!r} is not finite. Write a {dimension} such as '{example}'.")
    # unit factors leave a rounding behind: 0.5 angstrom is 0.05 nm, not 0.05000000000000001
    return float(f"{value:.{DIGITS}g}")


def _spelled(value: object) -> object:
    """A quantity of OpenMM's or pint's units in words; anything else as it is."""
    match value:
        case str() | int() | float():
            return value
        case _ if hasattr(value, "value_in_unit") and hasattr(value, "unit"):
            quantity: Any = value
            return f"{float(quantity.value_in_unit(quantity.unit))!r} {quantity.unit.get_name()}"
        case _ if hasattr(value, "magnitude") and hasattr(value, "units"):
            quantity = value
            return f"{float(quantity.magnitude)!r} {quantity.units}"
        case _:
            return value


def _is_one_number(text: str) -> bool:
    """Whether this is a number, then names of units, each with a small power at most.

    Pint works out whatever it is given: 9**9**9 for ever, 1,5 ps as 15 ps, 5.0(4) ps as 20 ps.
    """
    number = NUMBER.match(text)
    if number is None:
        return False
    names = POWER.sub("", text[number.end() :])
    return "//" not in names and all(c.isalpha() or c in " _*/·()\t\n" for c in names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def format_quantity(value: float, dimension: Dimension) -> str:
    """Write an internal value with its unit, such that `parse_quantity` reads it back."""
    if dimension == "time" and 0 < abs(value) < 1:
        return f"{value * 1e3:.{DIGITS}g} fs"
    if dimension == "time" and abs(value) >= 1000:
        return f"{value * 1e-3:.{DIGITS}g} ns"
    unit = UNITS[dimension][0].replace("1/", "/")
    return f"{value:.{DIGITS}g} {unit}"


def whole_multiple(total: float, part: float, what: str, part_name: str) -> int:
    """How many times `part` fits into `total`, which must be a whole number.

    Raises:
        WindowMismatch: there is a remainder, and the message offers the neighbours; or
            there are too many to count.
    """
    if not abs(total / part) < COUNTABLE:
        raise WindowMismatch(
            f"{what} {format_quantity(total, 'time')} cannot be counted in {part_name} of "
            f"{format_quantity(part, 'time')}. Use times that are nearer to each other."
        )
    count = round(total / part)
    if count >= 1 and abs(total - count * part) <= WHOLE_TOLERANCE * part * count:
        return count
    below = max(count - (count * part > total), 0)
    choices = " or ".join(format_quantity(n * part, "time") for n in (below, below + 1) if n > 0)
    raise WindowMismatch(
        f"{what} {format_quantity(total, 'time')} is not a whole number of "
        f"{format_quantity(part, 'time')} {part_name}. Use {choices}."
    )


def kinetic_energy(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """½ Σ m v² over atoms.

    Args:
        velocities: ``(..., atoms, 3)``, nm/ps.
        masses: ``(atoms,)``, Da.

    Returns:
        ``(...)``, kJ/mol.
    """
    squared = np.einsum("...ax,...ax->...a", velocities, velocities, dtype=np.float64)
    return 0.5 * squared @ masses


def temperature(kinetic: np.ndarray | float, degrees_of_freedom: float) -> np.ndarray | float:
    """Kinetic temperature 2K/(f k_B) in K, for kinetic energies in kJ/mol."""
    return 2.0 * kinetic / (degrees_of_freedom * BOLTZMANN)


def thermal_speed(masses: Iterable[float] | np.ndarray, kelvin: float) -> np.ndarray:
    """Standard deviation √(k_B T/m) of one velocity component, nm/ps."""
    return np.sqrt(BOLTZMANN * kelvin / np.asarray(masses, dtype=np.float64))
