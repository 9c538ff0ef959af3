"""Energies and forces of many replicas, with an account of the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from egno_md.core.ports import Evaluator
from egno_md.core.state import Frame
from egno_md.propagate.clocks import Clocks


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluates frames that are finite; the others get the energy NaN unasked.

    Attributes:
        evaluator: the engine, or a pool of them.
        clocks: charged for checks.
    """

    evaluator: Evaluator
    clocks: Clocks

    def __call__(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        """Frames by replica with energies and forces; the energy is NaN where there is none."""
        broken = {
            i: replace(f, potential_energy=np.nan) for i, f in frames.items() if not f.is_finite
        }
        finite = {i: f for i, f in frames.items() if i not in broken}
        with self.clocks.charge("checks"):
            return {**broken, **self.evaluator.evaluate_all(finite)}

    def one(self, index: int, frame: Frame) -> Frame:
        """One frame of a replica."""
        return self({index: frame})[index]
