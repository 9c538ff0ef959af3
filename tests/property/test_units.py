"""Quantities, whole multiples and units, at any magnitude."""

from __future__ import annotations

import math

import openmm.unit as openmm_unit
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egno_md.core.errors import SpecError, WindowMismatch
from egno_md.core.units import (
    DIGITS,
    UNITS,
    WHOLE_TOLERANCE,
    Dimension,
    format_quantity,
    parse_quantity,
    whole_multiple,
)
from tests.property.lines import fine_or_one_line

PRECISION = 10.0 ** (1 - DIGITS)
"""Relative: one in the last digit that is written."""

ROUNDING = 1e-12
"""Relative, of a few products of doubles and of 14 digits."""

REGISTRY = pint.UnitRegistry()
DIMENSIONS = st.sampled_from(list(UNITS))
MAGNITUDES = st.floats(1e-250, 1e250)
VALUES = st.one_of(st.just(0.0), MAGNITUDES, MAGNITUDES.map(lambda v: -v))
OTHER_UNITS: list[tuple[str, Dimension]] = [
    ("fs", "time"), ("µs", "time"), ("min", "wall time"), ("h", "wall time"), ("Å", "length"),
    ("bohr", "length"), ("mK", "temperature"), ("fs**-1", "rate"), ("kcal/mol", "energy"),
    ("g/mol", "mass"), ("kcal/mol/Å", "force"), ("kcal/(mol Å**2)", "stiffness"),
    ("kJ mol⁻¹ nm⁻²", "stiffness"), ("atm", "pressure"), ("MPa", "pressure"), ("MiB", "memory"),
]  # fmt: skip
IN_OPENMM = {
    "fs": (openmm_unit.femtoseconds, openmm_unit.picoseconds),
    "Å": (openmm_unit.angstroms, openmm_unit.nanometers),
    "kcal/mol": (openmm_unit.kilocalories_per_mole, openmm_unit.kilojoules_per_mole),
    "kcal/mol/Å": (
        openmm_unit.kilocalories_per_mole / openmm_unit.angstrom,
        openmm_unit.kilojoules_per_mole / openmm_unit.nanometer,
    ),
    "atm": (openmm_unit.atmosphere, openmm_unit.bar),
}


@given(VALUES, DIMENSIONS)
def test_a_quantity_that_is_written_is_read_back(value: float, dimension: Dimension) -> None:
    read = parse_quantity(format_quantity(value, dimension), dimension)
    assert read == pytest.approx(value, rel=PRECISION, abs=0)
    again = parse_quantity(format_quantity(read, dimension), dimension)
    assert again == read, "what was read once changes no more"


@given(st.floats(-1e6, 1e6), st.sampled_from(OTHER_UNITS), st.sampled_from(["", " ", "  "]))
def test_units_are_converted_as_pint_does(
    number: float, unit: tuple[str, Dimension], gap: str
) -> None:
    name, dimension = unit
    try:
        expected = REGISTRY.Quantity(number, name.replace("Å", "angstrom")).to(UNITS[dimension][0])
    except pint.DimensionalityError:  # pint takes g/mol for no mass; we do as it does
        with pytest.raises(SpecError):
            parse_quantity(f"{number!r}{gap}{name}", dimension)
        return
    found = parse_quantity(f"{number!r}{gap}{name}", dimension)
    assert found == pytest.approx(expected.magnitude, rel=ROUNDING, abs=1e-300)


@given(st.floats(1e-6, 1e6), st.sampled_from(sorted(IN_OPENMM)))
def test_units_are_converted_as_openmm_does(number: float, name: str) -> None:
    ours, theirs = IN_OPENMM[name]
    dimension = dict(OTHER_UNITS)[name]
    expected = (number * ours).value_in_unit(theirs)
    assert parse_quantity(f"{number!r} {name}", dimension) == pytest.approx(expected, rel=ROUNDING)


PIECES = st.sampled_from(
    ["1", "2.5", "9", "ps", "fs", "K", "nm", " ", "/", "*", "**", "^", "(", ")", "-", "+", ",", ".",
     "²", "⁹", "squared", "per", "%", "//", "e", "_", "±", "1e999", "[", "'", "\n", "\0", "µ", "inf"]
)  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=30)), DIMENSIONS)
def test_no_text_is_read_as_a_quantity_but_one_number_with_units(
    text: str, dimension: Dimension
) -> None:
    with fine_or_one_line():
        value = parse_quantity(text, dimension)
        assert math.isfinite(value)
        number = text.strip().lstrip("+-")
        assert number[0] in "0123456789."
        assert not set(text) & set(",±[]'%")


@given(st.floats(1e-200, 1e200), st.integers(1, 10**5), st.floats(-0.9, 0.9))
def test_a_multiple_within_its_tolerance_is_counted_at_any_scale(
    part: float, count: int, slack: float
) -> None:
    total = part * count * (1 + slack * WHOLE_TOLERANCE)
    assert whole_multiple(total, part, "it", "parts") == count


@given(st.floats(1e-200, 1e200), st.integers(0, 10**5), st.floats(0.2, 0.8))
def test_a_remainder_is_refused_and_what_is_offered_is_taken(
    part: float, count: int, rest: float
) -> None:
    with pytest.raises(WindowMismatch) as caught:
        whole_multiple(part * (count + rest), part, "it", "parts")
    offered = str(caught.value).partition("Use ")[2].removesuffix(".").split(" or ")
    counts = [whole_multiple(parse_quantity(t, "time"), part, "it", "parts") for t in offered]
    assert counts == [n for n in (count, count + 1) if n > 0]


@given(st.floats(5e-324, 1e308), st.floats(5e-324, 1e308))
def test_any_two_times_are_counted_or_refused(total: float, part: float) -> None:
    with fine_or_one_line():
        assert whole_multiple(total, part, "it", "parts") >= 1
