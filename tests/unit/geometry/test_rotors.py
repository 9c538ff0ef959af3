"""Which bonds turn, and that turning them changes nothing else."""

from __future__ import annotations

import mdtraj
import numpy as np
import pytest

from egno_md.compare.observables.phi_psi import backbone_torsions
from egno_md.core.system import System
from egno_md.core.units import kinetic_energy
from egno_md.geometry.internal import (
    angle_indices,
    angle_values,
    bond_lengths,
    labels,
)
from egno_md.geometry.rotors import Rotors, find_rotors, rotation
from egno_md.geometry.torsions import torsion_angles
from egno_md.md.build import load_system

ROUNDING = 1e-9
"""nm and radians, of double precision over a molecule of a nanometre."""
SINGLE = 2e-3
"""degrees, of MDTraj's single precision."""


@pytest.mark.parametrize(
    ("name", "bonds"),
    [
        ("ala2/hmr", {"C–N–CA–C", "N–CA–C–N"}),
        ("ethanol", {"C2–C1–O1–H6"}),
        ("toluene", set()),
        ("benzene", set()),
        ("uracil", set()),
        ("aspirin", {"C1–C6–C8–O3", "C2–C7–O4–C9"}),
        ("paracetamol", {"C2–N1–C3–C4", "C5–C6–O2–H7"}),
        ("salicylic-acid", {"O3–C1–C2–C3", "C2–C3–O1–H1"}),
    ],
)
def test_single_bonds_turn_and_rings_methyls_amides_esters_and_acids_do_not(
    name: str, bonds: set[str]
) -> None:
    system = load_system(name).system
    found = labels(system, find_rotors(system).atoms)
    assert {text.rpartition(" ")[2] for text in found} == bonds


def test_a_proteins_backbone_turns_about_phi_and_psi_but_not_in_proline() -> None:
    system = load_system("chignolin").system
    names = [a.name for a in system.topology.atoms]
    residues = [a.residue.name for a in system.topology.atoms]
    about = [(residues[j], names[j], names[k]) for _, j, k, _ in find_rotors(system).atoms.tolist()]
    kinds = {frozenset(pair) for _, *pair in about}
    assert {frozenset(p) for p in (("N", "CA"), ("CA", "C"), ("CA", "CB"))} <= kinds
    assert frozenset(("C", "N")) not in kinds
    assert [set(pair) for residue, *pair in about if residue == "PRO"] == [{"CA", "C"}]


@pytest.fixture(scope="module")
def rotors(ala2: System) -> Rotors:
    return find_rotors(ala2)


def away(angles: np.ndarray) -> np.ndarray:
    """From a whole number of turns, radians."""
    return np.abs(np.angle(np.exp(1j * angles)))


def some_shape(system: System, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positions with every bond and angle a little off, and velocities."""
    random = np.random.default_rng(seed)
    shape = system.positions.shape
    return system.positions + 0.005 * random.standard_normal(shape), random.standard_normal(shape)


def test_torsions_are_those_of_mdtraj(ala2: System, rotors: Rotors) -> None:
    x, _ = some_shape(ala2)
    assert (
        np.degrees(away(rotors.angles(x) - backbone_torsions(ala2, x[None])[0, 0])).max() < SINGLE
    )
    quads = np.array([[4, 6, 8, 9], [6, 8, 10, 11]])
    single = mdtraj.Trajectory(x.astype(np.float32), ala2.topology)
    there = mdtraj.compute_dihedrals(single, quads, periodic=False)[0]
    assert np.degrees(away(torsion_angles(x, quads) - there)).max() < SINGLE


@pytest.mark.parametrize("by", [(0.3, -2.0), (np.pi, 1.0), (0.0, 0.5)])
def test_turning_hits_its_target_and_keeps_all_else(
    ala2: System, rotors: Rotors, by: tuple[float, float]
) -> None:
    x, v = some_shape(ala2)
    turned, along = rotors.turned(x, v, np.array(by))
    assert away(rotors.angles(turned) - rotors.angles(x) - by).max() < ROUNDING
    both = np.stack([x, turned])
    assert np.ptp(bond_lengths(ala2, both), axis=0).max() < 1e-6
    assert np.ptp(angle_values(ala2, angle_indices(ala2), both), axis=0).max() < 0.05
    others = np.array([[1, 4, 6, 8], [8, 14, 16, 18], [6, 8, 10, 11], [0, 1, 4, 6]])
    assert away(torsion_angles(turned, others) - torsion_angles(x, others)).max() < ROUNDING
    arms = both[:, [6, 10, 14]] - both[:, [8]]
    volumes = np.linalg.det(arms)
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-9), "the chiral centre stays"
    assert kinetic_energy(along, ala2.masses) == pytest.approx(kinetic_energy(v, ala2.masses))


def test_velocities_that_keep_rigid_bonds_still_do(ala2: System, rotors: Rotors) -> None:
    x, v = some_shape(ala2)
    along = np.einsum("bx,bx->b", *(a[ala2.bonds[:, 0]] - a[ala2.bonds[:, 1]] for a in (x, v)))
    x, v = rotors.turned(x, v, np.array([1.0, -0.7]))
    after = np.einsum("bx,bx->b", *(a[ala2.bonds[:, 0]] - a[ala2.bonds[:, 1]] for a in (x, v)))
    np.testing.assert_allclose(after, along, atol=ROUNDING)


def test_turning_back_undoes_and_order_does_not_matter(ala2: System, rotors: Rotors) -> None:
    x, v = some_shape(ala2)
    by = np.array([0.9, -2.2])
    there = rotors.turned(x, v, by)
    back = rotors.turned(*there, -by)
    other = rotors.subset([1, 0]).turned(x, v, by[::-1])
    for a, b, c, d in zip((x, v), back, there, other, strict=True):
        np.testing.assert_allclose(a, b, atol=ROUNDING)
        np.testing.assert_allclose(c, d, atol=ROUNDING)


def test_volume_is_kept(ala2: System, rotors: Rotors) -> None:
    """The Jacobian of a turn by fixed angles, by central differences, has determinant 1."""
    x, v = some_shape(ala2)
    by, step = np.array([0.8, 2.1]), 1e-5
    columns = []
    for place in range(x.size):
        shift = np.zeros(x.size)
        shift[place] = step
        ends = [rotors.turned(x + s * shift.reshape(x.shape), v, by)[0] for s in (1, -1)]
        columns.append((ends[0] - ends[1]).ravel() / (2 * step))
    assert np.linalg.det(np.stack(columns, axis=1)) == pytest.approx(1.0, abs=1e-6)


def test_arguments_are_left_alone(ala2: System, rotors: Rotors) -> None:
    x, v = some_shape(ala2)
    before = x.copy(), v.copy()
    rotors.turned(x, v, np.array([1.0, 1.0]))
    assert np.array_equal(x, before[0])
    assert np.array_equal(v, before[1])


def test_a_rotation_is_right_handed() -> None:
    turn = rotation(np.array([0.0, 0.0, 2.0]), np.pi / 2)
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-15)
