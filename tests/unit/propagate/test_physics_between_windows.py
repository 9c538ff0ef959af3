from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.thermal import maxwell_velocities
from egno_md.core.units import BOLTZMANN, kinetic_energy
from egno_md.geometry.contacts import Contacts
from egno_md.geometry.rigid import angular_momentum
from egno_md.propagate.check import Checker, temperature_by_element
from egno_md.propagate.conservation import restore_energy, restore_momenta
from egno_md.propagate.thermostat import LangevinKicks, VelocityRescaling

ROUNDING = 1e-10


def a_frame(system: System, seed: int = 0) -> Frame:
    random = np.random.default_rng(seed)
    return Frame(system.positions, random.standard_normal(system.positions.shape))


def test_momenta_of_a_window_become_those_of_its_start(ethanol: System) -> None:
    frame = a_frame(ethanol)
    random = np.random.default_rng(1)
    x = frame.positions + 0.01 * random.standard_normal((4, 9, 3))
    v = random.standard_normal((4, 9, 3))
    times = np.array([0.002, 0.004, 0.006, 0.008])
    new_x, new_v = restore_momenta(frame, x, v, times, ethanol.masses)
    share = ethanol.masses / ethanol.masses.sum()
    centre, drift = share @ frame.positions, share @ frame.velocities
    wanted = angular_momentum(frame.positions - centre, frame.velocities, ethanol.masses)
    for t, a, b in zip(times, new_x, new_v, strict=True):
        assert np.allclose(share @ a, centre + drift * t, atol=ROUNDING)
        assert np.allclose(share @ b, drift, atol=ROUNDING)
        assert np.allclose(angular_momentum(a - share @ a, b, ethanol.masses), wanted, atol=1e-9)


def test_linear_molecules_and_single_atoms_keep_finite_velocities() -> None:
    masses = np.array([16.0, 12.0, 16.0])
    line = np.array([[-0.1, 0, 0], [0, 0, 0], [0.1, 0, 0]])
    frame = Frame(line, np.ones((3, 3)))
    _, v = restore_momenta(frame, line[None], np.zeros((1, 3, 3)), np.array([0.0]), masses)
    assert np.allclose(v, 1.0)
    one = Frame(np.zeros((1, 3)), np.ones((1, 3)))
    _, v = restore_momenta(one, np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), np.zeros(1), np.ones(1))
    assert np.allclose(v, 1.0)


def test_broken_predictions_stay_broken_without_raising(ethanol: System) -> None:
    frame = a_frame(ethanol)
    x = np.full((1, 9, 3), np.nan)
    new_x, new_v = restore_momenta(frame, x, x, np.array([0.008]), ethanol.masses)
    assert np.isnan(new_x).all()
    assert np.isnan(new_v).all()


def test_langevin_kicks_relax_to_the_target_for_every_element(ethanol: System) -> None:
    kicks = LangevinKicks.of(ethanol, 400.0, 10.0)
    random = np.random.default_rng(2)
    frame = Frame(ethanol.positions, np.zeros((9, 3)))
    sums: dict[str, float] = {}
    count = 12_000
    for step in range(count + 50):
        frame = kicks.kick(frame, 0.2, random, kicks.no_excess())
        if step >= 50:
            for name, kelvin in temperature_by_element(ethanol, frame.velocities).items():
                sums[name] = sums.get(name, 0.0) + kelvin / count
    # correlation exp(-1) a kick leaves about count/2.2 independent samples
    for name, freedom in (("H", 18.0), ("C", 5.0), ("O", 2.0)):
        error = 400 * np.sqrt(2 / freedom / (count / 2.2))
        assert abs(sums[name] - 400.0) < 5 * error


