"""Which windows make a batch: reproducible from the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from egno_md.core.processes import rank, world
from egno_md.data.framed import FramedWindows
from egno_md.spec.train import Optimisation


def share(batch: np.ndarray) -> np.ndarray:
    """The part of a batch that this process computes, where several train together.

    Every process draws the same batch and takes its own equal part of it; a remainder is
    left out, since gradients are averaged over processes.
    """
    processes, _ = world()
    if processes == 1:
        return batch
    each = len(batch) // processes
    if each == 0:
        return batch[:1]
    return batch[rank() * each : (rank() + 1) * each]


class RandomBatches(Sampler[np.ndarray]):
    """A fixed number of random batches an epoch, drawn with replacement.

    Args:
        windows: to draw from.
        batch_size: windows a batch.
        batches: an epoch.
        seed: with the epoch it decides every batch, so that a resumed run
            sees the same ones.
    """

    def __init__(self, windows: int, batch_size: int, batches: int, seed: int) -> None:
        self.windows, self.batch_size, self.batches, self.seed = windows, batch_size, batches, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng([self.seed, self.epoch])
        for _ in range(self.batches):
            yield share(random.integers(self.windows, size=self.batch_size))


def random_batches(windows: int, optimisation: Optimisation, seed: int) -> RandomBatches:
    """The batches between two validations, which make an epoch of Lightning's."""
    between = optimisation.validate_every * optimisation.accumulate
    return RandomBatches(windows, optimisation.batch_size, between, seed)


class FixedBatches(Sampler[np.ndarray]):
    """Given windows, the same at every validation.

    Args:
        chosen: numbers of the windows.
        batch_size: windows a batch.
    """

    def __init__(self, chosen: np.ndarray, batch_size: int) -> None:
        self.batch_size = batch_size
        self.batches = np.array_split(chosen, max(1, -(-len(chosen) // batch_size)))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.batches)


def drawing(seed: int, part: int, number: int, piece: int = 0) -> torch.Generator:
    """A random stream on CPU for one step, so that a resumed training draws the same.

    Args:
        seed: of the training.
        part: distinguishes streams of one seed.
        number: of the step.
        piece: of the step's windows; see `piece_of_step`.
    """
    further = (piece,) if piece else ()
    seeds = np.random.SeedSequence([seed, part, number], spawn_key=further)
    state = seeds.generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) % 2**63)


def piece_of_step(batch: int, accumulate: int) -> int:
    """Which of the pieces whose gradients make one step this process computes; 0 where one does.

    Args:
        batch: its number, counted by Lightning from the start of its epoch.
        accumulate: batches to a step.
    """
    processes, _ = world()
    return batch % accumulate * processes + rank()


class ReadAhead(Sampler[np.ndarray]):
    """The batches of another sampler, whose windows are read from files many at a time.

    Args:
        batches: which windows make them.
        windows: that they are drawn from.
        together: batches that are read at a time, file by file.
    """

    def __init__(
        self, batches: RandomBatches | FixedBatches, windows: FramedWindows, together: int
    ) -> None:
        self.batches, self.windows, self.together = batches, windows, together

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        if isinstance(self.batches, RandomBatches):
            self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[np.ndarray]:
        batches = iter(self.batches)
        while ahead := list(islice(batches, self.together)):
            self.windows.read_ahead(np.concatenate(ahead))
            yield from ahead


def loader(windows: FramedWindows, batches: RandomBatches | FixedBatches) -> DataLoader[Any]:
    """Loads batches of windows; those that stay in files are read ahead."""
    together = windows.ahead(batches.batch_size)
    sampler = ReadAhead(batches, windows, together) if together else batches
    return DataLoader(windows, batch_size=None, sampler=sampler)
