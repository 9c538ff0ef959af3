"""Faults of drawn windows, with the figures by which they are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egno_md.core.system import System
from egno_md.propagate.check import bond_lengths
from egno_md.propagate.shapes import Shapes
from egno_md.spec.propagate import ShapeTolerances
from tests.unit.propagate.test_check import SPACING, a_chain

BOTH_SEARCHES = pytest.mark.parametrize("limit", [64, 0])


def shapes_of(system: System) -> Shapes:
    lengths = bond_lengths(system.positions, system.bonds)
    return Shapes.of(system, lengths, ShapeTolerances())


def windows_of(system: System, count: int = 3, points: int = 2) -> np.ndarray:
    return np.tile(system.positions, (count, points, 1, 1))


def starts_of(system: System, count: int = 3) -> np.ndarray:
    return np.tile(system.positions, (count, 1, 1))


def test_the_worst_bond_of_any_point_is_named_in_angstrom() -> None:
    chain = a_chain(4)
    windows = windows_of(chain)
    windows[1, 1, 3, 0] += 0.06
    windows[1, 0, 3, 0] -= 0.03
    windows[2, 0, 3, 0] -= 0.045
    shapes = shapes_of(chain)
    np.testing.assert_allclose(shapes.bond_deviations(windows), [0.0, 0.06, 0.045], atol=1e-12)
    found = shapes.problems(starts_of(chain), windows)
    assert found == [None, "bond off by 0.60 Å", None]


@BOTH_SEARCHES
def test_the_closest_contact_of_any_point_is_named_in_angstrom(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("egno_md.geometry.contacts.DENSE_LIMIT", limit)
    chain = a_chain(6)
    windows = windows_of(chain)
    for window, apart in ((1, 0.09), (2, 0.11)):  # folded back upon itself, its bonds nearly kept
        windows[window, 1, 3] = [0.42, apart / 2, 0.0]
        windows[window, 1, 4:] = [[0.3, apart, 0.0], [0.15, apart, 0.0]]
    found = shapes_of(chain).problems(starts_of(chain), windows)
    assert found == [None, "contact of 0.90 Å", None]


def test_what_only_just_reaches_a_tolerance_is_believed() -> None:
    chain = a_chain(6)
    windows = windows_of(chain, 1)
    windows[:, :, 5, 0] += 0.01
    shapes = shapes_of(chain)
    off = float(shapes.bond_deviations(windows)[0])
    near = float(shapes._contacts(windows)[0])
    assert near == pytest.approx(4 * SPACING)
    limits = shapes.tolerances.model_copy(update={"bond": off, "contact": near})
    just = replace(shapes, tolerances=limits)
    assert just.problems(starts_of(chain, 1), windows) == [None]


@pytest.mark.parametrize("atoms", [1, 2])
def test_what_has_no_centres_contacts_or_bonds_has_no_faults(atoms: int) -> None:
    chain = a_chain(atoms)
    windows = windows_of(chain)
    assert shapes_of(chain).problems(starts_of(chain), windows) == [None] * 3
    windows[1] = np.nan
    assert shapes_of(chain).problems(starts_of(chain), windows) == [None, "not finite", None]


def test_every_inverted_centre_is_counted_once_a_window(ala2: System) -> None:
    windows = windows_of(ala2)
    windows[1, 1] *= [-1, 1, 1]
    windows[2] *= [1, -1, 1]
    starts = starts_of(ala2)
    starts[2] *= [1, 1, -1]
    shapes = shapes_of(ala2)
    found = shapes.problems(starts, windows)
    assert found == [None, f"{len(shapes.stereo.centres)} centres inverted", None]


def test_each_fault_of_a_shape_is_named(ala2: System) -> None:
    shapes = shapes_of(ala2)
    whole = np.stack([ala2.positions[None]] * 5)
    names = [a.name for a in ala2.topology.atoms]
    whole[1, 0, 0] = np.nan
    whole[2, 0, names.index("CB")] += 0.2
    alpha = names.index("CA")
    hydrogen, beta = names.index("HA"), names.index("CB")
    arms = ala2.positions[[hydrogen, beta]] - ala2.positions[alpha]
    sizes = np.linalg.norm(arms, axis=1)
    side = [i for i in range(22) if names[i] in ("HB1", "HB2", "HB3")]
    moved = ala2.positions[alpha] + arms[0] / sizes[0] * sizes[1]
    whole[3, 0, hydrogen] = ala2.positions[alpha] + arms[1] / sizes[1] * sizes[0]
    whole[3, 0, side] += moved - ala2.positions[beta]
    whole[3, 0, beta] = moved
    omega = shapes.stereo.peptides[0]
    axis = ala2.positions[omega[2]] - ala2.positions[omega[1]]
    axis /= np.linalg.norm(axis)
    first = [i for i in range(22) if ala2.topology.atom(i).residue.index == 0]
    x = ala2.positions[first] - ala2.positions[omega[1]]
    whole[4, 0, first] = ala2.positions[omega[1]] + 2 * np.outer(x @ axis, axis) - x
    found = shapes.problems(np.stack([ala2.positions] * 5), whole)
    assert found[0] is None
    assert found[1] == "not finite"
    assert str(found[2]).startswith("bond off by")
    assert str(found[3]).endswith("centres inverted")
    assert "peptide bonds turned over" in str(found[4])
