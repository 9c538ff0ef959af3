"""The MD17 benchmark: heavy atoms of a molecule, from MD17 files or a trajectory store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.errors import DataError, SpecError
from egno_md.core.state import Trajectory, is_evenly_spaced
from egno_md.core.system import atomic_numbers
from egno_md.core.units import NANOMETRE_PER_ANGSTROM, whole_multiple
from egno_md.data.download import MD17_MOLECULES
from egno_md.data.md17 import read_md17
from egno_md.data.store import Store
from egno_md.data.windows import SPLITS, split_stretches
from egno_md.geometry.bonded import hop_pairs
from egno_md.paper.datasets.cut import Cut, join_windows, target_offsets
from egno_md.paper.spec import Md17Split, Targets
from egno_md.paper.task import Task, TaskData, TaskWindows
from egno_md.spec.train import Split

Array = np.ndarray
Stretches = Sequence[Trajectory]
Starts = Int[Array, "starts 2"]
"""Number of the stretch and frame in it."""

SIZES = (500, 2000, 2000)
"""Windows of training, validation and test (Xu et al. 2024)."""

HOPS = 2
BOND_LENGTH = 1.6
"""Å: heavy atoms closer than this in the first frame are bonded, as published."""

PUBLISHED_LENGTH = 1.5
"""ps, of the published windows."""

PUBLISHED_SEED = 100
PUBLISHED_MARGIN = 10_000
"""Frames at either end that hold no published start."""

PUBLISHED_SHARES = (0.1, 0.05, 0.05)
"""Of the frames between, drawn for each part; its first ones are used."""

RIGID_BONDS: dict[tuple[int, ...], tuple[tuple[int, int], ...]] = {
    (6,) * 6: ((0, 1), (2, 3), (4, 5)),
    (6, 6, 6, 6, 6, 6, 6, 8, 8, 8, 6, 6, 8): ((0, 2), (1, 3), (5, 6), (7, 10), (11, 12)),
    (6, 6, 8): ((0, 1),),
    (6, 6, 6, 8, 8): ((1, 2),),
    (6,) * 10: ((0, 1), (2, 3), (4, 9), (5, 6), (7, 8)),
    (6, 6, 6, 8, 6, 6, 6, 6, 8, 8): ((0, 9), (1, 2), (4, 5), (6, 7)),
    (6,) * 7: ((2, 3), (5, 6), (0, 1)),
    (6, 6, 7, 6, 7, 6, 8, 8): ((0, 1), (3, 4)),
}
"""Bonds that Huang et al. 2022 hold rigid, by the molecule's heavy elements in MD17's order.

