"""MD17 and revised MD17: molecules along density-functional trajectories.

The original files (Chmiela et al. 2017) hold consecutive frames, 0.5 fs apart.
The revised ones (Christensen & von Lilienfeld 2020) hold frames recomputed with
tighter settings, picked at random: `old_indices` says where each one came from.
"""

from __future__ import annotations

from pathlib import Path

import mdtraj
import numpy as np

from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory, first_not_finite
from egno_md.core.units import KJ_PER_KCAL, NANOMETRE_PER_ANGSTROM
from egno_md.data.npz import read_npz

Array = np.ndarray

MD17_SPACING = 0.0005
"""ps between frames of the original trajectories (Chmiela et al. 2017)."""

BOND_TOLERANCE = 1.3
"""Atoms closer than this times the sum of their covalent radii are bonded."""

COVALENT_RADII = {
    "H": 0.031,
    "B": 0.084,
    "C": 0.076,
    "N": 0.071,
    "O": 0.066,
    "F": 0.057,
    "Si": 0.111,
    "P": 0.107,
    "S": 0.105,
    "Cl": 0.102,
    "Se": 0.120,
    "Br": 0.120,
    "I": 0.139,
}
"""nm (Cordero et al. 2008, Table 2)."""

ORIGINAL_KEYS = ("z", "R", "E", "F")
REVISED_KEYS = ("nuclear_charges", "coords", "energies", "forces", "old_indices")


def read_md17(path: Path, spacing: float = MD17_SPACING) -> tuple[Trajectory, mdtraj.Topology]:
    """Read an MD17 file in the original or the revised layout.

    Revised frames are sorted by the frame they had in the original trajectory,
    and their times are that number times the spacing: the trajectory is then not
    evenly spaced, and no window may be cut from it. Which frame spacing the
    original had is not in the file; revised benzene looks like 0.15 fs.

    Args:
        path: the .npz file; Å, kcal/mol and kcal/mol/Å.
        spacing: ps between frames of the original trajectory.

    Returns:
        Frames in nm, kJ/mol and kJ/mol/nm without velocities, and a topology
        with bonds guessed from the first frame.

    Raises:
        DataError: missing, truncated, holding pickles, or not such a file.
    """
    arrays = _read_arrays(path)
    is_revised = "old_indices" in arrays
    keys = REVISED_KEYS if is_revised else ORIGINAL_KEYS
    numbers, positions, energies, forces = (arrays[k] for k in keys[:4])
    _check_shapes(path, keys, numbers, positions, energies, forces)
    frames = np.arange(len(positions))
    if is_revised:
        frames, order = _original_order(path, arrays["old_indices"], len(positions))
        positions, energies, forces = positions[order], energies[order], forces[order]
    trajectory = Trajectory(
        positions=positions * NANOMETRE_PER_ANGSTROM,
        times=frames * spacing,
        forces=forces * (KJ_PER_KCAL / NANOMETRE_PER_ANGSTROM),
        potential_energy=energies.reshape(-1).astype(np.float64) * KJ_PER_KCAL,
    )
    return trajectory, molecule_topology(numbers, trajectory.positions[0])


def molecule_topology(numbers: Array, positions: Array) -> mdtraj.Topology:
    """A topology of one residue, with atoms named C1, C2, H1 in order.

    Args:
        numbers: atomic number per atom.
        positions: ``(atoms, 3)``, nm; bonds are guessed from them.

    Raises:
        DataError: an element without a tabulated covalent radius.
    """
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    counts: dict[str, int] = {}
    for number in numbers.tolist():
        element = _element(number)
        counts[element.symbol] = counts.get(element.symbol, 0) + 1
        topology.add_atom(f"{element.symbol}{counts[element.symbol]}", element, residue)
    atoms = list(topology.atoms)
    for i, j in guess_bonds([a.element.symbol for a in atoms], positions):
        topology.add_bond(atoms[i], atoms[j])
    return topology


