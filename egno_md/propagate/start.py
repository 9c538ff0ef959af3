"""Where a rollout begins: a stored frame, or the system's structure, equilibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from egno_md.core.errors import DataError, SpecError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.thermal import maxwell_velocities
from egno_md.core.units import format_quantity
from egno_md.data.store import Store
from egno_md.md.engine import MINIMISATION, OpenMMEngine

LARGE = 1000
"""Atoms from which on what comes before the first window takes minutes on a CPU."""

BONDS = 50
"""Iterations of the minimiser that bonds take to relax."""


def frames_from_store(
    store: Store,
    system: System,
    frame: int | Sequence[int] | None,
    replicas: int,
    kelvin: float,
    seed: int,
) -> list[Frame]:
    """Start frames out of a store, counted over all its stretches in order.

    Args:
        store: where they are.
        system: that the frames must belong to.
        frame: which one, for every replica, or one for each; else the last one, or for several
            replicas evenly spread ones.
        replicas: how many frames.
        kelvin: temperature of drawn velocities, where the store has none.
        seed: of those velocities.

    Raises:
        DataError: the store holds another system.
        SpecError: there is no such frame, or not one for each replica.
    """
    if store.manifest.digest != system.digest:
        raise DataError(
            f"{store.root}: holds {store.manifest.system}, whose atoms, bonds or masses differ "
            f"from {system.name}'s. Start from a store of the same system."
        )
    available = store.manifest.frames
    if frame is None:
        asked = spread_frames(available, replicas)
    else:
        asked = list(frame) if isinstance(frame, Sequence) else [frame] * replicas
    for index in asked:
        if not -available <= index < available:
            raise SpecError(f"--frame {index}: {store.root} has frames 0 to {available - 1}.")
    if len(asked) != replicas:
        raise SpecError(f"{len(asked)} frames for {replicas} replicas. Give one frame, or as many.")
    chosen = [index % available for index in asked]
    return [
        _frame(store, index, system, kelvin, np.random.default_rng([seed, replica, 1]))
        for replica, index in enumerate(chosen)
    ]


def spread_frames(available: int, replicas: int) -> list[int]:
    """The last of so many frames, or for several replicas evenly spread ones."""
    if replicas == 1:
        return [available - 1]
    return np.linspace(0, available - 1, replicas).astype(int).tolist()


def _frame(
    store: Store, index: int, system: System, kelvin: float, random: np.random.Generator
) -> Frame:
    """Frame `index` over all shards, in double precision."""
    shards = store.manifest.shards
    ends = np.cumsum([s.frames for s in shards])
    number = int(np.searchsorted(ends, index, side="right"))
    index -= int(ends[number]) - shards[number].frames
    trajectory = store.shard(shards[number])
    if trajectory.velocities is None:
        velocities = maxwell_velocities(system.masses, kelvin, random)
    else:
        velocities = trajectory.velocities[index].astype(np.float64)
    box = None if trajectory.box is None else trajectory.box[index]
    return Frame(trajectory.positions[index].astype(np.float64), velocities, box=box)


def frame_from_structure(
    engine: OpenMMEngine,
    equilibration: float,
    minimised: Float[np.ndarray, "atoms 3"] | None = None,
) -> Frame:
    """The minimised start structure after `equilibration` ps of NVT; see `OpenMMEngine.start`."""
    engine.start(minimised)
    steps = round(equilibration / engine.timestep)
    if steps:
        engine.skip(steps)
    return replace(engine.read(), time=0.0, forces=None, potential_energy=None)


def preparation(system: System, equilibration: float, is_stored: bool) -> str:
    """What is done before the first window, where it takes minutes; else nothing."""
    if system.n_atoms < LARGE:
        return ""
    what = f"Minimising {system.name} ({system.n_atoms:,} atoms) for the lengths of its bonds"
    if equilibration and not is_stored:
        what += f", then {format_quantity(equilibration, 'time')} of MD to start from"
    return f"{what}; then come the windows."


def minimiser_iterations(system: System, is_stored: bool) -> int:
    """How long to minimise before a rollout.

    One that starts from a stored frame needs the lengths of its bonds alone, which
    are within 0.0005 nm after `BONDS` iterations (chignolin, Trp-cage); a hundredth
    of what makes a bond bad.
    """
    return BONDS if is_stored and system.n_atoms >= LARGE else MINIMISATION
