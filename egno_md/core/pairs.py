"""Pairs of nodes that a graph joins."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def complete_pairs(atoms: int) -> Int[np.ndarray, "edges 2"]:
    """Every ordered pair of different atoms."""
    receivers, senders = np.nonzero(~np.eye(atoms, dtype=bool))
    return np.stack([receivers, senders], axis=1)
