"""From start frames through a network to windows, in the units of the caller."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.nn.card import Scales
from egno_md.nn.graph import Graph, join_graphs
from egno_md.nn.scene import Scene
from egno_md.spec.network import Egno


@dataclass(frozen=True, eq=False)
class Start:
    """A batch of start frames.

    Attributes:
        positions: nm.
        velocities: nm/ps.
        forces: kJ/mol/nm; needed by operators with the force channel.
        box: box vectors as rows, nm; needed by operators of periodic systems.
        features: scalars per atom that differ between the frames of a batch, such as
            the charges of the n-body task.
        past_positions: of the P frames up to this one, for operators that read a
            sequence.
        past_velocities: likewise.
    """

    positions: Float[Tensor, "batch atoms 3"]
    velocities: Float[Tensor, "batch atoms 3"]
    forces: Float[Tensor, "batch atoms 3"] | None = None
    box: Float[Tensor, "batch 3 3"] | None = None
    features: Float[Tensor, "batch atoms features"] | None = None
    past_positions: Float[Tensor, "batch points atoms 3"] | None = None
    past_velocities: Float[Tensor, "batch points atoms 3"] | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A batch of decoded windows.

    Attributes:
        positions: nm.
        velocities: nm/ps; unsupervised for the published network.
        penalty: added to the loss in training; None for none.
        points: which of the window's time points these are; all but for a network
            that decodes ΔT alone, and for EGNN-R in training.
    """

    positions: Float[Tensor, "batch points atoms 3"]
    velocities: Float[Tensor, "batch points atoms 3"]
    penalty: Float[Tensor, ""] | None = None
    points: slice = field(default_factory=lambda: slice(None))


def join_predictions(parts: Sequence[Prediction], dim: int = 0) -> Prediction:
    """One prediction of several: of further windows, or of further time points (`dim` 1)."""
    return Prediction(
        torch.cat([p.positions for p in parts], dim), torch.cat([p.velocities for p in parts], dim)
    )


class WindowDecoder(Protocol):
    """A decoder of windows, of molecules or of other point sets; see `WindowOperator`."""

    @property
    def scales(self) -> Scales:
        """Scales that normalise the network."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Trained parameters."""
        ...

    def __call__(
        self, start: Start, time_points: Float[Tensor, " points"] | None = None
    ) -> Prediction:
        """Decode the windows after start frames, at the trained time points by default."""
        ...


@dataclass(frozen=True, eq=False)
class Surroundings:
    """All inputs of a network besides positions and velocities.

    Attributes:
        centred: positions about a point that moves with them.
        accelerations: at the start; None without the force channel.
        nodes: what each node is.
        graph: edges with their fixed features.
        bonds: edges that hold a structure together; None without any.
        index: time positions.
        tau: times of the points.
        length: ΔT.
    """

    centred: Float[Tensor, "batch atoms 3"]
    accelerations: Float[Tensor, "batch atoms 3"] | None
    nodes: Float[Tensor, "nodes features"]
    graph: Graph
    bonds: Graph | None
    index: Float[Tensor, " points"]
    tau: Float[Tensor, " points"]
    length: float


def decode_ours(
    network: nn.Module, spec: Egno, scales: Scales, start: Start, surroundings: Surroundings
) -> Prediction:
    """A window of our EGNO: corrections of the ballistic path, or the path outright."""
    return decode_together(network, spec, scales, [(start, surroundings)])[0]


