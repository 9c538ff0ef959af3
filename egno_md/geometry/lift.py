"""Lifting: chosen atoms move as predicted, all others are carried with them.

`heavy` carries hydrogens in frames of their heavy neighbours. `backbone` carries
side chains rigidly in the N-CA-C frame of their residue, and amide hydrogens in
the frame of their peptide bond. `ca` first carries each peptide unit (C, O, N, H)
with the four alpha carbons around it, which keeps it planar, then the side chains.
Every frame moves by a proper rotation: no centre is inverted by it.

Carried atoms keep their positions in these frames: those of the structure that a
prediction starts from, or, in a relaxed lift, those of one relaxed structure, with its
bonds, angles and methyl orientations. Thermal motion of hydrogens is not restored: that
is what refinement is for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from mdtraj.core.topology import Residue

from egno_md.core.errors import DataError, SpecError
from egno_md.core.selection import AtomChoice, choose_atoms
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.geometry.bonded import bond_neighbours
from egno_md.geometry.frames import bisector_axes, bond_axes, local_places, placed
from egno_md.geometry.superposition import rigid_fit

Array = np.ndarray

STEP = 1e-3
"""ps, of the finite difference that gives velocities of carried atoms."""

UNIT_WEIGHTS = np.array([0.3, 1.0, 1.0, 0.3])
"""Of the alpha carbons around a peptide unit: those it lies between count most."""


@dataclass(frozen=True, eq=False)
class Lift:
    """Takes predictions of some atoms to all atoms of one system.

    Attributes:
        atoms: the choice.
        chosen: atoms that are predicted.
        count: atoms of the system.
        units: ``(units, 4)`` alpha carbons around each peptide unit; `ca` alone.
        unit_atoms: atoms carried by units.
        unit_of: which unit carries each.
        carried: atoms carried in frames.
        anchors: of each: centre and two directions, all placed before.
        local: nm, fixed position of each in its frame; None for that of the structure
            before.
    """

    atoms: AtomChoice
    chosen: Int[Array, " chosen"]
    count: int
    units: Int[Array, "units 4"]
    unit_atoms: Int[Array, " n"]
    unit_of: Int[Array, " n"]
    carried: Int[Array, " carried"]
    anchors: Int[Array, "carried 3"]
    local: Float[Array, "carried 3"] | None = None

    @classmethod
    def of(cls, system: System, atoms: AtomChoice) -> Lift:
        """How the atoms of a system are carried.

        Raises:
            SpecError: the choice is impossible for this system.
        """
        chosen = choose_atoms(system.topology, atoms, system.name)
        placed = np.zeros(system.n_atoms, dtype=bool)
        placed[chosen] = True
        units = np.zeros((0, 4), dtype=np.int64)
        unit_atoms: list[int] = []
        unit_of: list[int] = []
        if atoms == "ca":
            units, unit_atoms, unit_of = _peptide_units(system)
            placed[unit_atoms] = True
        anchors = _anchors(system, placed, by_residue=atoms in ("backbone", "ca"))
        carried = np.flatnonzero(~placed)
        return cls(
            atoms,
            chosen,
            system.n_atoms,
            units,
            np.array(unit_atoms, dtype=np.int64),
            np.array(unit_of, dtype=np.int64),
            carried,
            np.array([anchors[int(a)] for a in carried], dtype=np.int64).reshape(-1, 3),
        )

    @classmethod
    def relaxed(
        cls, system: System, chosen: Int[Array, " chosen"], structure: Float[Array, "atoms 3"]
    ) -> Lift:
        """A lift that places hydrogens about heavy atoms as in a relaxed structure.

        Args:
            system: all atoms.
            chosen: all heavy atoms, or all atoms.
            structure: nm.

        Raises:
            DataError: a hydrogen with too few heavy atoms near it to be placed.
        """
        is_placed = np.zeros(system.n_atoms, dtype=bool)
        is_placed[chosen] = True
        carried, none = np.flatnonzero(~is_placed), np.zeros(0, dtype=np.int64)
        neighbours = bond_neighbours(system.bonds, system.n_atoms)
        frames = [_nearest_frame(atom, is_placed, neighbours) for atom in carried.tolist()]
        if None in frames:
            atom = system.topology.atom(int(carried[frames.index(None)]))
            raise DataError(
                f"hydrogen {atom} of {system.name} has fewer than three heavy atoms near it, so "
                "it cannot be rebuilt from them. Train with network.atoms: all."
            )
        rows = np.array(frames, dtype=np.int64).reshape(-1, 3)
        local = local_places(structure, carried, rows, bond_axes)
        units = none.reshape(0, 4)
        return cls("heavy", chosen, system.n_atoms, units, none, none, carried, rows, local)

    def positions(
        self, before: Float[Array, "atoms 3"] | None, predicted: Float[Array, "*batch chosen 3"]
    ) -> Float[Array, "*batch atoms 3"]:
        """All atoms, nm.

        Args:
            before: the all-atom frame that predictions start from; a relaxed lift needs none.
            predicted: places of the chosen atoms.
        """
        after = np.empty((*predicted.shape[:-2], self.count, 3))
        after[..., self.chosen, :] = predicted
        if self.local is not None:
            after[..., self.carried, :] = placed(self.local, after, self.anchors, bond_axes)
            return after
        assert before is not None
        if len(self.units):
            old, new, turn = rigid_fit(before[self.units], after[..., self.units, :], UNIT_WEIGHTS)
            local = before[self.unit_atoms] - old[self.unit_of]
            arms = np.einsum("...nij,nj->...ni", turn[..., self.unit_of, :, :], local)
            after[..., self.unit_atoms, :] = new[..., self.unit_of, :] + arms
        local = local_places(before, self.carried, self.anchors, bisector_axes)
        after[..., self.carried, :] = placed(local, after, self.anchors, bisector_axes)
        return after

    def window(self, before: Frame, predicted: Trajectory) -> Trajectory:
        """A window of all atoms; carried atoms have the velocities of their frames."""
        x, v = predicted.positions, predicted.velocities
        assert v is not None
        positions = self.positions(before.positions, x)
        ahead = self.positions(before.positions, x + 0.5 * STEP * v)
        behind = self.positions(before.positions, x - 0.5 * STEP * v)
        velocities = (ahead - behind) / STEP
        velocities[:, self.chosen] = v
        return Trajectory(positions, predicted.times, velocities=velocities, box=predicted.box)

    def reduce(self, frame: Frame) -> Frame:
        """The frame as the operator sees it."""
        forces = None if frame.forces is None else frame.forces[self.chosen]
        return Frame(
            frame.positions[self.chosen],
            frame.velocities[self.chosen],
            frame.time,
            forces,
            frame.potential_energy,
            frame.box,
        )


def _peptide_units(system: System) -> tuple[Array, list[int], list[int]]:
    """The alpha carbons around each peptide unit, and its atoms C, O, N and H.

    Atoms bonded to the first N and the last C go with the nearest unit.
    """
    units, atoms, unit_of = [], [], []
    for chain in system.topology.chains:
        residues = [r for r in chain.residues if {"N", "CA", "C"} <= {a.name for a in r.atoms}]
        named = [{a.name: a.index for a in r.atoms} for r in residues]
        last = len(named) - 1
        for i in range(last):
            if residues[i + 1].resSeq - residues[i].resSeq != 1:
                raise SpecError(
                    f"atoms: ca needs unbroken chains, and {residues[i]} of {system.name} is not "
                    f"followed by {residues[i + 1]}. Use atoms: backbone."
                )
            around = [max(i - 1, 0), i, i + 1, min(i + 2, last)]
            members = [named[i]["C"], *(named[i][n] for n in ("O",) if n in named[i])]
            members += [named[i + 1][n] for n in ("N", "H") if n in named[i + 1]]
            if i == 0:
                members.append(named[0]["N"])
            if i == last - 1:
                members += [named[last][n] for n in ("C", "O") if n in named[last]]
            unit_of += [len(units)] * len(members)
            atoms += members
            units.append([named[j]["CA"] for j in around])
    return np.array(units, dtype=np.int64).reshape(-1, 4), atoms, unit_of


def _anchors(system: System, placed: Array, *, by_residue: bool) -> dict[int, tuple[int, int, int]]:
    """The frame of every atom that is not placed."""
    frames: dict[int, tuple[int, int, int]] = {}
    neighbours = bond_neighbours(system.bonds, system.n_atoms)
    for residue in system.topology.residues if by_residue else ():
        frames |= _residue_frames(residue, placed, neighbours)
    for atom in np.flatnonzero(~placed).tolist():
        if atom in frames:
            continue
        if (frame := _nearest_frame(atom, placed, neighbours)) is None:
            raise SpecError(
                f"atom {system.topology.atom(atom)} of {system.name} has no three chosen atoms in "
                "its molecule to be carried by. Use atoms: all."
            )
        frames[atom] = frame
    return frames


def _residue_frames(
    residue: Residue, placed: Array, neighbours: list[list[int]]
) -> dict[int, tuple[int, int, int]]:
    """Frames of one residue: N-CA-C for all but the amide hydrogen."""
    by_name = {a.name: a.index for a in residue.atoms}
    if not {"N", "CA", "C"} <= by_name.keys():
        return {}
    n, ca, c = (by_name[x] for x in ("N", "CA", "C"))
    frames = {a.index: (ca, n, c) for a in residue.atoms if not placed[a.index]}
    before = [i for i in neighbours[n] if i != ca and placed[i]]
    amide = by_name.get("H")
    if amide in frames and before:
        frames[amide] = (n, ca, before[0])
    return frames


def _nearest_frame(
    atom: int, placed: Array, neighbours: list[list[int]]
) -> tuple[int, int, int] | None:
    """Three placed atoms near in bonds, the nearest as the centre; None without three."""
    reached, front, near = {atom}, [atom], []
    while front and len(near) < 3:
        front = [b for a in front for b in sorted(neighbours[a]) if b not in reached]
        front = list(dict.fromkeys(front))
        reached |= set(front)
        near += [i for i in front if placed[i]]
    return (near[0], near[1], near[2]) if len(near) >= 3 else None
