"""Lifting carries atoms rigidly, keeps hands, and knows which atoms an operator sees."""

from __future__ import annotations

from dataclasses import replace

import mdtraj
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from egno_md.core.errors import DataError, SpecError
from egno_md.core.selection import AtomChoice, choose_atoms, reduce_system
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.geometry.lift import Lift
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.md.build import load_system
from egno_md.propagate.observe import ProteinObserver

CHOICES: tuple[AtomChoice, ...] = ("heavy", "backbone", "ca")
ROUNDING = 1e-12


@pytest.fixture(scope="module")
def chignolin() -> System:
    return load_system("chignolin").system


def test_choices_have_the_atoms_they_name(chignolin: System) -> None:
    sizes = {c: len(choose_atoms(chignolin.topology, c, "x")) for c in ("all", *CHOICES)}
    # ten residues; neither oxygen of the terminal carboxylate is backbone
    assert sizes == {"all": 166, "heavy": 93, "backbone": 39, "ca": 10}
    names = {chignolin.topology.atom(i).name for i in choose_atoms(chignolin.topology, "ca", "x")}
    assert names == {"CA"}


def test_choices_without_a_protein_or_with_solvent_are_refused(ethanol: System) -> None:
    with pytest.raises(SpecError, match=r"atoms: backbone leaves 0 atoms of ethanol"):
        reduce_system(ethanol, "backbone")
    water = mdtraj.Topology()
    chain = water.add_chain()
    for _ in range(5):
        residue = water.add_residue("HOH", chain)
        water.add_atom("O", mdtraj.element.oxygen, residue)
    with pytest.raises(
        SpecError, match=r"solvent of box goes\. Use .*, or a system with implicit solvent\.$"
    ):
        choose_atoms(water, "heavy", "box")


def test_reduced_systems_keep_bonds_and_join_alpha_carbons(chignolin: System) -> None:
    carbons = reduce_system(chignolin, "ca")
    assert carbons.bonds.tolist() == [[i, i + 1] for i in range(9)]
    backbone = reduce_system(chignolin, "backbone")
    assert len(backbone.bonds) == 38  # one chain: every atom but the first hangs on another
    assert backbone.digest != carbons.digest
    assert reduce_system(chignolin, "all") is chignolin


@pytest.mark.parametrize("choice", CHOICES)
def test_a_rigid_move_moves_every_atom_rigidly(chignolin: System, choice: AtomChoice) -> None:
    lift, x = Lift.of(chignolin, choice), chignolin.positions
    turn = Rotation.from_rotvec([0.3, -1.1, 2.0]).as_matrix()
    moved = x @ turn.T + [3.0, -2.0, 0.5]
    np.testing.assert_allclose(lift.positions(x, moved[lift.chosen]), moved, atol=ROUNDING)


@pytest.mark.parametrize("choice", CHOICES)
def test_predicted_atoms_are_exactly_where_they_were_predicted(
    chignolin: System, choice: AtomChoice
) -> None:
    lift, x = Lift.of(chignolin, choice), chignolin.positions
    random = np.random.default_rng(1)
    predicted = x[lift.chosen] + 0.05 * random.standard_normal((4, len(lift.chosen), 3))
    lifted = lift.positions(x, predicted)
    np.testing.assert_array_equal(lifted[:, lift.chosen], predicted)
    assert np.isfinite(lifted).all()


def test_side_chains_never_change_their_hand_however_the_backbone_is_shaken(
    chignolin: System,
) -> None:
    lift, stereo = Lift.of(chignolin, "backbone"), Stereochemistry.of(chignolin)
    random, x = np.random.default_rng(2), chignolin.positions
    for _ in range(20):
        shaken = x[lift.chosen] + 0.1 * random.standard_normal((len(lift.chosen), 3))
        lifted = lift.positions(x, shaken)
        assert not stereo.inverted(x, lifted).any()


def test_alpha_carbons_carry_peptide_units_without_turning_them(chignolin: System) -> None:
    lift, stereo = Lift.of(chignolin, "ca"), Stereochemistry.of(chignolin)
    random, x = np.random.default_rng(3), chignolin.positions
    shaken = x[lift.chosen] + 0.02 * random.standard_normal((len(lift.chosen), 3))
    lifted = lift.positions(x, shaken)
    assert not stereo.changed(x, lifted).any()
    assert not stereo.cis(lifted).any()


