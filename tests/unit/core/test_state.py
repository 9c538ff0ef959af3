"""Frames and trajectories keep together what belongs together."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from egno_md.core.errors import DataError
from egno_md.core.state import Frame, Trajectory, is_evenly_spaced, join

NAMES = [f.name for f in fields(Trajectory)]
OPTIONAL = ("forces", "potential_energy", "box")


def a_trajectory(**changes) -> Trajectory:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((3, 4, 2, 3))
    whole = Trajectory(
        vectors[0],
        1.0 + 0.5 * np.arange(4),
        vectors[1],
        vectors[2],
        random.standard_normal(4),
        random.standard_normal((4, 3, 3)),
    )
    return replace(whole, **changes)


def assert_same(found: Trajectory, frames, whole: Trajectory) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[frames])


def test_a_frame_has_everything_of_its_instant() -> None:
    whole = a_trajectory()
    frame = whole[2]
    assert frame.time == 2.0
    for name in NAMES:
        if name != "times":
            np.testing.assert_array_equal(getattr(frame, name), getattr(whole, name)[2])
    bare = a_trajectory(**dict.fromkeys(OPTIONAL))[2]
    assert [getattr(bare, name) for name in OPTIONAL] == [None, None, None]
    with pytest.raises(DataError, match="has no velocities"):
        a_trajectory(velocities=None)[0]


def test_frames_become_a_trajectory_with_the_fields_that_all_of_them_have() -> None:
    whole = a_trajectory()
    frames = [whole[n] for n in range(len(whole))]
    assert_same(Trajectory.of(frames), slice(None), whole)
    assert_same(Trajectory.of(frames[2:3]), slice(2, 3), whole)
    frames[1] = replace(frames[1], **dict.fromkeys(OPTIONAL))
    bare = Trajectory.of(frames)
    assert [getattr(bare, name) for name in OPTIONAL] == [None, None, None]
    np.testing.assert_array_equal(bare.velocities, whole.velocities)


def test_chosen_atoms_keep_the_box_and_lose_the_energy_of_all() -> None:
    whole = a_trajectory()
    second = whole.of_atoms(np.array([1]))
    for name in ("positions", "velocities", "forces"):
        np.testing.assert_array_equal(getattr(second, name), getattr(whole, name)[:, [1]])
    assert second.potential_energy is None
    assert second.box is whole.box
    swapped = whole.of_atoms(np.array([1, 0]))
    assert swapped.potential_energy is whole.potential_energy
    still = a_trajectory(velocities=None, forces=None).of_atoms(np.array([0]))
    assert still.velocities is None
    assert still.forces is None


def test_parts_and_strides_are_cut_from_every_field() -> None:
    whole = a_trajectory()
    assert_same(whole.slice(1, 3), [1, 2], whole)
    assert_same(whole.every(2), [0, 2], whole)
    assert_same(whole.every(2, 1), [1, 3], whole)
    assert whole.slice(1, 3).positions.base is whole.positions.base
    assert a_trajectory(forces=None).every(2).forces is None
    assert a_trajectory(forces=None).slice(0, 2).forces is None


def test_joined_parts_keep_the_fields_that_all_of_them_have() -> None:
    whole = a_trajectory()
    assert_same(join([whole.slice(0, 1), whole.slice(1, 2), whole.slice(2, 4)]), range(4), whole)
    poorer = join([whole.slice(0, 2), replace(whole.slice(2, 4), forces=None)])
    assert poorer.forces is None
    np.testing.assert_array_equal(poorer.velocities, whole.velocities)
    assert join([whole]) is whole


def test_the_spacing_is_the_mean_gap_of_at_least_two_frames() -> None:
    assert a_trajectory().spacing == 0.5
    assert a_trajectory().slice(1, 3).spacing == 0.5
    with pytest.raises(DataError, match="one frame has no frame spacing"):
        _ = a_trajectory().slice(0, 1).spacing


@pytest.mark.parametrize(
    ("times", "even"),
    [
        ([], True),
        ([3.0], True),
        ([0.0, 2.0], True),
        ([0.0, 1.0, 2.0, 3.0005], True),
        ([0.0, 2.0, 4.0, 6.003], False),
        ([0.0, 0.5, 1.0, 1.499], False),
        ([2.0, 1.0, 0.0], False),
        ([1.0, 1.0, 1.0], False),
    ],
)
def test_even_spacing_allows_a_thousandth_of_it(times: list[float], even: bool) -> None:
    assert is_evenly_spaced(np.array(times)) is even


def test_a_frame_with_a_velocity_that_is_no_number_is_not_finite() -> None:
    x = np.zeros((2, 3))
    assert Frame(x, x).is_finite
    assert not Frame(x, x + np.nan).is_finite
    assert not Frame(x + np.inf, x).is_finite
