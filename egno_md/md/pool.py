"""Energies and forces of many replicas, spread over processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from egno_md.core.executors import LocalProcesses
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
        self._workers = range(workers)
        self._processes = LocalProcesses(workers, _start_engine, (spec, folder, platform))

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        """Frames by replica, with forces and energies; see `Evaluator`."""
        count = len(self._workers)
        shares = {k: {i: f for i, f in frames.items() if i % count == k} for k in self._workers}
        futures = [
            self._processes.submit_to(worker, _evaluate, share)
            for worker, share in shares.items()
            if share
        ]
        evaluated = {i: f for future in futures for i, f in future.result().items()}
        return {i: evaluated[i] for i in frames}

    def forget(self) -> None:
        """Drop what speeds up the next evaluation, in every process."""
        for future in [self._processes.submit_to(k, _forget) for k in self._workers]:
            future.result()

    def close(self) -> None:
        """End the processes."""
        self._processes.shutdown(cancel_futures=True)


def _start_engine(spec: SystemSpec, folder: Path, platform: str) -> None:
    global _engine
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
