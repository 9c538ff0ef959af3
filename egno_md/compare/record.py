"""One pass over a side: every quantity measured, kept as a series or as sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from egno_md.compare.blocks import Blocks, BlockSums
from egno_md.compare.sides import Survey
from egno_md.core.state import Trajectory

Array = np.ndarray
Keep = Literal["series", "blocks"]

BYTES_AT_ONCE = 2**24
"""Memory for the features of one quantity computed at a time."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Measures quantities frame by frame.

    Attributes:
        keep: name of each quantity and how it is kept: a series with one value (or a
            few) per frame, or sums over stretches.
        measure: takes consecutive frames to an array ``(frames, ...)`` per quantity;
            sums take ``(frames, members, features)``.
        needs: a field without which there is nothing to measure.
        most: frames measured at most, evenly chosen; all if None.
        width: numbers per frame of its widest quantity, for the memory it takes.
    """

    keep: Mapping[str, Keep]
    measure: Callable[[Trajectory], Mapping[str, Array]]
    needs: str | None = None
    most: int | None = None
    width: int = 1


class Collector(Protocol):
    """Collects what needs several consecutive frames, such as spectra."""

    name: str

    def begin(self) -> None:
        """A new chain begins."""
        ...

    def add(self, part: Trajectory) -> None:
        """Consecutive frames of it."""
        ...

    def finish(self) -> Blocks | None:
        """The sums; None where chains were too short."""
        ...


@dataclass(frozen=True, eq=False)
class Record:
    """Measurements of one side.

    Attributes:
        survey: of the side.
        series: chains of ``(frames, ...)`` by quantity.
        blocks: sums by quantity.
        strides: frames from one measurement to the next, where not one.
    """

    survey: Survey
    series: dict[str, list[Array]] = field(default_factory=dict)
    blocks: dict[str, Blocks] = field(default_factory=dict)
    strides: dict[str, int] = field(default_factory=dict)

    def spacing(self, name: str) -> float | None:
        """Ps between values of a series."""
        between = self.survey.spacing
        return None if between is None else between * self.strides.get(name, 1)


def record(
    survey: Survey,
    probes: Sequence[Probe],
    collectors: Sequence[Collector] = (),
    watch: Callable[[int], None] | None = None,
) -> Record:
    """Measure a side in one pass.

    Args:
        survey: of the side.
        probes: what to measure; those that need a field it lacks are left out.
        collectors: new ones, of this side.
        watch: called with the number of frames read so far.
    """
    runs = [_Run(p, survey.frames) for p in probes if p.needs not in survey.lacking]
    frames_done = 0
    for parts in survey.side.parts():
        for each in (*runs, *collectors):
            each.begin()
        for part in parts:
            for each in (*runs, *collectors):
                each.add(part)
            frames_done += len(part)
            if watch is not None:
                watch(frames_done)
    result = Record(survey)
    for run in runs:
        run.into(result)
    for collector in collectors:
        if (sums := collector.finish()) is not None:
            result.blocks[collector.name] = sums
    return result


class _Run:
    """State of a probe during the pass."""

    def __init__(self, probe: Probe, frames: int) -> None:
        self.probe = probe
        self.stride = 1 if probe.most is None else max(-(-frames // probe.most), 1)
        self.at_once = max(BYTES_AT_ONCE // (8 * probe.width), 1)
        self.passed = 0
        self.series: dict[str, list[list[Array]]] = {
            n: [] for n, k in probe.keep.items() if k == "series"
        }
        self.sums = {n: BlockSums() for n, k in probe.keep.items() if k == "blocks"}

    def begin(self) -> None:
        self.passed = 0
        for chains in self.series.values():
            chains.append([])
        for sums in self.sums.values():
            sums.begin()

    def add(self, part: Trajectory) -> None:
        first = -self.passed % self.stride
        self.passed += len(part)
        chosen = part if self.stride == 1 else part.every(self.stride, first)
        for start in range(0, len(chosen), self.at_once):
            measured = self.probe.measure(chosen.slice(start, start + self.at_once))
            for name, chains in self.series.items():
                chains[-1].append(np.asarray(measured[name]))
            for name, sums in self.sums.items():
                sums.add(measured[name])

    def into(self, result: Record) -> None:
        for name, chains in self.series.items():
            result.series[name] = [np.concatenate(c) for c in chains if c]
            result.strides[name] = self.stride
        for name, sums in self.sums.items():
            result.blocks[name] = sums.finish()
            result.strides[name] = self.stride
