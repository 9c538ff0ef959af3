"""Bonds, angles and torsions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from egno_md.compare.blocks import Blocks
from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, not_available
from egno_md.compare.histograms import FREE_ENERGY, JENSEN_SHANNON, compare_histograms
from egno_md.compare.observable import Profile
from egno_md.compare.record import Probe, Record
from egno_md.compare.statistics import MEAN, WIDTH, effective_samples, phases
from egno_md.core.state import Trajectory
from egno_md.geometry import internal
from egno_md.geometry.torsions import torsion_angles

Array = np.ndarray

TORSION_BINS = 36
EDGES = np.linspace(-180.0, 180.0, TORSION_BINS + 1)


def probes(context: Context) -> list[Probe]:
    """Bond lengths, angles, torsions."""
    system = context.system
    measurements = []
    if len(system.bonds):

        def bonds(part: Trajectory) -> Mapping[str, Array]:
            lengths = internal.bond_lengths(system, part.positions).astype(np.float64)
            return {
                "bonds": moments(lengths),
                "bond deviation": np.abs(lengths - context.equilibrium).max(axis=1),
            }

        keep = {"bonds": "blocks", "bond deviation": "series"}
        measurements.append(Probe(keep, bonds, width=8 * len(system.bonds)))  # type: ignore[arg-type]
    if len(context.angles):
        measurements.append(
            Probe(
                {"angles": "blocks"},
                lambda p: {
                    "angles": moments(internal.angle_values(system, context.angles, p.positions))
                },
                width=8 * len(context.angles),
            )
        )
    if len(context.torsions):

        def torsions(part: Trajectory) -> Mapping[str, Array]:
            radians = torsion_angles(part.positions, context.torsions)
            followed = radians[:, context.followed].astype(np.float32)
            return {"torsions": torsion_counts(radians), "followed": followed}

        keep = {"torsions": "blocks", "followed": "series"}
        width = 2 * TORSION_BINS * len(context.torsions)
        measurements.append(Probe(keep, torsions, width=width))  # type: ignore[arg-type]
    return measurements


def moments(values: Array) -> Array:
    """``(frames, members, 2)``: values and their squares."""
    x = np.asarray(values, np.float64)
    return np.stack([x, x**2], axis=-1)


def torsion_counts(radians: Array) -> Array:
    """One-hot histograms ``(frames, torsions, bins)``."""
    bins = np.floor((radians / np.pi + 1.0) / 2 * TORSION_BINS).astype(int) % TORSION_BINS
    return np.eye(TORSION_BINS, dtype=np.float32)[bins]


def findings(context: Context, bench: Bench) -> Findings:
    """Means and widths of bonds and angles, distributions and free energies of torsions."""
    system = context.system
    if not len(system.bonds):
        reason = "the topology has no bonds. Give a topology file with CONECT records."
        return not_available(
            reason, "Bond length, mean", "Angle, mean", "Torsion *", "Free energy along *"
        )
    results = Findings(profiles=_mean_and_width(context, bench, "Bond length", "bonds"))
    if len(context.angles):
        results += Findings(profiles=_mean_and_width(context, bench, "Angle", "angles"))
    else:
        results += not_available("no two bonds meet.", "Angle, mean")
    if not len(context.torsions):
        reason = "no rotatable bond between heavy atoms."
        return results + not_available(reason, "Torsion *", "Free energy along *")
    return results + _torsions(context, bench)


def _mean_and_width(
    context: Context, bench: Bench, name: str, quantity: str
) -> tuple[Profile, Profile]:
    indices = context.system.bonds if quantity == "bonds" else context.angles
    labels = internal.labels(context.system, indices)
    reference, rollout = bench.sums(quantity)
    first = (_first(reference), _first(rollout))
    return (
        bench.profile(f"{name}, mean", labels, MEAN, first),
        bench.profile(f"{name}, width", labels, WIDTH, (reference, rollout)),
    )


def _first(blocks: Blocks) -> Blocks:
    return Blocks(blocks.counts, blocks.sums[..., :1], blocks.chain)


def _torsions(context: Context, bench: Bench) -> Findings:
    centres = np.radians((EDGES[1:] + EDGES[:-1]) / 2)
    slow = np.stack([np.cos(centres), np.sin(centres)], axis=1)
    samples = [_followed_samples(r) for r in bench.records]
    distributions, energies = [], []
    for t, label in enumerate(internal.labels(context.system, context.torsions)):
        blocks = [Blocks(b.counts, b.sums[:, t], b.chain) for b in bench.sums("torsions")]
        place = np.searchsorted(context.followed, t)
        effective_frames = None
        if place < len(context.followed) and context.followed[place] == t:
            effective_frames = (float(samples[0][place]), float(samples[1][place]))
        both = (blocks[0], blocks[1])
        one = compare_histograms(
            f"Torsion {label}", EDGES, both, slow, JENSEN_SHANNON, bench, effective_frames
        )
        distributions.append(one)
        if effective_frames is not None:
            name = f"Free energy along {label}"
            energies.append(
                compare_histograms(name, EDGES, both, slow, FREE_ENERGY, bench, effective_frames)
            )
    return Findings(distributions=(*distributions, *energies))


def _followed_samples(record: Record) -> Array:
    """Effective frames of each followed torsion, from its sine and cosine."""
    followed = record.series["followed"]
    samples = [_samples([c[:, t] for c in followed]) for t in range(followed[0].shape[1])]
    return np.array(samples)


def _samples(angles: Sequence[Array]) -> float:
    return float(effective_samples(phases(angles)).min())
