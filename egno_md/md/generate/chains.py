"""Reference molecular dynamics in pieces, resumable after each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from egno_md.core.errors import SpecError
from egno_md.core.state import Frame, Trajectory, join
from egno_md.core.units import whole_multiple
from egno_md.geometry.rigid import rigid_velocities
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import NVE, NVT, OpenMMEngine
from egno_md.spec.generate import GenerateProtocol, NveSegments, Nvt

BYTES_PER_PIECE = 4_000_000
STEPS_PER_PIECE = {True: 2_000, False: 50_000}
"""Work lost at most by a kill: few steps where a Python function gives forces."""


@dataclass(frozen=True, eq=False)
class Piece:
    """The frames of one shard, and the state that follows them.

    Attributes:
        chain: pieces of one chain are contiguous in time.
        trajectory: None for the state right after equilibration.
        checkpoint: continue from here.
        steps: molecular-dynamics steps it took.
        duration: ps of dynamics in those steps.
    """

    chain: str
    trajectory: Trajectory | None
    checkpoint: bytes
    steps: int
    duration: float


def new_engine(built: BuiltSystem, protocol: GenerateProtocol, seed: int) -> OpenMMEngine:
    """The engine a protocol asks for.

    Raises:
        SpecError: the platform is not available, or the protocol does not fit a system
            with or without a box.
    """
    sampling = protocol.sampling
    is_stilled = isinstance(sampling, NveSegments) and sampling.rotation == "remove"
    if is_stilled and built.system.box is not None:
        raise SpecError(
            f"sampling.rotation: {built.system.name} has a periodic box, and does not turn as a "
            "whole. Leave rotation at keep."
        )
    return OpenMMEngine(
        built,
        timestep=protocol.timestep,
        kelvin=protocol.temperature,
        friction=protocol.friction,
        seed=seed,
        platform=protocol.platform,
        thermostat=sampling.integrator if isinstance(sampling, Nvt) else "langevin",
        nve_timestep=protocol.sampling_timestep,
        pressure=protocol.pressure,
        barostat_every=protocol.barostat_every,
    )


def replica_seed(seed: int, replica: int) -> int:
    """An independent seed per replica."""
    return int(np.random.SeedSequence([seed, replica]).generate_state(1)[0] % (2**31 - 2)) + 1


def total_steps(protocol: GenerateProtocol) -> int:
    """Molecular-dynamics steps of one replica."""
    equilibration = round(protocol.equilibration / protocol.timestep)
    match protocol.sampling:
        case NveSegments() as s:
            segment = round(s.segment_length / protocol.sampling_timestep)
            between = round(s.decorrelation / protocol.timestep)
            return equilibration + s.segments * (segment + between)
        case Nvt() as s:
            return equilibration + round(s.length / protocol.timestep)


def generate(
    engine: OpenMMEngine, protocol: GenerateProtocol, done: int = 0, checkpoint: bytes | None = None
) -> Iterator[Piece]:
    """Run one replica.

    Args:
        engine: from `new_engine`.
        protocol: what to run.
        done: pieces with a trajectory that exist already.
        checkpoint: the state after them.

    Yields:
        The equilibrated state (no trajectory), then every piece.

    Raises:
        PotentialError: the dynamics failed.
    """
    if checkpoint is None:
        engine.start()
        steps = round(protocol.equilibration / protocol.timestep)
        for block in _blocks(steps, STEPS_PER_PIECE[True]):
            engine.skip(block)
        checkpoint = engine.checkpoint()
        yield Piece("", None, checkpoint, steps, protocol.equilibration)
    engine.restore(checkpoint)
    match protocol.sampling:
        case NveSegments() as sampling:
            yield from _segments(engine, protocol, sampling, done)
        case Nvt() as sampling:
            yield from _continuous(engine, protocol, sampling, done)


def _segments(
    engine: OpenMMEngine, protocol: GenerateProtocol, sampling: NveSegments, done: int
) -> Iterator[Piece]:
    every = round(sampling.frame_spacing / protocol.sampling_timestep)
    steps = round(sampling.segment_length / protocol.sampling_timestep)
    between = round(sampling.decorrelation / protocol.timestep)
    duration = sampling.segment_length + sampling.decorrelation
    for index in range(done, sampling.segments):
        engine.skip(between)
        parent = engine.checkpoint()
        engine.load(_at_rest(engine, engine.read(), rotation=sampling.rotation == "remove"))
        first = engine.read()
        trajectory = _with_first(first, engine.run(steps, every, ensemble=NVE))
        trajectory = _stored(trajectory, protocol)
        engine.restore(parent)
        yield Piece(f"segment-{index:05d}", trajectory, parent, steps + between, duration)


def _continuous(
    engine: OpenMMEngine, protocol: GenerateProtocol, sampling: Nvt, done: int
) -> Iterator[Piece]:
    every = round(sampling.frame_spacing / protocol.timestep)
    frames = whole_multiple(sampling.length, sampling.frame_spacing, "length", "frame spacings")
    per_piece = min(
        BYTES_PER_PIECE // (engine.system.n_atoms * 36),
        STEPS_PER_PIECE[engine.built.python_force is not None] // every,
    )
    per_piece = max(per_piece, 1)
    on_step = sampling.integrator == "langevin"
    for index in range(done, -(-frames // per_piece)):
        count = min(per_piece, frames - index * per_piece)
        trajectory = engine.run(count * every, every, ensemble=NVT)
        if not on_step:
            trajectory = replace(trajectory, velocities=None)
        start = protocol.equilibration + index * per_piece * sampling.frame_spacing
        times = start + sampling.frame_spacing * np.arange(1, count + 1)
        trajectory = replace(trajectory, times=times)
        checkpoint = engine.checkpoint()
        engine.restore(checkpoint)
        trajectory = _stored(trajectory, protocol)
        yield Piece("nvt", trajectory, checkpoint, count * every, count * sampling.frame_spacing)


def _blocks(steps: int, size: int) -> Iterator[int]:
    for begin in range(0, steps, size):
        yield min(size, steps - begin)


def _stored(trajectory: Trajectory, protocol: GenerateProtocol) -> Trajectory:
    return trajectory if protocol.store_forces else replace(trajectory, forces=None)


def _at_rest(engine: OpenMMEngine, frame: Frame, *, rotation: bool) -> Frame:
    """The frame without the motion as a whole that NVE would carry for ever."""
    masses = engine.system.masses
    whole = rigid_velocities(frame.positions, frame.velocities, masses, rotation=rotation)
    return replace(frame, velocities=frame.velocities - whole)


def _with_first(frame: Frame, trajectory: Trajectory) -> Trajectory:
    return join([Trajectory.of([frame]), trajectory])
