"""What is measured in a periodic box does not depend on which image of a molecule is stored."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import mdtraj
import numpy as np
import pytest

from egno_md.compare.comparison import compare
from egno_md.compare.observable import Comparison
from egno_md.compare.observables import distances, integrity, peptide, surface
from egno_md.compare.reading import Choice, read_side
from egno_md.compare.sides import Side
from egno_md.core.state import Trajectory
from egno_md.core.system import System, element_masses
from egno_md.data.store import StoreWriter, new_manifest
from egno_md.geometry.bonded import bonded_within
from egno_md.geometry.images import near_pairs

from .builders import peptide as build

BOXES = {
    "cubic": 1.3 * np.eye(3),
    "triclinic": np.array([[1.5, 0.0, 0.0], [0.6, 1.4, 0.0], [-0.5, 0.4, 1.3]]),
}
ROUNDING = 1e-9
WHOLES = ("RMSD to mean structure", "RMSF of heavy atoms", "RMSF", "Radius of gyration",
          "Radius of gyration, width", "Surface area")  # fmt: skip
FRAMES = 8


def methanols(box: np.ndarray, seed: int = 0) -> System:
    """30 of them, anywhere and any way round: donors, acceptors, and carbons that clash."""
    random = np.random.default_rng(seed)
    one = np.array([[0.0, 0.0, 0.0], [0.0965, 0.0, 0.0], [-0.046, 0.135, 0.0]])
    topology, positions = mdtraj.Topology(), []
    chain = topology.add_chain()
    for k in range(30):
        residue = topology.add_residue("MOH", chain, resSeq=k)
        atoms = [
            topology.add_atom(n, mdtraj.element.Element.getBySymbol(n[0]), residue)
            for n in ("O", "H", "C")
        ]
        topology.add_bond(atoms[0], atoms[1])
        topology.add_bond(atoms[0], atoms[2])
        turn = np.linalg.qr(random.standard_normal((3, 3)))[0]
        positions.append(random.random(3) @ box + one @ turn)
    masses = element_masses(topology)
    x = np.concatenate(positions)
    return System("methanol", topology, masses, x, 3 * len(masses) - 3, box=box)


def shifted(x: np.ndarray, system: System, seed: int = 1) -> np.ndarray:
    """The same periodic state, with whole molecules at other images."""
    random = np.random.default_rng(seed)
    steps = random.integers(-3, 4, (system.molecules.max() + 1, 3)) @ system.box
    return x + steps[system.molecules]


def trajectory(system: System, is_shifted: bool = False) -> Trajectory:
    noise = 0.004 * np.random.default_rng(2).standard_normal((FRAMES, system.n_atoms, 3))
    x = system.positions + noise
    if is_shifted:
        x = np.stack([shifted(frame, system, seed=k) for k, frame in enumerate(x)])
    return Trajectory(x, np.arange(FRAMES, dtype=float), box=np.tile(system.box, (FRAMES, 1, 1)))


def nearest(x: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Least distance of every pair over many images, by hand."""
    steps = np.array(list(product(range(-3, 4), repeat=3))) @ box
    f = x @ np.linalg.inv(box)
    r = ((f - np.floor(f)) @ box)[:, None] - ((f - np.floor(f)) @ box)[None]
    return np.min([np.linalg.norm(r + s, axis=-1) for s in steps], axis=0)


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("reach", [0.3, 1.0, 1.6])
def test_near_pairs_are_those_of_nearest_images_by_hand(name, reach):
    """Beyond half the box and beyond all of it, too."""
    box = BOXES[name]
    x = np.random.default_rng(0).uniform(-4.0, 4.0, (40, 3))
    pairs, vectors = near_pairs(x, x, reach, box)
    expected = nearest(x, box)
    found = {(int(i), int(j)) for i, j in pairs}
    assert len(found) == len(pairs)
    assert found == {(int(i), int(j)) for i, j in np.argwhere(expected < reach)}
    np.testing.assert_allclose(
        np.linalg.norm(vectors, axis=1), expected[tuple(pairs.T)], atol=ROUNDING
    )
    lattice = (x[pairs[:, 1]] - x[pairs[:, 0]] - vectors) @ np.linalg.inv(box)
    np.testing.assert_allclose(lattice, np.round(lattice), atol=ROUNDING)


