"""Splits of stretches of any length, and windows cut for benchmarks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from egno_md.core.errors import DataError, WindowMismatch
from egno_md.data.windows import SPLITS, split_stretches
from egno_md.paper.datasets.cut import Cut, target_offsets
from egno_md.paper.spec import Targets
from egno_md.spec.train import Split
from tests.property.test_windows import ATOMS, stretches_of

SHARES = st.floats(0.01, 0.49)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=14), SHARES, SHARES, st.integers(1, 8))
@example([9] * 10, 0.49, 0.49, 2)
def test_parts_share_no_frame_and_follow_each_other_in_time(
    lengths: list[int], validation: float, test: float, span: int
) -> None:
    stretches = stretches_of(lengths, 1.0)
    try:
        parts = split_stretches(stretches, Split(validation=validation, test=test), span)
    except DataError:
        return
    assert tuple(parts) == SPLITS
    seen = {name: [s.positions[:, 0, 0] for s in part] for name, part in parts.items()}
    assert all(seen.values()), "no part is empty"
    frames = np.concatenate([f for name in SPLITS for f in seen[name]])
    assert len(set(frames.tolist())) == len(frames)
    edges = np.cumsum([0, *lengths])
    by_stretch: dict[int, list[np.ndarray]] = {}
    for name in SPLITS:
        for block in seen[name]:
            assert (np.diff(block) == 1).all(), "a block is contiguous"
            home = int(np.searchsorted(edges, block[0], side="right"))
            assert block[-1] < edges[home], "and of one stretch"
            by_stretch.setdefault(home, []).append(block)
    for blocks in by_stretch.values():
        for before, after in pairwise(blocks):
            assert after[0] - before[-1] > span, "a window between two blocks is dropped"
    if len(lengths) >= 10:
        assert (np.diff(frames) == 1).all(), "whole stretches in the order of time"


@given(st.data(), st.sampled_from(["forward", "backward"]), st.booleans(), st.integers(1, 60))
def test_cut_windows_are_what_indexing_gives(
    data: st.DataObject, velocity: str, past: bool, frames: int
) -> None:
    offsets = tuple(sorted(data.draw(st.sets(st.integers(1, 12), min_size=1, max_size=5))))
    cut = Cut(offsets, velocity, past)  # type: ignore[arg-type]
    starts = cut.starts(frames)
    assert len(starts) == max(frames - cut.before - cut.after, 0)
    if len(starts) and data.draw(st.booleans()):
        starts = np.array(data.draw(st.lists(st.sampled_from(starts.tolist()), max_size=9)), int)
    x = np.random.default_rng(frames).standard_normal((frames, ATOMS, 3))
    found = cut.windows(x, starts, np.zeros((len(starts), ATOMS, 1)))
    back = int(velocity == "backward")
    for n, start in enumerate(starts):
        at = start + np.array(offsets)
        np.testing.assert_array_equal(found.positions[n], x[start])
        np.testing.assert_array_equal(found.velocities[n], x[start + 1 - back] - x[start - back])
        np.testing.assert_array_equal(found.future_positions[n], x[at])
        np.testing.assert_array_equal(found.future_velocities[n], x[at + 1 - back] - x[at - back])
        if past:
            assert found.past_positions is not None
            np.testing.assert_array_equal(found.past_positions[n], x[at - offsets[-1]])


@given(st.integers(1, 40), st.integers(-2, 45), st.sampled_from(["uniform", "last"]))
def test_targets_end_the_window_and_are_evenly_spaced(
    window: int, points: int, targets: Targets
) -> None:
    try:
        offsets = target_offsets(window, points, targets)
    except WindowMismatch:
        assert points < 1 or points > window or (targets == "uniform" and window % points)
        return
    assert len(offsets) == points
    assert offsets[-1] == window
    step = window // points if targets == "uniform" else 1
    assert (np.diff(offsets) == step).all()
    assert offsets[0] == (step if targets == "uniform" else window - points + 1)