def test_velocities_of_carried_atoms_are_those_of_what_carries_them(chignolin: System) -> None:
    lift, x = Lift.of(chignolin, "backbone"), chignolin.positions
    spin = np.array([0.2, -0.4, 0.9])
    v = np.cross(spin, x) + np.array([0.1, 0.0, -0.3])
    times = np.array([0.5])
    seen = Trajectory(x[None, lift.chosen], times, velocities=v[None, lift.chosen])
    window = lift.window(Frame(x, v), seen)
    np.testing.assert_allclose(window.velocities[0], v, atol=1e-6)


def test_an_observer_knows_folds_extent_and_states(chignolin: System) -> None:
    x = chignolin.positions
    carbons = choose_atoms(chignolin.topology, "ca", "x")
    observer = ProteinObserver.of(chignolin, {"native": x[carbons]})
    assert observer is not None
    turn = Rotation.from_rotvec([1.0, 0.2, -0.5]).as_matrix()
    found = observer.measure(Frame(x @ turn.T + 1.0, np.zeros_like(x)))
    assert found["ca_rmsd.native"] < 1e-6
    assert found["helix"] + found["strand"] + found["coil"] == pytest.approx(1.0)
    share = chignolin.masses / chignolin.masses.sum()
    pairs = np.square(x[:, None] - x[None]).sum(-1)  # Lagrange: no centre is needed
    expected = np.sqrt(0.5 * share @ pairs @ share)
    assert found["radius_of_gyration"] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(DataError, match="has 9 CA atoms, chignolin has 10"):
        ProteinObserver.of(chignolin, {"other": x[carbons[:9]]})


def test_peptide_units_stay_rigid_when_alpha_carbons_are_shaken(chignolin: System) -> None:
    lift, x = Lift.of(chignolin, "ca"), chignolin.positions
    random = np.random.default_rng(4)
    lifted = lift.positions(x, x[lift.chosen] + 0.02 * random.standard_normal((10, 3)))
    assert not set(lift.unit_atoms) & set(lift.carried)
    for unit in range(len(lift.units)):
        members = lift.unit_atoms[lift.unit_of == unit]
        assert len(members) >= 3
        np.testing.assert_allclose(distances(lifted, members), distances(x, members), atol=1e-12)


def test_all_of_a_residue_but_its_amide_hydrogen_is_one_rigid_body(chignolin: System) -> None:
    lift, x = Lift.of(chignolin, "backbone"), chignolin.positions
    random = np.random.default_rng(5)
    lifted = lift.positions(x, x[lift.chosen] + 0.02 * random.standard_normal((39, 3)))
    for residue in chignolin.topology.residues:
        body = [a.index for a in residue.atoms if a.index in lift.carried and a.name != "H"]
        np.testing.assert_allclose(distances(lifted, body), distances(x, body), atol=1e-12)


def distances(x: np.ndarray, atoms: object) -> np.ndarray:
    chosen = x[np.array(atoms, dtype=np.int64)]
    return np.linalg.norm(chosen[:, None] - chosen, axis=-1)


def test_a_gap_in_a_chain_is_named_by_both_its_ends(chignolin: System) -> None:
    kept = [a.index for a in chignolin.topology.atoms if a.residue.resSeq not in (5, 6)]
    broken = replace(
        chignolin,
        topology=chignolin.topology.subset(kept),
        masses=chignolin.masses[kept],
        positions=chignolin.positions[kept],
    )
    named = [str(r) for r in broken.topology.residues]
    with pytest.raises(SpecError, match=f"{named[3]} of .* is not followed by {named[4]}\\. Use"):
        Lift.of(broken, "ca")


def test_an_observer_tells_the_energy_where_it_is_known(chignolin: System) -> None:
    observer, x = ProteinObserver.of(chignolin, {}), chignolin.positions
    assert observer is not None
    told = {
        e: observer.measure(Frame(x, x, potential_energy=e)).get("potential_energy")
        for e in (-12.5, None, np.nan)
    }
    assert told == {-12.5: -12.5, None: None, np.nan: None}
