"""One trajectory file: MDTraj's HDF5 convention, plus what it has no room for.

MDTraj keeps times and energies in single precision; forces not at all. The
group ``/egno_md`` holds times, potential energies (double) and forces.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import tables
from mdtraj.formats import HDF5TrajectoryFile
from mdtraj.utils import box_vectors_to_lengths_and_angles, lengths_and_angles_to_box_vectors

from egno_md.core.errors import DataError, OutputError
from egno_md.core.state import Trajectory
from egno_md.core.units import kinetic_energy, temperature

GROUP = "/egno_md"


def write_hdf5(
    path: Path,
    trajectory: Trajectory,
    topology: mdtraj.Topology,
    masses: np.ndarray,
    degrees_of_freedom: int,
) -> None:
    """Write a whole file, or nothing: a partial file never has its final name.

    Raises:
        OutputError: the disk is full or read-only.
    """
    partial = path.with_suffix(".partial.h5")
    try:
        _write(partial, trajectory, topology, masses, degrees_of_freedom)
        os.replace(partial, path)
    except (OSError, tables.HDF5ExtError) as error:
        reason = getattr(error, "strerror", None) or "is the disk full?"
        raise OutputError(f"{path}: cannot be written: {reason}.") from None


def _write(
    partial: Path,
    trajectory: Trajectory,
    topology: mdtraj.Topology,
    masses: np.ndarray,
    degrees_of_freedom: int,
) -> None:
    lengths, angles = box_lengths_and_angles(trajectory.box)
    velocities = trajectory.velocities
    kinetic = kelvin = None
    if velocities is not None:
        kinetic = kinetic_energy(_without_drift(velocities, masses), masses)
        kelvin = np.asarray(temperature(kinetic, degrees_of_freedom))
    with HDF5TrajectoryFile(str(partial), "w", force_overwrite=True) as file:
        file.topology = topology
        file.write(
            coordinates=np.asarray(trajectory.positions, dtype=np.float32),
            time=np.asarray(trajectory.times, dtype=np.float32),
            cell_lengths=lengths,
            cell_angles=angles,
            velocities=None if velocities is None else velocities.astype(np.float32),
            kineticEnergy=None if kinetic is None else kinetic.astype(np.float32),
            potentialEnergy=(
                None
                if trajectory.potential_energy is None
                else np.asarray(trajectory.potential_energy, dtype=np.float32)
            ),
            temperature=None if kelvin is None else kelvin.astype(np.float32),
        )
    with tables.open_file(str(partial), "a") as handle:
        handle.create_group("/", GROUP[1:])
        handle.create_array(GROUP, "time", np.asarray(trajectory.times, dtype=np.float64))
        if trajectory.potential_energy is not None:
            energies = np.asarray(trajectory.potential_energy, dtype=np.float64)
            handle.create_array(GROUP, "potential_energy", energies)
        if trajectory.forces is not None:
            handle.create_carray(GROUP, "forces", obj=trajectory.forces.astype(np.float32))
        if trajectory.box is not None:
            handle.create_array(GROUP, "box", np.asarray(trajectory.box, dtype=np.float64))


def read_hdf5(path: Path, frames: int | None = None) -> tuple[Trajectory, mdtraj.Topology]:
    """Read a file of ours, or any MDTraj HDF5 file.

    Args:
        path: of the file.
        frames: read no more than the first few; None for all.

    Raises:
        DataError: missing, truncated, or not such a file.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        with HDF5TrajectoryFile(str(path), "r") as file:
            data: Any = file.read(n_frames=frames)
            topology = file.topology
            handle = file.root._v_file
            extra = {
                name: handle.get_node(GROUP, name)[:frames]
                for name in ("time", "potential_energy", "forces", "box")
                if f"{GROUP}/{name}" in handle
            }
    except MemoryError:
        raise
    except Exception as error:  # PyTables and MDTraj raise anything on damaged files
        raise DataError(
            f"{path}: truncated, or not an MDTraj HDF5 file ({type(error).__name__}). "
            "Generate or copy it again."
        ) from None
    if topology is None:
        raise DataError(f"{path}: holds no topology. Load it with '--topology FILE'.")
    positions = np.asarray(data.coordinates)
    velocities, forces = data.velocities, extra.get("forces")
    for name, values in (("velocities", velocities), ("forces", forces)):
        if values is not None and np.shape(values) != positions.shape:
            raise DataError(
                f"{path}: {name} have another shape than the coordinates. Generate it again."
            )
    vectors = [np.asarray(a) for a in (positions, velocities, forces) if a is not None]
    if positions.ndim != 3 or any(a.dtype.kind != "f" for a in vectors):
        raise DataError(
            f"{path}: coordinates of shape {positions.shape} are no frames of atoms in numbers. "
            "Generate it again."
        )
    times = extra.get("time", data.time)
    if times is None:
        raise DataError(f"{path}: holds no times. Load it with '--spacing'.")
    energies = extra.get("potential_energy", data.potentialEnergy)
    return Trajectory(
        positions=positions,
        times=np.asarray(times, dtype=np.float64),
        velocities=velocities,
        forces=forces,
        potential_energy=None if energies is None else np.asarray(energies, dtype=np.float64),
        box=extra.get("box", box_vectors(data.cell_lengths, data.cell_angles)),
    ), topology


def box_lengths_and_angles(
    box: np.ndarray | None,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Box vectors ``(frames, 3, 3)`` as MDTraj's lengths (nm) and angles (degrees)."""
    if box is None:
        return None, None
    values = box_vectors_to_lengths_and_angles(box[:, 0], box[:, 1], box[:, 2])
    columns = np.stack(values, axis=1).astype(np.float32)
    return columns[:, :3], columns[:, 3:]


def box_vectors(lengths: np.ndarray | None, angles: np.ndarray | None) -> np.ndarray | None:
    """MDTraj's lengths and angles as box vectors ``(frames, 3, 3)``, nm."""
    if lengths is None or angles is None or not np.any(lengths):
        return None
    columns = lengths_and_angles_to_box_vectors(*lengths.T, *angles.T)
    return np.stack(columns, axis=1)


def _without_drift(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    drift = np.einsum("a,fax->fx", masses / masses.sum(), velocities)
    return velocities - drift[:, None]
