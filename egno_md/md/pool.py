"""Energies and forces of many replicas, spread over processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from egno_md.core.processes import die_with_parent
from egno_md.core.state import Frame
from egno_md.md.build import build_system
from egno_md.md.engine import OpenMMEngine
from egno_md.spec.system import SystemSpec

_engine: OpenMMEngine | None = None


class EnginePool:
    """An evaluator whose replicas always go to the same process.

    A self-consistent potential starts from its replica's last evaluation, so
    results do not depend on how many processes there are.

    Args:
        spec: the system's.
        folder: where its YAML lies.
        platform: OpenMM platform of every process.
        workers: processes.
    """

    def __init__(self, spec: SystemSpec, folder: Path, platform: str, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._executors = [
            ProcessPoolExecutor(1, context, _start_engine, (spec, folder, platform))
            for _ in range(workers)
        ]

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        """Frames by replica, with forces and energies; see `Evaluator`."""
        count = len(self._executors)
        shares = [{i: f for i, f in frames.items() if i % count == k} for k in range(count)]
        waiting = [
            executor.submit(_evaluate, share)
            for executor, share in zip(self._executors, shares, strict=True)
            if share
        ]
        found = {i: f for answer in waiting for i, f in answer.result().items()}
        return {i: found[i] for i in frames}

    def forget(self) -> None:
        """Drop what speeds up the next evaluation, in every process."""
        for answer in [e.submit(_forget) for e in self._executors]:
            answer.result()

    def close(self) -> None:
        """End the processes."""
        for executor in self._executors:
            executor.shutdown(cancel_futures=True)


def _start_engine(spec: SystemSpec, folder: Path, platform: str) -> None:
    global _engine
    die_with_parent()
    built = build_system(spec, folder)
    _engine = OpenMMEngine(
        built, timestep=5e-4, kelvin=300.0, friction=1.0, seed=1, platform=platform
    )


def _evaluate(frames: dict[int, Frame]) -> dict[int, Frame]:
    assert _engine is not None
    return _engine.evaluate_all(frames)


def _forget() -> None:
    assert _engine is not None
    _engine.forget()
