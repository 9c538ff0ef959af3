"""Windows of positions alone, turned onto their starts."""

from __future__ import annotations

import numpy as np
import pytest

from egno_md.core.errors import DataError, WindowMismatch
from egno_md.core.state import Trajectory
from egno_md.core.window import Window
from egno_md.data.sampler_windows import SamplerWindows

WINDOW = Window((2.0, 4.0))
ATOMS = np.array([0, 1, 2, 4])
ROUNDING = 1e-5


def tumbling(frames: int, begin: float = 0.0) -> Trajectory:
    """A rigid body that turns and drifts."""
    body = np.random.default_rng(0).standard_normal((5, 3))
    angle = 0.3 * np.arange(frames)
    turns = np.stack([np.cos(angle), -np.sin(angle), 0 * angle, np.sin(angle), np.cos(angle),
                      0 * angle, 0 * angle, 0 * angle, 0 * angle + 1], axis=1)  # fmt: skip
    x = np.einsum("fij,aj->fai", turns.reshape(-1, 3, 3), body)
    return Trajectory(x + 0.1 * np.arange(frames)[:, None, None], begin + np.arange(frames))


def test_a_tumbling_body_does_not_move() -> None:
    windows = SamplerWindows([tumbling(9)], WINDOW, 1.0, ATOMS, time_reversal=True)
    batch = windows[np.arange(len(windows))]
    assert batch.start.shape == (10, 4, 3)
    assert (batch.future - batch.start[:, None]).abs().max() < ROUNDING


def test_windows_run_both_ways_and_never_across_stretches() -> None:
    x = np.zeros((6, 5, 3))
    x[:, 0, 0] = np.arange(6)
    x[:, 1:] = np.random.default_rng(1).standard_normal((4, 3))
    stretches = [Trajectory(x, np.arange(6.0)), Trajectory(x + 100, np.arange(6.0))]
    windows = SamplerWindows(stretches, WINDOW, 1.0, np.arange(5), time_reversal=True)
    assert len(windows) == 2 * 2 * 2
    frames = windows.numbers(np.arange(8))
    first = windows.load(frames).take("positions", frames)[..., 0, 0] % 100
    assert first[0].tolist() == [0, 2, 4]
    assert first[4].tolist() == [4, 2, 0]
    assert set(np.diff(first.numpy()).ravel().tolist()) == {2.0, -2.0}
    one_way = SamplerWindows(stretches, WINDOW, 1.0, np.arange(5), time_reversal=False)
    assert len(one_way) == 4


def test_what_cannot_be_cut_says_why() -> None:
    with pytest.raises(DataError, match="no window of 4 ps fits"):
        SamplerWindows([tumbling(4)], WINDOW, 1.0, ATOMS, time_reversal=True)
    broken = tumbling(9)
    broken.positions[3, 2] = np.nan
    with pytest.raises(DataError, match="positions of frame 3"):
        SamplerWindows([broken], WINDOW, 1.0, ATOMS, time_reversal=True)
    gap = Trajectory(tumbling(9).positions, np.array([0, 1, 2, 3, 4, 5, 6, 9, 10.0]))
    with pytest.raises(WindowMismatch, match="frames are not contiguous"):
        SamplerWindows([gap], WINDOW, 1.0, ATOMS, time_reversal=True)