def test_kicks_leave_the_centre_of_mass_alone(ethanol: System) -> None:
    frame = a_frame(ethanol)
    share = ethanol.masses / ethanol.masses.sum()
    kicks = LangevinKicks.of(ethanol, 300.0, 5.0, 0.5)
    after = kicks.kick(frame, 0.1, np.random.default_rng(0), np.array([1.0, -2.0, 3.0]))
    assert np.allclose(share @ after.velocities, share @ frame.velocities, atol=ROUNDING)
    assert not np.allclose(after.velocities, frame.velocities)


def test_adaptive_friction_takes_out_the_heat_of_a_bad_window(ethanol: System) -> None:
    """Each step heats hydrogens by a few per cent, as a weak operator does."""
    is_hydrogen = np.array(ethanol.elements) == "H"
    means = {}
    for relaxation in (None, 0.5):
        kicks = LangevinKicks.of(ethanol, 400.0, 5.0, relaxation)
        random = np.random.default_rng(7)
        frame, excess = Frame(ethanol.positions, np.zeros((9, 3))), kicks.no_excess()
        samples = []
        for step in range(12_000):
            frame = kicks.kick(frame, 0.01, random, excess)
            heated = frame.velocities * np.where(is_hydrogen, 1.01, 1.0)[:, None]
            heated -= ethanol.masses @ heated / ethanol.masses.sum()
            frame = kicks.kick(replace(frame, velocities=heated), 0.01, random, excess)
            excess = kicks.adapt(frame, 0.01, excess)
            if step > 2000:
                samples.append(temperature_by_element(ethanol, frame.velocities)["H"])
        means[relaxation] = np.mean(samples)
    assert means[None] > 480
    assert means[0.5] == pytest.approx(400.0, abs=4.0)


def test_maxwell_velocities_have_the_temperature_and_no_drift(ethanol: System) -> None:
    random = np.random.default_rng(3)
    checker = Checker.of(ethanol, ethanol.positions)
    samples = [maxwell_velocities(ethanol.masses, 500.0, random) for _ in range(3000)]
    kelvin = np.mean([checker.temperature(v) for v in samples])
    assert kelvin == pytest.approx(500.0, rel=0.02)
    assert np.abs(ethanol.masses @ samples[0]).max() < ROUNDING


def test_elements_share_the_kinetic_energy_by_their_freedom(ethanol: System) -> None:
    velocities = a_frame(ethanol, 4).velocities
    by_element = temperature_by_element(ethanol, velocities)
    masses = ethanol.masses
    internal = velocities - masses @ velocities / masses.sum()
    freedom = {
        e: 3
        * sum(1 - m / masses.sum() for m, s in zip(masses, ethanol.elements, strict=True) if s == e)
        for e in by_element
    }
    assert sum(freedom.values()) == pytest.approx(24.0)
    total = sum(0.5 * freedom[e] * BOLTZMANN * k for e, k in by_element.items())
    assert total == pytest.approx(float(kinetic_energy(internal, masses)))


def test_checker_measures_energy_bonds_and_forces(ethanol: System) -> None:
    checker = Checker.of(ethanol, ethanol.positions)
    start = replace(a_frame(ethanol), potential_energy=-10.0)
    stretched = ethanol.positions.copy()
    stretched[8] += (
        0.03 * (stretched[8] - stretched[2]) / np.linalg.norm(stretched[8] - stretched[2])
    )
    forces = np.zeros((9, 3))
    forces[4] = [300.0, 400.0, 0.0]
    end = Frame(stretched, start.velocities, forces=forces, potential_energy=-7.5)
    check = checker.measure(start, end)
    assert check.energy_error == pytest.approx(2.5)
    assert check.bond_deviation == pytest.approx(0.03)
    assert check.max_force == pytest.approx(500.0)
    assert check.is_finite
    assert not checker.measure(start, replace(end, positions=stretched * np.nan)).is_finite


