"""Frames that stay in the files of a store: the same training, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import DataError, WindowMismatch
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.data.frame_file import FrameFile
from egno_md.data.sampler_windows import SamplerWindows
from egno_md.data.store import Store, StoreWriter, new_manifest
from egno_md.data.windows import WindowBatch, WindowDataset, split_stretches
from egno_md.spec.files import validate
from egno_md.spec.train import Split, TrainProtocol
from egno_md.train.evaluate import run_evaluate
from egno_md.train.run import run_train
from egno_md.train.sampling import RandomBatches, loader
from tests.conftest import harmonic_trajectory
from tests.unit.train.breaking import broken_off

SPACING = 0.0005
WINDOW = Window.uniform(0.008, 4)
LITTLE = 40_000.0
"""Bytes: some batches of four windows of five frames of ethanol."""

Writer = Callable[..., Store]


@pytest.fixture
def write(tmp_path: Path, ethanol: System) -> Writer:
    """Writes stretches of frames to a store, in files of 50 unless told."""

    def written(*stretches: Trajectory, name: str = "store", each: int = 50) -> Store:
        manifest = new_manifest(ethanol, "generate", SPACING)
        writer = StoreWriter(tmp_path / name, manifest, ethanol.topology)
        for number, stretch in enumerate(stretches):
            for start in range(0, len(stretch), each):
                writer.append(stretch.slice(start, start + each), f"chain-{number}")
        writer.finish()
        return Store(writer.root)

    return written


def with_box(stretch: Trajectory) -> Trajectory:
    sides = 1 + np.arange(len(stretch))[:, None, None]
    return replace(stretch, box=0.5 * sides * np.eye(3))


def values(batch: WindowBatch) -> list[torch.Tensor]:
    assert batch.forces is not None
    assert batch.box is not None
    futures = [batch.future_positions, batch.future_velocities]
    return [batch.positions, batch.velocities, batch.forces, batch.box, *futures]


@pytest.mark.parametrize("atoms", [None, np.array([1, 4, 8])])
def test_windows_are_the_same_from_memory_files_and_trajectories(
    ethanol: System, write: Writer, atoms: np.ndarray | None
) -> None:
    stretches = [with_box(harmonic_trajectory(ethanol, n, seed=n)) for n in (130, 10, 170)]
    store = write(*stretches)
    options = {"with_forces": True, "atoms": atoms}
    expected = WindowDataset(list(store), WINDOW, SPACING, **options)
    held = WindowDataset(store.stretches, WINDOW, SPACING, **options)
    filed = WindowDataset(store.stretches, WINDOW, SPACING, **options, memory=LITTLE)
    assert len(expected) == len(held) == len(filed) == 130 + 170 - 2 * 16
    index = np.array([0, -1, 113, 114, 40, 200, 40, 7])
    for windows in (held, filed):
        for ours, theirs in zip(values(windows[index]), values(expected[index]), strict=True):
            assert torch.equal(ours, theirs)
    filed.read_ahead(np.arange(60))
    assert torch.equal(filed[[59, 3]].positions, expected[[59, 3]].positions)
    assert torch.equal(filed[[200, 3]].positions, expected[[200, 3]].positions), "not read ahead"


def test_splits_of_files_are_those_of_trajectories(ethanol: System, write: Writer) -> None:
    store = write(*(harmonic_trajectory(ethanol, n, seed=n) for n in (300, 420)))
    stored = split_stretches(store.stretches, Split(), 16)
    loaded = split_stretches(list(store), Split(), 16)
    for name, parts in loaded.items():
        theirs = WindowDataset(parts, WINDOW, SPACING, with_forces=False)
        ours = WindowDataset(stored[name], WINDOW, SPACING, with_forces=False)
        everything = np.arange(len(theirs))
        assert torch.equal(ours[everything].future_positions, theirs[everything].future_positions)


def test_samplers_see_the_same_windows_from_files(ethanol: System, write: Writer) -> None:
    store = write(harmonic_trajectory(ethanol, 120), harmonic_trajectory(ethanol, 60, seed=1))
    atoms = np.array([0, 1, 2, 5])
    expected, filed = (
        SamplerWindows(s, WINDOW, SPACING, atoms, time_reversal=True, memory=m)
        for s, m in ((list(store), None), (store.stretches, LITTLE))
    )
    index = np.random.default_rng(0).integers(len(expected), size=50)
    assert torch.equal(filed[index].future, expected[index].future)
    assert torch.equal(filed.frames_apart(20), expected.frames_apart(20))


def protocol(memory: str, kind: str = "egno") -> TrainProtocol:
    content = {
        "window": {"kind": "uniform", "length": "8 fs", "points": 4},
        "network": {"kind": kind, "layers": 1, "hidden": 8, "vectors": 3},
        "optimisation": {"max_steps": 12, "validate_every": 6, "batch_size": 4},
        "data_memory": memory,
    }
    return validate(content, TrainProtocol, "test")


def test_a_training_from_files_gives_the_same_weights_and_resumes(
    harmonic_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = run_train(harmonic_store.root, protocol("1 GiB"), tmp_path / "held", device="cpu")
    little = protocol(f"{LITTLE / 2**30} GiB")
    with broken_off(10, KeyboardInterrupt):
        run_train(harmonic_store.root, little, tmp_path / "filed", device="cpu")
    filed = run_train(harmonic_store.root, little, tmp_path / "filed", device="cpu", mode="resume")
    for name, weights in held.operator.state_dict().items():
        assert torch.equal(filed.operator.state_dict()[name], weights), name
    found = (held.summary, filed.summary)
    assert found[0]["validation"] == found[1]["validation"]
    scales = [run.operator.card.model_dump()["scales"] for run in (held, filed)]
    assert scales[0] == scales[1]
    with monkeypatch.context() as patch:
        patch.setattr("egno_md.train.evaluate.DATA_MEMORY", LITTLE / 2**30)
        ours = run_evaluate(filed.bundle, harmonic_store.root, tmp_path / "e", device="cpu")
    theirs = run_evaluate(held.bundle, harmonic_store.root, tmp_path / "f", device="cpu")
    assert ours["f_mse"] == theirs["f_mse"]


def test_memory_does_not_grow_with_the_store(ethanol: System, write: Writer) -> None:
    """Nine times the frames, the same peak; all of them in memory take nine times as much."""

    def peak(store: Store, memory: float | None) -> int:
        tracemalloc.start()
        windows = WindowDataset(store.stretches, WINDOW, SPACING, with_forces=True, memory=memory)
        for batch in loader(windows, RandomBatches(len(windows), 4, 12, 0)):
            assert len(batch.positions) == 4
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small = write(harmonic_trajectory(ethanol, 3000), name="small", each=900)
    large = write(harmonic_trajectory(ethanol, 27_000), name="large", each=900)
    peak(small, LITTLE)  # what is imported and kept
    assert peak(large, LITTLE) < 1.3 * peak(small, LITTLE)
    assert peak(large, None) > 4 * peak(small, None)


def test_files_are_opened_once_for_many_batches(
    ethanol: System, write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write(harmonic_trajectory(ethanol, 500))
    windows = WindowDataset(store.stretches, WINDOW, SPACING, with_forces=True, memory=1e9)
    opened: list[Path] = []
    enter = FrameFile.__enter__

    def counted(self: FrameFile) -> FrameFile:
        opened.append(self.piece.path)
        return enter(self)

    monkeypatch.setattr(FrameFile, "__enter__", counted)
    assert len(list(loader(windows, RandomBatches(len(windows), 8, 40, 0)))) == 40
    assert len(opened) == len(set(opened)) == 10


def test_what_is_wrong_with_a_file_is_said(ethanol: System, write: Writer) -> None:
    def cut(store: Store) -> WindowDataset:
        return WindowDataset(store.stretches, WINDOW, SPACING, with_forces=True, memory=LITTLE)

    whole = harmonic_trajectory(ethanol, 150)
    broken = whole.positions.copy()
    broken[70, 3] = np.nan
    store = write(replace(whole, positions=broken), name="nan")
    with pytest.raises(DataError, match=r"chain-0-00001\.h5: positions of frame 20 hold NaN"):
        cut(store)[np.arange(100)]
    times = whole.times + 0.01 * (np.arange(150) >= 50)
    with pytest.raises(WindowMismatch, match=r"frame 50 comes 10\.5 fs after"):
        cut(write(replace(whole, times=times), name="gap"))
    with pytest.raises(DataError, match="have no forces"):
        cut(write(replace(whole, forces=None), name="forces"))
    with pytest.raises(DataError, match="no window of 8 fs fits"):
        cut(write(whole.slice(0, 16), name="short"))
    store = write(whole, name="damaged")
    windows = cut(store)
    path = store.root / store.manifest.shards[1].file
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"00001\.h5: truncated"):
        windows[[60]]
    path.unlink()
    with pytest.raises(DataError, match=r"00001\.h5: no such file"):
        cut(store)
