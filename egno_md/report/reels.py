"""Trajectories of a report's folders, thinned for its viewer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from egno_md.core.errors import EgnoMDError
from egno_md.data.store import MANIFEST, Store
from egno_md.report.movies import Movie, make_movie, select_atoms, thin

MOST = 4
"""Trajectories in one page."""


def read_movies(folders: Sequence[Path]) -> tuple[list[Movie], list[str]]:
    """The longest stretch of every store among the folders that has the first one's atoms.

    Args:
        folders: of any verb; references come first, so that they play on the left.

    Returns:
        The movies, and a sentence for each store that cannot be played.
    """
    stores, notes = [], []
    for folder in folders:
        if not (folder / MANIFEST).is_file():
            continue
        try:
            stores.append(Store(folder))
        except EgnoMDError as error:
            notes.append(str(error))
    # training segments are short, reference trajectories long
    stores.sort(key=lambda s: (s.manifest.source == "propagate", -_longest(s)[1]))
    references = sum(s.manifest.source != "propagate" for s in stores)
    played = [*stores[: min(references, 1)], *stores[references:]][:MOST]
    movies: list[Movie] = []
    template = digest = None
    for store in played:
        label = store.root.resolve().name
        if digest is not None and store.manifest.digest != digest:
            notes.append(f"{label}: other atoms than {movies[0].label}, so it is not played.")
            continue
        try:
            movie = _read(store, label, template)
        except (EgnoMDError, OSError) as error:
            notes.append(f"{label}: cannot be played: {error}")
            continue
        movies.append(movie)
        template, digest = movies[0].positions[0], store.manifest.digest
    return movies, notes


def _longest(store: Store) -> tuple[str, int]:
    frames = Counter[str]()
    for shard in store.manifest.shards:
        frames[shard.chain] += shard.frames
    return frames.most_common(1)[0]


def _read(store: Store, label: str, template: np.ndarray | None) -> Movie:
    selection = select_atoms(store.system())
    chain = _longest(store)[0]
    shards = [s for s in store.manifest.shards if s.chain == chain]
    times, positions = [], []
    for shard, chosen in zip(shards, thin([s.frames for s in shards]), strict=True):
        if len(chosen):
            frames = store.shard(shard)
            times.append(frames.times[chosen])
            positions.append(frames.positions[chosen][:, selection.atoms])
    return make_movie(label, np.concatenate(times), np.concatenate(positions), selection, template)
