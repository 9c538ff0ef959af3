from __future__ import annotations

import mdtraj
import numpy as np
import pytest

from egno_md.compare.observables import integrity, peptide, ramachandran, surface
from egno_md.core.system import System, element_masses
from egno_md.geometry.bonded import bonded_within
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.geometry.torsions import torsion_angles

from .builders import peptide as build

ALPHA = (-57.0, -47.0, 180.0)


@pytest.fixture(scope="module")
def helix() -> System:
    return build([ALPHA] * 14)


def frames(system: System, *displaced: np.ndarray) -> np.ndarray:
    return np.stack([system.positions, *displaced])


def as_mdtraj(system: System, positions=None) -> mdtraj.Trajectory:
    x = system.positions[None] if positions is None else positions
    return mdtraj.Trajectory(np.asarray(x, np.float32), system.topology)


def test_the_backbone_is_found_and_has_its_torsions(helix):
    found = peptide.find_peptide(helix)
    assert len(found.residues) == 14
    assert len(found.peptide_bonds) == 13
    assert found.ramachandran_residues == tuple(range(1, 13))
    omega = torsion_angles(helix.positions, found.peptide_bonds)
    phi = torsion_angles(helix.positions, found.ramachandran[:, :4])
    np.testing.assert_allclose(np.abs(np.degrees(omega)), 180.0, atol=0.1)
    np.testing.assert_allclose(np.degrees(phi), -57.0, atol=0.1)


def test_no_backbone_is_found_in_ethanol(ethanol):
    assert peptide.find_peptide(ethanol) is None


def test_an_ideal_alpha_helix_is_helix(helix):
    shares = peptide.secondary_shares(as_mdtraj(helix))
    assert shares[0, 0] >= 10 / 14  # the ends have no hydrogen bonds
    assert shares[0, 1] == 0.0
    extended = build([(-120.0, 130.0, 180.0)] * 14)
    assert peptide.secondary_shares(as_mdtraj(extended))[0, 0] == 0.0


def test_an_ideal_alpha_helix_rises_by_0_15_nm_a_residue(helix):
    alpha = peptide.find_peptide(helix).alpha
    ends = np.linalg.norm(helix.positions[alpha[-1]] - helix.positions[alpha[0]])
    assert ends == pytest.approx(13 * 0.15, rel=0.07)


def test_contacts_are_mdtrajs(helix):
    found = peptide.find_peptide(helix)
    x = helix.positions[None]
    distances, _ = mdtraj.compute_contacts(as_mdtraj(helix), contacts="all", scheme="ca")
    expected = (distances < peptide.CONTACT).sum()  # 'all' leaves out neighbours up to two apart
    assert peptide.contact_number(x[:, found.alpha], found.numbers)[0] == expected


def test_native_contacts_follow_best_hummer_and_eaton(helix):
    pairs = peptide.native_pairs(helix, helix.positions, peptide.NATIVE_SEPARATION)
    heavy = helix.topology.select_atom_indices("heavy")
    expected = [
        (i, j)
        for k, i in enumerate(heavy)
        for j in heavy[k + 1 :]
        if abs(helix.topology.atom(i).residue.index - helix.topology.atom(j).residue.index) > 3
        and np.linalg.norm(helix.positions[i] - helix.positions[j]) < 0.45
    ]
    assert sorted(map(tuple, np.sort(pairs, axis=1).tolist())) == sorted(expected)
    lengths = np.linalg.norm(helix.positions[pairs[:, 0]] - helix.positions[pairs[:, 1]], axis=1)
    stretched = 1.8 * helix.positions  # every pair at the midpoint of its sigmoid
    q = peptide.native_fraction(frames(helix, stretched), pairs, lengths)
    assert q[0] == pytest.approx(1.0, abs=1e-3)
    assert q[1] == pytest.approx(0.5)


def test_native_contacts_are_within_one_chain_of_amino_acids(helix):
    """Waters beside the peptide, and the same chain once more, make no native contact."""
    expected = peptide.native_pairs(helix, helix.positions, peptide.NATIVE_SEPARATION)
    topology = helix.topology.join(helix.topology)
    waters = topology.add_chain()
    for k in range(20):
        oxygen = mdtraj.element.oxygen
        topology.add_atom("O", oxygen, topology.add_residue("HOH", waters, resSeq=k))
    beside = np.add(helix.positions, [0.35, 0.0, 0.0])
    x = np.concatenate([helix.positions, beside, np.add(helix.positions[:20], [0.0, 0.3, 0.0])])
    crowded = System("crowded", topology, element_masses(topology), x, 3 * len(x) - 3)
    found = peptide.native_pairs(crowded, x, peptide.NATIVE_SEPARATION)
    both = {tuple(sorted(p)) for p in np.concatenate([expected, expected + helix.n_atoms]).tolist()}
    assert {tuple(sorted(p)) for p in found.tolist()} == both
    assert len(found) == len(both)


