"""Windows cut from frames: which frames, which velocities, which past."""

import numpy as np
import pytest

from egno_md.core.errors import SpecError, WindowMismatch
from egno_md.paper.datasets.cut import Cut, join_windows, target_offsets


def frames(count: int) -> np.ndarray:
    """One atom at (t, t², 0), so that a frame is known by its position."""
    t = np.arange(count, dtype=np.float64)
    return np.stack([t, t**2, 0 * t], axis=1)[:, None]


def features(starts: np.ndarray) -> np.ndarray:
    return np.zeros((len(starts), 1, 1))


def times(positions: np.ndarray) -> list:
    return positions[..., 0, 0].astype(int).tolist()


def test_uniform_targets_divide_the_window_and_last_ones_end_it():
    assert target_offsets(30, 5, "uniform") == (6, 12, 18, 24, 30)
    assert target_offsets(30, 5, "last") == (26, 27, 28, 29, 30)
    assert target_offsets(3000, 8, "uniform") == tuple(375 * p for p in range(1, 9))


@pytest.mark.parametrize("starts", [[4, 5, 6], [9, 4, 7]])
@pytest.mark.parametrize("offsets", [(3, 7, 11, 15), (2, 3, 7), (4,)])
def test_targets_are_the_frames_at_the_offsets(starts, offsets):
    cut = Cut(offsets)
    chosen = np.array(starts)
    windows = cut.windows(frames(40), chosen, features(chosen))
    assert times(windows.positions) == starts
    assert times(windows.future_positions) == [[s + o for o in offsets] for s in starts]


@pytest.mark.parametrize(("velocity", "sign"), [("forward", 1), ("backward", -1)])
def test_velocities_are_differences_to_the_named_neighbour(velocity, sign):
    starts = np.array([5, 9, 6])
    windows = Cut((2, 4), velocity).windows(frames(20), starts, features(starts))
    # d/dt of t² between neighbours is 2t ± 1
    np.testing.assert_array_equal(windows.velocities[:, 0, 1], 2 * starts + sign)
    ahead = starts[:, None] + [2, 4]
    np.testing.assert_array_equal(windows.future_velocities[:, :, 0, 1], 2 * ahead + sign)


@pytest.mark.parametrize(
    ("offsets", "past"),
    [
        ((6, 12, 18), [-12, -6, 0]),
        ((16, 17, 18), [-2, -1, 0]),
        ((3, 7, 11, 15), [-12, -8, -4, 0]),
    ],
)
def test_the_past_is_the_window_moved_to_end_at_the_start(offsets, past):
    cut = Cut(offsets, past=True)
    starts = cut.starts(40)
    windows = cut.windows(frames(40), starts, features(starts))
    assert windows.past_positions is not None
    assert windows.past_velocities is not None
    assert times(windows.past_positions)[0] == [starts[0] + p for p in past]
    np.testing.assert_array_equal(windows.past_positions[:, -1], windows.positions)
    np.testing.assert_array_equal(windows.past_velocities[:, -1], windows.velocities)
    assert starts[0] == -past[0]


@pytest.mark.parametrize("velocity", ["forward", "backward"])
@pytest.mark.parametrize("past", [False, True])
def test_every_start_that_fits_is_offered_and_no_other(velocity, past):
    cut, there = Cut((3, 6), velocity, past), frames(25)
    starts = cut.starts(len(there))
    before = (3 if past else 0) + (velocity == "backward")
    assert starts[0] == before
    assert starts[-1] + 6 + (velocity == "forward") == len(there) - 1
    assert len(cut.windows(there, starts, features(starts))) == len(starts)


def test_consecutive_starts_share_the_memory_of_the_frames():
    there = frames(400)
    starts = np.arange(300)
    windows = Cut((3, 7, 11, 15)).windows(there, starts, features(starts))
    assert np.shares_memory(windows.future_positions, there)
    batch = windows[[0, 299]]
    assert batch.future_positions[1, :, 0, 0].tolist() == [302, 306, 310, 314]


def test_joined_windows_follow_each_other():
    cut, starts = Cut((1, 2), past=True), np.array([3, 5])
    one, two = (cut.windows(frames(20) + s, starts, features(starts)) for s in (0, 100))
    both = join_windows([one, two])
    assert times(both.positions) == [3, 5, 103, 105]
    assert both.past_positions is not None
    assert times(both.past_positions)[2] == [102, 103]


def test_windows_that_do_not_fall_on_frames_are_refused():
    with pytest.raises(WindowMismatch, match=r"Use 24 or 32 frames"):
        target_offsets(30, 8, "uniform")
    with pytest.raises(WindowMismatch, match="9 time points do not fit"):
        target_offsets(8, 9, "last")
    with pytest.raises(WindowMismatch, match="must be positive and increasing"):
        Cut((3, 3))
    with pytest.raises(WindowMismatch, match="must be positive and increasing"):
        Cut((0, 3))
    with pytest.raises(SpecError, match="targets 'middle' is not known"):
        target_offsets(8, 2, "middle")  # type: ignore[arg-type]
