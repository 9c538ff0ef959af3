"""The network that a protocol names."""

from __future__ import annotations

from torch import nn

from egno_md.core.errors import SpecError
from egno_md.nn.block import EgnoShape
from egno_md.nn.eghn import HierarchicalNetwork
from egno_md.nn.egno import EgnoNetwork
from egno_md.nn.linear import LinearNetwork
from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.nn.spatial import LayerFactory
from egno_md.nn.stack import StackNetwork
from egno_md.spec.network import Egno, Hierarchical, Linear, Network, PublishedEgno, Stack


def build_network(
    spec: Network,
    node_features: int,
    edge_features: int,
    points: int,
    layer: LayerFactory | None = None,
) -> nn.Module:
    """A freshly drawn network.

    Args:
        spec: from the protocol.
        node_features: scalars per node; ‖v‖ comes on top of them.
        edge_features: fixed scalars per edge; functions of the start geometry
            come on top of them.
        points: P, time points of the window it is trained on.
        layer: a `SpatialLayer` class of your own, for the published EGNO and stacks.

    Returns:
        An `EgnoNetwork` for `Egno`, else a `SceneNetwork`.

    Raises:
        SpecError: a layer for a network that takes none, or one that needs e3nn.
    """
    if layer is not None and not isinstance(spec, PublishedEgno | Stack):
        raise SpecError(
            f"a network of the kind {spec.kind} takes no layer of your own. "
            "Use PublishedEgno or Stack."
        )
    match spec:
        case Egno():
            return EgnoNetwork(
                EgnoShape(
                    layers=spec.layers,
                    hidden=spec.hidden,
                    vectors=spec.vectors,
                    modes=spec.modes,
                    node_features=node_features,
                    edge_features=edge_features,
                    force_channel=spec.force_channel,
                    stable=spec.initialisation == "stable",
                    normalised=spec.distances == "normalised",
                    couplings=spec.couplings,
                    soft=spec.projections == "soft",
                )
            )
        case PublishedEgno():
            return PublishedEgnoNetwork(spec, node_features + 1, edge_features + 1, layer)
        case Stack():
            return StackNetwork(spec, node_features + 1, edge_features + 1, points, layer)
        case Linear():
            return LinearNetwork(points)
        case Hierarchical():
            return HierarchicalNetwork(spec, node_features + 1, edge_features + 1)