def test_hydrogen_bonds_are_baker_and_hubbards(helix):
    bonds = surface.find_hydrogen_bonds(helix)
    expected = mdtraj.baker_hubbard(as_mdtraj(helix), freq=0.0, periodic=False)
    assert len(expected) >= 9
    assert bonds.count(helix.positions) == len(expected)


def test_ethanol_has_no_hydrogen_bond_with_itself(ethanol):
    assert not surface.find_hydrogen_bonds(ethanol).possible


def test_the_surface_of_one_atom_is_that_of_a_sphere():
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for k in range(2):
        topology.add_atom(f"C{k}", mdtraj.element.carbon, residue)
    system = System("two", topology, np.full(2, 12.0), np.zeros((2, 3)), 3)
    apart = np.array([[[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]])
    expected = 2 * 4 * np.pi * (0.17 + 0.14) ** 2
    assert surface.surface_area(system, apart)[0] == pytest.approx(expected, rel=1e-3)


def test_a_mirror_image_has_every_centre_inverted(helix):
    stereo = Stereochemistry.of(helix)
    names = {helix.topology.atom(int(c)).name for c in stereo.centres[:, 3]}
    assert names == {"CA"}
    both = frames(helix, helix.positions * [1, 1, -1])
    assert stereo.inverted(helix.positions, both).tolist() == [[False] * 14, [True] * 14]
    assert not stereo.turned(helix.positions, both).any()


def test_cis_peptides_are_those_with_omega_near_zero():
    system = build([ALPHA, (-57.0, -47.0, 0.0), ALPHA, ALPHA, ALPHA])
    found = peptide.find_peptide(system)
    omega = torsion_angles(system.positions, found.peptide_bonds)
    assert (np.abs(omega) < np.pi / 2).tolist() == [False, True, False, False]


def test_clashes_are_overlaps_of_0_04_nm_between_atoms_four_bonds_apart(helix):
    near = bonded_within(helix.bonds, helix.n_atoms, 3)
    assert integrity.clash_count(helix.positions, helix, near) == 0
    carbon = [a.index for a in helix.topology.atoms if a.name == "CB"]
    for distance, expected in ((0.29, 1), (0.31, 0)):  # 2 x 0.170 - 0.04 = 0.30
        x = 10.0 * helix.positions
        x[carbon[9]] = x[carbon[0]] + [distance, 0.0, 0.0]
        assert integrity.clash_count(x, helix, near) == expected


@pytest.mark.parametrize(
    ("kind", "phi", "psi", "allowed"),
    [
        ("general", -60, -45, True),  # right-handed helix
        ("general", -120, 130, True),  # sheet
        ("general", 57, 40, True),  # left-handed helix
        ("general", 120, 100, False),
        ("general", 0, 0, False),
        ("glycine", 120, 100, True),
        ("glycine", 5, 60, False),
        ("proline", -65, 140, True),
        ("proline", 60, 40, False),
        ("preproline", -70, 140, True),
    ],
)
def test_backbone_torsions_are_allowed_where_textbooks_have_them(kind, phi, psi, allowed):
    assert ramachandran.is_allowed(kind, *np.radians([[phi], [psi]]))[0] == allowed


def test_outliers_are_counted_per_residue():
    inside = build([ALPHA] * 6)
    outside = build([ALPHA, ALPHA, (120.0, 100.0, 180.0), ALPHA, ALPHA, ALPHA])
    for system, expected in ((inside, 0.0), (outside, 1 / 4)):
        found = peptide.find_peptide(system)
        share = ramachandran.outlier_shares(system, found, system.positions[None])
        assert share[0] == pytest.approx(expected)


def test_classes_of_residues():
    assert ramachandran.residue_class("ALA", "PRO") == "preproline"
    assert ramachandran.residue_class("GLY", "PRO") == "glycine"
    assert ramachandran.residue_class("PRO", "ALA") == "proline"
    assert ramachandran.residue_class("SER", "ALA") == "general"
