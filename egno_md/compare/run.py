"""`compare`: a reference and rollouts, observable by observable."""

from __future__ import annotations

import csv
import functools
import json
import uuid
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from egno_md.compare.comparison import Reference
from egno_md.compare.figures import DrawnFigure, draw_figures
from egno_md.compare.observable import Comparison, comparison_from_json
from egno_md.compare.reading import Choice, ModeChoice, folder_labels, read_side, side_identity
from egno_md.compare.sides import Side, check_same_atoms
from egno_md.compare.tables import COLUMNS, comparison_rows
from egno_md.core.errors import DataError, OutputError
from egno_md.core.executors import open_executor
from egno_md.core.fanout import run_all
from egno_md.core.progress import Progress, Silent
from egno_md.data.download import file_identity
from egno_md.data.outcomes import settle
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import write_json

COMPARISON = "comparison.json"
NUMBERS = "numbers.csv"
FIGURES = "figures"
FORMAT = "egno-md comparison 1"


@dataclass(frozen=True)
class CompareResult:
    """Results of `run_compare`.

    Attributes:
        out: the folder with comparison.json, numbers.csv and figures/.
        comparisons: one per rollout, in the order given.
        figures: those drawn.
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
    topology: Path | str | None = None,
    selection: str | None = None,
    stride: int = 1,
    spacing: float | None = None,
    rollout_mode: ModeChoice = "auto",
    workers: int = 1,
    executor: Executor | None = None,
) -> CompareResult:
    """Compare rollouts with a reference.

    Trajectories are read part by part, in two passes, so that they may be larger
    than memory.

    Args:
        reference: a store, or a file MDTraj reads.
        rollouts: likewise, of the same atoms.
        out: the output folder.
        seed: of the bootstrap.
        mode: see `run_folder`; nothing is kept of an interrupted comparison, and none is
            resumed with other frames at the same paths.
        progress: receives the progress.
        unchecked: a rollout without checks, shown after the others.
        topology: for files that hold none, such as DCD and XTC.
        selection: atoms to compare, in MDTraj's language.
        stride: compare every `stride`-th frame.
        spacing: ps between frames of files; their own if None.
        rollout_mode: whether the rollouts are dynamics or a sampler; by their own
            summaries for auto.
        workers: processes of this machine that share the rollouts; each measures the
            reference once for itself.
        executor: runs them instead of local processes; see `egno_md.core.fanout.run_all`.

    Returns:
        The comparisons; written to comparison.json and numbers.csv too.

    Raises:
        DataError: a path cannot be read, or the atoms differ.
        EnsembleError: some of the shared rollouts could not be compared.
    """
    progress, out, reference = progress or Silent(), Path(out), Path(reference)
    topology = None if topology is None else Path(topology)
    paths = [Path(p) for p in (*rollouts, *([unchecked] if unchecked else []))]
    if not paths:
        raise DataError("nothing to compare. Give at least one rollout beside the reference.")
    labels = folder_labels(paths)
    choice = Choice(topology, selection, stride, spacing)
    reference_side = read_side(reference, choice)
    sides = [read_side(p, choice, rollout_mode) for p in paths]
    for path, side in zip(paths, sides, strict=True):
        check_same_atoms(reference_side.system, side.system, str(reference), str(path))
    request = {
        "reference": str(reference),
        "rollouts": [str(p) for p in paths],
        "trajectories": [side_identity(p) for p in (reference, *paths)],
        "unchecked": None if unchecked is None else labels[-1],
        "topology": None if topology is None else file_identity(topology),
        "selection": selection,
        "stride": stride,
        "spacing": spacing,
        "rollout_mode": rollout_mode,
        "seed": seed,
    }
    with run_folder(out, "compare", request, mode, [reference, *paths], progress) as run:
        if run.is_complete:
            return read_comparison(out)
        with open_executor(workers, executor=executor) as chosen:
            if chosen is None:
                comparisons = _compare_all(reference_side, sides, labels, seed, progress)
            else:
                source = (uuid.uuid4().hex, reference.absolute(), _absolute(choice))
                tasks = [
                    (source, path.absolute(), rollout_mode, label, seed)
                    for path, label in zip(paths, labels, strict=True)
                ]
                outcomes = run_all(
                    chosen,
                    _compare_one,
                    tasks,
                    tell=lambda n: progress.update(n, len(tasks), f"{n} of {len(tasks)} rollouts"),
                )
                comparisons = settle(outcomes, labels, out)
        try:
            (out / FIGURES).mkdir(exist_ok=True)
            figures = draw_figures(comparisons, out / FIGURES)
            _write_numbers(out / NUMBERS, comparisons)
        except OSError as error:
            raise OutputError(f"{out}: cannot be written: {error.strerror}.") from None
        content = {
            "format": FORMAT,
            "system": reference_side.system.name,
            "reference": folder_labels([reference])[0],
            "unchecked": request["unchecked"],
            "seed": seed,
            "rollouts": [c.to_json() for c in comparisons],
            "figures": [asdict(f) for f in figures],
        }
        write_json(out / COMPARISON, content)
        progress.update(1, 1, "done")
        run.finish(verdicts={c.label: c.verdicts for c in comparisons})
        return CompareResult(out, tuple(comparisons), figures)


def _compare_all(
    reference: Side, sides: Sequence[Side], labels: Sequence[str], seed: int, progress: Progress
) -> list[Comparison]:
    watch = _Watch(progress, 1 + len(sides))
    measured = Reference(reference, watch.next("the reference"))
    comparisons = []
    for label, side in zip(labels, sides, strict=True):
        comparisons.append(measured.compare(side, label=label, seed=seed, watch=watch.next(label)))
    return comparisons


def _absolute(choice: Choice) -> Choice:
    topology = choice.topology
    return choice if topology is None else replace(choice, topology=topology.absolute())


@functools.lru_cache(maxsize=1)
def _measured(run: str, reference: Path, choice: Choice) -> Reference:  # noqa: ARG001
    """The reference, once a process for every run of `compare`."""
    return Reference(read_side(reference, choice))


def _compare_one(
    reference: tuple[str, Path, Choice], path: Path, mode: ModeChoice, label: str, seed: int
) -> Comparison:
    """One rollout beside the reference, in a worker process."""
    side = read_side(path, reference[2], mode)
    return _measured(*reference).compare(side, label=label, seed=seed)


class _Watch:
    """Turns frames read into progress: every side is read twice."""

    def __init__(self, progress: Progress, sides: int) -> None:
        self.progress, self.total = progress, sides
        self.done = -1

    def next(self, label: str):
        """For the next side."""
        self.done += 1
        frames = passes = 0

        def watch(count: int) -> None:
            nonlocal frames, passes
            passes += count < frames or passes == 0
            frames = count
            share = 0.0 if passes == 1 else 0.5
            text = f"{label}: pass {passes} of 2, {count:,} frames"
            self.progress.update(self.done + share, self.total, text)

        return watch


def _write_numbers(path: Path, comparisons: Sequence[Comparison]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for comparison in comparisons:
            writer.writerows(comparison_rows(comparison))


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
