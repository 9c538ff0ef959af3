"""Trajectories thinned to be embedded in the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from egno_md.core.errors import DataError
from egno_md.core.system import System
from egno_md.geometry.superposition import heavy_atoms, superposed

FRAMES = 200
"""Frames kept of a trajectory."""
ATOMS = 400
"""Atoms drawn; beyond that heavy atoms, beyond that a trace of the backbone."""
PICOMETRES = 1000.0
"""Per nm: positions are embedded as whole picometres in 16 bits."""
TRACE_LENGTH = 0.5
"""nm; consecutive alpha carbons farther apart belong to different chains."""


@dataclass(frozen=True, eq=False)
class Movie:
    """Frames of one trajectory.

    Attributes:
        label: its name on the page.
        times: ps, from the first frame on, ``(frames,)``.
        positions: nm, ``(frames, atoms, 3)``, superposed and centred.
        elements: symbol per atom; empty for a point of a trace.
        bonds: pairs of atoms.
        note: atoms left out.
    """

    label: str
    times: np.ndarray
    positions: np.ndarray
    elements: tuple[str, ...]
    bonds: tuple[tuple[int, int], ...]
    note: str

    def to_json(self) -> dict[str, Any]:
        """For the page's viewer."""
        whole = np.clip(np.round(self.positions * PICOMETRES), -32767, 32767).astype("<i2")
        return {
            "label": self.label,
            "note": self.note,
            "times": [round(float(t), 6) for t in self.times],
            "elements": list(self.elements),
            "bonds": [list(b) for b in self.bonds],
            "positions": base64.b64encode(whole.tobytes()).decode("ascii"),
        }


@dataclass(frozen=True, eq=False)
class Selection:
    """The atoms of a system that a viewer draws.

    Attributes:
        atoms: indices.
        elements: symbols; empty strings for a trace.
        bonds: pairs of places in `atoms`.
        heavy: places in `atoms` that superposition goes by; none in a liquid.
        note: atoms left out; empty for none.
    """

    atoms: np.ndarray
    elements: tuple[str, ...]
    bonds: tuple[tuple[int, int], ...]
    heavy: np.ndarray
    note: str


def select_atoms(system: System) -> Selection:
    """All atoms without water, or the heavy ones, or the backbone's trace."""
    everything = list(system.topology.atoms)
    dry = [a.index for a in everything if not a.residue.is_water]
    chosen, left_out = (dry or list(range(len(everything)))), []
    if len(chosen) < len(everything):
        left_out.append("water")
    symbols = list(system.elements)
    if len(chosen) > ATOMS:
        chosen, left_out = [i for i in chosen if symbols[i] != "H"], [*left_out, "hydrogens"]
    if len(chosen) > ATOMS:
        trace = [a.index for a in everything if a.name == "CA" and a.residue.is_protein]
        if len(trace) > 1:
            return _trace(system, trace[: 2 * ATOMS])
        chosen, left_out = chosen[:ATOMS], [*left_out, f"all but {ATOMS} atoms"]
    place = {atom: k for k, atom in enumerate(chosen)}
    bonds = tuple(
        (place[int(a)], place[int(b)])
        for a, b in system.bonds
        if int(a) in place and int(b) in place
    )
    elements = tuple(str(symbols[i]) for i in chosen)
    heavy = heavy_atoms(system.atomic_numbers[chosen])
    if not dry:  # a liquid has no shape to superpose
        heavy = heavy[:0]
    note = f"without {' and '.join(left_out)}" if left_out else ""
    return Selection(np.array(chosen), elements, bonds, heavy, note)


def _trace(system: System, atoms: list[int]) -> Selection:
    positions = system.positions[atoms]
    apart = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    bonds = tuple((k, k + 1) for k in range(len(atoms) - 1) if apart[k] < TRACE_LENGTH)
    count = len(atoms)
    return Selection(
        np.array(atoms), ("",) * count, bonds, np.arange(count), "trace of the alpha carbons"
    )


def make_movie(
    label: str,
    times: np.ndarray,
    positions: np.ndarray,
    selection: Selection,
    template: np.ndarray | None = None,
) -> Movie:
    """A movie from frames that were already thinned.

    Args:
        label: its name on the page.
        times: ps.
        positions: nm, ``(frames, selected atoms, 3)``.
        selection: what the atoms are.
        template: ``(selected atoms, 3)`` to superpose on; else the first frame.

    Raises:
        DataError: no frame is finite.
    """
    is_sound = np.isfinite(positions).all(axis=(1, 2))
    if not is_sound.any():
        raise DataError(f"{label}: none of its frames is finite. Run it again.")
    times, positions = times[is_sound], positions[is_sound]
    onto = positions[0] if template is None else template
    heavy = selection.heavy
    if len(heavy):
        centred = superposed(positions, onto - onto[heavy].mean(axis=0), heavy)
    else:
        centred = positions - onto.mean(axis=0)
    return Movie(
        label, times - times[0], centred, selection.elements, selection.bonds, selection.note
    )


def thin(counts: Sequence[int]) -> list[np.ndarray]:
    """Frames to take from consecutive files of so many frames: at most `FRAMES`, evenly."""
    total = sum(counts)
    stride = max(-(-total // FRAMES), 1)
    starts = np.cumsum([0, *counts[:-1]])
    return [
        np.arange(-start % stride, count, stride)
        for start, count in zip(starts, counts, strict=True)
    ]
