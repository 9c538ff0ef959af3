"""The graphs of an operator: always the same edges, or those within a radius."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from egno_md.core.errors import SpecError
from egno_md.core.system import System
from egno_md.geometry.bonded import complete_pairs, hop_pairs, hops_of
from egno_md.nn.card import DynamicsCard
from egno_md.nn.graph import Graph, join_graphs, make_graph
from egno_md.nn.neighbours import NeighbourList
from egno_md.spec.network import Egno, Hierarchical, Linear, Network

HOPS = 4
"""Bond separations told apart on edges; farther ones count as none."""

BONDED = 2
"""Bond separations whose edges are always there, with full weight."""

SKIN = 0.1
"""nm: atoms at 300 K need about 20 windows of 4 fs to move by half of it."""


class EdgeFinder:
    """Makes the graph of a batch of start frames of one system.

    Fixed graphs are kept per batch size. With a radius, or in a periodic box,
    the edges of every frame are found anew, with the periodic image that each
    has in that frame.

    Args:
        card: scales and the network's edges.
        numbers: atomic numbers of the system.
        bonds: its bonds, each once.
    """

    def __init__(
        self,
        card: DynamicsCard,
        numbers: Int[np.ndarray, " atoms"],
        bonds: Int[np.ndarray, "bonds 2"],
    ) -> None:
        self.card, self.numbers = card, numbers
        self._pairs, self._hops = hop_pairs(bonds, len(self.numbers), HOPS)
        self._bonded = self._pairs[self._hops <= BONDED]
        network = card.network
        self.cutoff = network.cutoff if isinstance(network, Egno | Hierarchical) else None
        self.is_fixed = self.cutoff is None and not card.validity.periodic
        self._lists: list[NeighbourList] = []
        self._bonds: Graph | None = None
        if isinstance(network, Hierarchical):
            pairs = self._pairs[self._hops == 1]
            self._bonds = make_graph(pairs, np.ones((len(pairs), 1)), len(self.numbers))
        self._template: Graph | None = None
        if self.is_fixed:
            complete = not isinstance(network, Linear) and network.edges == "complete"
            pairs = complete_pairs(len(self.numbers)) if complete else self._bonded
            self._template = make_graph(pairs, self.features(pairs), len(self.numbers))

    def features(self, pairs: Int[np.ndarray, "edges 2"]) -> Float[np.ndarray, "edges features"]:
        """Features of edges: atomic numbers or none, and the bonds between their atoms."""
        hop = hops_of(pairs, self._pairs, self._hops, len(self.numbers))
        if isinstance(self.card.network, Egno):
            return (hop[:, None] == np.arange(HOPS + 1)).astype(np.float64)
        ends = self.numbers[pairs]
        return np.stack([ends[:, 0], ends[:, 1], hop, hop == 1], axis=1).astype(np.float64)

    def fixed_graph(self, batch: int, like: Tensor) -> Graph:
        """The graph of `batch` frames where edges never change."""
        assert self._template is not None
        return self._template.batch(batch, like)

    def bond_graph(self, batch: int, like: Tensor) -> Graph | None:
        """The bonds of `batch` frames, for networks that pool along them; else None."""
        return None if self._bonds is None else self._bonds.batch(batch, like)

    def neighbour_graph(
        self,
        positions: Float[Tensor, "batch atoms 3"],
        box: Float[Tensor, "batch 3 3"] | None,
        *,
        follows: int | None,
    ) -> Graph:
        """The graph of frames whose edges depend on where the atoms are.

        Args:
            positions: nm.
            box: box vectors as rows, nm.
            follows: number of the first frame, where frames follow those that had
                their numbers in earlier calls: neighbours are then searched only
                now and then. None for frames that follow none.

        Raises:
            SpecError: the cutoff is beyond half the box.
        """
        where = positions.detach().cpu().double().numpy()
        boxes = None if box is None else box.detach().cpu().double().numpy()
        graphs = [
            self._one(
                self._list(None if follows is None else follows + i),
                x,
                None if boxes is None else boxes[i],
                positions,
            )
            for i, x in enumerate(where)
        ]
        graph = join_graphs(graphs)
        # the published networks have no edge weights
        if self.cutoff is None or not isinstance(self.card.network, Egno):
            return graph
        return replace(graph, envelope=self._envelope(graph, positions))

    def _list(self, number: int | None) -> NeighbourList:
        cutoff = self.cutoff or 0.0
        if number is None:
            return NeighbourList(cutoff, self._bonded)
        while len(self._lists) <= number:
            self._lists.append(NeighbourList(cutoff, self._bonded, SKIN))
        return self._lists[number]

    def _one(
        self, neighbours: NeighbourList, positions: np.ndarray, box: np.ndarray | None, like: Tensor
    ) -> Graph:
        edges = neighbours.find(positions, box)
        length = self.card.scales.length
        with torch.inference_mode(like.is_inference()):
            return Graph(
                receivers=torch.from_numpy(edges.pairs[:, 0].copy()).to(like.device),
                senders=torch.from_numpy(edges.pairs[:, 1].copy()).to(like.device),
                features=torch.from_numpy(self.features(edges.pairs)).to(like),
                nodes=len(positions),
                atoms=len(positions),
                degree=None,
                offsets=None if box is None else torch.from_numpy(edges.offsets / length).to(like),
                neighbours=self.card.scales.neighbours,
            )

    def _envelope(self, graph: Graph, positions: Tensor) -> Tensor:
        r = graph.separations(positions.reshape(-1, 3) / self.card.scales.length)
        share = r.square().sum(1).sqrt() * (self.card.scales.length / (self.cutoff or 1.0))
        is_bonded = graph.features[:, 1 : BONDED + 1].any(1)
        return torch.where(is_bonded, torch.ones_like(share), envelope(share))


def edge_width(network: Network) -> int:
    """Features per edge: bonds between its atoms one-hot, or as the published networks have them."""
    return HOPS + 1 if isinstance(network, Egno) else 4


def envelope(share: Tensor) -> Tensor:
    """A weight that falls from 1 at 0 to 0 at 1 with two continuous derivatives.

    Gasteiger et al. 2020 (Directional Message Passing), Eq. 8 with p = 6.
    """
    x = share.clamp(max=1.0)
    return 1 - x**6 * (28 - 48 * x + 21 * x.square())


def check_edges(system: System, network: Network) -> None:
    """Refuse a network that cannot treat a periodic box rightly.

    Raises:
        SpecError: its edges would jump from one image to another.
    """
    if system.box is None or (isinstance(network, Egno) and network.edges != "complete"):
        return
    what = "edges: complete" if isinstance(network, Egno) else f"kind: {network.kind}"
    raise SpecError(
        f"{system.name} is periodic, where a network of {what} jumps as pairs change their "
        "nearest image. Use kind: egno with edges: radius and a cutoff such as '0.5 nm'."
    )
