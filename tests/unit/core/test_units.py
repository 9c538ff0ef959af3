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


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (0.0, "time", "0 ps"),
        (0.0005, "time", "0.5 fs"),
        (-0.25, "time", "-250 fs"),
        (1.0, "time", "1 ps"),
        (999.0, "time", "999 ps"),
        (1000.0, "time", "1 ns"),
        (-2000.0, "time", "-2 ns"),
        (0.5, "length", "0.5 nm"),
        (1500.0, "temperature", "1500 K"),
        (5.0, "rate", "5 /ps"),
    ],
)
def test_quantities_are_written_in_a_unit_that_fits(
    value: float, dimension: str, text: str
) -> None:
    assert format_quantity(value, dimension) == text


@pytest.mark.parametrize("text", ["9**9**9 ps", "(2)^2 ps", "2 ^3 ps", "1" + " " * 80 + "ps"])
def test_what_would_have_to_be_worked_out_is_not_read(text: str) -> None:
    with pytest.raises(SpecError, match="cannot be read as a time") as caught:
        parse_quantity(text, "time")
    assert len(str(caught.value)) < 200


def test_a_quantity_may_have_eighty_characters() -> None:
    assert parse_quantity("1" + " " * 77 + "ps", "time") == 1.0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2 K", "'2 K' is not a time. Write one such as '2 fs'."),
        (None, "None is not a time. Write one such as '2 fs'."),
        ("inf ps", "'inf ps' is not finite. Write a time such as '2 fs'."),
        ("fast", "'fast' cannot be read as a time. Write one such as '2 fs'."),
    ],
)
def test_each_way_to_be_no_quantity_has_its_own_words(text: object, complaint: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_quantity(text, "time")
    assert str(caught.value) == f"SpecError: {complaint}"


def test_unit_factors_leave_no_rounding_behind() -> None:
    assert parse_quantity("0.5 angstrom", "length") == 0.05
    assert parse_quantity("  2 fs ", "time") == 0.002


def test_a_bare_number_is_told_what_to_write() -> None:
    with pytest.raises(SpecError, match=r"'2.0' has no unit. Write a time such as '2 fs'"):
        parse_quantity("2.0", "time")


def test_remainders_are_rejected_and_neighbours_offered() -> None:
    assert whole_multiple(0.3, 0.1, "it", "windows") == 3
    with pytest.raises(WindowMismatch, match=r"10.3 ps is not a whole .* Use 10 ps or 12 ps"):
        whole_multiple(10.3, 2.0, "it", "windows")
    with pytest.raises(WindowMismatch, match="Use 2 ps"):
        whole_multiple(0.5, 2.0, "it", "windows")
    with pytest.raises(WindowMismatch, match="Use 10 ps or 12 ps"):
        whole_multiple(11.9, 2.0, "it", "windows")


def test_a_multiple_may_be_off_by_a_millionth() -> None:
    assert whole_multiple(0.1, 0.1, "it", "windows") == 1
    for total, count in ((1 + 0.9e-6, 1), (4 - 3.9e-6, 4)):
        assert whole_multiple(total, 1.0, "it", "windows") == count
    for total in (1 + 1.1e-6, 4 - 4.1e-6, 2e-7):
        with pytest.raises(WindowMismatch):
            whole_multiple(total, 1.0, "it", "windows")


def test_kinetic_energy_and_temperature_invert_each_other() -> None:
    masses = np.array([1.0, 16.0])
    velocities = np.random.default_rng(0).standard_normal((200_000, 2, 3))
    velocities *= thermal_speed(masses, 300.0)[:, None]
    mean = temperature(kinetic_energy(velocities, masses), 6).mean()
    assert mean == pytest.approx(300.0, rel=0.01)


def test_a_kinetic_energy_is_half_the_mass_times_the_square() -> None:
    velocities = np.array([[1.0, 2.0, 2.0], [0.0, 0.0, 3.0]], dtype=np.float32)
    found = kinetic_energy(np.stack([velocities, 2 * velocities]), np.array([2.0, 4.0]))
    np.testing.assert_allclose(found, [27.0, 108.0])
    assert found.dtype == np.float64
    assert temperature(3.0, 2) == pytest.approx(3.0 / 0.00831446261815324)


def test_windows_know_their_points_and_offsets() -> None:
    window = Window.uniform(0.008, 4)
    assert window.time_points == pytest.approx((0.002, 0.004, 0.006, 0.008))
    assert window.offsets(0.0005) == (4, 8, 12, 16)
    assert Window.last(0.008, 3, 0.0005).offsets(0.0005) == (14, 15, 16)
    with pytest.raises(
        WindowMismatch, match=": the time point 2 fs is not .* 3 fs frame spacings\\."
    ):
        window.offsets(0.003)
    with pytest.raises(WindowMismatch, match="increasing"):
        Window((0.2, 0.1))
    with pytest.raises(WindowMismatch, match="positive"):
        Window(())
    for points in ((0.0, 0.1), (-0.1, 0.1), (0.1, 0.1)):
        with pytest.raises(WindowMismatch, match="increasing"):
            Window(points)
    assert window.length == 0.008
    assert window.points == 4