def decode_together(
    network: nn.Module, spec: Egno, scales: Scales, batches: Sequence[tuple[Start, Surroundings]]
) -> list[Prediction]:
    """Windows of batches of different systems in one call of our EGNO.

    Each batch is centred by itself, and graphs are laid end to end, so that systems
    do not see each other.

    Args:
        network: an `EgnoNetwork`.
        spec: what the network is.
        scales: that normalise it.
        batches: start frames of each system, at the same time points.
    """
    surroundings = batches[0][1]
    tau, length = surroundings.tau, surroundings.length
    nodes = [_node_inputs(scales, *batch) for batch in batches]
    graphs = [a.graph for _, a in batches]
    is_single = len(batches) == 1
    outputs = network(
        *(nodes[0] if is_single else map(torch.cat, zip(*nodes, strict=True))),
        graphs[0] if is_single else join_graphs(graphs),
        surroundings.index,
        tau / length,
    )
    sizes = [g.nodes for g in graphs]
    parts = [outputs] if is_single else list(zip(*(o.split(sizes) for o in outputs), strict=True))
    return [
        _window_of(spec, scales, start, tau, length, part)
        for (start, _), part in zip(batches, parts, strict=True)
    ]


def _node_inputs(scales: Scales, start: Start, surroundings: Surroundings) -> tuple[Tensor, ...]:
    """Positions, displacements, normalised vectors and features of every node."""
    vectors = [start.velocities / scales.velocity]
    if surroundings.accelerations is not None:
        vectors.append(surroundings.accelerations / scales.acceleration)
    return (
        flat(surroundings.centred) / scales.length,
        flat(start.velocities) * (surroundings.length / scales.length),
        flat(torch.stack(vectors, dim=-1)),
        surroundings.nodes,
    )


def _window_of(
    spec: Egno,
    scales: Scales,
    start: Start,
    tau: Tensor,
    length: float,
    outputs: tuple[Tensor, Tensor, Tensor],
) -> Prediction:
    path, position, velocity = outputs
    shape = (len(start.positions), -1, len(tau), 3)
    fraction = (tau / length).view(1, -1, 1, 1)
    correction = (
        path.view(shape) * scales.length + position.view(shape) * scales.position_residual
    ).transpose(1, 2)
    kick = velocity.view(shape).transpose(1, 2) * scales.velocity_residual
    x = start.positions[:, None]
    v = start.velocities[:, None]
    if spec.output == "direct":
        return Prediction(x + correction, kick)
    return Prediction(x + v * tau.view(1, -1, 1, 1) + correction * fraction**2, v + kick * fraction)


def make_scene(scales: Scales, start: Start, surroundings: Surroundings) -> Scene:
    """Inputs of a `SceneNetwork`: lengths in `scales.length`, velocities in `scales.velocity`."""
    positions = flat(surroundings.centred) / scales.length
    velocities = flat(start.velocities) / scales.velocity
    r = surroundings.graph.separations(positions)
    squared = r.square().sum(-1, keepdim=True)
    speed = velocities.norm(dim=-1, keepdim=True)
    shift = (start.positions - surroundings.centred)[:, None]
    return Scene(
        positions,
        velocities,
        torch.cat([speed, surroundings.nodes], dim=-1),
        replace(
            surroundings.graph, features=torch.cat([surroundings.graph.features, squared], dim=-1)
        ),
        surroundings.index,
        surroundings.tau / surroundings.length,
        surroundings.bonds,
        None
        if start.past_positions is None
        else _by_node(start.past_positions - shift) / scales.length,
        None
        if start.past_velocities is None
        else _by_node(start.past_velocities) / scales.velocity,
    )


def decode_scene(
    network: nn.Module, scales: Scales, start: Start, surroundings: Surroundings
) -> Prediction:
    """A window of a `SceneNetwork`."""
    scene = make_scene(scales, start, surroundings)
    paths = network(scene)
    shape = (len(start.positions), -1, paths.positions.shape[1], 3)
    displacements = (paths.positions - scene.positions[:, None]).view(shape).transpose(1, 2)
    velocities = paths.velocities.view(shape).transpose(1, 2) * scales.velocity
    return Prediction(
        start.positions[:, None] + displacements * scales.length, velocities, paths.penalty
    )


def flat(values: Tensor) -> Tensor:
    """``(batch, atoms, ...)`` to ``(nodes, ...)``."""
    return values.flatten(0, 1)


def _by_node(values: Tensor) -> Tensor:
    """``(batch, points, atoms, 3)`` to ``(nodes, points, 3)``."""
    return flat(values.transpose(1, 2))
