"""Rotatable bonds, their torsions, and rigid rotations about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.system import System
from egno_md.geometry.bonded import bond_neighbours
from egno_md.geometry.torsions import torsion_angles

Array = np.ndarray

FULL = {6: 4, 7: 4, 8: 2, 14: 4, 15: 4, 16: 2, 34: 2}
"""Neighbours, by atomic number, with which an atom has single bonds alone (S and P: or more)."""

SINGLE = {(6, 6): 0.144, (6, 7): 0.139}
"""nm: longer ones between two unsaturated atoms are single bonds, such as aryl-carboxyl (0.148)
and aryl-amide (0.141); shorter ones are double, aromatic (0.140) or amide (0.135)."""

CARBONYL = (8, 16)
"""Of terminal atoms: oxygen and sulphur."""


@dataclass(frozen=True, eq=False)
class Rotors:
    """Rotatable bonds of a system, in the order of their bonds.

    Turning one of them moves the atoms on the side that the first atom of the molecule
    is not on. Sides are nested or disjoint: several rotations give the same molecule
    in any order, and the reverse rotations undo them.

    Attributes:
        atoms: four atoms of each torsion; the bond is between the middle ones.
        sides: atoms that turn with it, the third one included.
    """

    atoms: Int[Array, "torsions 4"]
    sides: tuple[Int[Array, " side"], ...]

    def __len__(self) -> int:
        return len(self.sides)

    def subset(self, which: Sequence[int]) -> Rotors:
        """Some of them."""
        chosen = list(which)
        return Rotors(self.atoms[chosen], tuple(self.sides[n] for n in chosen))

    def angles(
        self, positions: Float[Array, "*frames atoms 3"]
    ) -> Float[Array, "*frames torsions"]:
        """Radians in [-π, π]."""
        return torsion_angles(positions, self.atoms)

    def turned(
        self,
        positions: Float[Array, "atoms 3"],
        velocities: Float[Array, "atoms 3"],
        by: Float[Array, " torsions"],
    ) -> tuple[Float[Array, "atoms 3"], Float[Array, "atoms 3"]]:
        """A molecule with its torsions changed, and everything else about it kept.

        Positions and velocities of either side of a bond turn as one rigid body: bonds,
        angles, other torsions, constraints, every chiral centre and the kinetic energy stay.
        At a given change of the torsions both volumes stay too: the Jacobian is 1.

        Args:
            positions: nm.
            velocities: nm/ps.
            by: radians, added to each torsion.
        """
        positions, velocities = positions.copy(), velocities.copy()
        for (_, j, k, _), side, angle in zip(self.atoms.tolist(), self.sides, by, strict=True):
            turn = rotation(positions[k] - positions[j], float(angle))
            positions[side] = positions[k] + (positions[side] - positions[k]) @ turn.T
            velocities[side] = velocities[side] @ turn.T
        return positions, velocities


def rotation(axis: Float[Array, " 3"], angle: float) -> Float[Array, "3 3"]:
    """The matrix that turns by `angle` (radians) about `axis`, right-handed (Rodrigues 1840)."""
    x, y, z = axis / np.sqrt(axis @ axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def find_rotors(system: System) -> Rotors:
    """The rotatable bonds of a system.

    A bond counts when it joins two heavy atoms and is in no ring; when it is single, by
    its atoms' numbers of neighbours or by its length in the start structure; when it is
    no amide, ester or acid bond (peptide ω, C(=O)–O); and when what it turns is more
    than the hydrogens of a methyl, amine or ammonium group. A hydroxyl's bond counts.

    The torsion of a bond runs through heavy neighbours of its atoms, those with most
    atoms behind them and then the first: φ and ψ in a peptide.
    """
    near = bond_neighbours(system.bonds, system.n_atoms)
    first = {m: int(np.flatnonzero(system.molecules == m)[0]) for m in set(system.molecules)}
    atoms, sides = [], []
    for j, k in system.bonds.tolist():
        side = _side(j, k, near)
        if side is None or not _is_rotatable(system, near, j, k):
            continue
        if first[system.molecules[j]] in side:
            j, k = k, j
            side = _side(j, k, near) or set()
        atoms.append((_branch(system, near, k, j), j, k, _branch(system, near, j, k)))
        sides.append(np.array(sorted(side), dtype=np.int64))
    return Rotors(np.array(atoms, dtype=np.int64).reshape(-1, 4), tuple(sides))


def _side(j: int, k: int, near: list[list[int]]) -> set[int] | None:
    """Atoms beyond the bond from j to k, k included; None where the bond is in a ring."""
    reached, edge = {k}, [k]
    while edge:
        atom = edge.pop()
        for other in near[atom]:
            if other == j and atom != k:
                return None
            if other != j and other not in reached:
                reached.add(other)
                edge.append(other)
    return reached


def _is_rotatable(system: System, near: list[list[int]], j: int, k: int) -> bool:
    numbers = system.atomic_numbers
    if min(numbers[j], numbers[k]) == 1:
        return False
    for centre, other in ((j, k), (k, j)):
        behind = [n for n in near[centre] if n != other]
        hydrogens = [n for n in behind if numbers[n] == 1]
        if not behind or (len(hydrogens) == len(behind) and len(behind) > 1):
            return False
        is_carbonyl = numbers[centre] == 6 and any(
            numbers[n] in CARBONYL and len(near[n]) == 1 for n in behind
        )
        if is_carbonyl and numbers[other] in CARBONYL:
            return False
    if any(len(near[a]) >= FULL.get(int(numbers[a]), len(near[a]) + 1) for a in (j, k)):
        return True
    pair = (min(numbers[j], numbers[k]), max(numbers[j], numbers[k]))
    bond = system.positions[j] - system.positions[k]
    return float(np.sqrt(bond @ bond)) > SINGLE.get(pair, np.inf)


def _branch(system: System, near: list[list[int]], behind: int, centre: int) -> int:
    """The neighbour of `centre` through which a torsion runs."""

    def rank(atom: int) -> tuple[bool, int, int]:
        size = len(_side(centre, atom, near) or ())
        return system.atomic_numbers[atom] > 1, size, -atom

    return max((n for n in near[centre] if n != behind), key=rank)
