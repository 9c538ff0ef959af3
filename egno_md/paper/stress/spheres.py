"""Five spheres bound by a pairwise harmonic attraction: with bounces, soft repulsion, or neither.

Mass, thermal energy and the frequency of the attraction are 1. Attraction
between all pairs is a harmonic well about the centre of mass (Σ_{i<j} r_ij²/N =
Σ_i (x_i - x̄)²), so that between collisions every sphere swings exactly:
x cos t + v sin t. Hard spheres are therefore simulated without a timestep, from
one collision to the next (Alder and Wainwright 1959); soft ones by kicks of the
repulsion between exact swings (Strang splitting). Starts are drawn from the
canonical distribution by rejection, so every frame is at equilibrium.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from egno_md.geometry.bonded import complete_pairs
from egno_md.paper.stress.spec import SpheresQuestion, StressSizes
from egno_md.paper.task import Task, TaskData, TaskWindows

SPHERES = 5
FIRST, SECOND = np.triu_indices(SPHERES, 1)
TIMESTEP = 0.005
"""Largest timestep of the soft repulsion."""
CANDIDATES = 4096
"""Drawn at once when starts are chosen; fixed, so that fewer starts are the first of more."""

Array = np.ndarray
Repulsion = Literal["hard", "soft", "none"]


def spheres_task(
    sizes: StressSizes,
    spheres: SpheresQuestion,
    repulsion: Repulsion,
    length: float,
) -> tuple[TaskData, Bool[Array, " windows"]]:
    """Windows of spheres, and in which test windows any two touched.

    Args:
        sizes: of the parts.
        spheres: what they are; its `points` are P.
        repulsion: `hard` bounces, `soft` repels within a diameter, `none` passes through.
        length: ΔT, in units of the attraction's inverse frequency.
    """
    spacing = length / spheres.points
    parts: dict[str, TaskWindows] = {}
    contacts: Array = np.empty(0, dtype=bool)
    counts = {"validation": sizes.validation, "test": sizes.test, "train": sizes.train}
    for index, (name, count) in enumerate(counts.items()):
        random = np.random.default_rng([sizes.seed, index])
        x, v, hits = simulate_spheres(
            count, spheres.points + 1, spacing, spheres, repulsion, random
        )
        x, v = x.astype(np.float32), v.astype(np.float32)
        none = np.zeros((count, SPHERES, 0), dtype=np.float32)
        parts[name] = TaskWindows(x[:, 0], v[:, 0], none, x[:, 1:], v[:, 1:])
        if name == "test":
            contacts = np.asarray(hits.any(1))
    times = tuple(float(t) for t in spacing * np.arange(1, spheres.points + 1))
    data = TaskData(
        Task(
            f"{repulsion} spheres", SPHERES, times, 0, complete_pairs(SPHERES), is_reversible=True
        ),
        parts["train"],
        parts["validation"],
        parts["test"],
        unit="",
        source=f"five {repulsion} spheres in a pairwise harmonic attraction, generated",
        settings={
            "repulsion": repulsion,
            "length": length,
            "sizes": sizes.model_dump(),
            "spheres": spheres.model_dump(exclude={"length"}),
        },
    )
    return data, contacts


def simulate_spheres(
    trajectories: int,
    frames: int,
    spacing: float,
    spheres: SpheresQuestion,
    repulsion: Repulsion,
    random: np.random.Generator,
) -> tuple[
    Float[Array, "trajectories frames 5 3"],
    Float[Array, "trajectories frames 5 3"],
    Bool[Array, "trajectories frames"],
]:
    """Positions and velocities at every frame, and whether any two touched since the one before.

    Args:
        trajectories: how many.
        frames: of each, the start included.
        spacing: time between frames.
        spheres: their diameter and stiffness.
        repulsion: see `spheres_task`.
        random: draws the starts.
    """
    x, v = _starts(trajectories, spheres, repulsion, random)
    kept_x = np.empty((trajectories, frames, SPHERES, 3))
    kept_v = np.empty_like(kept_x)
    contacts = np.zeros((trajectories, frames), dtype=bool)
    kept_x[:, 0], kept_v[:, 0] = x, v
    for frame in range(1, frames):
        if repulsion == "hard":
            x, v, contacts[:, frame] = bounce_on(x, v, spacing, spheres.diameter)
        else:
            stiffness = spheres.stiffness if repulsion == "soft" else 0.0
            x, v, contacts[:, frame] = _repel_on(x, v, spacing, spheres.diameter, stiffness)
        kept_x[:, frame], kept_v[:, frame] = x, v
    return kept_x, kept_v, contacts


def velocity_decorrelation_time(
    velocities: Float[Array, "trajectories frames 5 3"], spacing: float
) -> float:
    """The last time at which the velocity autocorrelation exceeds 1/e in magnitude.

    The last, because a velocity in a well turns round and comes back: its
    autocorrelation crosses 1/e many times while nothing is forgotten.
    """
    frames = velocities.shape[1]
    padded = np.fft.rfft(velocities, 2 * frames, axis=1)
    sums = np.fft.irfft(np.square(np.abs(padded)), axis=1)[:, :frames].mean((0, 2, 3))
    correlation = sums / np.arange(frames, 0, -1) / np.square(velocities).mean()
    # later lags than half the length are averages over few starts
    above = np.flatnonzero(np.abs(correlation[: frames // 2]) > np.exp(-1))
    return float(above[-1] + 1) * spacing


def _starts(
    count: int, spheres: SpheresQuestion, repulsion: Repulsion, random: np.random.Generator
) -> tuple[Array, Array]:
    """Canonical positions, and velocities without drift of the centre of mass."""
    places, choices, speeds = random.spawn(3)
    batches: list[Array] = []
    while sum(map(len, batches)) < count:
        x = _centred(places.standard_normal((CANDIDATES, SPHERES, 3)))
        overlap = np.maximum(spheres.diameter - _distances(x), 0)
        match repulsion:
            case "hard":
                weight = (overlap == 0).all(1).astype(float)
            case "soft":
                weight = np.exp(-0.5 * spheres.stiffness * np.square(overlap).sum(1))
            case "none":
                weight = np.ones(CANDIDATES)
        batches.append(x[choices.random(CANDIDATES) < weight])
    return np.concatenate(batches)[:count], _centred(speeds.standard_normal((count, SPHERES, 3)))


def bounce_on(
    x: Float[Array, "n 5 3"], v: Float[Array, "n 5 3"], length: float, diameter: float
) -> tuple[Array, Array, Bool[Array, " n"]]:
    """Hard spheres from collision to collision for a time; also where any two bounced."""
    x, v = x.copy(), v.copy()
    contacts = np.zeros(len(x), dtype=bool)
    remaining = np.full(len(x), length)
    going = np.arange(len(x))
    while len(going):
        soon = _collision_times(x[going], v[going], diameter)
        pair = soon.argmin(1)
        time = soon[np.arange(len(going)), pair]
        meets = time < remaining[going]
        time = np.where(meets, time, remaining[going])
        x[going], v[going] = _swing(x[going], v[going], time[:, None, None])
        remaining[going] -= time
        hit, pair = going[meets], pair[meets]
        a, b = FIRST[pair], SECOND[pair]
        normal = x[hit, a] - x[hit, b]
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        approach = ((v[hit, a] - v[hit, b]) * normal).sum(-1, keepdims=True) * normal
        v[hit, a] -= approach
        v[hit, b] += approach
        contacts[hit] = True
        going = hit
    return x, v, contacts


def _collision_times(x: Array, v: Array, diameter: float) -> Float[Array, "n pairs"]:
    """When each pair comes within a diameter next; infinity for never.

    r(t)² of a swinging pair is A + R cos(2t - φ), so it falls through the
    squared diameter at 2t = φ + arccos((diameter² - A)/R).
    """
    r, w = x[:, FIRST] - x[:, SECOND], v[:, FIRST] - v[:, SECOND]
    rr, ww, rw = np.square(r).sum(-1), np.square(w).sum(-1), (r * w).sum(-1)
    middle, even = 0.5 * (rr + ww), 0.5 * (rr - ww)
    cosine = (diameter**2 - middle) / np.maximum(np.hypot(even, rw), 1e-300)
    angle = np.arctan2(rw, even) + np.arccos(np.clip(cosine, -1, 1))
    return np.where(cosine > -1, 0.5 * np.mod(angle, 2 * np.pi), np.inf)


def _repel_on(
    x: Array, v: Array, length: float, diameter: float, stiffness: float
) -> tuple[Array, Array, Bool[Array, " n"]]:
    """Soft spheres for a time; also where any two came within a diameter."""
    steps = max(int(np.ceil(length / TIMESTEP - 1e-9)), 1)
    step = length / steps
    contacts = np.zeros(len(x), dtype=bool)
    force, _ = _repulsion(x, diameter, stiffness)
    for _ in range(steps):
        x, v = _swing(x, v + 0.5 * step * force, step)
        force, near = _repulsion(x, diameter, stiffness)
        v = v + 0.5 * step * force
        contacts |= near
    return x, v, contacts


def _repulsion(x: Array, diameter: float, stiffness: float) -> tuple[Array, Bool[Array, " n"]]:
    """Forces of ½κ(d - r)² within the diameter d, and where any two are within it."""
    r = x[:, FIRST] - x[:, SECOND]
    distance = np.linalg.norm(r, axis=-1, keepdims=True)
    overlap = np.maximum(diameter - distance, 0)
    pair = stiffness * overlap / np.maximum(distance, 1e-12) * r
    force = np.zeros_like(x)
    for k, (a, b) in enumerate(zip(FIRST, SECOND, strict=True)):
        force[:, a] += pair[:, k]
        force[:, b] -= pair[:, k]
    return force, (overlap > 0).any((1, 2))


def _swing(x: Array, v: Array, time: Array | float) -> tuple[Array, Array]:
    """The exact motion in the attraction alone, about a centre of mass at rest at 0."""
    cosine, sine = np.cos(time), np.sin(time)
    return x * cosine + v * sine, v * cosine - x * sine


def _distances(x: Array) -> Float[Array, "n pairs"]:
    return np.linalg.norm(x[:, FIRST] - x[:, SECOND], axis=-1)


def _centred(values: Array) -> Array:
    return values - values.mean(1, keepdims=True)
