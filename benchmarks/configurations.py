"""The networks of the paper on graphs like those of their data, for benchmarks of speed."""

from __future__ import annotations

import numpy as np
import torch

from egno_md.geometry.bonded import complete_pairs, hop_pairs
from egno_md.md.build import load_system
from egno_md.nn.graph import make_graph
from egno_md.nn.neighbours import find_pairs
from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.nn.scene import Scene
from egno_md.spec.network import PublishedEgno

CONFIGURATIONS = {
    "N-body": {"layers": 4, "hidden": 64, "points": 5, "batch": 100, "node": 1, "edge": 2},
    "MD17": {"layers": 5, "hidden": 64, "points": 8, "batch": 100, "node": 2, "edge": 5},
    "Mocap": {"layers": 6, "hidden": 128, "points": 5, "batch": 12, "node": 2, "edge": 2},
    "AdK": {"layers": 4, "hidden": 128, "points": 4, "batch": 1, "node": 2, "edge": 2},
}
"""Published: Xu et al. 2024; the batch of AdK is 8 there."""


def configuration(name: str, sizes: dict[str, int]) -> tuple[PublishedEgnoNetwork, Scene]:
    """A network, and a batch of random frames on a graph like that of the data."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    pairs, atoms = edges_of(name, random)
    features = random.normal(size=(len(pairs), sizes["edge"]))
    graph = make_graph(pairs, features, atoms).repeat(sizes["batch"])
    x, v = torch.from_numpy(random.normal(size=(2, graph.nodes, 3))).float()
    h = torch.from_numpy(random.random((graph.nodes, sizes["node"]))).float()
    index = torch.arange(sizes["points"]).float()
    spec = PublishedEgno(kind="egno-published", layers=sizes["layers"], hidden=sizes["hidden"])
    network = PublishedEgnoNetwork(spec, sizes["node"], sizes["edge"])
    return network, Scene(x, v, h, graph, index, (index + 1) / len(index))


def edges_of(name: str, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """The complete graph, aspirin's heavy atoms, 65 undirected edges of 31 joints, a protein's."""
    if name == "N-body":
        return complete_pairs(5), 5
    if name == "MD17":
        system = load_system("aspirin").system
        heavy = np.flatnonzero(system.atomic_numbers > 1)
        number = {int(a): i for i, a in enumerate(heavy)}
        bonds = [(number[a], number[b]) for a, b in system.bonds if a in number and b in number]
        return hop_pairs(np.array(bonds), len(heavy), 2)[0], len(heavy)
    if name == "Mocap":
        bonds = [(i, max(i - 1 if i % 6 else 0, 0)) for i in range(1, 31)]
        return hop_pairs(np.array(bonds), 31, 2)[0], 31
    x = random.uniform(0, (855 / 40) ** (1 / 3), (855, 3))
    return find_pairs(x, 0.8, None), 855
