"""The adenylate kinase benchmark: a protein's backbone over nanoseconds.

Seyler & Beckstein 2017 (figshare 5108170, CC-BY 4.0): 1 μs of apo adenylate
kinase, CHARMM27, explicit solvent at 300 K and 1 bar, 4,187 frames of the protein
240 ps apart, superposed on its CORE domain.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from egno_md.core.errors import DataError, SpecError
from egno_md.core.progress import Progress
from egno_md.core.system import bond_indices
from egno_md.core.units import NANOMETRE_PER_ANGSTROM
from egno_md.data.download import default_folder, fetch, file_sum
from egno_md.data.foreign import ForeignFile, open_foreign
from egno_md.paper.datasets.cut import Cut, target_offsets
from egno_md.paper.datasets.psf import read_charges
from egno_md.paper.spec import AdkSplit, Targets, Velocity
from egno_md.paper.task import Task, TaskData, TaskWindows

Array = np.ndarray

TOPOLOGY = ("https://ndownloader.figshare.com/files/8672230", "adk4AKE.psf")
TRAJECTORY = (
    "https://ndownloader.figshare.com/files/8672074",
    "1ake_007-nowater-core-dt240ps.dcd",
)
SUMS = {
    TOPOLOGY[1]: "1aa947d58fb41b6805dc1e7be4dbe65c6a8f4690f0bd7fc2ae03e7bd437085f4",
    TRAJECTORY[1]: "598fcbcfcc425f6eafbe9997238320fcacc6a4613ecce061e1521732bab734bf",
}
"""SHA-256 by file name, as MDAnalysisData publishes them."""

SPACING = 240.0
"""ps between frames of the equilibrium trajectory; a DCD header's own time means nothing."""

BACKBONE = ("N", "CA", "C", "O")
"""CHARMM names; the last residue's OT1 and OT2 are not among them, which leaves 855 atoms."""

OFFSETS = (3, 7, 11, 15)
"""Target frames of the published windows."""

CUTOFF = 8.0
"""Å, in the published configuration."""

SHARES = (0.6, 0.2)
"""Of the start frames, for training and validation; the rest tests."""


def fetch_adk(folder: Path | None = None, *, progress: Progress | None = None) -> tuple[Path, Path]:
    """Fetch the equilibrium trajectory once, 168 MB, and check it.

    The SHA-256 sums are those that MDAnalysisData publishes for the same files.

    Args:
        folder: where files are kept; the user's cache folder if None.
        progress: receives updates and notes.

    Returns:
        The PSF and the DCD file.

    Raises:
        DataError: no network, or other files than expected.
    """
    where = folder or default_folder()
    psf, dcd = (
        fetch(url, where, name=name, sha256=SUMS[name], progress=progress)
        for url, name in (TOPOLOGY, TRAJECTORY)
    )
    return psf, dcd


def adk_offsets(offsets: tuple[int, ...], points: int, targets: Targets) -> tuple[int, ...]:
    """Target frames of a row: those given, or the farthest for one that predicts the end alone.

    EGNO-L has the last P frames up to the farthest.

    Raises:
        SpecError: P is not how many offsets are given.
        WindowMismatch: P frames do not fit.
    """
    if targets == "last":
        return target_offsets(offsets[-1], points, targets)
    if points == 1:
        return offsets[-1:]
    if points != len(offsets):
        raise SpecError(
            f"{points} time points and {len(offsets)} offsets {offsets} do not agree. Give as many "
            "offsets as points."
        )
    return offsets


