"""Windows and batches of stretches of any length, in memory and in files."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egno_md.core.errors import DataError, WindowMismatch
from egno_md.core.state import Trajectory
from egno_md.core.window import Window
from egno_md.data.md17 import molecule_topology
from egno_md.data.sampler_windows import SamplerWindows
from egno_md.data.store import Store, StoreWriter, new_manifest, single_system
from egno_md.data.windows import WindowDataset, split_stretches
from egno_md.spec.train import Split

ATOMS = 2
SPACINGS = st.sampled_from([0.0005, 0.001, 1 / 3, 10.0]) | st.floats(1e-4, 1e3)
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=13)


def numbered(length: int, spacing: float, first: int) -> Trajectory:
    """Frames that can be told apart by their positions: the number of the frame."""
    number = first + np.arange(length, dtype=np.float32)
    positions = np.tile(number[:, None, None], (1, ATOMS, 3))
    times = spacing * np.arange(length)
    return Trajectory(positions, times, velocities=-positions, forces=2 * positions)


def stretches_of(lengths: list[int], spacing: float) -> list[Trajectory]:
    firsts = np.cumsum([0, *lengths])
    return [numbered(n, spacing, int(a)) for n, a in zip(lengths, firsts[:-1], strict=True)]


def numbers(positions: torch.Tensor) -> np.ndarray:
    return positions[..., 0, 0].numpy().astype(int)


@st.composite
def windows(draw: st.DrawFn, spacing: float) -> tuple[Window, tuple[int, ...]]:
    """A window, and the frames that its points are by counting."""
    points, stride = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    span = points * stride
    if draw(st.booleans()):
        offsets = tuple(stride * (p + 1) for p in range(points))
        return Window.uniform(span * spacing, points), offsets
    offsets = tuple(range(span - points + 1, span + 1))
    return Window.last(span * spacing, points, spacing), offsets


@given(st.data(), LENGTHS, SPACINGS)
def test_windows_lie_in_one_stretch_and_are_as_many_as_fit(
    data: st.DataObject, lengths: list[int], spacing: float
) -> None:
    window, offsets = data.draw(windows(spacing))
    assert window.offsets(spacing) == offsets
    assert np.isclose(offsets[-1] * spacing, window.length, rtol=1e-12, atol=0)
    stretches = stretches_of(lengths, spacing)
    count = sum(max(n - offsets[-1], 0) for n in lengths)
    try:
        found = WindowDataset(stretches, window, spacing, with_forces=True)
    except DataError:
        assert count == 0
        return
    assert len(found) == count
    batch = found[np.arange(count)]
    starts = numbers(batch.positions)
    edges = np.cumsum([0, *lengths])
    expected = [f for a, b in pairwise(edges.tolist())
                for f in range(a, b - offsets[-1])]  # fmt: skip
    assert starts.tolist() == expected
    ahead = numbers(batch.future_positions)
    np.testing.assert_array_equal(ahead, starts[:, None] + offsets)
    stretch = np.searchsorted(edges, starts, side="right")
    assert (np.searchsorted(edges, ahead, side="right") == stretch[:, None]).all()
    assert torch.equal(batch.future_velocities, -batch.future_positions)
    assert batch.forces is not None
    assert torch.equal(batch.forces, 2 * batch.positions)


@given(st.data(), SPACINGS, st.floats(1e-3, 0.4), st.integers(2, 60))
def test_a_window_between_two_frames_is_refused(
    data: st.DataObject, spacing: float, off: float, frames: int
) -> None:
    window, _ = data.draw(windows(spacing))
    wrong = Window((*window.time_points, window.length + (frames + off) * spacing))
    try:
        wrong.offsets(spacing)
    except WindowMismatch:
        return
    raise AssertionError("taken for whole frames")


@settings(max_examples=max(settings.default.max_examples // 3, 1))
@given(st.data())
def test_windows_from_files_are_those_from_memory(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=3))
    window, offsets = data.draw(windows(0.5))
    if max(lengths) <= offsets[-1]:
        lengths.append(offsets[-1] + data.draw(st.integers(1, 10)))
    stretches = stretches_of(lengths, 0.5)
    atoms = data.draw(st.sampled_from([None, np.array([1])]))
    with tempfile.TemporaryDirectory() as folder:
        store = _written(Path(folder), stretches, data.draw(st.integers(1, 12)))
        held = WindowDataset(stretches, window, 0.5, with_forces=True, atoms=atoms)
        memory = data.draw(st.floats(1, 1e4))
        filed = WindowDataset(
            store.stretches, window, 0.5, with_forces=True, atoms=atoms, memory=memory
        )
        assert len(filed) == len(held)
        chosen = st.lists(st.integers(-len(held), len(held) - 1), min_size=1, max_size=9)
        if data.draw(st.booleans()):
            filed.read_ahead(data.draw(chosen))
        index = data.draw(chosen)
        ours, theirs = filed[index], held[index]
        everything = held[np.arange(len(held))]
        for name in ("positions", "velocities", "forces", "future_positions", "future_velocities"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
            assert torch.equal(getattr(theirs, name), getattr(everything, name)[index]), name
        split = Split(validation=0.2, test=0.2)
        try:
            expected = split_stretches(stretches, split, window.offsets(0.5)[-1])
        except DataError:
            return
        for name, parts in split_stretches(store.stretches, split, offsets[-1]).items():
            assert [len(p) for p in parts] == [len(p) for p in expected[name]]


def _written(root: Path, stretches: list[Trajectory], each: int) -> Store:
    topology = molecule_topology(np.array([8, 1]), np.array([[0.0, 0, 0], [0.1, 0, 0]]))
    system = single_system(topology, "hydroxyl", np.zeros((ATOMS, 3)))
    writer = StoreWriter(root, new_manifest(system, "load", 0.5), topology)
    for number, stretch in enumerate(stretches):
        parts = [stretch.slice(a, a + each) for a in range(0, len(stretch), each)]
        writer.append_all([(f"chain-{number}", part) for part in parts[:1]])
        for part in parts[1:]:
            writer.append(part, f"chain-{number}")
    writer.finish()
    return Store(root)


@given(st.data(), LENGTHS)
def test_a_sampler_sees_every_window_forwards_and_backwards(
    data: st.DataObject, lengths: list[int]
) -> None:
    window, offsets = data.draw(windows(1.0))
    lengths.append(offsets[-1] + 1)
    found = SamplerWindows(
        stretches_of(lengths, 1.0), window, 1.0, np.arange(ATOMS), time_reversal=True
    )
    half = len(found) // 2
    frames = found.numbers(np.arange(len(found))).numpy()
    np.testing.assert_array_equal(frames[:half, 1:] - frames[:half, :1], [offsets] * half)
    np.testing.assert_array_equal(frames[half:, :1] - frames[half:, 1:], [offsets] * half)
    np.testing.assert_array_equal(frames[half:, 0], frames[:half, -1])
    np.testing.assert_array_equal(found.numbers([-1, -len(found)]), frames[[-1, 0]])
