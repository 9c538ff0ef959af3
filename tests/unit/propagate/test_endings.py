"""Windows with another last frame, and parts of windows that can be joined."""

from __future__ import annotations

import numpy as np
from egno_md.propagate.endings import bare, with_end

from egno_md.core.state import Frame, Trajectory, join


def make_window(**fields: np.ndarray) -> Trajectory:
    random = np.random.default_rng(0)
    x, v = random.standard_normal((2, 3, 4, 3))
    return Trajectory(x, np.array([1.0, 2.0, 3.0]), velocities=v, **fields)


def test_another_end_replaces_the_last_frame_alone() -> None:
    window, new = make_window(box=np.ones((3, 3, 3))), np.full((4, 3), 7.0)
    before = window.positions.copy(), np.array(window.velocities)
    found = with_end(window, Frame(new, new + 1, forces=new + 2, potential_energy=-5.0))
    assert found.velocities is not None
    assert found.forces is not None
    assert found.potential_energy is not None
    for ours, theirs, end in zip((found.positions, found.velocities), before, (7, 8), strict=True):
        np.testing.assert_array_equal(ours[:-1], theirs[:-1])
        assert (ours[-1] == end).all()
    assert found.forces.shape == window.positions.shape
    assert np.isnan(found.forces[:-1]).all()
    assert (found.forces[-1] == 9).all()
    np.testing.assert_array_equal(found.potential_energy, [np.nan, np.nan, -5.0])
    assert found.times is window.times
    assert found.box is window.box
    np.testing.assert_array_equal(window.positions, before[0])
    np.testing.assert_array_equal(window.velocities, before[1])


def test_an_end_that_is_not_evaluated_leaves_no_energies_and_no_forces() -> None:
    x = np.zeros((4, 3))
    found = with_end(make_window(), Frame(x, x))
    assert found.forces is None
    assert found.potential_energy is None


def test_parts_of_a_window_join_with_what_is_known() -> None:
    known = make_window(forces=np.ones((3, 4, 3)), potential_energy=np.arange(3.0))
    assert bare(known) is known
    whole = join([bare(make_window()), bare(known)])
    np.testing.assert_array_equal(whole.potential_energy, [np.nan] * 3 + [0.0, 1.0, 2.0])
    assert whole.forces is not None
    assert np.isnan(whole.forces[:3]).all()
    assert (whole.forces[3:] == 1).all()