def test_near_pairs_without_a_box_are_those_of_the_points():
    first, second = np.random.default_rng(0).random((2, 30, 3))
    pairs, vectors = near_pairs(first, second, 0.4)
    r = second[None] - first[:, None]
    assert sorted(map(tuple, pairs.tolist())) == [
        (int(i), int(j)) for i, j in np.argwhere(np.linalg.norm(r, axis=-1) < 0.4)
    ]
    np.testing.assert_array_equal(vectors, r[tuple(pairs.T)])


@pytest.mark.parametrize("name", BOXES)
def test_bonds_clashes_and_distances_do_not_depend_on_the_image(name):
    box = BOXES[name]
    system = methanols(box)
    x, y = system.positions, shifted(system.positions, system)
    bonds = surface.find_hydrogen_bonds(system)
    near = bonded_within(system.bonds, system.n_atoms, 3)
    counts = [
        (
            bonds.count(z, box),
            integrity.clash_count(z, system, near, box),
            distances.distance_counts(z[None], box[None])[0].tolist(),
        )
        for z in (x, y)
    ]
    assert counts[0][:2] == counts[1][:2]
    assert min(counts[0][:2]) > 0
    assert np.abs(np.subtract(counts[0][2], counts[1][2])).sum() <= 2  # rounding across an edge
    whole = mdtraj.Trajectory(x.astype(np.float32), system.topology)
    whole.unitcell_vectors = box[None].astype(np.float32)
    assert counts[0][0] == len(mdtraj.baker_hubbard(whole, freq=0.0, periodic=True))
    r = nearest(x, box)[np.triu_indices(len(x), 1)]
    expected = np.histogram(10 * r, bins=distances.EDGES)[0]
    assert np.abs(expected - counts[0][2]).sum() <= 2


def test_large_boxes_of_atoms_are_counted_as_small_ones(monkeypatch):
    system = methanols(BOXES["triclinic"])
    found = distances.distance_counts(system.positions[None], system.box[None])
    monkeypatch.setattr(distances, "LARGE", 10)
    again = distances.distance_counts(system.positions[None], system.box[None])
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("name", BOXES)
def test_a_box_at_other_images_is_the_same_box(name):
    system = methanols(BOXES[name])
    found = compare(Side(system, [trajectory(system)]), Side(system, [trajectory(system, True)]))
    for o in found.observables:
        if o.name in ("Hydrogen bonds", "Clashes"):
            assert o.reference == o.rollout > 0.0
    assert {"Hydrogen bonds", "Clashes"} <= {o.name for o in found.observables}
    h = next(d for d in found.distributions if d.name == "h(r)")
    assert h.distance < 1e-3
    told = reasons(found)
    for whole in WHOLES:
        assert "--select" in told[whole], whole
        assert "g(r)" in told[whole], whole


def test_a_side_without_a_box_is_not_measured_beside_one_with():
    system = methanols(BOXES["cubic"])
    boxed, bare = trajectory(system), replace(trajectory(system), box=None)
    for one, two, name in ((boxed, bare, "rollout"), (bare, boxed, "reference")):
        told = reasons(compare(Side(system, [one]), Side(system, [two])))
        for wanted in ("Hydrogen bonds", "Clashes", "h(r)"):
            assert told[wanted] == f"no box in the {name}."
        assert "--select" in told["Radius of gyration"]
    both = {o.name for o in compare(Side(system, [bare]), Side(system, [bare])).observables}
    assert {"Radius of gyration", "Hydrogen bonds", "Surface area"} <= both


def test_one_molecule_in_a_box_is_measured_as_it_is():
    """A solvated protein that was selected: whole, whatever the box."""
    helix = build([(-57.0, -47.0, 180.0)] * 5)
    boxed = replace(helix, box=2.0 * np.eye(3))
    names = {o.name for o in _alone(boxed).observables}
    assert {"Radius of gyration", "RMSF of heavy atoms", "Surface area", "Clashes"} <= names
    assert _alone(boxed).observables == _alone(helix, box=None).observables


