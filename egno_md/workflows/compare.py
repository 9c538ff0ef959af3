"""`compare`: a reference and rollouts, observable by observable."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from egno_md.analysis.compare import compare
from egno_md.analysis.figures import DrawnFigure, draw_figures
from egno_md.analysis.observable import Comparison, comparison_from_json
from egno_md.analysis.sides import Side, check_same_atoms
from egno_md.core.errors import DataError
from egno_md.core.progress import Progress, Silent
from egno_md.core.state import Trajectory
from egno_md.data.hdf5 import read_hdf5
from egno_md.data.output import OutputMode, open_output
from egno_md.data.store import MANIFEST, Store, single_system, write_json

COMPARISON = "comparison.json"
FIGURES = "figures"
FORMAT = "egno-md comparison 1"


@dataclass(frozen=True)
class CompareResult:
    """What `run_compare` found.

    Attributes:
        out: the folder with comparison.json and figures/.
        comparisons: one per rollout, in the order given.
        figures: what was drawn.
    """

    out: Path
    comparisons: tuple[Comparison, ...]
    figures: tuple[DrawnFigure, ...]

    def to_json(self) -> dict[str, Any]:
        """The verdicts in short; comparison.json has everything."""
        return {"out": str(self.out), "verdicts": {c.label: c.verdicts for c in self.comparisons}}


def run_compare(
    reference: Path | str,
    rollouts: Sequence[Path | str],
    out: Path | str,
    *,
    seed: int = 0,
    mode: OutputMode = "new",
    progress: Progress | None = None,
    unchecked: Path | None = None,
    topology: Path | None = None,
) -> CompareResult:
    """Compare rollouts with a reference.

    Args:
        reference: a store, or a file MDTraj reads.
        rollouts: likewise, of the same atoms.
        out: the output folder.
        seed: of the bootstrap.
        mode: see `open_output`; nothing is kept of an interrupted comparison.
        progress: who listens.
        unchecked: a rollout without checks, shown after the others.
        topology: for files that hold none, such as DCD and XTC.

    Returns:
        The comparisons; written to comparison.json too.

    Raises:
        DataError: a path cannot be read, or the atoms differ.
    """
    progress, out, reference = progress or Silent(), Path(out), Path(reference)
    paths = [Path(p) for p in (*rollouts, *([unchecked] if unchecked else []))]
    if not paths:
        raise DataError("nothing to compare. Give at least one rollout beside the reference.")
    labels = folder_labels(paths)
    held = read_side(reference, topology)
    sides = [read_side(p, topology) for p in paths]
    for path, side in zip(paths, sides, strict=True):
        check_same_atoms(held.system, side.system, str(reference), str(path))
    request = {
        "reference": str(reference),
        "rollouts": [str(p) for p in paths],
        "unchecked": None if unchecked is None else labels[-1],
        "topology": None if topology is None else str(topology),
        "seed": seed,
    }
    output = open_output(out, "compare", request, mode, inputs=[reference, *paths])
    if output.is_complete:
        progress.note(f"{out} is complete already.")
        return read_comparison(out)
    comparisons = []
    for number, (label, side) in enumerate(zip(labels, sides, strict=True)):
        progress.update(number, len(sides), label)
        comparisons.append(compare(held, side, label=label, seed=seed))
    (out / FIGURES).mkdir(exist_ok=True)
    figures = draw_figures(comparisons, out / FIGURES)
    content = {
        "format": FORMAT,
        "system": held.system.name,
        "reference": folder_labels([reference])[0],
        "unchecked": request["unchecked"],
        "seed": seed,
        "rollouts": [c.to_json() for c in comparisons],
        "figures": [asdict(f) for f in figures],
    }
    write_json(out / COMPARISON, content)
    progress.update(len(sides), len(sides), "done")
    output.finish(verdicts={c.label: c.verdicts for c in comparisons})
    return CompareResult(out, tuple(comparisons), figures)


def read_comparison(out: Path) -> CompareResult:
    """Read what an earlier `run_compare` wrote.

    Raises:
        DataError: missing or damaged.
    """
    try:
        content = json.loads((out / COMPARISON).read_text(encoding="utf-8"))
        comparisons = tuple(comparison_from_json(c) for c in content["rollouts"])
        return CompareResult(out, comparisons, tuple(DrawnFigure(**f) for f in content["figures"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{out / COMPARISON}: missing or damaged ({type(error).__name__}). "
            "Compare again with --overwrite."
        ) from None


def read_side(path: Path, topology: Path | None = None) -> Side:
    """Read a store or a trajectory file.

    Args:
        path: a store, a folder that holds exactly one, or a file MDTraj reads.
        topology: for files that hold none.

    Raises:
        DataError: nothing readable is there.
    """
    if path.is_dir():
        store = Store(_store_folder(path))
        return Side(store.system(), list(store))
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder. Give a store or a trajectory file.")
    if path.suffix == ".h5":
        trajectory, read_topology = read_hdf5(path)
    else:
        trajectory, read_topology = _read_with_mdtraj(path, topology)
    return Side(single_system(read_topology, path.stem, trajectory.positions[0]), [trajectory])


def _store_folder(path: Path) -> Path:
    """The folder itself, or its only subfolder that is a store."""
    if (path / MANIFEST).is_file():
        return path
    inside = [p.parent for p in sorted(path.glob(f"*/{MANIFEST}"))]
    return inside[0] if len(inside) == 1 else path


def _read_with_mdtraj(path: Path, topology: Path | None) -> tuple[Trajectory, mdtraj.Topology]:
    needed: dict[str, Any] = (
        {} if topology is None or path.suffix == ".pdb" else {"top": str(topology)}
    )
    try:
        loaded = mdtraj.load(str(path), **needed)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        hint = " If it is truncated, copy it again."
        if not needed:
            hint = " A DCD or XTC file needs '--topology FILE' too."
        raise DataError(f"{path}: MDTraj cannot read it ({error}).{hint}") from None
    return Trajectory(
        positions=loaded.xyz, times=np.asarray(loaded.time, dtype=np.float64)
    ), loaded.topology


def folder_labels(paths: Sequence[Path]) -> list[str]:
    """A short name per path: the folder's own, with its parent's where two agree."""
    names = [p.resolve().stem if p.is_file() else p.resolve().name for p in paths]
    seen = Counter(names)
    long = [
        name if seen[name] == 1 else f"{path.resolve().parent.name}/{name}"
        for path, name in zip(paths, names, strict=True)
    ]
    again = Counter(long)
    return [name if again[name] == 1 else f"{name} ({n + 1})" for n, name in enumerate(long)]
