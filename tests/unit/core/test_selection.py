"""Which atoms an operator sees, on peptides small enough to count by hand."""

from __future__ import annotations

from itertools import pairwise

import mdtraj
import numpy as np
import pytest

from egno_md.core.errors import SpecError
from egno_md.core.selection import AtomChoice, choose_atoms, reduce_system
from egno_md.core.system import System, element_masses

WHOLE = "H N CA CB C O"


def a_topology(*chains: dict[int, str]) -> mdtraj.Topology:
    """Chains of residues: atom names by residue number; each bonded in its order."""
    topology = mdtraj.Topology()
    for residues in chains:
        chain = topology.add_chain()
        for number, names in residues.items():
            residue = topology.add_residue("ALA", chain, resSeq=number)
            atoms = [
                topology.add_atom(n, mdtraj.element.get_by_symbol(n[0]), residue)
                for n in names.split()
            ]
            for one, other in pairwise(atoms):
                topology.add_bond(one, other)
    return topology


def a_system(topology: mdtraj.Topology) -> System:
    positions = np.random.default_rng(0).standard_normal((topology.n_atoms, 3))
    pair = np.array([[0, 1]])
    masses = element_masses(topology)
    return System("toy", topology, masses, positions, 99, constraints=pair)


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("all", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("heavy", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("backbone", [1, 2, 4, 5, 6, 7, 8]),
    ],
)
def test_a_choice_is_ascending_and_leaves_out_the_terminal_oxygens(
    choice: AtomChoice, chosen: list[int]
) -> None:
    topology = a_topology({1: WHOLE, 2: "CA N C O OXT"})
    found = choose_atoms(topology, choice, "toy")
    assert found.tolist() == chosen
    assert found.dtype == np.int64


@pytest.mark.parametrize("terminal", ["OXT", "OT2", "OC2"])
def test_every_name_of_a_terminal_oxygen_is_known(terminal: str) -> None:
    topology = a_topology({1: WHOLE, 2: f"N CA C O {terminal}"})
    assert choose_atoms(topology, "backbone", "toy").tolist() == [1, 2, 4, 5, 6, 7, 8]


def test_residues_without_a_backbone_give_no_atoms() -> None:
    caps = a_topology({1: "CH3 C O", 2: WHOLE, 3: "N CH3"})
    assert choose_atoms(caps, "backbone", "toy").tolist() == [4, 5, 7, 8]
    with pytest.raises(SpecError, match=r"atoms: ca leaves 1 atoms of toy, too few"):
        choose_atoms(caps, "ca", "toy")


def test_fewer_than_four_atoms_are_too_few() -> None:
    five = dict.fromkeys(range(1, 6), WHOLE)
    assert len(choose_atoms(a_topology(five), "ca", "toy")) == 5
    four, three = (dict.fromkeys(range(1, last), WHOLE) for last in (5, 4))
    assert len(choose_atoms(a_topology(four), "ca", "toy")) == 4
    with pytest.raises(SpecError, match="leaves 3 atoms"):
        choose_atoms(a_topology(three), "ca", "toy")


def test_alpha_carbons_are_joined_along_a_chain_but_not_over_a_gap() -> None:
    topology = a_topology({1: WHOLE, 2: WHOLE, 4: WHOLE}, {5: WHOLE, 6: WHOLE})
    reduced = reduce_system(a_system(topology), "ca")
    assert reduced.bonds.tolist() == [[0, 1], [3, 4]]


def test_a_reduced_system_has_its_atoms_own_masses_and_no_constraints() -> None:
    system = a_system(a_topology({1: WHOLE, 2: WHOLE}))
    reduced = reduce_system(system, "backbone")
    chosen = [1, 2, 4, 5, 7, 8, 10, 11]
    np.testing.assert_array_equal(reduced.masses, system.masses[chosen])
    np.testing.assert_array_equal(reduced.positions, system.positions[chosen])
    assert reduced.degrees_of_freedom == 3 * 8 - 3
    assert reduced.constraints.shape == (0, 2)
    assert reduced.constraints.dtype == np.int64
    assert [a.name for a in reduced.topology.atoms] == ["N", "CA", "C", "O"] * 2
    assert reduced.bonds.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
