"""The data of a benchmark protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from egno_md.core.errors import DataError
from egno_md.data.download import file_sum
from egno_md.data.store import MANIFEST, Store
from egno_md.paper.datasets.adk import adk_offsets, adk_task, fetch_adk
from egno_md.paper.datasets.md17 import md17_task
from egno_md.paper.datasets.mocap import mocap_task
from egno_md.paper.datasets.nbody import nbody_task
from egno_md.paper.spec import (
    AdkData,
    BenchmarkModel,
    Md17Data,
    MocapData,
    NbodyData,
    TaskDataSpec,
)
from egno_md.paper.task import TaskData
from egno_md.spec.network import PublishedEgno


def load_task(
    spec: TaskDataSpec, model: BenchmarkModel, data: Path | str | None = None
) -> TaskData:
    """Windows of a data set with the time points of a row.

    Args:
        spec: which data.
        model: its P, whether uniform or last, and whether it reads past frames.
        data: files, where the data are not generated and `spec` names none; for
            adenylate kinase a folder with one PSF and one DCD file, else both are
            fetched.

    Raises:
        DataError: missing or unusable.
    """
    past = reads_past(model)
    sources: tuple[Path, ...] = ()
    match spec:
        case NbodyData():
            task = nbody_task(
                spec.train,
                spec.validation,
                spec.test,
                points=model.points,
                kind=model.window,
                seed=spec.seed,
            )
        case MocapData():
            sources = (_source_path(spec.kind, data, spec.path),)
            task = mocap_task(
                *sources, spec.subject, points=model.points, targets=model.window, past=past
            )
        case Md17Data():
            sources = (_source_path(spec.kind, data, spec.path),)
            task = md17_task(
                *sources,
                length=spec.length,
                points=model.points,
                targets=model.window,
                split=spec.split,
                sizes=(spec.train, spec.validation, spec.test),
                seed=spec.seed,
                past=past,
            )
        case AdkData():
            sources = _adk_files(spec, data)
            task = adk_task(
                *sources,
                offsets=adk_offsets(spec.offsets, model.points, model.window),
                cutoff=spec.cutoff,
                velocity=spec.velocity,
                split=spec.split,
                past=past,
            )
    return replace(task, fingerprint=_fingerprint(sources)) if sources else task


class TaskLoader:
    """Loads what rows read, the same windows once.

    Args:
        spec: which data.
        data: files; see `load_task`.
    """

    def __init__(self, spec: TaskDataSpec, data: Path | str | None) -> None:
        self.spec, self.data = spec, data
        self._loaded: dict[tuple[int, str, bool], TaskData] = {}

    def __reduce__(self) -> tuple[type[TaskLoader], tuple[TaskDataSpec, Path | str | None]]:
        """Other processes load for themselves."""
        return TaskLoader, (self.spec, self.data)

    def __call__(self, model: BenchmarkModel) -> TaskData:
        """The data of a row."""
        key = (model.points, model.window, reads_past(model))
        if key not in self._loaded:
            self._loaded[key] = load_task(self.spec, model, self.data)
        return self._loaded[key]


def reads_past(model: BenchmarkModel) -> bool:
    """Whether windows must come with the frames before their start."""
    return isinstance(model.network, PublishedEgno) and model.network.reads == "sequence"


def _source_path(kind: str, data: Path | str | None, path: Path | None) -> Path:
    source = data or path
    if source is None:
        raise DataError(
            f"the {kind} benchmark needs its data. Give them with '--data', or as data.path in the "
            "protocol."
        )
    return Path(source)


def _fingerprint(sources: Sequence[Path]) -> str:
    """A digest of the frames in files or a store, independent of file names."""
    whole = hashlib.sha256()
    for source in sources:
        if not source.is_dir():
            whole.update(file_sum(source).encode())
        elif (source / MANIFEST).is_file():
            return str(Store(source).identity["fingerprint"])
        else:
            for path in sorted(p for p in source.iterdir() if p.suffix in (".asf", ".amc")):
                whole.update(f"{path.name} {file_sum(path)}".encode())
    return whole.hexdigest()


def _adk_files(spec: AdkData, data: Path | str | None) -> tuple[Path, Path]:
    if data is None and spec.topology is not None and spec.trajectory is not None:
        return spec.topology, spec.trajectory
    if data is None:
        return fetch_adk()
    files_by_kind = [sorted(Path(data).glob(pattern)) for pattern in ("*.psf", "*.dcd")]
    if any(len(files) != 1 for files in files_by_kind):
        raise DataError(
            f"{data}: has {len(files_by_kind[0])} .psf and {len(files_by_kind[1])} .dcd files, one of each was "
            "expected. Give a folder with the two files of adenylate kinase."
        )
    return files_by_kind[0][0], files_by_kind[1][0]
