from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from egno_md.core.errors import SpecError
from egno_md.core.state import Frame
from egno_md.core.units import BOLTZMANN
from egno_md.md.barostat import BAR, MonteCarloBarostat, scaled
from egno_md.md.build import load_system
from egno_md.md.engine import OpenMMEngine

KELVIN, PRESSURE = 300.0, 20.0
MOLECULES = 40


def energyless(frame: Frame) -> Frame:
    return replace(frame, potential_energy=0.0, forces=np.zeros_like(frame.positions))


def a_gas() -> tuple[Frame, np.ndarray]:
    random = np.random.default_rng(0)
    molecule = np.repeat(np.arange(MOLECULES), 2)
    box = np.array([[4.6, 0, 0], [0.9, 4.4, 0], [0.2, 0.3, 4.2]])
    centres = random.uniform(-6, 6, (MOLECULES, 3))
    x = centres[molecule] + 0.05 * random.standard_normal((2 * MOLECULES, 3))
    return Frame(x, random.standard_normal(x.shape), box=box), molecule


def test_volumes_of_an_ideal_gas_follow_the_gamma_distribution() -> None:
    """p(V) ∝ V^N exp(-PV/k_B T): a known answer that both terms of the rule enter."""
    frame, molecule = a_gas()
    barostat = MonteCarloBarostat(energyless, molecule, KELVIN, PRESSURE, largest=30.0)
    random = np.random.default_rng(1)
    volumes, accepted = [], 0
    for step in range(24_000):
        frame, changed = barostat.attempt(frame, random)
        accepted += changed
        if step > 500 and step % 15 == 0:
            volumes.append(np.linalg.det(frame.box))
    exact = stats.gamma(MOLECULES + 1, scale=BOLTZMANN * KELVIN / (PRESSURE * BAR))
    assert 0.3 < accepted / 24_000 < 0.9
    assert np.mean(volumes) == pytest.approx(exact.mean(), rel=0.02)
    assert np.std(volumes) == pytest.approx(exact.std(), rel=0.08)
    assert stats.kstest(volumes, exact.cdf).statistic < 0.06


def test_an_energy_that_rises_with_volume_keeps_the_box_small() -> None:
    """U = cV adds to the pressure: the mean volume is that of P + c."""
    frame, molecule = a_gas()
    added = 3 * PRESSURE * BAR

    def springy(f: Frame) -> Frame:
        return replace(f, potential_energy=added * float(np.linalg.det(f.box)))

    barostat = MonteCarloBarostat(springy, molecule, KELVIN, PRESSURE, largest=15.0)
    random, volumes = np.random.default_rng(2), []
    for step in range(8000):
        frame, _ = barostat.attempt(frame, random)
        if step > 500:
            volumes.append(np.linalg.det(frame.box))
    expected = (MOLECULES + 1) * BOLTZMANN * KELVIN / (4 * PRESSURE * BAR)
    assert np.mean(volumes) == pytest.approx(expected, rel=0.04)


def test_scaling_moves_molecules_without_deforming_them_and_keeps_images() -> None:
    frame, molecule = a_gas()
    bigger = scaled(frame, 1.03, molecule)
    np.testing.assert_allclose(bigger.box, 1.03 * frame.box)
    bonds = frame.positions[1::2] - frame.positions[::2]
    np.testing.assert_allclose(bigger.positions[1::2] - bigger.positions[::2], bonds, atol=1e-12)
    assert bigger.velocities is frame.velocities
    assert bigger.potential_energy is None
    shift = np.repeat(np.random.default_rng(3).integers(-2, 3, (MOLECULES, 3)), 2, axis=0)
    image = scaled(replace(frame, positions=frame.positions + shift @ frame.box), 1.03, molecule)
    np.testing.assert_allclose(image.positions, bigger.positions + shift @ bigger.box, atol=1e-9)


def test_a_pressure_without_a_box_is_an_error() -> None:
    built = load_system("ala2")
    with pytest.raises(SpecError, match="no periodic box"):
        OpenMMEngine(built, timestep=0.001, kelvin=300, friction=1, seed=1, pressure=1.0)