def adk_task(
    topology: Path,
    trajectory: Path,
    *,
    offsets: tuple[int, ...] = OFFSETS,
    cutoff: float = CUTOFF,
    velocity: Velocity = "forward",
    split: AdkSplit = "published",
    past: bool = False,
) -> TaskData:
    """Windows of a protein's backbone, in Å and Å per frame.

    Node features are charges as a share of the largest; edges are the pairs within
    the cutoff in the start frame. The published offsets are 15 p / 4 frames rounded
    down. The published velocity x[t+1] − x[t] looks one frame, 240 ps, into the
    future, which a rollout cannot: `backward` gives the causal task, x[t] − x[t−1].

    The published split divides the start frames in time order, so that the last
    training windows end among the first validation starts; `time` drops a window
    between the parts. Xu et al. name 2481/827/878 windows, which is 60/20/20% with
    an older protocol's ΔT of 50 frames; with 15 it is 2502/834/835.

    Args:
        topology: the PSF file.
        trajectory: the DCD file.
        offsets: target frames after the start.
        cutoff: Å; 8 as in the published configuration, 10 in the article's text.
        velocity: see above.
        split: see above.
        past: windows carry frames before their start, and begin where there are.

    Raises:
        DataError: unreadable files, no backbone or charges, or too few frames.
        SpecError: an unknown split or velocity, or no cutoff.
        WindowMismatch: offsets that are not positive and increasing.
    """
    if split not in ("published", "time"):
        raise SpecError(f"split '{split}' is not known. Write published or time.")
    if velocity not in ("forward", "backward"):
        raise SpecError(f"velocity '{velocity}' is not known. Write forward or backward.")
    if not cutoff > 0:
        raise SpecError(f"a cutoff of {cutoff} Å has no neighbours within. Use 8 Å.")
    topology, trajectory = Path(topology), Path(trajectory)
    names, charges = read_charges(topology)
    atoms = np.flatnonzero(np.isin(names, BACKBONE))
    if len(atoms) == 0 or not charges[atoms].max() > 0:
        raise DataError(
            f"{topology}: has {len(atoms)} backbone atoms ({', '.join(BACKBONE)}), with a positive "
            "charge among them as in a protein's PSF file. Give that of a protein."
        )
    file = replace(open_foreign(trajectory, topology, SPACING), atoms=atoms)
    positions = np.concatenate([part.positions for part in file], dtype=np.float32)
    positions /= np.float32(NANOMETRE_PER_ANGSTROM)
    cut = Cut(tuple(offsets), velocity, past)
    features = (charges[atoms] / charges[atoms].max()).astype(np.float32)[:, None]
    parts = _parts(trajectory, cut, positions, features, split)
    is_published = file_sum(trajectory) == SUMS[TRAJECTORY[1]]
    return TaskData(
        task=_task(file, cut, cutoff),
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        unit="Å",
        source=_words(trajectory, len(positions), is_published, velocity),
        stands_in=not is_published or _differs_from_paper(cut, cutoff, split),
        settings={
            "offsets_frames": list(cut.offsets),
            "frame_spacing_ps": SPACING if is_published else None,
            "cutoff_angstrom": cutoff,
            "velocity": velocity,
            "split": split,
            "windows": [len(part) for part in parts],
        },
    )


def _parts(
    trajectory: Path,
    cut: Cut,
    positions: Float[Array, "frames atoms 3"],
    features: Float[Array, "atoms 1"],
    split: AdkSplit,
) -> list[TaskWindows]:
    starts = cut.starts(len(positions))
    gap = cut.before + cut.after if split == "time" else 0
    usable = max(len(starts) - 2 * gap, 0)
    ends = [int(share * usable) for share in np.cumsum(SHARES)]
    blocks = np.split(np.arange(usable), ends)
    if min(len(block) for block in blocks) == 0:
        raise DataError(
            f"{trajectory}: {len(positions)} frames give {usable} start frames of windows to "
            f"{cut.offsets[-1]} frames ahead, too few for three parts. Use shorter offsets."
        )
    return [
        cut.windows(
            positions,
            starts[block + order * gap],
            np.broadcast_to(features, (len(block), *features.shape)),
        )
        for order, block in enumerate(blocks)
    ]


def _differs_from_paper(cut: Cut, cutoff: float, split: AdkSplit) -> bool:
    """Whether the task is another than the published one, on whatever trajectory."""
    last = tuple(range(OFFSETS[-1] + 1 - len(cut.offsets), OFFSETS[-1] + 1))
    return (
        cut.offsets not in (OFFSETS, last)
        or (cut.velocity, split) != ("forward", "published")
        or not math.isclose(cutoff, CUTOFF)
    )


def _task(file: ForeignFile, cut: Cut, cutoff: float) -> Task:
    return Task(
        name="adk",
        atoms=len(file.atoms),
        time_points=tuple(float(o) for o in cut.offsets),
        node_features=1,
        cutoff=cutoff,
        distances=True,
        bonds=bond_indices(file.topology),
    )


def _words(trajectory: Path, frames: int, is_published: bool, velocity: Velocity) -> str:
    ahead = {
        "forward": "its velocity looks one frame ahead, as published",
        "backward": "its velocity is causal, unlike the published one",
    }
    what = f"{frames:,} frames of {trajectory.name}, not the published equilibrium trajectory"
    if is_published:
        what = "adenylate kinase in equilibrium (Seyler & Beckstein 2017)"
    return f"{what}; {ahead[velocity]}"
