"""Where a rollout begins: a stored frame, or the system's structure, equilibrated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from egno_md.core.errors import DataError, SpecError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.data.store import Store
from egno_md.md.engine import OpenMMEngine
from egno_md.rollout.thermostat import maxwell_velocities


def frames_from_store(
    path: Path, system: System, frame: int | None, replicas: int, kelvin: float, seed: int
) -> list[Frame]:
    """Frames of the last contiguous stretch of a store.

    Args:
        path: of the store.
        system: that the frames must belong to.
        frame: which one, for every replica; else the last one, or for several
            replicas evenly spread ones.
        replicas: how many frames.
        kelvin: temperature of drawn velocities, where the store has none.
        seed: of those velocities.

    Raises:
        DataError: the store holds another system.
        SpecError: there is no such frame.
    """
    store = Store(path)
    if store.manifest.digest != system.digest:
        raise DataError(
            f"{path}: holds {store.manifest.system}, whose atoms, bonds or masses differ from "
            f"{system.name}'s. Start from a store of the same system."
        )
    trajectory = store.chain(store.chains[-1])
    available = len(trajectory)
    if frame is not None:
        if not -available <= frame < available:
            raise SpecError(f"--frame {frame}: {path} has frames 0 to {available - 1}.")
        chosen = [frame] * replicas
    elif replicas == 1:
        chosen = [available - 1]
    else:
        chosen = np.linspace(0, available - 1, replicas).astype(int).tolist()
    frames = []
    for replica, index in enumerate(chosen):
        if trajectory.velocities is None:
            random = np.random.default_rng([seed, replica, 1])
            velocities = maxwell_velocities(system.masses, kelvin, random)
        else:
            velocities = trajectory.velocities[index].astype(np.float64)
        box = None if trajectory.box is None else trajectory.box[index]
        frames.append(Frame(trajectory.positions[index].astype(np.float64), velocities, box=box))
    return frames


def frame_from_structure(engine: OpenMMEngine, equilibration: float) -> Frame:
    """The minimised start structure after `equilibration` ps of NVT."""
    engine.start()
    steps = round(equilibration / engine.timestep)
    if steps:
        engine.skip(steps)
    return replace(engine.read(), time=0.0, forces=None, potential_energy=None)
