"""Sums over consecutive stretches of frames, the compact form of measured quantities.

However long a trajectory, a quantity with many members (bonds, bins, atoms) is
kept in at most 256 stretches; neighbours are merged when there are more. A
block bootstrap needs no finer resolution: its blocks hold a fortieth of a side
or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Array = np.ndarray

MOST_STRETCHES = 256
FEWEST_STRETCHES = 64
STRETCHES_AT_ONCE = 16
"""Stretches of a series summed together, converted to double precision."""
BYTES = 2**24
"""Memory for the sums of one quantity of one side; at least 64 stretches are kept."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Sums of the features of a side, by stretches of frames.

    Attributes:
        counts: ``(stretches,)`` frames in each.
        sums: ``(stretches, ..., features)`` over those frames.
        chain: ``(stretches,)`` number of the chain each belongs to; sorted.
    """

    counts: Array
    sums: Array
    chain: Array

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def mean(self) -> Array:
        """``(..., features)`` over all frames."""
        return self.sums.sum(axis=0) / max(self.counts.sum(), 1)

    @cached_property
    def each(self) -> Array:
        """``(stretches, ..., features)`` mean of each stretch."""
        return self.sums / self.counts.reshape(-1, *[1] * (self.sums.ndim - 1))

    @cached_property
    def sizes(self) -> Array:
        """``(chains,)`` stretches in each chain."""
        return np.bincount(self.chain)

    def split(self, values: Array) -> list[Array]:
        """An array with one row per stretch, cut into chains."""
        return np.split(values, np.cumsum(self.sizes)[:-1])

    def take(self, chosen: Array) -> Blocks:
        """Some stretches only, chains numbered anew."""
        chain = np.unique(self.chain[chosen], return_inverse=True)[1]
        return Blocks(self.counts[chosen], self.sums[chosen], chain)

    def halves(self) -> tuple[Blocks, Blocks] | None:
        """The side in two parts of about equal length, cut between replicas where there are several.

        None where there are fewer than two stretches of frames.
        """
        if len(self) < 2:
            return None
        passed = np.cumsum(self.counts)
        if self.chain[-1] > 0:
            ends = passed[np.flatnonzero(np.diff(self.chain))]
            at = ends[np.argmin(np.abs(ends - passed[-1] / 2))]
        else:
            at = passed[max(np.searchsorted(passed, passed[-1] / 2, side="right") - 1, 0)]
        first = passed <= at
        return self.take(first), self.take(~first)


class BlockSums:
    """Accumulates features frame by frame as sums over stretches.

    Args:
        limit: most stretches; fewer where their sums would be larger than 16 MiB.
    """

    def __init__(self, limit: int = MOST_STRETCHES) -> None:
        self.limit = limit
        self.length = 1
        self.chains: list[tuple[list[int], list[Array]]] = []
        self._open: tuple[int, Array] | None = None

    def begin(self) -> None:
        """A new chain begins."""
        self._flush()
        self.chains.append(([], []))

    def add(self, features: Array) -> None:
        """Consecutive frames, ``(frames, ..., features)``."""
        values = np.asarray(features, dtype=np.float64)
        at = 0
        while at < len(values):
            count, total = self._open or (0, np.zeros(values.shape[1:]))
            step = min(self.length - count, len(values) - at)
            if count == 0 and len(values) - at >= self.length:  # whole stretches at once
                whole = (len(values) - at) // self.length
                whole = min(whole, self._most(8 * values[0].size))
                length = self.length  # appending may double it
                part = values[at : at + whole * length]
                sums = part.reshape(whole, length, *values.shape[1:]).sum(axis=1)
                at += whole * length
                self._append([length] * whole, list(sums))
                continue
            self._open = (count + step, total + values[at : at + step].sum(axis=0))
            at += step
            if self._open[0] >= self.length:
                self._flush()

    def finish(self) -> Blocks:
        """The sums over stretches of all chains."""
        self._flush()
        counts = [c for counts, _ in self.chains for c in counts]
        sums = [s for _, chain_sums in self.chains for s in chain_sums]
        chain = [i for i, (counts, _) in enumerate(self.chains) for _ in counts]
        return Blocks(np.array(counts), np.array(sums), np.array(chain))

    def _flush(self) -> None:
        if self._open is not None:
            (count, total), self._open = self._open, None
            self._append([count], [total])

    def _append(self, counts: list[int], sums: list[Array]) -> None:
        self.chains[-1][0].extend(counts)
        self.chains[-1][1].extend(sums)
        most = max(self._most(sums[0].nbytes), 2 * len(self.chains))
        while sum(len(c) for c, _ in self.chains) > most:
            self._merge()

    def _most(self, size: int) -> int:
        return int(np.clip(BYTES // max(size, 1), min(FEWEST_STRETCHES, self.limit), self.limit))

    def _merge(self) -> None:
        """Join neighbours two by two, within chains."""
        self.length *= 2
        for counts, sums in self.chains:
            counts[:] = [sum(counts[i : i + 2]) for i in range(0, len(counts), 2)]
            sums[:] = [sum(sums[i + 1 : i + 2], sums[i]) for i in range(0, len(sums), 2)]


def from_pairs(
    chains: Sequence[Array], lag: int, limit: int, sums: Callable[[Array], Array]
) -> Blocks:
    """Sums over frames and their partners `lag` later, by at most `limit` stretches of pairs.

    Args:
        chains: each ``(frames, ...)``.
        lag: frames.
        limit: most stretches, but for one more in each chain.
        sums: takes consecutive frames to the sums over the pairs among them.
    """
    pairs = [max(len(c) - lag, 0) for c in chains]
    length = max(-(-sum(pairs) // limit), 1)
    counts, totals, chain, number = [], [], [], 0
    for values, total in zip(chains, pairs, strict=True):
        for start in range(0, total, length):
            stop = min(start + length, total)
            counts.append(stop - start)
            totals.append(sums(values[start : stop + lag]))
            chain.append(number)
        number += total > 0
    return Blocks(np.array(counts), np.array(totals), np.array(chain))


def from_series(chains: Sequence[Array], limit: int = MOST_STRETCHES) -> Blocks:
    """Sums of features stored frame by frame, chains of ``(frames, ..., features)``."""
    length = max(-(-sum(len(c) for c in chains) // limit), 1)
    counts, sums, chain = [], [], []
    for number, values in enumerate(chains):
        starts = np.arange(0, len(values), length)
        counts.append(np.diff(np.append(starts, len(values))))
        for first in range(0, len(starts), STRETCHES_AT_ONCE):
            some = starts[first : first + STRETCHES_AT_ONCE]
            part = values[some[0] : some[-1] + length]
            sums.append(np.add.reduceat(part, some - some[0], axis=0, dtype=np.float64))
        chain.append(np.full(len(starts), number))
    return Blocks(np.concatenate(counts), np.concatenate(sums), np.concatenate(chain))
