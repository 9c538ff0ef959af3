"""Windows with another last frame, or in parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from egno_md.core.state import Frame, Trajectory


def with_end(window: Trajectory, end: Frame) -> Trajectory:
    """The window with its last frame replaced; energies known only there."""
    count = len(window)
    energies, forces = None, None
    if end.potential_energy is not None:
        energies = np.full(count, np.nan)
        energies[-1] = end.potential_energy
    if end.forces is not None:
        forces = np.full(window.positions.shape, np.nan)
        forces[-1] = end.forces
    positions, velocities = window.positions.copy(), np.array(window.velocities)
    positions[-1], velocities[-1] = end.positions, end.velocities
    return replace(
        window,
        positions=positions,
        velocities=velocities,
        forces=forces,
        potential_energy=energies,
    )


def bare(window: Trajectory) -> Trajectory:
    """Without energies and forces before the last exact frame: parts can be joined."""
    if window.potential_energy is not None:
        return window
    count = len(window)
    return replace(
        window,
        potential_energy=np.full(count, np.nan),
        forces=np.full(window.positions.shape, np.nan),
    )


def single(frame: Frame) -> Trajectory:
    """A trajectory of one frame, with all that is known of it."""
    energy = frame.potential_energy
    return Trajectory(
        frame.positions[None],
        np.array([frame.time]),
        velocities=frame.velocities[None],
        forces=None if frame.forces is None else frame.forces[None],
        potential_energy=None if energy is None else np.array([energy]),
    )
