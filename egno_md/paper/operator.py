"""Operators of the published benchmarks: point sets with features instead of molecules.

A `TaskOperator` is any network of `egno_md.spec.network` on the frames of a
`Task`. Units are those of the data set.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.core.errors import SpecError
from egno_md.nn.card import Scales
from egno_md.nn.decode import (
    Prediction,
    Start,
    Surroundings,
    decode_ours,
    decode_scene,
    flat,
    make_scene,
)
from egno_md.nn.graph import Graph, join_graphs, make_graph
from egno_md.nn.neighbours import NeighbourList
from egno_md.nn.networks import build_network
from egno_md.nn.operator import time_positions
from egno_md.nn.scene import Scene
from egno_md.nn.spatial import LayerFactory
from egno_md.nn.unroll import Times, check_window, decode_window
from egno_md.paper.task import NO_PAIRS, Task
from egno_md.spec.network import Egno, Network


class TaskOperator(nn.Module):
    """Any network on the frames of a task; called with a `Start` whose `features` are given.

    Args:
        spec: the network; its own `edges` are ignored in favour of the task's.
        task: what a frame consists of.
        scales: that normalise the network.
        layer: a `SpatialLayer` class of your own, for the published EGNO and stacks.

    Raises:
        SpecError: the network has the force channel and a task has no forces, it cannot
            decode the task's time points, takes no layer of your own, or needs e3nn.
    """

    def __init__(
        self, spec: Network, task: Task, scales: Scales, layer: LayerFactory | None = None
    ) -> None:
        super().__init__()
        if isinstance(spec, Egno) and spec.force_channel:
            raise SpecError(
                f"the {task.name} task has no forces. Set network.force_channel: false."
            )
        check_window(spec, task.time_points)
        self.spec, self.task, self.scales = spec, task, scales
        points = len(task.time_points)
        self.knows_identities = isinstance(spec, Egno) and spec.identities
        width = task.node_features + (task.atoms if self.knows_identities else 0)
        self.network = build_network(spec, width, task.width, points, layer)
        fixed = task.edge_features
        if fixed is None:
            fixed = np.zeros((len(task.pairs), 0))
        self._template = make_graph(task.pairs, fixed, task.atoms)
        directed = np.concatenate([task.bonds, task.bonds[:, ::-1]])
        self._bonds = make_graph(directed, np.ones((len(directed), 1)), task.atoms)

    def forward(
        self, start: Start, time_points: Float[Tensor, " points"] | None = None
    ) -> Prediction:
        """Decode a window.

        Args:
            start: the start frames, with features.
            time_points: in (0, ΔT]; the task's by default, any others zero-shot.

        Returns:
            The window; a network that predicts its end alone gives one time point,
            so that there is an F-MSE and no A-MSE.

        Raises:
            WindowMismatch: a time point outside the window, or one that a network of
                fixed time points was not trained at.
        """
        return decode_window(
            self.spec,
            self._decode,
            start,
            self.task.time_points,
            time_points,
            is_training=self.training,
        )

    def scene(self, start: Start) -> Scene:
        """The network's inputs from start frames, at its own time points."""
        return make_scene(
            self.scales, start, self._surroundings(start, self.task.time_points, None)
        )

    def _decode(self, start: Start, training_times: Times, query_times: Times | None) -> Prediction:
        surroundings = self._surroundings(start, training_times, query_times)
        if isinstance(self.spec, Egno):
            return decode_ours(self.network, self.spec, self.scales, start, surroundings)
        return decode_scene(self.network, self.scales, start, surroundings)

    def _surroundings(
        self, start: Start, training_times: Times, query_times: Times | None
    ) -> Surroundings:
        assert start.features is not None
        like = start.positions
        index, tau = time_positions(training_times, query_times, like.device, like.dtype)
        return Surroundings(
            centred=like - like.mean(1, keepdim=True),
            accelerations=None,
            nodes=self._nodes(start.features[..., : self.task.node_features]),
            graph=self._graph(start),
            bonds=self._bonds.batch(len(like), like) if len(self.task.bonds) else None,
            index=index,
            tau=tau,
            length=training_times[-1],
        )

    def _nodes(self, features: Float[Tensor, "batch atoms features"]) -> Tensor:
        if self.knows_identities:
            one_hot = torch.eye(self.task.atoms, dtype=features.dtype, device=features.device)
            features = torch.cat([features, one_hot.expand(len(features), -1, -1)], dim=-1)
        return flat(features)

    def _graph(self, start: Start) -> Graph:
        if self.task.cutoff is None:
            graph = self._template.batch(len(start.positions), start.positions)
        else:
            graph = join_graphs([self._within(x) for x in start.positions])
        features = [graph.features]
        if self.task.charge_products:
            assert start.features is not None
            charge = flat(start.features)[:, self.task.node_features :]
            features.append(graph.gather_receivers(charge) * graph.gather_senders(charge))
        if self.task.distances:
            r = graph.separations(flat(start.positions))
            features.append(r.norm(dim=-1, keepdim=True))
        return replace(graph, features=torch.cat(features, dim=-1))

    def _within(self, positions: Tensor) -> Graph:
        neighbours = NeighbourList(self.task.cutoff or 0.0, NO_PAIRS)
        where = positions.detach().cpu().double().numpy()
        pairs = neighbours.find(where, None).pairs
        return make_graph(pairs, np.zeros((len(pairs), 0)), self.task.atoms).to(positions)
