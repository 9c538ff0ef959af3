"""Charged particles: the published n-body benchmark, generated.

Kipf et al. 2018 (NRI) as Satorras et al. 2021 (EGNN) use it: five particles of
charge ±1 at normally distributed places, speeds of 0.5 in random directions,
Coulomb forces clipped at 0.1/Δt by component, leapfrog with Δt = 0.001, a frame
each 100 steps. The input is frame 30, the window reaches to frame 40.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from egno_md.core.errors import SpecError
from egno_md.geometry.bonded import complete_pairs
from egno_md.paper.task import Task, TaskData, TaskWindows

PARTICLES = 5
TIMESTEP = 1e-3
STEPS_PER_FRAME = 100
FRAME = STEPS_PER_FRAME * TIMESTEP
START_FRAME, END_FRAME = 30, 40
SPEED = 0.5
LARGEST_FORCE = 0.1 / TIMESTEP

SIZES = (3000, 2000, 2000)
"""Trajectories of training, validation and test (Satorras et al. 2021)."""

Array = np.ndarray


def simulate(
    trajectories: int,
    frames: int,
    random: np.random.Generator,
    *,
    stride: int = STEPS_PER_FRAME,
    first_frame: int = 0,
) -> tuple[Float[Array, "trajectories frames 5 3"], ...]:
    """Positions and velocities at every frame, and the charges.

    All trajectories advance together. The velocity of a frame is half a step
    behind, as in the published generator.

    Args:
        trajectories: how many.
        frames: 0, 1, … of each.
        random: draws charges, positions and directions.
        stride: steps between two frames.
        first_frame: step of frame 0.

    Returns:
        Positions, velocities, and charges ``(trajectories, 5)``.
    """
    # a stream for each, trajectory by trajectory: fewer are the first of more;
    # then components first, for long rows in the arithmetic
    streams = random.spawn(3)
    charges = streams[0].choice([-1.0, 1.0], size=(trajectories, PARTICLES)).T
    shape = (3, PARTICLES, trajectories)
    x, v = (
        np.ascontiguousarray(s.standard_normal((trajectories, PARTICLES, 3)).transpose(2, 1, 0))
        for s in streams[1:]
    )
    v *= SPEED / np.sqrt(np.square(v).sum(0))
    first, second = np.triu_indices(PARTICLES, 1)
    products = charges[first] * charges[second]
    kept_x = np.empty((frames, *shape))
    kept_v = np.empty_like(kept_x)

    def kick() -> None:
        r = x[:, first] - x[:, second]
        square = np.square(r).sum(0)
        pair = r * (products / (square * np.sqrt(square)))
        force = np.zeros(shape)
        for k, (a, b) in enumerate(zip(first, second, strict=True)):
            force[:, a] += pair[:, k]
            force[:, b] -= pair[:, k]
        v[...] += TIMESTEP * np.clip(force, -LARGEST_FORCE, LARGEST_FORCE)

    for step in range(first_frame + (frames - 1) * stride + 1):
        if step > 0:
            x += TIMESTEP * v
        frame, between = divmod(step - first_frame, stride)
        if frame >= 0 and between == 0:
            kept_x[frame], kept_v[frame] = x, v
        kick()
    order = (3, 0, 2, 1)
    return kept_x.transpose(order), kept_v.transpose(order), charges.T


def nbody_frames(points: int, kind: str = "uniform") -> list[int]:
    """The frames that a window of P points decodes.

    Args:
        points: P.
        kind: `uniform` (EGNO-U) spreads them over the window; `last` (EGNO-L)
            takes the last P frames.

    Raises:
        SpecError: P points do not fit.
    """
    span = END_FRAME - START_FRAME
    if kind == "last":
        if points > span:
            raise SpecError(f"points: {points} frames do not fit into the window of {span}.")
        return list(range(END_FRAME - points + 1, END_FRAME + 1))
    if span % points:
        raise SpecError(
            f"points: {points} does not divide the {span} frames of the n-body window. "
            "Use 1, 2, 5 or 10."
        )
    return list(range(START_FRAME + span // points, END_FRAME + 1, span // points))


@lru_cache(maxsize=2)
def nbody_task(
    train: int = 3000,
    validation: int = 2000,
    test: int = 2000,
    *,
    points: int = 5,
    kind: str = "uniform",
    seed: int = 43,
) -> TaskData:
    """The n-body benchmark; velocities are per unit of time, the window is 1 long.

    Validation and test trajectories are the same whatever the size of the
    training set, and smaller training sets are parts of larger ones.

    Args:
        train: trajectories to learn from.
        validation: that choose the weights.
        test: that are reported.
        points: P.
        kind: see `nbody_frames`.
        seed: of the trajectories.
    """
    frames = np.array(nbody_frames(points, kind))
    past = frames - frames[-1] + START_FRAME
    parts = {}
    for index, (name, count) in enumerate(
        {"validation": validation, "test": test, "train": train}.items()
    ):
        random = np.random.default_rng([seed, index])
        x, v, charges = simulate(count, END_FRAME + 1, random)
        parts[name] = TaskWindows(
            positions=_single(x[:, START_FRAME]),
            velocities=_single(v[:, START_FRAME]),
            features=_single(charges[..., None]),
            future_positions=_single(x[:, frames]),
            future_velocities=_single(v[:, frames]),
            past_positions=_single(x[:, past]),
            past_velocities=_single(v[:, past]),
        )
    return TaskData(
        charged_particles((frames - START_FRAME) * FRAME),
        parts["train"],
        parts["validation"],
        parts["test"],
        unit="",
        source="charged particles, generated (Kipf et al. 2018; Satorras et al. 2021)",
        stands_in=(train, validation, test) != SIZES,
        settings={"seed": seed, "sizes": [train, validation, test], "frames": frames.tolist()},
    )


def charged_particles(time_points: Float[Array, " points"]) -> Task:
    """The task of charged particles."""
    return Task(
        name="nbody",
        atoms=PARTICLES,
        time_points=tuple(float(t) for t in time_points),
        node_features=0,
        pairs=complete_pairs(PARTICLES),
        charge_products=True,
        is_reversible=True,
    )


def _single(values: Array) -> Array:
    return np.ascontiguousarray(values, dtype=np.float32)
