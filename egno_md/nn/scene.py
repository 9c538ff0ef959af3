"""Inputs and outputs of every network of the published kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from egno_md.nn.graph import Graph


@dataclass(frozen=True, eq=False)
class Scene:
    """A batch of start frames laid end to end, in the units the network learns in.

    Attributes:
        positions: of the start frame.
        velocities: of the start frame.
        features: scalars per node that do not move: ‖v‖ first, then what the node is.
        graph: edges with their fixed features, the start frame's d² last.
        index: time positions; index j stands for time point t_{j+1}.
        fraction: of the window at each time point, in (0, 1].
        bonds: the edges that hold a structure together, for pooling; None without any.
        past_positions: of as many frames as there are time points, oldest first and
            the start frame last, for operators that read a sequence; else None.
        past_velocities: likewise.
    """

    positions: Float[Tensor, "nodes 3"]
    velocities: Float[Tensor, "nodes 3"]
    features: Float[Tensor, "nodes features"]
    graph: Graph
    index: Float[Tensor, " points"]
    fraction: Float[Tensor, " points"]
    bonds: Graph | None = None
    past_positions: Float[Tensor, "nodes points 3"] | None = None
    past_velocities: Float[Tensor, "nodes points 3"] | None = None


@dataclass(frozen=True, eq=False)
class Paths:
    """Predicted paths of the nodes.

    Attributes:
        positions: at the time points of the scene.
        velocities: the network's own; not supervised as published.
        penalty: added to the loss in training, such as EGHN's connectivity; None for none.
    """

    positions: Float[Tensor, "nodes points 3"]
    velocities: Float[Tensor, "nodes points 3"]
    penalty: Float[Tensor, ""] | None = None


class SceneNetwork(Protocol):
    """A network of the published kind."""

    def __call__(self, scene: Scene) -> Paths:
        """Decode every time point of a scene."""
        ...


class SpatialLayer(Protocol):
    """Message passing at every time point by itself: what an EGNO takes as its spatial part.

    Made as ``Layer(hidden, edge_features)``. Equivariant layers turn, mirror and
    move their positions with their input, and leave h as it is. A layer that
    carries more between layers than positions and scalars (vectors, steerable
    features) keeps it in `state`, which only layers of its own kind read.
    """

    def __call__(
        self,
        x: Float[Tensor, "nodes points 3"],
        v: Float[Tensor, "nodes points 3"],
        h: Float[Tensor, "nodes points hidden"],
        graph: Graph,
        state: Tensor | None,
    ) -> tuple[
        Float[Tensor, "nodes points 3"], Float[Tensor, "nodes points hidden"], Tensor | None
    ]:
        """The new x, h and state; the first layer's state is None."""
        ...