def test_velocity_rescaling_samples_the_canonical_kinetic_energy(ethanol: System) -> None:
    kelvin, freedom = 300.0, 24
    thermostat = VelocityRescaling(kelvin, 0.02, ethanol.masses, freedom)
    random = np.random.default_rng(4)
    frame = replace(a_frame(ethanol), velocities=maxwell_velocities(ethanol.masses, 900.0, random))
    energies = []
    for _ in range(20_000):
        frame = thermostat.kick(frame, 0.04, random, np.zeros(0))
        energies.append(float(kinetic_energy(frame.velocities, ethanol.masses)))
    kinetic = np.array(energies[200:])
    # K is gamma-distributed: mean N kT/2, variance N (kT)^2/2; samples correlate over one step
    scale = BOLTZMANN * kelvin
    assert kinetic.mean() == pytest.approx(freedom / 2 * scale, rel=0.01)
    assert kinetic.std() == pytest.approx(np.sqrt(freedom / 2) * scale, rel=0.03)


def test_velocity_rescaling_turns_no_velocity_and_keeps_the_drift(ethanol: System) -> None:
    thermostat = VelocityRescaling(300.0, 0.1, ethanol.masses, 24)
    frame = a_frame(ethanol)
    kicked = thermostat.kick(frame, 0.008, np.random.default_rng(0), np.zeros(0))
    share = ethanol.masses / ethanol.masses.sum()
    before = frame.velocities - share @ frame.velocities
    after = kicked.velocities - share @ kicked.velocities
    np.testing.assert_allclose(share @ kicked.velocities, share @ frame.velocities, atol=ROUNDING)
    ratios = after / before
    np.testing.assert_allclose(ratios, ratios[0, 0], rtol=1e-9)
    resting = replace(frame, velocities=np.zeros((9, 3)))
    assert np.isfinite(
        thermostat.kick(resting, 0.008, np.random.default_rng(0), np.zeros(0)).velocities
    ).all()


def test_restored_energy_is_exact_and_leaves_both_momenta(ethanol: System) -> None:
    frame = replace(a_frame(ethanol), potential_energy=-100.0)
    had = float(kinetic_energy(frame.velocities, ethanol.masses)) - 100.0
    restored = restore_energy(frame, had + 5.0, ethanol.masses)
    assert restored is not None
    has = float(kinetic_energy(restored.velocities, ethanol.masses)) - 100.0
    assert has == pytest.approx(had + 5.0, rel=1e-12)
    share = ethanol.masses / ethanol.masses.sum()
    np.testing.assert_allclose(share @ restored.velocities, share @ frame.velocities, atol=ROUNDING)
    arms = frame.positions - share @ frame.positions
    np.testing.assert_allclose(
        angular_momentum(arms, restored.velocities, ethanol.masses),
        angular_momentum(arms, frame.velocities, ethanol.masses),
        atol=1e-9,
    )


@pytest.mark.parametrize("wanted", [-1e6, 1e6, np.nan])
def test_energy_that_motion_cannot_give_is_refused(ethanol: System, wanted: float) -> None:
    frame = replace(a_frame(ethanol), potential_energy=-100.0)
    assert restore_energy(frame, wanted, ethanol.masses) is None


@pytest.mark.parametrize("limit", [64, 0])
def test_close_contacts_are_found_by_every_search(
    ethanol: System, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("egno_md.geometry.contacts.DENSE_LIMIT", limit)
    contacts = Contacts.of(ethanol)
    x = ethanol.positions.copy()
    hops_apart = int(np.flatnonzero(~contacts.near.toarray()[8])[0])
    x[8] = x[hops_apart] + [0.05, 0, 0]
    assert contacts.closest(x, 0.1) == pytest.approx(0.05)
    assert contacts.closest(ethanol.positions, 0.1) > 0.1
    # across a face of a periodic box
    box = np.eye(3) * 2.0
    shifted = x.copy()
    shifted[8] += [2.0, 0, 0]
    assert contacts.closest(shifted, 0.1, box) == pytest.approx(0.05)
