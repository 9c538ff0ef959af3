"""Trials of CMU's motion capture database, and how the benchmark divides them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.errors import DataError
from egno_md.data.npz import read_npz
from egno_md.paper.datasets.acclaim import read_amc, read_asf

Array = np.ndarray

FEWEST_TRIALS = 4
"""Fewest trials that can be divided into three parts."""


@dataclass(frozen=True)
class Subject:
    """The published settings of a subject.

    Attributes:
        number: in the CMU database.
        trials: numbers there, in the order of the published ones.
        parts: published trials that train, validate and test, counted from 0.
        first: start frames are among so many first ones of each trial.
        drawn: start frames drawn per trial, of which the first ones are used.
        sizes: windows of each part, the same number from each trial.
    """

    number: int
    trials: tuple[int, ...]
    parts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    first: int
    drawn: int
    sizes: tuple[int, int, int]


SUBJECTS = {
    "run": Subject(
        number=9,
        trials=tuple(range(1, 12)),
        parts=((1, 2, 5, 6, 10), (0, 4, 9), (3, 7, 8)),
        first=90,
        drawn=80,
        sizes=(200, 240, 240),
    ),
    "walk": Subject(
        number=35,
        trials=(*range(1, 17), *range(28, 35)),
        parts=(
            (20, 1, 17, 13, 14, 9, 4, 2, 7, 5, 16),
            (3, 8, 11, 12, 15, 18),
            (6, 19, 21, 0, 22, 10),
        ),
        first=300,
        drawn=100,
        sizes=(200, 600, 600),
    ),
}


def read_trials(
    source: Path, subject: Subject
) -> tuple[list[Float[Array, "frames joints 3"]], Int[Array, "bones 2"]]:
    """Joint positions per trial and the bones, in the data set's unit.

    Raises:
        DataError: neither a file nor a folder of this subject.
    """
    if not source.is_dir():
        return _read_npz(source)
    skeletons = [p for p in sorted(source.glob("*.asf")) if _number(p.stem) == subject.number]
    if len(skeletons) != 1:
        raise DataError(
            f"{source}: has {len(skeletons)} skeletons {subject.number:02d}.asf, one was expected. "
            "Fetch it from mocap.cs.cmu.edu."
        )
    files = {_trial(path.stem): path for path in source.glob("*.amc")}
    keys = [(subject.number, trial) for trial in subject.trials]
    paths = [files[key] for key in keys if key in files]
    if len(paths) < FEWEST_TRIALS:
        raise DataError(
            f"{source}: has {len(paths)} of the trials {subject.number:02d}_XX.amc, at least "
            f"{FEWEST_TRIALS} of {len(keys)} were expected. Fetch them from mocap.cs.cmu.edu."
        )
    skeleton = read_asf(skeletons[0])
    return [read_amc(path, skeleton) for path in paths], skeleton.edges


def _number(stem: str) -> int:
    return int(stem) if stem.isascii() and stem.isdigit() else -1


def _trial(stem: str) -> tuple[int, int]:
    first, _, second = stem.partition("_")
    return _number(first), _number(second)


def _read_npz(path: Path) -> tuple[list[Array], Array]:
    def choose(names: list[str]) -> list[str]:
        trials = sorted(n for n in names if n.startswith("case_"))
        if "edges" not in names or len(trials) < FEWEST_TRIALS:
            raise DataError(
                f"{path}: holds {', '.join(sorted(names)) or 'nothing'}; edges and at least "
                f"{FEWEST_TRIALS} trials named case_XX were expected."
            )
        return ["edges", *trials]

    arrays = read_npz(path, "a motion capture .npz file", choose)
    edges = arrays.pop("edges")
    joints = next(iter(arrays.values())).shape[1:2]
    for name, trial in arrays.items():
        if trial.ndim != 3 or trial.shape[1:] != (*joints, 3) or trial.dtype.kind != "f":
            raise DataError(
                f"{path}: {name} has shape {trial.shape} and type {trial.dtype}, expected "
                f"(frames, {joints[0] if joints else 'joints'}, 3) floats."
            )
        if not np.isfinite(trial).all():
            raise DataError(f"{path}: {name} holds NaN or infinity. Fetch it again.")
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise DataError(f"{path}: edges has shape {edges.shape}, expected (bones, 2) integers.")
    if len(edges) and not (edges.min() >= 0 and edges.max() < joints[0]):
        raise DataError(f"{path}: edges names joint {edges.max()}, there are {joints[0]}.")
    return list(arrays.values()), edges.astype(np.int64)
