"""Cluster assignments of a hierarchical network."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from egno_md.core.errors import SpecError
from egno_md.nn.decode import Start
from egno_md.nn.eghn import HierarchicalNetwork
from egno_md.nn.scene import Scene


class SceneOperator(Protocol):
    """An operator whose network sees a scene; see `WindowOperator`."""

    @property
    def network(self) -> nn.Module:
        """The network, of any kind."""
        ...

    def scene(self, start: Start) -> Scene:
        """The network's inputs from start frames."""
        ...


@torch.inference_mode()
def cluster_assignment(
    operator: SceneOperator, start: Start
) -> Float[np.ndarray, "batch points atoms clusters"]:
    """How much of each node belongs to each cluster, s of Han et al. 2022.

    Args:
        operator: of kind `eghn`, whose clusters are the same at every time point and
            given once, or `eghno`.
        start: the start frames.

    Returns:
        Shares that add up to 1 over the clusters.

    Raises:
        SpecError: the operator's network has no clusters.
    """
    network = operator.network
    if not isinstance(network, HierarchicalNetwork):
        raise SpecError(
            f"clusters of a {type(network).__name__} were asked for, and it has none. Use an "
            "operator of kind: eghn or eghno."
        )
    s = network.clusters(operator.scene(start)).unflatten(0, (len(start.positions), -1))
    return s.transpose(1, 2).cpu().numpy()
