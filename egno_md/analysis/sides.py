"""The two sides of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from egno_md.analysis.observable import Sampling
from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory
from egno_md.core.system import System

Array = np.ndarray
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Side:
    """A system and its frames.

    Attributes:
        system: topology, masses and degrees of freedom.
        chains: its contiguous stretches.
    """

    system: System
    chains: Sequence[Trajectory]

    @cached_property
    def sampling(self) -> Sampling:
        """How much there is of it."""
        return Sampling(
            frames=sum(len(c) for c in self.chains),
            chains=len(self.chains),
            picoseconds=float(sum(c.times[-1] - c.times[0] for c in self.chains if len(c))),
        )

    def lacks(self, field: str) -> bool:
        """Whether some frame does not hold a field, such as its energy.

        Frames of a rollout that was not checked have no energy.
        """
        values = [getattr(c, field) for c in self.chains]
        return any(v is None or not np.isfinite(v).all() for v in values)

    def check(self, name: str) -> None:
        """Refuse a side without frames or with positions that are not finite.

        Raises:
            DataError: it cannot be analysed.
        """
        if not self.sampling.frames or not all(len(c) for c in self.chains):
            raise DataError(f"{name} holds no frames. Compare a run that has written some.")
        for chain in self.chains:
            bad = np.flatnonzero(~np.isfinite(chain.positions).all(axis=(1, 2)))
            if len(bad):
                raise DataError(
                    f"{name}: positions at {chain.times[bad[0]]:g} ps are not finite. "
                    "Cut the trajectory before that time."
                )


@dataclass(frozen=True, eq=False)
class Pair:
    """A reference and a rollout of the same atoms."""

    reference: Side
    rollout: Side

    def both(self, compute: Callable[[Side], T]) -> tuple[T, T]:
        """Compute the same of both sides."""
        return compute(self.reference), compute(self.rollout)

    def missing(self, field: str) -> str | None:
        """Why a field cannot be compared; None where both sides have it."""
        without = [n for n in ("reference", "rollout") if getattr(self, n).lacks(field)]
        if not without:
            return None
        spelled = field.replace("_", " ").replace("energy", "energies")
        return f"no {spelled} in the {' and the '.join(without)}."


def check_same_atoms(a: System, b: System, a_name: str, b_name: str) -> None:
    """Refuse two systems whose atoms differ.

    Raises:
        DataError: names the first atom that differs.
    """
    remedy = "Compare trajectories of the same atoms in the same order."
    for i, (left, right) in enumerate(zip(a.elements, b.elements, strict=False)):
        if left != right:
            raise DataError(f"atom {i} is {left} in {a_name} and {right} in {b_name}. {remedy}")
    if a.n_atoms != b.n_atoms:
        raise DataError(
            f"{a_name} has {a.n_atoms} atoms and {b_name} {b.n_atoms}: "
            f"atom {min(a.n_atoms, b.n_atoms)} exists in only one. {remedy}"
        )
