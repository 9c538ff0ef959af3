"""The layers that a protocol names as `spatial` or `kind`."""

from __future__ import annotations

from torch import nn

from egno_md.nn.egnn import EgnnLayer
from egno_md.spec.network import Spatial


def spatial_layer(kind: Spatial, hidden: int, edge_features: int) -> nn.Module:
    """A `SpatialLayer` by name.

    Args:
        kind: as in the protocol.
        hidden: channels per node.
        edge_features: scalars per edge.
    """
    match kind:
        case "egnn":
            return EgnnLayer(hidden, edge_features)
        case _:
            raise NotImplementedError(kind)
