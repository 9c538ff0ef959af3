"""Stores and MD17 files: what is written is read back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from egno_md.core.state import Trajectory
from egno_md.data.md17 import COVALENT_RADII, molecule_topology, read_md17
from egno_md.data.store import Store, StoreWriter, new_manifest, single_system

COLUMNS = ("velocities", "forces", "potential_energy", "box")
ELEMENTS = st.sampled_from([1, 6, 7, 8, 9, 17])
SINGLES = st.floats(-(2**50), 2**50, width=32)
"""Beyond, kinetic energies are too large for MDTraj's single precision."""

DOUBLE = 1e-12
"""Relative rounding of one product of doubles."""

FEWER = settings(max_examples=max(settings.default.max_examples // 3, 1))
"""Where every example writes files."""


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    frames, atoms = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    kept = draw(st.sets(st.sampled_from(COLUMNS)))
    vectors = arrays.arrays(np.float32, (frames, atoms, 3), elements=SINGLES)
    sides = arrays.arrays(np.float64, (frames, 3, 3), elements=st.floats(0.5, 9))
    energies = arrays.arrays(np.float64, frames, elements=st.floats(-1e30, 1e30))
    return Trajectory(
        positions=draw(vectors),
        times=draw(st.floats(-1e6, 1e6)) + draw(st.floats(1e-4, 1e3)) * np.arange(frames),
        velocities=draw(vectors) if "velocities" in kept else None,
        forces=draw(vectors) if "forces" in kept else None,
        potential_energy=draw(energies) if "potential_energy" in kept else None,
        box=np.tril(draw(sides)) if "box" in kept else None,
    )


@FEWER
@given(trajectories(), st.integers(1, 9), st.data())
def test_a_store_gives_back_every_column_to_the_bit(
    written: Trajectory, each: int, data: st.DataObject
) -> None:
    atoms = written.positions.shape[1]
    elements = np.array(data.draw(st.lists(ELEMENTS, min_size=atoms, max_size=atoms)))
    topology = molecule_topology(elements, written.positions[0])
    with tempfile.TemporaryDirectory() as folder:
        system = single_system(topology, "molecule", np.zeros((atoms, 3)))
        writer = StoreWriter(Path(folder), new_manifest(system, "load", 1.0), topology)
        for start in range(0, len(written), each):
            writer.append(written.slice(start, start + each), "loaded")
        store = Store(Path(folder))
        read = store.chain("loaded")
        assert store.topology == topology
        assert store.manifest == writer.manifest
        assert store.system().digest == system.digest
    for ours, theirs in zip(read.arrays(), written.arrays(), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype


@given(st.data(), st.integers(1, 6), st.integers(1, 4), st.sampled_from(["f4", "f8"]))
def test_md17_units_are_converted_as_by_hand(
    data: st.DataObject, frames: int, atoms: int, kind: str
) -> None:
    numbers = st.floats(-1e6, 1e6, width=32)
    draw = data.draw
    elements = np.array(draw(st.lists(ELEMENTS, min_size=atoms, max_size=atoms)), np.uint8)
    positions, forces = (
        draw(arrays.arrays(kind, (frames, atoms, 3), elements=numbers)) for _ in range(2)
    )
    energies = draw(arrays.arrays(kind, frames, elements=numbers))
    old = draw(st.lists(st.integers(0, 10**6), min_size=frames, max_size=frames, unique=True))
    content: dict[str, Any] = {"z": elements, "R": positions, "E": energies, "F": forces}
    order, at = np.arange(frames), np.arange(frames)
    if draw(st.booleans()):
        content = dict(zip(("nuclear_charges", "coords", "energies", "forces"),
                           content.values(), strict=True)) | {"old_indices": np.array(old)}  # fmt: skip
        order, at = np.argsort(old), np.sort(old)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "a.npz", **content)
        found, topology = read_md17(Path(folder) / "a.npz")
    single = DOUBLE if kind == "f8" else 1e-6
    np.testing.assert_allclose(found.positions, positions[order] / 10.0, rtol=single)
    np.testing.assert_allclose(found.forces, forces[order] * 41.84, rtol=single)
    np.testing.assert_allclose(found.potential_energy, energies[order] * 4.184, rtol=single)
    np.testing.assert_allclose(found.times, at * 0.0005, rtol=DOUBLE)
    assert [a.element.atomic_number for a in topology.atoms] == elements.tolist()
    assert all(a.element.symbol in COVALENT_RADII for a in topology.atoms)
