"""Hydrogens rebuilt from heavy atoms."""

from __future__ import annotations

import mdtraj
import numpy as np
import pytest

from egno_md.core.errors import DataError
from egno_md.core.seen import SeenAtoms
from egno_md.core.system import System, element_masses
from egno_md.geometry.lift import Lift
from egno_md.md.build import load_system

ROUNDING = 1e-9


@pytest.fixture
def lift(ala2: System) -> Lift:
    return Lift.relaxed(ala2, SeenAtoms.of(ala2, "heavy").atoms, ala2.positions)


def test_the_relaxed_structure_is_lifted_to_itself(lift: Lift, ala2: System) -> None:
    assert len(lift.carried) == 12
    whole = lift.positions(None, ala2.positions[lift.chosen])
    assert np.abs(whole - ala2.positions).max() < ROUNDING


def test_lifted_hydrogens_turn_with_the_molecule_and_keep_their_bonds(
    lift: Lift, ala2: System
) -> None:
    random = np.random.default_rng(0)
    turn, _ = np.linalg.qr(random.standard_normal((3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    heavy = ala2.positions[lift.chosen] + 0.01 * random.standard_normal((2, 5, 10, 3))
    whole = lift.positions(None, heavy)
    assert whole.shape == (2, 5, 22, 3)
    assert np.abs(lift.positions(None, heavy @ turn.T) - whole @ turn.T).max() < ROUNDING
    bearers = lift.anchors[:, 0]
    bonds = np.linalg.norm(whole[..., lift.carried, :] - whole[..., bearers, :], axis=-1)
    right = np.linalg.norm(ala2.positions[lift.carried] - ala2.positions[bearers], axis=-1)
    assert np.abs(bonds - right).max() < ROUNDING


def test_lifted_hydrogens_move_with_the_molecule(lift: Lift, ala2: System) -> None:
    far = np.array([3.0, -2.0, 5.0])
    assert (
        np.abs(lift.positions(None, ala2.positions[lift.chosen] + far) - ala2.positions - far).max()
        < ROUNDING
    )


def test_two_heavy_neighbours_are_enough_for_a_frame() -> None:
    topology = mdtraj.Topology()
    residue = topology.add_residue("UNL", topology.add_chain())
    first, middle, last, hydrogen = (
        topology.add_atom(s, mdtraj.element.get_by_symbol(s), residue) for s in "CCCH"
    )
    for other in (first, last, hydrogen):
        topology.add_bond(middle, other)
    x = np.array([[0.15, 0, 0], [0, 0, 0], [-0.05, 0.14, 0], [-0.03, -0.05, 0.09]])
    system = System("bent", topology, element_masses(topology), x, 9)
    lift = Lift.relaxed(system, SeenAtoms.of(system, "heavy").atoms, x)
    assert lift.anchors.tolist() == [[1, 0, 2]]
    assert np.abs(lift.positions(None, x[:3]) - x).max() < ROUNDING


def test_atoms_on_top_of_each_other_are_lifted_to_finite_places(lift: Lift) -> None:
    assert np.isfinite(lift.positions(None, np.zeros((10, 3)))).all()


def test_seen_atoms_are_renumbered_with_their_bonds(ala2: System) -> None:
    heavy, every = SeenAtoms.of(ala2, "heavy"), SeenAtoms.of(ala2, "all")
    assert len(heavy.atoms) == 10
    assert len(heavy.bonds) == 9
    assert heavy.bonds.max() == 9
    assert np.array_equal(every.bonds, ala2.bonds)


def test_a_molecule_too_small_for_frames_says_what_to_train() -> None:
    water = load_system("waterbox").system
    with pytest.raises(DataError, match="fewer than three heavy atoms"):
        Lift.relaxed(water, SeenAtoms.of(water, "heavy").atoms, water.positions)