Benzene, aspirin, ethanol, malonaldehyde, naphthalene, salicylic acid, toluene, uracil.
"""


MOLECULES = tuple(name.removesuffix("2017") for name in MD17_MOLECULES)


def md17_task(
    source: Path,
    *,
    length: float = PUBLISHED_LENGTH,
    points: int = 8,
    targets: Targets = "uniform",
    split: Md17Split = "published",
    sizes: tuple[int, int, int] = SIZES,
    seed: int = 0,
    past: bool = False,
) -> TaskData:
    """Windows of a molecule's heavy atoms, in Å and Å per frame.

    Velocities are R[t+1] − R[t] whatever the source has. The splits:

    - `published`: as the authors draw them, from an original file of MD17: a tenth
      of the frames but for 10,000 at either end, by NumPy's legacy generator with
      seed 100; the first of them are used.
    - `random`: start frames at random from all frames, by `seed`. Test windows
      overlap training windows in time, as in the published split.
    - `time`: blocks of 60, 20 and 20% in time order with a window between them, or
      whole contiguous stretches where there are ten; starts at random in each. No
      test window shares a frame with a training window.

    Edge features mark the bonds that are rigid in the authors' list; all bonds are for a
    molecule that is not on it.

    Args:
        source: an original MD17 file, or the folder of a trajectory store.
        length: ΔT in ps; 3,000 frames of MD17 as published.
        points: P.
        targets: EGNO-U or EGNO-L.
        split: see above.
        sizes: windows of training, validation and test.
        seed: of the splits `random` and `time`.
        past: windows carry frames before their start, and begin where there are.

    Raises:
        DataError: unreadable, scattered or too few frames, or no such molecule.
        SpecError: an unknown split.
        WindowMismatch: ΔT or a time point does not fall on a frame.
    """
    if min(sizes) < 1:
        raise SpecError(f"sizes {sizes} are too small. Give at least one window for each part.")
    source = Path(source)
    stretches, numbers, spacing, words = _read(source)
    window = whole_multiple(length, spacing, "the window", "frame spacings")
    cut = Cut(target_offsets(window, points, targets), past=past)
    random = np.random.default_rng(seed)
    if split not in get_args(Md17Split):
        raise SpecError(f"split '{split}' is not known. Write published, random or time.")
    match split:
        case "published":
            parts = _published(source, stretches, cut, sizes)
        case "random":
            parts = _random(source, stretches, cut, sizes, random)
        case "time":
            parts = _blocks(source, stretches, cut, sizes, random)
    heavy = numbers > 1
    first = stretches[0].positions[0, heavy] / NANOMETRE_PER_ANGSTROM
    task, rigid = _task(source, numbers[heavy], first, cut)
    train, validation, test = (_windows(*part, heavy, numbers, cut) for part in parts)
    return TaskData(
        task=task,
        train=train,
        validation=validation,
        test=test,
        unit="Å",
        source=words,
        stands_in=source.is_dir()
        or split == "time"
        or tuple(sizes) != SIZES
        or not math.isclose(length, PUBLISHED_LENGTH),
        settings={
            "molecule": _molecule(words),
            "window_ps": length,
            "window_frames": window,
            "frame_spacing_ps": spacing,
            "targets": targets,
            "split": split,
            "seed": PUBLISHED_SEED if split == "published" else seed,
            "windows": list(sizes),
            "rigid_bonds": rigid,
        },
    )


def _molecule(words: str) -> str | None:
    """The molecule of MD17 that the source names."""
    return next((name for name in MOLECULES if name in words.lower()), None)


def _read(source: Path) -> tuple[Stretches, Array, float, str]:
    """Contiguous stretches, atomic numbers, ps between frames, and what they are."""
    if source.is_dir():
        store = Store(source)
        stretches, topology = list(store), store.topology
        spacing = store.manifest.spacing
        words = f"{store.manifest.frames:,} frames of {store.manifest.system}, a trajectory store"
        if any(s.box is not None for s in stretches):
            raise DataError(
                f"{source}: its frames have a periodic box, and the MD17 benchmark is of molecules "
                "in vacuum. Give a store of a molecule without a box."
            )
    else:
        trajectory, topology = read_md17(source)
        stretches = [trajectory]
        spacing = trajectory.spacing if len(trajectory) > 1 else None
        words = f"{len(trajectory):,} frames of {source.stem}, MD17 (Chmiela et al. 2017)"
    for stretch in stretches:
        is_finite = np.isfinite(stretch.positions).all(axis=(1, 2))
        if not is_finite.all():
            frame = int(np.argmin(is_finite))
            raise DataError(f"{source}: positions of frame {frame} hold NaN or infinity.")
    if spacing is None or not all(len(s) < 2 or is_evenly_spaced(s.times) for s in stretches):
        raise DataError(
            f"{source}: its frames are not contiguous, so no window can be cut from them. Revised "
            "MD17 is scattered in time; give the original file."
        )
    return stretches, atomic_numbers(topology), spacing, words


def _published(
    source: Path, stretches: Stretches, cut: Cut, sizes: tuple[int, int, int]
) -> list[tuple[Stretches, Starts]]:
    """The authors' start frames."""
    frames = len(stretches[0]) - 1 - 2 * PUBLISHED_MARGIN
    drawable = [int(share * frames) for share in PUBLISHED_SHARES]
    if source.is_dir() or np.any(np.less(drawable, sizes)):
        raise DataError(
            f"{source}: the published split draws from an original file of MD17, beyond its first "
            f"and before its last {PUBLISHED_MARGIN} frames. Use split random or time."
        )
    if max(cut.before, cut.after) > PUBLISHED_MARGIN:
        raise DataError(
            f"{source}: the published split leaves {PUBLISHED_MARGIN} frames for a window, "
            f"{max(cut.before, cut.after)} are needed. Use a shorter window, or split random."
        )
    random = np.random.RandomState(PUBLISHED_SEED)
    free, parts = np.arange(frames), []
    for count, size in zip(drawable, sizes, strict=True):
        draws = random.choice(free, count, replace=False)
        free = np.setdiff1d(free, draws)
        starts = draws[:size] + PUBLISHED_MARGIN
        parts.append((stretches, np.stack([np.zeros_like(starts), starts], axis=1)))
    return parts


