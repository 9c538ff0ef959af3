"""What a frame of a published benchmark consists of: point sets with features."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

NO_PAIRS = np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Task:
    """What the frames of a benchmark consist of.

    Attributes:
        name: of the data set.
        atoms: nodes of a frame.
        time_points: of the window, in the time unit of the velocities.
        node_features: scalars per node that come with every frame and that the node
            knows.
        pairs: directed ``(receiver, sender)`` edges that every frame has.
        edge_features: fixed scalars per pair.
        charge_products: whether an edge also knows the product of its nodes' charges,
            which come with every frame as one more scalar that the node itself does
            not know: changing the sign of all of them changes nothing.
        cutoff: edges of a frame are the pairs within it, instead of `pairs`.
        distances: whether an edge also knows the distance in the start frame.
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