def guess_bonds(elements: list[str], positions: Array) -> list[tuple[int, int]]:
    """Pairs closer than 1.3 times the sum of their covalent radii (Cordero et al. 2008)."""
    radii = np.array([COVALENT_RADII[e] for e in elements])
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    is_bonded = distances < BOND_TOLERANCE * (radii[:, None] + radii[None])
    return [(int(i), int(j)) for i, j in np.argwhere(np.triu(is_bonded, k=1))]


def _element(number: int) -> mdtraj.element.Element:
    try:
        element = mdtraj.element.Element.getByAtomicNumber(number)
    except KeyError:
        raise DataError(f"{number} is not an atomic number. Check the file's elements.") from None
    if element.symbol not in COVALENT_RADII:
        elements = ", ".join(COVALENT_RADII)
        raise DataError(f"no covalent radius for {element.symbol}. Known are {elements}.")
    return element


def _read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of one of the two layouts."""

    def choose(names: list[str]) -> tuple[str, ...]:
        keys = REVISED_KEYS if "coords" in names else ORIGINAL_KEYS
        missing = [k for k in keys if k not in names]
        if missing:
            raise DataError(
                f"{path}: has no {', '.join(missing)}; it holds "
                f"{', '.join(sorted(names)) or 'nothing'}. An MD17 file holds "
                f"{', '.join(ORIGINAL_KEYS)} or {', '.join(REVISED_KEYS)}."
            )
        return keys

    return read_npz(path, "an MD17 .npz file", choose)


def _check_shapes(
    path: Path,
    keys: tuple[str, ...],
    numbers: Array,
    positions: Array,
    energies: Array,
    forces: Array,
) -> None:
    z, r, e, f = keys[:4]
    for key, array in zip(keys, (numbers, positions, energies, forces), strict=False):
        kinds = "iu" if key == z else "fiu"
        if array.dtype.kind not in kinds:
            raise DataError(f"{path}: {key} holds {array.dtype}, numbers were expected.")
    if numbers.ndim != 1 or len(numbers) == 0:
        raise DataError(f"{path}: {z} has shape {numbers.shape}, expected (atoms,).")
    if positions.ndim != 3 or positions.shape[2] != 3 or len(positions) == 0:
        raise DataError(f"{path}: {r} has shape {positions.shape}, expected (frames, atoms, 3).")
    if positions.shape[1] != len(numbers):
        raise DataError(
            f"{path}: {r} has {positions.shape[1]} atoms a frame, {z} has {len(numbers)}. "
            "The file is damaged: fetch it again."
        )
    if forces.shape != positions.shape:
        raise DataError(f"{path}: {f} has shape {forces.shape}, expected {positions.shape}.")
    if energies.shape not in {(len(positions),), (len(positions), 1)}:
        raise DataError(f"{path}: {e} has shape {energies.shape}, expected ({len(positions)}, 1).")
    for key, array in ((r, positions), (e, energies), (f, forces)):
        if (frame := first_not_finite(array)) is not None:
            raise DataError(f"{path}: {key} of frame {frame} holds NaN or infinity.")


def _original_order(path: Path, old_indices: Array, frames: int) -> tuple[Array, Array]:
    """Sorted frame numbers of the original trajectory, and the order that sorts them."""
    if old_indices.shape != (frames,) or old_indices.dtype.kind not in "iu":
        raise DataError(
            f"{path}: old_indices has shape {old_indices.shape} and type {old_indices.dtype}, "
            f"expected ({frames},) integers."
        )
    order = np.argsort(old_indices, kind="stable")
    sorted_indices = old_indices[order].astype(np.int64)
    repeated = np.flatnonzero(np.diff(sorted_indices) == 0)
    if len(repeated):
        raise DataError(
            f"{path}: old_indices names frame {sorted_indices[repeated[0]]} twice. "
            "The file is damaged: fetch it again."
        )
    return sorted_indices, order
