"""What a system is, and the digest by which operators and stores know it again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import mdtraj
import numpy as np
import pytest

from egno_md.core.seen import SeenAtoms
from egno_md.core.system import System, bond_indices, element_masses, system_digest


def make_topology(symbols: str, bonds: list[tuple[int, int]]) -> mdtraj.Topology:
    topology = mdtraj.Topology()
    residue = topology.add_residue("UNL", topology.add_chain())
    atoms = [
        topology.add_atom(s, mdtraj.element.get_by_symbol(s), residue) for s in symbols.split()
    ]
    for a, b in bonds:
        topology.add_bond(atoms[a], atoms[b])
    return topology


def test_bonds_are_ascending_however_they_were_made() -> None:
    topology = make_topology("C O H", [(2, 1), (1, 0)])
    assert bond_indices(topology).tolist() == [[0, 1], [1, 2]]
    assert bond_indices(make_topology("C", [])).shape == (0, 2)


def test_the_digest_is_what_bundles_and_stores_hold() -> None:
    topology = make_topology("C O H", [(0, 1), (1, 2)])
    text = '{"bonds": [[0, 1], [1, 2]], "elements": [6, 8, 1], "masses": [12.011, 15.999, 1.008]}'
    masses = np.array([12.0112, 15.9991, 1.0079])
    assert system_digest(topology, masses) == hashlib.sha256(text.encode()).hexdigest()


def test_another_mass_bond_or_element_is_another_digest() -> None:
    bonds = [(0, 1), (1, 2)]
    topology = make_topology("C O H", bonds)
    masses = element_masses(topology)
    others = [
        system_digest(topology, masses + np.array([0, 0, 0.002])),
        system_digest(make_topology("C O H", bonds[:1]), masses),
        system_digest(make_topology("C S H", bonds), masses),
    ]
    assert len({system_digest(topology, masses), *others}) == 4
    assert system_digest(topology, masses + 1e-5) == system_digest(topology, masses)


def test_heavy_atoms_are_all_but_hydrogen_and_keep_bonds_among_themselves() -> None:
    topology = make_topology("H C He O H", [(0, 1), (1, 3), (3, 4)])
    masses = element_masses(topology)
    system = System("odd", topology, masses, np.zeros((5, 3)), 15)
    heavy, whole = (SeenAtoms.of(system, choice) for choice in ("heavy", "all"))
    assert heavy.atoms.tolist() == [1, 2, 3]
    assert heavy.atomic_numbers.tolist() == [6, 2, 8]
    assert heavy.bonds.tolist() == [[0, 2]]
    assert whole.atoms.tolist() == [0, 1, 2, 3, 4]
    assert whole.bonds.tolist() == system.bonds.tolist()


def test_degrees_of_freedom_of_elements_add_up_to_all_of_them(ethanol: System) -> None:
    freedom = ethanol.freedom
    assert freedom["all"] == 24.0
    assert set(freedom) == {"all", "C", "H", "O"}
    total = ethanol.masses.sum()
    for element, count in (("C", 2), ("H", 6), ("O", 1)):
        mass = ethanol.masses[np.array(ethanol.elements) == element].sum()
        assert freedom[element] == pytest.approx(3 * (count - mass / total))
    assert sum(freedom.values()) == pytest.approx(48.0)
    assert not ethanol.has_constraints


def test_constraints_take_degrees_of_freedom_from_the_elements_they_join(ala2: System) -> None:
    assert ala2.has_constraints
    free = replace(ala2, constraints=np.zeros((0, 2), dtype=np.int64))
    lost = {e: free.freedom[e] - ala2.freedom[e] for e in ("C", "H", "N", "O")}
    assert sum(lost.values()) == pytest.approx(len(ala2.constraints))
    assert lost["O"] == 0.0, "no bond with hydrogen"
    assert lost["H"] > lost["C"] > lost["N"] > 0.0
    assert sum(n for e, n in ala2.freedom.items() if e != "all") == pytest.approx(
        ala2.freedom["all"]
    )


def test_a_moving_centre_of_mass_is_no_internal_freedom(ethanol: System) -> None:
    drifting = replace(ethanol, degrees_of_freedom=27)
    assert (drifting.internal_freedom, ethanol.internal_freedom) == (24, 24)
    assert not drifting.has_constraints
