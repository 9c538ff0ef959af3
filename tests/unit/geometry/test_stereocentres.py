"""Which atoms are stereocentres, and when a molecule has become another one."""

from __future__ import annotations

import mdtraj
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from egno_md.core.system import System, element_masses
from egno_md.geometry.stereocentres import (
    Stereochemistry,
    find_stereocentres,
    graph_classes,
    signed_volumes,
)
from egno_md.geometry.torsions import torsion_angles, torsion_cosines
from egno_md.md.build import load_system

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.06


@pytest.fixture(scope="module")
def chignolin() -> System:
    return load_system("chignolin").system


def molecule(symbols: str, bonds: list[tuple[int, int]], hydrogens: dict[int, int]) -> System:
    """Heavy atoms by their symbols, and how many hydrogens each of some of them bears."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain(), resSeq=1)
    atoms = []
    for symbol in symbols.split():
        element = mdtraj.element.get_by_symbol(symbol)
        atoms.append(topology.add_atom(f"{symbol}{len(atoms) + 1}", element, residue))
    for one, other in bonds:
        topology.add_bond(atoms[one], atoms[other])
    for bearer, count in hydrogens.items():
        for _ in range(count):
            hydrogen = topology.add_atom("H", mdtraj.element.hydrogen, residue)
            topology.add_bond(atoms[bearer], hydrogen)
    positions = np.random.default_rng(0).standard_normal((topology.n_atoms, 3))
    return System("molecule", topology, element_masses(topology), positions, 3)


def ring(*substituents: int) -> System:
    """Cyclohexane with methyl groups at some of its carbons."""
    bonds = [(i, (i + 1) % 6) for i in range(6)]
    bonds += [(at, 6 + n) for n, at in enumerate(substituents)]
    hydrogens = {i: 2 - (i in substituents) for i in range(6)}
    hydrogens |= {6 + n: 3 for n in range(len(substituents))}
    return molecule("C " * (6 + len(substituents)), bonds, hydrogens)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (molecule("C F Cl Br", [(0, 1), (0, 2), (0, 3)], {0: 1}), {0}),
        (molecule("C C O", [(0, 1), (1, 2)], {0: 3, 1: 2, 2: 1}), set()),  # ethanol
        (  # lactic acid
            molecule("C C C O O O", [(0, 1), (1, 2), (1, 3), (2, 4), (2, 5)], {0: 3, 1: 1, 3: 1, 5: 1}),
            {1},
        ),
        (ring(0), set()),  # both ways around the ring are alike
        (ring(0, 1), {0, 1}),
        (ring(0, 2), {0, 2}),
        (ring(0, 3), set()),
        (  # 4-methylnonane: propyl and pentyl differ four bonds away
            molecule("C " * 10, [*((i, i + 1) for i in range(8)), (3, 9)],
                     {0: 3, 8: 3, 9: 3, 3: 1} | dict.fromkeys((1, 2, 4, 5, 6, 7), 2)),
            {3},
        ),
        (molecule("C F Cl", [(0, 1), (0, 2)], {0: 2}), set()),
    ],
)  # fmt: skip
def test_stereocentres_have_four_different_neighbours(system: System, expected: set[int]) -> None:
    assert set(find_stereocentres(system)[:, 3].tolist()) == expected


@pytest.mark.parametrize("name", ["ethanol", "aspirin", "benzene", "toluene", "waterbox"])
def test_flat_and_symmetric_molecules_have_none(name: str) -> None:
    stereo = Stereochemistry.of(load_system(name).system)
    assert stereo.names == ()
    x = np.zeros((2, load_system(name).system.n_atoms, 3))
    assert stereo.changed(x, x).shape == (2, 0)


@pytest.mark.parametrize("name", ["ala2/hmr", "chignolin", "trpcage", "adk"])
def test_amino_acids_have_ca_and_those_of_isoleucine_and_threonine_cb_too(name: str) -> None:
    system = load_system(name).system
    expected = set()
    for residue in system.topology.residues:
        names = {a.name for a in residue.atoms}
        if {"N", "CA", "C", "CB"} <= names:
            expected.add(f"{residue} CA")
            expected |= {f"{residue} CB"} if residue.name in ("ILE", "THR") else set()
    stereo = Stereochemistry.of(system)
    count = len(stereo.centres)
    assert set(stereo.names[:count]) == expected
    assert len(stereo.names) == count + len(stereo.peptides)
    # the neighbour that is left out is the hydrogen, and the order is that of the atoms
    assert (system.atomic_numbers[stereo.centres] > 1).all()
    assert (np.diff(stereo.centres[:, :3], axis=1) > 0).all()
    assert (np.diff(stereo.centres[:, 3]) > 0).all()


def test_every_omega_counts_those_of_caps_too(ala2: System) -> None:
    stereo = Stereochemistry.of(ala2)
    names = [[ala2.topology.atom(i).name for i in four] for four in stereo.peptides]
    assert names == [["CH3", "C", "N", "CA"], ["CA", "C", "N", "C"]]
    assert stereo.names == ("ALA2 CA", "peptide bond before ALA2", "peptide bond before NME3")


def test_numbering_atoms_otherwise_gives_the_same_classes() -> None:
    system = ring(0, 2)
    classes = graph_classes(system.atomic_numbers, system.bonds)
    order = np.random.default_rng(1).permutation(system.n_atoms)
    number = np.argsort(order)
    again = graph_classes(system.atomic_numbers[order], number[system.bonds])
    np.testing.assert_array_equal(again, classes[order])


def test_a_mirrored_molecule_is_another_and_a_turned_one_is_not() -> None:
    system = molecule("C F Cl Br", [(0, 1), (0, 2), (0, 3)], {0: 1})
    stereo = Stereochemistry.of(system)
    x = np.concatenate([np.zeros((1, 3)), TETRAHEDRON])
    turn = Rotation.from_rotvec([0.4, -1.0, 2.0]).as_matrix()
    assert not stereo.changed(x, x @ turn.T + 1.0).any()
    mirrored = stereo.changed(x, x * [-1, 1, 1])
    assert stereo.named(mirrored) == ("atom C1 of MOL1",)
    swapped = x[[0, 2, 1, 3, 4]]
    assert stereo.named(stereo.changed(x, swapped)) == ("atom C1 of MOL1",)


def test_hydrogens_of_methyl_groups_may_swap(ethanol: System, ala2: System) -> None:
    for system in (ethanol, ala2):
        bonded = [[int(b) for b in pair] for pair in system.bonds]
        stereo, x = Stereochemistry.of(system), system.positions
        for carbon in np.flatnonzero(system.atomic_numbers == 6).tolist():
            near = [a if b == carbon else b for a, b in bonded if carbon in (a, b)]
            light = [n for n in near if system.atomic_numbers[n] == 1]
            if len(light) > 1:
                swapped = x.copy()
                swapped[light[:2]] = x[light[1::-1]]
                assert not stereo.changed(x, swapped).any()


def test_signed_volumes_are_determinants_and_change_sign_in_the_mirror() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 6, 3))
    centres = np.array([[0, 1, 2, 3], [5, 4, 3, 0]])
    volumes = signed_volumes(x, centres)
    arms = x[..., centres[:, :3], :] - x[..., centres[:, 3:], :]
    np.testing.assert_allclose(volumes, np.linalg.det(arms), atol=1e-12)
    np.testing.assert_allclose(signed_volumes(x * [1, -1, 1], centres), -volumes, atol=1e-12)


def test_many_windows_are_judged_as_each_frame_alone(ala2: System) -> None:
    stereo, random = Stereochemistry.of(ala2), np.random.default_rng(0)
    starts = np.tile(ala2.positions, (3, 1, 1))
    windows = starts[:, None] + 0.08 * random.standard_normal((3, 4, *ala2.positions.shape))
    together = stereo.changed(starts[:, None], windows)
    assert together.any()
    assert not together.all()
    for replica, point in np.ndindex(3, 4):
        alone = stereo.changed(starts[replica], windows[replica, point])
        np.testing.assert_array_equal(together[replica, point], alone)


def test_a_mirror_image_and_a_turned_peptide_are_named(chignolin: System) -> None:
    stereo, x = Stereochemistry.of(chignolin), chignolin.positions
    mirrored = stereo.named(stereo.changed(x, x * [-1, 1, 1]))
    assert len(mirrored) == len(stereo.centres) == 11  # eight CA of nine, and two threonine CB
    assert "TYR1 CA" in mirrored
    turned = x.copy()
    bond = stereo.peptides[0]
    axis = turned[bond[2]] - turned[bond[1]]
    half = Rotation.from_rotvec(np.pi * axis / np.linalg.norm(axis)).as_matrix()
    first = chignolin.topology.select("resid 0")
    turned[first] = (turned[first] - turned[bond[1]]) @ half.T + turned[bond[1]]
    assert "peptide bond before TYR2" in stereo.named(stereo.changed(x, turned))


def test_cosines_of_peptide_bonds_are_those_of_omega(chignolin: System) -> None:
    stereo, x = Stereochemistry.of(chignolin), chignolin.positions
    _, omega = mdtraj.compute_omega(mdtraj.Trajectory(x.astype(np.float32), chignolin.topology))
    cosines = torsion_cosines(x, stereo.peptides)
    np.testing.assert_allclose(cosines, np.cos(omega[0]), atol=1e-5)
    np.testing.assert_array_equal(stereo.cis(x), np.cos(omega[0]) > 0)


def test_cosines_are_those_of_the_angles_and_none_on_a_line() -> None:
    x = np.random.default_rng(0).standard_normal((5, 6, 3))
    quads = np.array([[0, 1, 2, 3], [5, 3, 1, 0]])
    np.testing.assert_allclose(
        torsion_cosines(x, quads), np.cos(torsion_angles(x, quads)), atol=1e-12
    )
    straight = np.outer(np.arange(4.0), [0.1, 0, 0])
    assert torsion_cosines(straight, np.array([[0, 1, 2, 3]])) == 0.0
