"""States of a system: one frame, and a contiguous trajectory of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from egno_md.core.errors import DataError

if TYPE_CHECKING:
    import ase
    import mdtraj

    from egno_md.core.system import System

Array = np.ndarray

SPACING_TOLERANCE = 1e-3
"""Frames count as evenly spaced when each gap is within this share of the spacing."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One instant of one system.

    Attributes:
        positions: nm, unwrapped.
        velocities: nm/ps at the same instant as the positions.
        time: ps.
        forces: kJ/mol/nm at these positions, or None.
        potential_energy: kJ/mol at these positions, or None.
        box: box vectors as rows, nm; None without periodic boundaries.
    """

    positions: Float[Array, "atoms 3"]
    velocities: Float[Array, "atoms 3"]
    time: float = 0.0
    forces: Float[Array, "atoms 3"] | None = None
    potential_energy: float | None = None
    box: Float[Array, "3 3"] | None = None

    @property
    def is_finite(self) -> bool:
        """Whether every coordinate and velocity is a number."""
        return bool(np.isfinite(self.positions).all() and np.isfinite(self.velocities).all())


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Contiguous frames of one system: the time between neighbours is constant.

    Attributes:
        positions: nm, unwrapped.
        times: ps.
        velocities: nm/ps on the step, or None where the source has none.
        forces: kJ/mol/nm, or None.
        potential_energy: kJ/mol, or None.
        box: box vectors as rows per frame, nm, or None.
    """

    positions: Float[Array, "frames atoms 3"]
    times: Float[Array, " frames"]
    velocities: Float[Array, "frames atoms 3"] | None = None
    forces: Float[Array, "frames atoms 3"] | None = None
    potential_energy: Float[Array, " frames"] | None = None
    box: Float[Array, "frames 3 3"] | None = None

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> Trajectory:
        """Frames in order, at least one; a field is kept where every frame has it."""
        rows = (
            (f.positions, f.time, f.velocities, f.forces, f.potential_energy, f.box) for f in frames
        )
        columns = zip(*rows, strict=True)
        return cls(*(None if any(v is None for v in c) else np.stack(c) for c in columns))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Frame:
        """The frame at `index`.

        Raises:
            DataError: the trajectory holds no velocities.
        """
        if self.velocities is None:
            raise DataError(
                "this trajectory has no velocities. Load it with velocities, or ask for "
                "'--velocities finite-difference' by name."
            )
        return Frame(
            positions=self.positions[index],
            velocities=self.velocities[index],
            time=float(self.times[index]),
            forces=None if self.forces is None else self.forces[index],
            potential_energy=(
                None if self.potential_energy is None else float(self.potential_energy[index])
            ),
            box=None if self.box is None else self.box[index],
        )

    def to_mdtraj(self, system: System) -> mdtraj.Trajectory:
        """The positions as MDTraj has them: float32, nm, with unit cells where there is a box.

        Args:
            system: whose trajectory it is.

        Raises:
            DataError: the system has another number of atoms.
        """
        import mdtraj

        self._check_atoms(system)
        made = mdtraj.Trajectory(
            self.positions.astype(np.float32), system.topology, self.times.astype(np.float32)
        )
        if self.box is not None:
            made.unitcell_vectors = self.box.astype(np.float32)
        return made

    def to_ase(self, system: System) -> list[ase.Atoms]:
        """The frames as ASE has them: Å, velocities in Å per ASE unit of time where known.

        Args:
            system: whose trajectory it is.

        Raises:
            DataError: the system has another number of atoms.
            ImportError: ASE, an extra, is not installed.
        """
        from ase import Atoms, units

        self._check_atoms(system)
        speed = 10 / (1000 * units.fs)
        frames = []
        for index, positions in enumerate(self.positions):
            atoms = Atoms(system.elements, positions * 10, masses=system.masses)
            if self.velocities is not None:
                atoms.set_velocities(self.velocities[index] * speed)
            if self.box is not None:
                atoms.set_cell(self.box[index] * 10)
                atoms.set_pbc(True)
            frames.append(atoms)
        return frames

    def _check_atoms(self, system: System) -> None:
        if self.positions.shape[1] != system.n_atoms:
            raise DataError(
                f"the trajectory has {self.positions.shape[1]} atoms, {system.name} has "
                f"{system.n_atoms}. Give the system that it is of."
            )

    def slice(self, start: int, stop: int) -> Trajectory:
        """Frames ``start <= i < stop`` as views."""
        return Trajectory(*(None if a is None else a[start:stop] for a in self.arrays()))  # type: ignore[arg-type]

    def every(self, stride: int, first: int = 0) -> Trajectory:
        """Each `stride`-th frame from `first` on, as views."""
        return Trajectory(*(None if a is None else a[first::stride] for a in self.arrays()))  # type: ignore[arg-type]

    def of_atoms(self, atoms: Array) -> Trajectory:
        """Some atoms only; the energy, which is of all of them, is kept only with all."""
        has_all = len(atoms) == self.positions.shape[1]
        return replace(
            self,
            positions=self.positions[:, atoms],
            velocities=None if self.velocities is None else self.velocities[:, atoms],
            forces=None if self.forces is None else self.forces[:, atoms],
            potential_energy=self.potential_energy if has_all else None,
        )

    def arrays(self) -> tuple[Array | None, ...]:
        """Every field that has frames, in the order of the constructor."""
        return (
            self.positions,
            self.times,
            self.velocities,
            self.forces,
            self.potential_energy,
            self.box,
        )

    @property
    def spacing(self) -> float:
        """Time between neighbouring frames, ps.

        Raises:
            DataError: fewer than two frames.
        """
        if len(self) < 2:
            raise DataError("a trajectory of one frame has no frame spacing. Give '--spacing'.")
        return float(self.times[-1] - self.times[0]) / (len(self) - 1)


def join(parts: list[Trajectory]) -> Trajectory:
    """Concatenate trajectories in time; a field is kept where every part has it."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(p.arrays() for p in parts), strict=True)
    joined = [None if any(a is None for a in c) else np.concatenate(c) for c in columns]  # type: ignore[arg-type]
    return Trajectory(*joined)  # type: ignore[arg-type]


def first_not_finite(values: Float[Array, "frames ..."]) -> int | None:
    """Number of the first frame with a NaN or an infinity; None where all are finite."""
    is_finite = np.isfinite(values)
    if is_finite.all():
        return None
    return int(np.argmin(is_finite.reshape(len(values), -1).all(axis=1)))


def is_evenly_spaced(times: Float[Array, " frames"]) -> bool:
    """Whether neighbouring frames all lie the same time apart."""
    gaps = np.diff(np.asarray(times, dtype=np.float64))
    if len(gaps) == 0:
        return True
    spacing = float(np.median(gaps))
    return spacing > 0 and bool(np.all(np.abs(gaps - spacing) <= SPACING_TOLERANCE * spacing))
