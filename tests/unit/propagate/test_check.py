"""Measures of a window's end, on frames whose figures are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import mdtraj
import numpy as np
import pytest

from egno_md.core.state import Frame
from egno_md.core.system import System, element_masses
from egno_md.core.units import BOLTZMANN, kinetic_energy
from egno_md.geometry.contacts import Contacts
from egno_md.propagate.check import Checker

SPACING = 0.15
BOTH_SEARCHES = pytest.mark.parametrize("limit", [64, 0])


def a_chain(atoms: int) -> System:
    """Carbons in a straight row, 0.15 nm apart."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("UNL", topology.add_chain())
    row = [topology.add_atom(f"C{i}", mdtraj.element.carbon, residue) for i in range(atoms)]
    for one, other in pairwise(row):
        topology.add_bond(one, other)
    positions = np.outer(SPACING * np.arange(atoms), [1.0, 0, 0])
    freedom = max(3 * atoms - 3, 1)
    return System("chain", topology, element_masses(topology), positions, freedom)


def still(system: System, **changes) -> Frame:
    return replace(Frame(system.positions, np.zeros_like(system.positions)), **changes)


def test_without_an_evaluated_start_there_is_no_energy_error(ethanol: System) -> None:
    checker = Checker.of(ethanol, ethanol.positions)
    known, unknown = still(ethanol, potential_energy=1.0), still(ethanol)
    assert checker.measure(unknown, known).energy_error is None
    assert checker.measure(known, unknown).energy_error is None
    check = checker.measure(known, unknown)
    assert check.max_force == 0.0
    assert check.is_finite


@pytest.mark.parametrize(
    "changes", [{"forces": np.full((9, 3), np.inf)}, {"potential_energy": np.nan}]
)
def test_forces_and_energies_must_be_finite_too(ethanol: System, changes: dict) -> None:
    checker = Checker.of(ethanol, ethanol.positions)
    start = still(ethanol, potential_energy=1.0)
    sound = still(ethanol, potential_energy=2.0, forces=np.zeros((9, 3)))
    assert checker.measure(start, sound).is_finite
    assert not checker.measure(start, replace(sound, **changes)).is_finite


def test_energy_and_temperature_are_those_of_the_end(ethanol: System) -> None:
    checker = Checker.of(ethanol, ethanol.positions)
    v = np.random.default_rng(0).standard_normal((9, 3))
    start = still(ethanol, potential_energy=-3.0)
    end = still(ethanol, potential_energy=-8.0, velocities=v)
    check = checker.measure(start, end)
    assert check.energy_error == pytest.approx(float(kinetic_energy(v, ethanol.masses)) - 5.0)
    masses = ethanol.masses
    internal = v - masses @ v / masses.sum()
    kelvin = 2 * float(kinetic_energy(internal, masses)) / (24 * BOLTZMANN)
    assert check.temperature == pytest.approx(kelvin)
    assert checker.temperature(v + np.array([1.0, -2.0, 3.0])) == pytest.approx(kelvin)
    assert checker.temperatures(v) == {"all": check.temperature, **check.temperature_by_element}
    assert set(check.temperature_by_element) == {"C", "H", "O"}


def test_the_hottest_atom_has_half_its_mass_times_the_square(ethanol: System) -> None:
    v = np.zeros((9, 3))
    v[4], v[0] = [3.0, 0.0, 4.0], [0.5, 0.0, 0.0]
    check = Checker.of(ethanol, ethanol.positions).measure(
        still(ethanol), still(ethanol, velocities=v)
    )
    assert check.hottest_atom == pytest.approx(12.5 * ethanol.masses[4])


def test_the_largest_force_is_that_on_one_atom_not_the_sum(ethanol: System) -> None:
    forces = np.zeros((9, 3))
    forces[2], forces[7] = [0.0, -600.0, 800.0], [500.0, 0.0, 0.0]
    checker = Checker.of(ethanol, ethanol.positions)
    check = checker.measure(still(ethanol), still(ethanol, forces=forces))
    assert check.max_force == pytest.approx(1000.0)


def test_bonds_that_are_too_short_count_as_those_too_long(ethanol: System) -> None:
    checker = Checker.of(ethanol, ethanol.positions)
    squeezed = still(ethanol, positions=0.9 * ethanol.positions)
    longest = checker.bond_lengths.max()
    assert checker.bond_deviation(squeezed) == pytest.approx(0.1 * longest)
    lone = a_chain(1)
    assert Checker.of(lone, lone.positions).bond_deviation(still(lone)) == 0.0


