"""A task of a published table: what its frames consist of, and its windows in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.utils.data import Dataset

from egno_md.data.windows import WindowBatch

NO_PAIRS = np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Task:
    """Nodes, edges and time points of a benchmark.

    Attributes:
        name: of the data set.
        atoms: nodes of a frame.
        time_points: of the window, in the time unit of the velocities.
        node_features: scalars per node that come with every frame and that the node
            knows.
        pairs: directed ``(receiver, sender)`` edges that every frame has.
        edge_features: fixed scalars per pair.
        charge_products: whether edge features include the product of its nodes' charges,
            which come with every frame as one more scalar that the node itself does
            not know: changing the sign of all of them changes nothing.
        cutoff: edges of a frame are the pairs within it, instead of `pairs`.
        distances: whether edge features include the distance in the start frame.
        bonds: undirected pairs that hold the nodes together, for pooling.
        is_reversible: whether windows run backwards, with velocities turned round, are
            windows as well: not where motion is no Hamiltonian's, nor where velocities are
            differences to the next frame, which would become ones to the last.
    """

    name: str
    atoms: int
    time_points: tuple[float, ...]
    node_features: int
    pairs: Int[np.ndarray, "edges 2"] = field(default_factory=lambda: NO_PAIRS)
    edge_features: Float[np.ndarray, "edges features"] | None = None
    charge_products: bool = False
    cutoff: float | None = None
    distances: bool = False
    bonds: Int[np.ndarray, "bonds 2"] = field(default_factory=lambda: NO_PAIRS)
    is_reversible: bool = False

    @property
    def width(self) -> int:
        """Scalars per edge."""
        fixed = 0 if self.edge_features is None else self.edge_features.shape[1]
        return fixed + self.charge_products + self.distances


@dataclass(frozen=True, eq=False)
class TaskWindows(Dataset[WindowBatch]):
    """Windows of one part of a benchmark, in its own units, single precision.

    An index list gives a whole `WindowBatch` at once.

    Attributes:
        positions: of the start frames.
        velocities: likewise.
        features: scalars per node.
        future_positions: at the task's time points.
        future_velocities: likewise.
        past_positions: of the P frames up to the start, the start last; None where
            the data begin there.
        past_velocities: likewise.
    """

    positions: Float[np.ndarray, "windows atoms 3"]
    velocities: Float[np.ndarray, "windows atoms 3"]
    features: Float[np.ndarray, "windows atoms features"]
    future_positions: Float[np.ndarray, "windows points atoms 3"]
    future_velocities: Float[np.ndarray, "windows points atoms 3"]
    past_positions: Float[np.ndarray, "windows points atoms 3"] | None = None
    past_velocities: Float[np.ndarray, "windows points atoms 3"] | None = None

    @property
    def atoms(self) -> int:
        """Nodes of a frame."""
        return self.positions.shape[1]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Sequence[int] | np.ndarray) -> WindowBatch:
        numbers = np.asarray(index)
        arrays = {name: values for name, values in vars(self).items() if values is not None}
        batch = {
            name: torch.from_numpy(np.asarray(values[numbers], dtype=np.float32))
            for name, values in arrays.items()
        }
        return WindowBatch(forces=None, **batch)

    def with_reversed(self) -> TaskWindows:
        """These windows and then the same ones run backwards in time.

        Hamiltonian dynamics run backwards is as true: from the last frame, with
        velocities turned round, through the same frames to the first. For a
        reversible task whose time points are evenly spaced from the start. Past
        frames are left out.
        """
        x = np.concatenate([self.positions[:, None], self.future_positions], axis=1)[:, ::-1]
        v = -np.concatenate([self.velocities[:, None], self.future_velocities], axis=1)[:, ::-1]
        return TaskWindows(
            positions=np.concatenate([self.positions, x[:, 0]]),
            velocities=np.concatenate([self.velocities, v[:, 0]]),
            features=np.concatenate([self.features, self.features]),
            future_positions=np.concatenate([self.future_positions, x[:, 1:]]),
            future_velocities=np.concatenate([self.future_velocities, v[:, 1:]]),
        )

    def first(self, count: int) -> TaskWindows:
        """The first `count` windows."""
        return TaskWindows(*(None if a is None else a[:count] for a in vars(self).values()))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class TaskData:
    """A benchmark's data.

    Attributes:
        task: what a frame consists of.
        train: what networks learn from.
        validation: chooses the weights that are kept.
        test: what is reported.
        unit: of positions, such as Å; empty where the data set names none.
        source: what the data are, in words, for the results.
        settings: numbers that decided them (seed, sizes, ΔT).
        stands_in: for the data of the published table, whose figures are not its own.
        fingerprint: of the files they were read from, wherever those lie; None for
            generated data, which the settings decide.
    """

    task: Task
    train: TaskWindows
    validation: TaskWindows
    test: TaskWindows
    unit: str
    source: str
    settings: Mapping[str, object]
    stands_in: bool = False
    fingerprint: str | None = None
