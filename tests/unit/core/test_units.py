from __future__ import annotations

import numpy as np
import pytest

from egno_md.core.errors import SpecError, WindowMismatch
from egno_md.core.units import (
    format_quantity,
    kinetic_energy,
    parse_quantity,
    temperature,
    thermal_speed,
    whole_multiple,
)
from egno_md.core.window import Window


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("2 fs", "time", 0.002),
        ("0.5fs", "time", 0.0005),
        ("20 ns", "time", 20000.0),
        ("300 K", "temperature", 300.0),
        ("5 /ps", "rate", 5.0),
        ("5 1/ps", "rate", 5.0),
        ("1 /fs", "rate", 1000.0),
        ("0.5 angstrom", "length", 0.05),
        ("0.5 Å", "length", 0.05),
        ("1 kcal/mol", "energy", 4.184),
        ("2e4 kJ/mol/nm", "force", 2e4),
        ("3 Da", "mass", 3.0),
        ("20 min", "wall time", 1200.0),
        ("1 atm", "pressure", 1.01325),
    ],
)
def test_quantities_are_read_into_internal_units(text: str, dimension: str, value: float) -> None:
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=1e-9)
    assert parse_quantity(format_quantity(value, dimension), dimension) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["2.0", 2, 2.5, "2", None, [], "fast", "2 K", "2 parsecs per", "nan ps", ""]
)
def test_what_is_no_time_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(SpecError, match="Write"):
        parse_quantity(text, "time")


def test_a_bare_number_is_told_what_to_write() -> None:
    with pytest.raises(SpecError, match=r"'2.0' has no unit. Write a time such as '2 fs'"):
        parse_quantity("2.0", "time")


def test_remainders_are_rejected_and_neighbours_offered() -> None:
    assert whole_multiple(0.3, 0.1, "it", "windows") == 3
    with pytest.raises(WindowMismatch, match=r"10.3 ps is not a whole .* Use 10 ps or 12 ps"):
        whole_multiple(10.3, 2.0, "it", "windows")
    with pytest.raises(WindowMismatch, match="Use 2 ps"):
        whole_multiple(0.5, 2.0, "it", "windows")


def test_kinetic_energy_and_temperature_invert_each_other() -> None:
    masses = np.array([1.0, 16.0])
    velocities = np.random.default_rng(0).standard_normal((200_000, 2, 3))
    velocities *= thermal_speed(masses, 300.0)[:, None]
    mean = temperature(kinetic_energy(velocities, masses), 6).mean()
    assert mean == pytest.approx(300.0, rel=0.01)


def test_windows_know_their_points_and_offsets() -> None:
    window = Window.uniform(0.008, 4)
    assert window.time_points == pytest.approx((0.002, 0.004, 0.006, 0.008))
    assert window.offsets(0.0005) == (4, 8, 12, 16)
    assert Window.last(0.008, 3, 0.0005).offsets(0.0005) == (14, 15, 16)
    with pytest.raises(WindowMismatch, match="frame spacings"):
        window.offsets(0.003)
    with pytest.raises(WindowMismatch, match="increasing"):
        Window((0.2, 0.1))
    with pytest.raises(WindowMismatch, match="positive"):
        Window(())
