"""Windows with another last frame, and parts of windows that can be joined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from egno_md.core.state import Frame, Trajectory, join
from egno_md.propagate.proposal import Proposal, no_frames, padded, single, with_end


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
    assert padded(known) is known
    whole = join([padded(make_window()), padded(known)])
    np.testing.assert_array_equal(whole.potential_energy, [np.nan] * 3 + [0.0, 1.0, 2.0])
    assert whole.forces is not None
    assert np.isnan(whole.forces[:3]).all()
    assert (whole.forces[3:] == 1).all()


def test_a_window_without_velocities_gets_none_with_another_end() -> None:
    window, new = replace(make_window(), velocities=None), np.full((4, 3), 7.0)
    changed = with_end(window, Frame(new, new, forces=new, potential_energy=-5.0))
    assert (changed.positions[-1] == 7).all()
    assert changed.velocities is changed.forces is changed.potential_energy is None


def test_a_proposal_without_velocities_ends_at_rest() -> None:
    window = replace(make_window(), velocities=None)
    proposal = Proposal.of(window)
    assert not proposal.has_velocities
    assert proposal.end.time == 3.0
    np.testing.assert_array_equal(proposal.end.positions, window.positions[-1])
    assert (proposal.end.velocities == 0).all()
    assert proposal.unprojected_end is proposal.end
    moving = Proposal.of(make_window())
    assert moving.has_velocities
    np.testing.assert_array_equal(moving.end.velocities, make_window()[2].velocities)


def test_a_part_of_a_proposal_ends_at_its_last_point_unevaluated() -> None:
    whole = Proposal.of(make_window())
    whole = replace(whole, unprojected=make_window(), end=replace(whole.end, potential_energy=1.0))
    part = whole.upto(2)
    assert len(part.window) == len(part.unprojected) == 2
    np.testing.assert_array_equal(part.end.positions, whole.window.positions[1])
    assert (part.end.time, part.end.potential_energy) == (2.0, None)


def test_a_proposal_that_failed_says_why_and_has_no_frames() -> None:
    start = make_window()[0]
    proposal = Proposal.failed(start, "NaN")
    assert (proposal.problem, len(proposal.window)) == ("NaN", 0)
    assert proposal.end is start
    assert no_frames(start).positions.shape == (0, 4, 3)


def test_a_single_frame_keeps_all_that_is_known_of_it() -> None:
    x = np.arange(12.0).reshape(4, 3)
    known = Frame(x, x + 1, 5.0, forces=x + 2, potential_energy=-3.0, box=np.eye(3))
    alone = single(known)
    for name in ("positions", "velocities", "forces", "box"):
        np.testing.assert_array_equal(getattr(alone[0], name), getattr(known, name))
    assert (alone[0].time, alone[0].potential_energy) == (5.0, -3.0)
    assert single(known, has_velocities=False).velocities is None
