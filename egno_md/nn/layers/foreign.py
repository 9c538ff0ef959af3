"""What the layers take from PyTorch Geometric."""

from __future__ import annotations

from egno_md.core.quiet import no_jit_warnings

with no_jit_warnings():
    from torch_geometric.nn.models.schnet import GaussianSmearing, ShiftedSoftplus
    from torch_geometric.utils import softmax

__all__ = ["GaussianSmearing", "ShiftedSoftplus", "softmax"]
