"""Normalisation measured on the training windows."""

from __future__ import annotations

import torch

from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.data.windows import WindowDataset
from egno_md.nn.card import DynamicsCard, Scales
from egno_md.nn.edges import EdgeFinder
from egno_md.spec.network import Egno, Network

LENGTH = 0.1
"""nm: about one bond."""

SAMPLE, SAMPLE_ATOMS = 4096, 200_000
NEIGHBOUR_SAMPLE = 8


def measure_scales(
    windows: WindowDataset,
    system: System,
    window: Window,
    network: Network,
    spacing: float,
) -> Scales:
    """Root mean squares of velocities, accelerations and baseline residuals."""
    batch = windows[windows.spread(SAMPLE, SAMPLE_ATOMS)]
    length = window.length
    velocity = _rms(batch.velocities)
    x, v = batch.positions, batch.velocities
    acceleration = 1.0
    if not isinstance(network, Egno):
        # As published: Å, and displacement per frame.
        return Scales(
            length=LENGTH,
            velocity=LENGTH / spacing,
            acceleration=1.0,
            position_residual=LENGTH,
            velocity_residual=LENGTH / spacing,
        )
    if batch.forces is not None:
        a = batch.forces / torch.tensor(system.masses, dtype=torch.float32)[:, None]
        acceleration = _rms(a)
    if network.output == "ballistic":
        x = x + v * length
    else:
        v = torch.zeros_like(v)
    return Scales(
        length=LENGTH,
        velocity=velocity,
        acceleration=acceleration,
        position_residual=_rms(batch.future_positions[:, -1] - x),
        velocity_residual=_rms(batch.future_velocities[:, -1] - v),
    )


def with_neighbours(card: DynamicsCard, system: System, windows: WindowDataset) -> DynamicsCard:
    """The card with the mean number of neighbours, where the network has a radius.

    Args:
        card: of a fresh operator.
        system: of the atoms that the operator acts on.
        windows: to learn from.

    Raises:
        SpecError: the radius is beyond half the box.
    """
    if not (isinstance(card.network, Egno) and card.network.cutoff is not None):
        return card
    batch = windows[windows.spread(NEIGHBOUR_SAMPLE, NEIGHBOUR_SAMPLE * windows.atoms)]
    edges = EdgeFinder(card, system.atomic_numbers, system.bonds)
    graph = edges.neighbour_graph(batch.positions, batch.box, follows=None)
    assert graph.envelope is not None
    count = max(float(graph.envelope.sum()) / graph.nodes, 1.0)
    scales = card.scales.model_copy(update={"neighbours": count})
    return card.model_copy(update={"scales": scales})


def _rms(values: torch.Tensor) -> float:
    return max(float(values.square().mean().sqrt()), 1e-12)
