"""From the heavy atoms a sampler predicts back to every atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.errors import DataError
from egno_md.core.seen import SeenAtoms
from egno_md.core.system import System
from egno_md.geometry.bonded import bond_neighbours

Array = np.ndarray

TINY = 1e-12


@dataclass(frozen=True, eq=False)
class HydrogenLift:
    """Places each hydrogen in the internal frame of the heavy atom that bears it.

    The frame is made by the bearer and two heavy atoms near it in bonds, and the
    hydrogen stands in it as in a relaxed structure: bonds and angles are right, and
    methyl groups stand as they did there. Thermal motion of hydrogens is not
    restored: that is what refinement is for.

    Attributes:
        atoms: of the whole system.
        seen: numbers of the heavy atoms.
        hydrogens: numbers of the hydrogens.
        frames: three heavy atoms of each hydrogen's frame, its bearer first.
        local: nm, where it stands in that frame.
    """

    atoms: int
    seen: Int[Array, " heavy"]
    hydrogens: Int[Array, " hydrogens"]
    frames: Int[Array, "hydrogens 3"]
    local: Float[Array, "hydrogens 3"]

    @classmethod
    def of(cls, system: System, seen: SeenAtoms, relaxed: Float[Array, "atoms 3"]) -> HydrogenLift:
        """From a system, the atoms that are known, and a relaxed structure, nm.

        Raises:
            DataError: a hydrogen with too few heavy atoms near it to be placed.
        """
        known = set(seen.atoms.tolist())
        hydrogens = np.array([i for i in range(system.n_atoms) if i not in known], dtype=np.int64)
        neighbours = bond_neighbours(system.bonds, system.n_atoms)
        frames = [_frame_atoms(int(h), neighbours, known, system) for h in hydrogens]
        places = np.array(frames, dtype=np.int64).reshape(-1, 3)
        axes = _axes(relaxed[None], places)[0]
        local = np.einsum("hxi,hx->hi", axes, relaxed[hydrogens] - relaxed[places[:, 0]])
        return cls(system.n_atoms, seen.atoms, hydrogens, places, local)

    def __call__(self, heavy: Float[Array, "*frames heavy 3"]) -> Float[Array, "*frames atoms 3"]:
        """Every atom, from the heavy ones in their order, nm."""
        flat = heavy.reshape(-1, *heavy.shape[-2:]).astype(np.float64)
        whole = np.zeros((len(flat), self.atoms, 3))
        whole[:, self.seen] = flat
        if len(self.hydrogens):
            axes = _axes(whole, self.frames)
            moved = np.einsum("fhxi,hi->fhx", axes, self.local)
            whole[:, self.hydrogens] = whole[:, self.frames[:, 0]] + moved
        return whole.reshape(*heavy.shape[:-2], self.atoms, 3)


def _frame_atoms(
    hydrogen: int, neighbours: list[list[int]], known: set[int], system: System
) -> tuple[int, int, int]:
    bearers = [n for n in neighbours[hydrogen] if n in known]
    if bearers:
        bearer = bearers[0]
        near = [n for n in neighbours[bearer] if n in known]
        if len(near) >= 2:
            return bearer, near[0], near[1]
        far = [m for n in near for m in neighbours[n] if m in known and m != bearer]
        if far:
            return bearer, near[0], far[0]
    atom = system.topology.atom(hydrogen)
    raise DataError(
        f"hydrogen {atom} of {system.name} has fewer than three heavy atoms near it, so it cannot "
        "be rebuilt from them. Train with network.atoms: all."
    )


def _axes(
    positions: Float[Array, "frames atoms 3"], places: Int[Array, "hydrogens 3"]
) -> Float[Array, "frames hydrogens 3 3"]:
    """Right-handed orthonormal axes as columns."""
    bearer, first, second = (positions[:, places[:, i]] for i in range(3))
    x = _unit(first - bearer)
    y = second - bearer
    y = _unit(y - (x * y).sum(-1, keepdims=True) * x)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _unit(vectors: Array) -> Array:
    return vectors / np.sqrt((vectors**2).sum(-1, keepdims=True) + TINY)
