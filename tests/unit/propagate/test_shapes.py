"""Faults of drawn windows, with the figures by which they are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egno_md.core.system import System
from egno_md.propagate.shapes import Shapes
from egno_md.spec.propagate import Tolerances
from tests.unit.propagate.test_checks import SPACING, a_chain

BOTH_SEARCHES = pytest.mark.parametrize("limit", [64, 0])


def shapes_of(system: System) -> Shapes:
    return Shapes.of(system, system.positions, Tolerances())


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