def test_chosen_atoms_of_one_molecule_need_no_bonds_between_them():
    """Alpha carbons, of which no two are bonded."""
    helix = build([(-57.0, -47.0, 180.0)] * 5)
    alpha = peptide.find_peptide(helix).alpha
    system = replace(
        helix, topology=helix.topology.subset(alpha), masses=helix.masses[alpha],
        positions=helix.positions[alpha], degrees_of_freedom=12, box=2.0 * np.eye(3),
    )  # fmt: skip
    side = Side(system, [trajectory(system)], molecules=helix.molecules[alpha])
    assert "Radius of gyration" in {o.name for o in compare(side, side).observables}
    assert "one molecule" in reasons(compare(side, side))["g(r) *"]
    loose = replace(side, molecules=None)
    assert "Radius of gyration" in reasons(compare(loose, loose))


def test_of_a_solvated_peptide_all_that_is_the_peptides_alone_is_compared(tmp_path):
    """All of its atoms, or some that no bond joins, are one molecule where they are selected."""
    helix, water = build([(-57.0, -47.0, 180.0)] * 6), methanols(2.5 * np.eye(3))
    topology = helix.topology.join(water.topology)
    x = np.concatenate([helix.positions, water.positions])
    system = System("wet", topology, element_masses(topology), x, 3 * len(x) - 3, water.box)
    frames = trajectory(system, is_shifted=True)
    writer = StoreWriter(tmp_path / "store", new_manifest(system, "generate", 1.0), topology)
    writer.append(frames, "chain")
    whole = mdtraj.Trajectory(frames.positions.astype(np.float32), topology)
    whole.unitcell_vectors = frames.box.astype(np.float32)
    whole.save(str(tmp_path / "file.h5"))
    whole.save(str(tmp_path / "file.xtc"))
    whole[0].save(str(tmp_path / "top.pdb"))
    for file in ("store", "file.h5", "file.xtc"):
        path, top = tmp_path / file, tmp_path / "top.pdb" if file == "file.xtc" else None
        wet = read_side(path, Choice(top))
        found = compare(wet, wet)
        names = {o.name for o in found.observables}
        inner = {"Helix", "End-to-end distance", "Residue contacts", "Native contacts",
                 "Cis peptides", "Ramachandran outliers", "Hydrogen bonds", "Clashes"}  # fmt: skip
        assert inner <= names
        assert set(WHOLES) <= set(reasons(found))
        assert any(d.name.startswith("g(r)") for d in found.distributions)
        for selection in ("protein", "name CA"):
            dry = read_side(path, Choice(top, selection))
            found = compare(dry, dry)
            assert set(WHOLES) <= {j.name for j in found.judged}, selection
            assert "one molecule" in reasons(found)["g(r) *"]


def test_peptides_in_a_box_touch_by_their_nearest_images():
    helix = build([(-57.0, -47.0, 180.0)] * 6)
    box = 4.0 * np.eye(3)
    found = peptide.find_peptide(helix)
    alpha = helix.positions[found.alpha]
    both = np.concatenate([alpha, np.add(alpha, [0.5, 0.0, 0.0])])
    away = np.concatenate([alpha, np.add(alpha, [0.5, 4.0, -8.0])])
    numbers = np.concatenate([found.numbers, found.numbers + 20])
    counts = [peptide.contact_number(x[None], numbers, [box])[0] for x in (both, away)]
    assert counts[0] == counts[1] == peptide.contact_number(both[None], numbers)[0]
    assert counts[0] > 2 * peptide.contact_number(alpha[None], found.numbers)[0]


def test_ends_are_those_of_the_longest_chain():
    long, short = build([(-120.0, 130.0, 180.0)] * 7), build([(-120.0, 130.0, 180.0)] * 4)
    topology = long.topology.join(short.topology)
    x = np.concatenate([long.positions, np.add(short.positions, [0.0, 3.0, 0.0])])
    system = System("two", topology, element_masses(topology), x, 3 * len(x) - 3)
    frames = Trajectory(np.tile(x, (6, 1, 1)), np.arange(6.0))
    found = compare(Side(system, [frames]), Side(system, [frames]))
    ends = next(o for o in found.observables if o.name == "End-to-end distance")
    alpha = peptide.find_peptide(long).alpha
    assert ends.reference == pytest.approx(
        np.linalg.norm(long.positions[alpha[-1]] - long.positions[alpha[0]])
    )


def _alone(system: System, **changes: object) -> Comparison:
    frames = trajectory(replace(system, box=2.0 * np.eye(3)))
    side = Side(system, [replace(frames, **changes)])
    return compare(side, side)


def reasons(found: Comparison) -> dict[str, str]:
    return {u.name: u.reason for u in found.unavailable}
