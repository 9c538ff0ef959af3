"""The published network: counts as printed, equations as written."""

from __future__ import annotations

import math

import pytest
import torch

from egno_md.geometry.bonded import complete_pairs
from egno_md.nn.graph import make_graph
from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.nn.scene import Scene
from egno_md.spec.network import PublishedEgno

PUBLISHED_COUNTS = {
    "n-body": ((4, 64, 2, 1, 2), 201_672),
    "md17": ((5, 64, 2, 2, 5), 252_570),
    "mocap": ((6, 128, 2, 2, 2), 1_192_684),
    "adk": ((4, 128, 2, 2, 2), 796_616),
}
"""(layers, hidden, modes, node features, edge features) and parameters (Xu et al. 2024)."""

SINGLE_PRECISION = 1e-5


@pytest.mark.parametrize("name", PUBLISHED_COUNTS)
def test_parameter_count_is_the_published_one(name: str) -> None:
    shape, count = PUBLISHED_COUNTS[name]
    network = _network(*shape)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("points", [2, 5, 8])
def test_forward_equals_the_published_equations_edge_by_edge(points: int) -> None:
    torch.manual_seed(0)
    nodes, edge_features = 5, 2
    network = _network(2, 8, 2, 1, edge_features).double()
    pairs = complete_pairs(nodes)[:-3]  # not every pair: degrees differ
    features = torch.randn(len(pairs), edge_features, dtype=torch.float64)
    graph = make_graph(pairs, features.numpy(), nodes)
    # make_graph keeps single precision; the test wants the same numbers in both
    graph = graph.__class__(**{**graph.__dict__, "features": features})
    x, v = torch.randn(2, nodes, 3, dtype=torch.float64)
    h = torch.randn(nodes, 1, dtype=torch.float64)
    index = torch.arange(points, dtype=torch.float64)
    paths = network(Scene(x, v, h, graph, index, (index + 1) / points))
    fast_x, fast_v = paths.positions, paths.velocities
    slow_x, slow_v = _by_the_book(network, x, v, h, pairs.tolist(), features, points)
    assert torch.allclose(fast_x, slow_x, rtol=SINGLE_PRECISION, atol=1e-9)
    assert torch.allclose(fast_v, slow_v, rtol=SINGLE_PRECISION, atol=1e-9)


def _network(
    layers: int, hidden: int, modes: int, node_features: int, edge_features: int
) -> PublishedEgnoNetwork:
    spec = PublishedEgno(kind="egno-published", layers=layers, hidden=hidden, modes=modes)
    return PublishedEgnoNetwork(spec, node_features, edge_features)


def _by_the_book(network, x0, v0, h0, pairs, features, points):
    """One edge, one node, one time point after another."""
    nodes = len(x0)
    mean = x0.mean(0)
    embedding = torch.tensor(
        [
            [math.sin(j * math.exp(-k * math.log(1e4) / 15)) for k in range(16)]
            + [math.cos(j * math.exp(-k * math.log(1e4) / 15)) for k in range(16)]
            for j in range(points)
        ],
        dtype=torch.float64,
    )
    h = [
        [network.embed(torch.cat([h0[i], embedding[p]])) for p in range(points)]
        for i in range(nodes)
    ]
    x = [[x0[i].clone() for _ in range(points)] for i in range(nodes)]
    v = [[v0[i].clone() for _ in range(points)] for i in range(nodes)]
    for scalar, vector, layer in zip(
        network.scalar_mix, network.vector_mix, network.layers, strict=True
    ):
        for i in range(nodes):
            mixed = _spectral(scalar.weight, torch.stack(h[i]))
            h[i] = list(torch.stack(h[i]) + torch.nn.functional.leaky_relu(mixed, 0.01))
            z = torch.stack([torch.stack(x[i]) - mean, torch.stack(v[i])], dim=-1)
            moved = torch.stack([_spectral(vector.weight, z[:, d]) for d in range(3)], dim=1)
            z = z + moved
            x[i], v[i] = list(z[..., 0] + mean), list(z[..., 1])
        new_x = [list(row) for row in x]
        new_h = [list(row) for row in h]
        for p in range(points):
            for i in range(nodes):
                pull, count, total = torch.zeros(3, dtype=torch.float64), 0, 0
                for (a, b), e in zip(pairs, features, strict=True):
                    if a != i:
                        continue
                    r = x[i][p] - x[b][p]
                    m = layer.message(torch.cat([h[i][p], h[b][p], r.square().sum()[None], e]))
                    pull, count, total = pull + r * layer.position(m), count + 1, total + m
                step = (pull / count).clamp(-100, 100)
                new_x[i][p] = x[i][p] + layer.velocity(h[i][p]) * v[i][p] + step
                new_h[i][p] = layer.node(torch.cat([h[i][p], total]))
        x, h = new_x, new_h
    return torch.stack([torch.stack(r) for r in x]), torch.stack([torch.stack(r) for r in v])


def _spectral(weight, series):
    """irfft(W · rfft(series)[:I]) with torch's own transforms."""
    points = len(series)
    spectrum = torch.fft.rfft(series, dim=0)
    modes = min(weight.shape[0], spectrum.shape[0])
    out = torch.zeros_like(spectrum)
    complex_weight = torch.complex(weight[..., 0], weight[..., 1])
    for mode in range(modes):
        out[mode] = spectrum[mode] @ complex_weight[mode]
    return torch.fft.irfft(out, n=points, dim=0)