def test_a_mirrored_peptide_is_turned_and_its_centres_inverted(
    ala2: System, ethanol: System
) -> None:
    mirror = [-1.0, 1.0, 1.0]
    checker = Checker.of(ala2, ala2.positions)
    check = checker.measure(still(ala2), still(ala2, positions=ala2.positions * mirror))
    assert check.turned == ("ALA2 CA",)
    assert check.inverted_centres == len(checker.stereo.centres) == 1
    same = checker.measure(still(ala2), still(ala2))
    assert (same.turned, same.inverted_centres) == ((), 0)
    other = Checker.of(ethanol, ethanol.positions)
    mirrored = other.measure(still(ethanol), still(ethanol, positions=ethanol.positions * mirror))
    assert (mirrored.turned, mirrored.inverted_centres) == ((), 0), "no stereocentre in ethanol"


def test_contacts_are_looked_for_as_far_as_asked_and_across_faces() -> None:
    chain = a_chain(6)
    box = np.diag([5 * SPACING + 0.08, 9.0, 9.0])
    periodic = still(chain, box=box)
    near = Checker.of(chain, chain.positions).measure(periodic, periodic)
    assert near.closest_contact == pytest.approx(0.08)
    roomy = still(chain, box=np.diag([5 * SPACING + 0.12, 9.0, 9.0]))
    by_default = Checker.of(chain, chain.positions).measure(roomy, roomy)
    assert by_default.closest_contact == np.inf, "0.1 nm unless asked for more"
    blind = Checker.of(chain, chain.positions, 0.05).measure(periodic, periodic)
    assert blind.closest_contact == np.inf
    free = Checker.of(chain, chain.positions).measure(still(chain), still(chain))
    assert free.closest_contact == pytest.approx(4 * SPACING)


@BOTH_SEARCHES
def test_atoms_three_bonds_apart_are_near(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egno_md.geometry.contacts.DENSE_LIMIT", limit)
    chain = a_chain(7)
    contacts = Contacts.of(chain)
    apart = np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    np.testing.assert_array_equal(contacts.near.toarray(), apart <= 3)
    found = contacts.closest(chain.positions, 0.7)
    assert found == pytest.approx(4 * SPACING)
    if limit:
        assert contacts.far is not None
        pairs = list(zip(*contacts.far, strict=True))
        assert pairs == [(0, 4), (0, 5), (0, 6), (1, 5), (1, 6), (2, 6)]
    else:
        assert contacts.far is None


def test_every_pair_is_looked_at_up_to_64_atoms() -> None:
    assert Contacts.of(a_chain(64)).far is not None
    assert Contacts.of(a_chain(65)).far is None


@BOTH_SEARCHES
def test_without_contacts_the_closest_is_infinitely_far(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("egno_md.geometry.contacts.DENSE_LIMIT", limit)
    small = a_chain(4)
    assert Contacts.of(small).closest(small.positions, 9.0) == np.inf
    assert Contacts.of(small).closest(small.positions, 0.01) == np.inf
    chain = a_chain(6)
    lost = chain.positions.copy()
    lost[3, 1] = np.nan
    assert Contacts.of(chain).closest(lost, 0.1) == np.inf


@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.0, 50.0])
def test_periodic_contacts_do_not_depend_on_where_the_box_is_cut(shift: float) -> None:
    chain = a_chain(6)
    moved = chain.positions.copy()
    moved[5] = moved[0] + [0.0, 0.06, 0.0]
    box = np.diag([3.0, 2.0, 2.5])
    contacts = Contacts.of(chain)
    moved[5] += shift // 2 * box[1] + box[2]
    assert contacts.closest(moved + shift, 0.1, box) == pytest.approx(0.06)


def test_skewed_boxes_are_searched_inside_only() -> None:
    chain = a_chain(6)
    x = chain.positions.copy()
    x[5] = x[0] + [0.0, 0.07, 0.0]
    skewed = np.array([[3.0, 0, 0], [1.0, 3.0, 0], [0, 0, 3.0]])
    contacts = Contacts.of(chain)
    assert contacts.closest(x, 0.1, skewed) == pytest.approx(0.07)
    assert contacts.closest(x - 10.0, 0.1, skewed) == pytest.approx(0.07)
    x[5] += skewed[0]
    assert contacts.closest(x, 0.1, skewed) == np.inf


def test_an_atom_on_the_far_face_is_found() -> None:
    chain = a_chain(6)
    x = chain.positions + 0.5
    x[5] = x[0]
    x[0, 2], x[5, 2] = -1e-18, 0.05
    assert Contacts.of(chain).closest(x, 0.1, np.eye(3) * 2) == pytest.approx(0.05)
