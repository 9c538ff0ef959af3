"""Markov state models: implied timescales, metastable states, fluxes (deeptime)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from egno_md.compare.blocks import Blocks, from_pairs, from_series
from egno_md.compare.findings import Bench, Findings, floor, not_available, profile
from egno_md.compare.observables.slow import Components
from egno_md.compare.statistics import (
    MEAN,
    Estimate,
    effective_samples,
    estimate,
    estimate_together,
)
from egno_md.compare.verdicts import Extent

Array = np.ndarray

CLUSTERS = 30
CLUSTER_FRAMES = 5000
FRAMES_PER_CLUSTER = 20
TIMESCALES = 2
MOST_STATES = 4
STRETCHES = 64
RESAMPLES = 60
CORE = 0.5
PS_PER_NS = 1e3


@dataclass(frozen=True, eq=False)
class States:
    """Discrete states of the reference.

    Attributes:
        centres: ``(clusters, components)``.
        memberships: ``(clusters, states)`` of each cluster in each metastable state.
    """

    centres: Array
    memberships: Array

    def assign(self, chains: Sequence[Array]) -> list[Array]:
        """The nearest cluster of every frame."""
        tree = KDTree(self.centres)
        return [np.asarray(tree.query(c)[1], dtype=np.int32) for c in chains]


def find_states(projected: Sequence[Array], lag: int) -> States | str:
    """Clusters of the reference, and their metastable states by PCCA+.

    Args:
        projected: chains of ``(frames, components)``.
        lag: frames, of the Markov model.

    Returns:
        The states, or the reason why there are none.
    """
    from deeptime.clustering import KMeans

    frames = np.concatenate(list(projected))
    sample = frames[:: max(len(frames) // CLUSTER_FRAMES, 1)]
    clusters = min(CLUSTERS, len(sample) // FRAMES_PER_CLUSTER)
    if clusters < 4:
        return "the reference has too few frames for a Markov state model."
    model: Any = KMeans(clusters, fixed_seed=True, max_iter=100, n_jobs=1).fit_fetch(sample)
    clustering = States(np.asarray(model.cluster_centers), np.empty((0, 0)))
    markov, connected = markov_model(count_matrix(clustering.assign(projected), lag, clusters))
    if markov is None or len(connected) < 4:
        return "the reference's states are not connected at this lag."
    times = markov.timescales()[: MOST_STATES - 1]
    times = times[times > 1.0]  # in lags
    if not len(times):
        return "the reference has no metastable states: nothing is slower than the lag."
    gaps = times / np.append(times[1:], 1.0)
    states = int(np.argmax(gaps)) + 2
    memberships = np.zeros((clusters, states))
    memberships[connected] = markov.pcca(states).memberships
    lost = memberships.sum(axis=1) == 0
    nearest = (
        ((clustering.centres[lost][:, None] - clustering.centres[connected]) ** 2)
        .sum(-1)
        .argmin(-1)
    )
    memberships[lost] = memberships[connected][nearest]
    return States(clustering.centres, memberships)


def count_matrix(assigned: Sequence[Array], lag: int, clusters: int) -> Array:
    """Transitions between clusters within `lag` frames, sliding."""
    counts = np.zeros((clusters, clusters))
    for c in assigned:
        if len(c) > lag:
            np.add.at(counts, (c[:-lag], c[lag:]), 1.0)
    return counts


def markov_model(counts: Array):
    """A reversible Markov model of the largest connected set, and its clusters.

    The maximum-likelihood estimate under detailed balance (Prinz et al. 2011).
    """
    from deeptime.markov import TransitionCountModel
    from deeptime.markov.msm import MaximumLikelihoodMSM

    model = TransitionCountModel(counts).submodel_largest(connectivity_threshold=0)
    if model.n_states < 2:
        return None, np.arange(0)
    estimator = MaximumLikelihoodMSM(reversible=True, allow_disconnected=False)
    return estimator.fit(model).fetch_model(), np.asarray(model.state_symbols)


def implied_timescales(counts: Array, lag: float) -> Array:
    """The slowest two, in the unit of `lag`; zero where there is none."""
    timescales = np.zeros(TIMESCALES)
    markov, _ = markov_model(counts)
    if markov is not None:
        times = markov.timescales()[:TIMESCALES] * lag
        timescales[: len(times)] = np.nan_to_num(times, posinf=0.0)
    return timescales


def findings(
    components: Components | None, projected: list[list[Array]] | None, bench: Bench
) -> Findings:
    """Occupancies and, of dynamics, implied timescales and fluxes."""
    names = ("Implied timescales", "State occupancies", "State fluxes")
    if components is None or projected is None:
        return not_available("there are no independent components (see TICA timescales).", *names)
    spacing = bench.pair.reference.spacing or 1.0
    states = find_states(projected[0], max(round(components.lag / spacing), 1))
    if isinstance(states, str):
        return not_available(states, *names)
    assigned = [states.assign(side) for side in projected]
    samples = [float(effective_samples(s).min()) for s in projected]
    occupancies = _occupancies(states, assigned, samples, bench)
    if reason := bench.pair.no_kinetics():
        return occupancies + not_available(reason, names[0], names[2])
    timescales = _timescales(components, states, assigned, samples, bench)
    return timescales + occupancies + _fluxes(states, assigned, samples, bench)


def _timescales(
    components: Components,
    states: States,
    assigned: list[list[Array]],
    samples: list[float],
    bench: Bench,
) -> Findings:
    name = "Implied timescales"
    clusters = len(states.centres)
    sides, noise_floor = [], np.zeros(TIMESCALES)
    for k, (record, side) in enumerate(zip(bench.records, assigned, strict=True)):
        spacing = record.survey.spacing or 1.0
        lag = max(round(components.lag / spacing), 1)
        if sum(max(len(c) - lag, 0) for c in side) < FRAMES_PER_CLUSTER:
            return not_available(f"a side has too few frames {components.lag:g} ps apart.", name)

        def counts(frames: Array, lag: int = lag) -> Array:
            return count_matrix([frames], lag, clusters).ravel()

        def value(means: Array, lag: float = lag * spacing) -> Array:
            flat = means.reshape(-1, clusters, clusters)
            return np.array([implied_timescales(m, lag) for m in flat]).reshape(
                *means.shape[:-1], TIMESCALES
            )

        blocks = from_pairs(side, lag, STRETCHES, counts)
        slow = blocks.split(blocks.each @ np.repeat(states.memberships, clusters, axis=0))
        sides.append(estimate_together(blocks, value, slow, bench.generator, RESAMPLES, samples[k]))
        if k == 0:
            noise_floor = floor(blocks, value)
    extents = _extents(assigned, bench)
    labels = tuple(f"process {k + 1}" for k in range(TIMESCALES))
    return Findings(profiles=(profile(name, labels, sides, extents, noise_floor),))


def _labels(states: int) -> tuple[str, ...]:
    return tuple(f"state {k + 1}" for k in range(states))


def _occupancies(
    states: States, assigned: list[list[Array]], samples: list[float], bench: Bench
) -> Findings:
    macro = np.eye(states.memberships.shape[1])[states.memberships.argmax(axis=1)]
    blocks = [from_series([macro[c][..., None] for c in side]) for side in assigned]
    return _profile("State occupancies", _labels(macro.shape[1]), blocks, assigned, samples, bench)


def _fluxes(
    states: States, assigned: list[list[Array]], samples: list[float], bench: Bench
) -> Findings:
    count = states.memberships.shape[1]
    pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
    blocks = []
    for record, side in zip(bench.records, assigned, strict=True):
        per = PS_PER_NS / (record.survey.spacing or 1.0)
        events = [transitions(core_sequence(c, states.memberships), pairs) for c in side]
        blocks.append(from_series([per * e[..., None] for e in events]))
    labels = tuple(f"{i + 1} → {j + 1}" for i, j in pairs)
    return _profile("State fluxes", labels, blocks, assigned, samples, bench)


def core_sequence(assigned: Array, memberships: Array) -> Array:
    """The metastable state whose core was visited last, per frame; -1 before any."""
    best = memberships.argmax(axis=1)
    core = np.where(memberships.max(axis=1) > CORE, best, -1)[assigned]
    last = np.maximum.accumulate(np.where(core >= 0, np.arange(len(core)), -1))
    return np.where(last >= 0, core[last], -1)


def transitions(sequence: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """``(frames, pairs)``: one where a frame is the first in the pair's second state."""
    previous = np.append(-1, sequence[:-1])
    return np.stack([(previous == i) & (sequence == j) for i, j in pairs], axis=1).astype(float)


def _profile(
    name: str,
    labels: tuple[str, ...],
    blocks: list[Blocks],
    assigned: list[list[Array]],
    samples: list[float],
    bench: Bench,
) -> Findings:
    sides: list[Estimate] = []
    for b, n in zip(blocks, samples, strict=True):
        effective_frames = np.full(len(labels), n)
        sides.append(estimate(b, MEAN, bench.generator, effective_frames))
    extents = _extents(assigned, bench)
    noise_floor = floor(blocks[0], MEAN.value)
    return Findings(profiles=(profile(name, labels, sides, extents, noise_floor),))


def _extents(assigned: list[list[Array]], bench: Bench) -> tuple[Extent, Extent]:
    return bench.extents([sum(map(len, side)) for side in assigned])