def _random(
    source: Path,
    stretches: Stretches,
    cut: Cut,
    sizes: tuple[int, int, int],
    random: np.random.Generator,
) -> list[tuple[Stretches, Starts]]:
    """Different start frames for each part, from anywhere."""
    chosen = _draw(source, stretches, cut, sum(sizes), random)
    return [(stretches, part) for part in np.split(chosen, np.cumsum(sizes)[:-1])]


def _blocks(
    source: Path,
    stretches: Stretches,
    cut: Cut,
    sizes: tuple[int, int, int],
    random: np.random.Generator,
) -> list[tuple[Stretches, Starts]]:
    """Start frames from blocks of time that share no frame."""
    shares = Split(validation=0.2, test=0.2)
    blocks = split_stretches(stretches, shares, cut.before + cut.after)
    return [
        (blocks[name], _draw(source, blocks[name], cut, size, random))
        for name, size in zip(SPLITS, sizes, strict=True)
    ]


def _draw(
    source: Path, stretches: Stretches, cut: Cut, count: int, random: np.random.Generator
) -> Starts:
    fitting = [cut.starts(len(stretch)) for stretch in stretches]
    stretch = np.repeat(np.arange(len(stretches)), [len(starts) for starts in fitting])
    candidates = np.stack([stretch, np.concatenate(fitting)], axis=1)
    if len(candidates) < count:
        raise DataError(
            f"{source}: {count} windows were asked for, and {len(candidates)} start frames have one "
            f"of {cut.after + cut.before + 1} frames around them. Use fewer, or a shorter window."
        )
    return random.choice(candidates, count, replace=False)


def _windows(
    stretches: Stretches, starts: Starts, heavy: Array, numbers: Array, cut: Cut
) -> TaskWindows:
    charges = numbers[heavy, None] / numbers.max()
    windows = []
    for index in np.unique(starts[:, 0]):
        mine = starts[starts[:, 0] == index, 1]
        positions = stretches[index].positions[:, heavy].astype(np.float64)
        features = np.broadcast_to(charges, (len(mine), *charges.shape))
        windows.append(cut.windows(positions / NANOMETRE_PER_ANGSTROM, mine, features))
    return join_windows(windows)


def _task(
    source: Path, numbers: Array, positions: Float[Array, "atoms 3"], cut: Cut
) -> tuple[Task, str]:
    """The task of a molecule, and which bonds count as rigid."""
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    bonds = np.argwhere(np.triu(distances < BOND_LENGTH, k=1))
    isolated = sorted(set(range(len(numbers))) - set(bonds.ravel().tolist()))
    if isolated or len(numbers) == 0:
        raise DataError(
            f"{source}: {f'heavy atom {isolated[0]}' if isolated else 'the molecule'} has no heavy "
            f"neighbour within {BOND_LENGTH} Å in the first frame, so it has no edges. The "
            "benchmark is of molecules such as those of MD17."
        )
    pairs, hops = hop_pairs(bonds, len(numbers), HOPS)
    rigid_bonds = RIGID_BONDS.get(tuple(numbers.tolist()), ())
    bond_set = {tuple(bond) for bond in bonds.tolist()}
    if not rigid_bonds or not set(rigid_bonds) <= bond_set:
        rigid_bonds = ()
    rigid = [
        tuple(sorted(p)) in rigid_bonds if rigid_bonds else h == 1
        for p, h in zip(pairs, hops, strict=True)
    ]
    ends = numbers[pairs]
    task = Task(
        name="md17",
        atoms=len(numbers),
        time_points=tuple(float(o) for o in cut.offsets),
        node_features=1,
        pairs=pairs,
        edge_features=np.stack([ends[:, 0], ends[:, 1], hops, rigid], axis=1).astype(np.float64),
        bonds=bonds,
    )
    return task, "as published" if rigid_bonds else "all bonds"
