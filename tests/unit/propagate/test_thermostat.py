"""Each kick takes half of what a window's friction is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.thermal import maxwell_velocities
from egno_md.core.units import BOLTZMANN, kinetic_energy
from egno_md.propagate.check import temperature_by_element
from egno_md.propagate.thermostat import LangevinKicks, VelocityRescaling

NOTHING = np.zeros(0)


def moving(system: System, kelvin: float = 300.0) -> Frame:
    random = np.random.default_rng(0)
    return Frame(system.positions, maxwell_velocities(system.masses, kelvin, random), time=3.0)


def test_a_kick_is_the_friction_of_half_a_window_for_every_element(ethanol: System) -> None:
    kicks = LangevinKicks.of(ethanol, 0.0, 2.0, 0.5)
    frame, excess = moving(ethanol), np.array([1.0, -2.0, 3.0])
    per_atom = excess[[kicks.elements.index(e) for e in ethanol.elements]][:, None]
    wanted = np.exp(-0.15 * (2.0 + per_atom)) * frame.velocities
    wanted -= ethanol.masses @ wanted / ethanol.masses.sum()
    found = kicks.kick(frame, 0.3, np.random.default_rng(1), excess)
    np.testing.assert_allclose(found.velocities, wanted, atol=1e-12)
    assert found.positions is frame.positions


def test_excess_friction_grows_with_the_heat_of_its_element(ethanol: System) -> None:
    kicks = LangevinKicks.of(ethanol, 250.0, 2.0, 0.5)
    frame, excess = moving(ethanol), np.array([1.0, -2.0, 3.0])
    kelvins = temperature_by_element(ethanol, frame.velocities)
    heat = np.array([kelvins[e] / 250.0 - 1 for e in kicks.elements])
    found = kicks.adapt(frame, 0.1, excess)
    np.testing.assert_allclose(found, excess + 0.1 * heat / 0.25)
    plain = LangevinKicks.of(ethanol, 250.0, 2.0)
    assert plain.relaxation is None
    np.testing.assert_array_equal(plain.adapt(frame, 0.1, excess), excess)
    assert plain.no_excess().tolist() == [0.0, 0.0, 0.0]


def test_kicks_know_the_freedom_that_constraints_leave(ethanol: System) -> None:
    rigid = replace(ethanol, constraints=ethanol.bonds[:3])
    kicks = LangevinKicks.of(rigid, 300.0, 2.0, 0.5)
    assert kicks.freedom is not None
    np.testing.assert_array_equal(kicks.freedom, rigid.atom_freedom)


def test_rescaling_relaxes_the_kinetic_energy_at_its_rate(ethanol: System) -> None:
    thermostat, random = VelocityRescaling(300.0, 0.1, ethanol.masses, 24), np.random.default_rng(1)
    frame = moving(ethanol, 900.0)
    had = float(kinetic_energy(frame.velocities, ethanol.masses))
    after = [
        float(
            kinetic_energy(thermostat.kick(frame, 0.1, random, NOTHING).velocities, ethanol.masses)
        )
        for _ in range(3000)
    ]
    keep, mean = np.exp(-0.5), 12 * BOLTZMANN * 300.0
    assert np.mean(after) == pytest.approx(keep * had + (1 - keep) * mean, rel=0.02)
    # Bussi et al., Eq. A7: the spread of one step, from that of its two random terms
    share = BOLTZMANN * 300.0 * (1 - keep) / 2
    spread = np.sqrt(2 * 24 * share**2 + 4 * keep * had * share)
    assert np.std(after) == pytest.approx(spread, rel=0.06)


def test_long_rescaling_turns_velocities_around_half_of_the_time(ethanol: System) -> None:
    frame, random = moving(ethanol), np.random.default_rng(2)
    turned = {}
    for relaxation in (0.001, 10.0):
        thermostat = VelocityRescaling(300.0, relaxation, ethanol.masses, 24)
        kicked = [thermostat.kick(frame, 0.1, random, NOTHING).velocities for _ in range(400)]
        turned[relaxation] = np.mean([(v * frame.velocities).sum() < 0 for v in kicked])
    assert turned[0.001] == pytest.approx(0.5, abs=0.1)
    assert turned[10.0] == 0.0


def test_rescaling_adapts_nothing(ethanol: System) -> None:
    thermostat = VelocityRescaling(300.0, 0.1, ethanol.masses, 24)
    assert thermostat.elements == ()
    assert thermostat.no_excess().shape == (0,)
    assert thermostat.adapt(moving(ethanol), 0.1, NOTHING) is NOTHING


def test_nothing_is_rescaled_where_nothing_moves_but_the_whole(ethanol: System) -> None:
    thermostat = VelocityRescaling(300.0, 0.1, ethanol.masses, 24)
    resting = Frame(ethanol.positions, np.zeros((9, 3)))
    assert thermostat.kick(resting, 0.1, np.random.default_rng(0), NOTHING) is resting
