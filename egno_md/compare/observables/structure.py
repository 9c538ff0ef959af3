"""Deviation from the mean structure, fluctuation and extent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, floor, not_available, observable, with_square
from egno_md.compare.record import Probe
from egno_md.compare.statistics import MEAN, WIDTH, Statistic, estimate
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.geometry import internal
from egno_md.geometry.superposition import heavy_atoms, superposed

Array = np.ndarray


def radii_of_gyration(
    system: System, positions: Float[Array, "frames atoms 3"]
) -> Float[Array, " frames"]:
    """√(Σ m |x - x_com|² / Σ m), nm."""
    share = system.masses / system.masses.sum()
    x = np.asarray(positions, dtype=np.float64)
    x = x - np.einsum("a,fax->fx", share, x)[:, None]
    return np.sqrt(np.einsum("a,fax,fax->f", share, x, x))


def fluctuation_features(
    system: System, positions: Float[Array, "frames atoms 3"], target: Float[Array, "atoms 3"]
) -> Float[Array, "frames atoms 4"]:
    """Displacement of each atom from `target` after superposition, and its square.

    The RMSF about the mean position is the `WIDTH` of these.
    """
    displacements = superposed(positions, target, heavy_atoms(system.atomic_numbers)) - target
    return np.concatenate([displacements, (displacements**2).sum(-1, keepdims=True)], axis=-1)


def probes(context: Context) -> list[Probe]:
    """RMSD, fluctuations and radius of gyration."""
    if context.has_images:
        return []
    system, target = context.system, context.target
    heavy = heavy_atoms(system.atomic_numbers)

    def measure(part: Trajectory) -> Mapping[str, Array]:
        features = fluctuation_features(system, part.positions, target)
        return {
            "rmsd": np.sqrt(features[:, heavy, 3].mean(axis=-1)),
            "displacements": features,
            "gyration": radii_of_gyration(system, part.positions),
        }

    keep = {"rmsd": "series", "displacements": "blocks", "gyration": "series"}
    return [Probe(keep, measure, width=16 * system.n_atoms)]  # type: ignore[arg-type]


def findings(context: Context, bench: Bench) -> Findings:
    """RMSD, RMSF and radius of gyration."""
    if reason := bench.pair.no_extent():
        return not_available(
            reason,
            "RMSD to mean structure",
            "RMSF of heavy atoms",
            "RMSF",
            "Radius of gyration",
            "Radius of gyration, width",
        )
    system = context.system
    displacements = bench.sums("displacements")
    labels = internal.labels(system, np.arange(system.n_atoms)[:, None])
    return Findings(
        observables=(
            bench.scalar("RMSD to mean structure", "rmsd", MEAN),
            _heavy_fluctuation(system, bench),
            bench.scalar("Radius of gyration", "gyration", MEAN),
            bench.scalar("Radius of gyration, width", "gyration", WIDTH, with_square),
        ),
        profiles=(bench.profile("RMSF", labels, WIDTH, displacements),),
    )


def _heavy_fluctuation(system: System, bench: Bench):
    """√ of the mean over heavy atoms of the squared fluctuation."""
    heavy = heavy_atoms(system.atomic_numbers)

    def squared(mean: Array) -> Array:
        x = mean.reshape(*mean.shape[:-1], -1, 4)
        return np.maximum(x[..., 3] - (x[..., :3] ** 2).sum(-1), 0.0).mean(-1)

    def influence(mean: Array, each: Array) -> Array:
        m, x = (v.reshape(*v.shape[:-1], -1, 4) for v in (mean, each))
        return (x[..., 3] - 2 * (x[..., :3] * m[..., :3]).sum(-1)).mean(-1)[..., None]

    statistic = Statistic(lambda m: np.sqrt(squared(m)), influence, is_width=True)
    blocks = []
    for b in bench.sums("displacements"):
        chosen = b.sums[:, heavy].reshape(len(b), 1, -1)
        blocks.append(type(b)(b.counts, chosen, b.chain))
    sides = [estimate(b, statistic, bench.generator) for b in blocks]
    extents = bench.extents([len(b) for b in blocks])
    noise_floor = float(floor(blocks[0], statistic.value)[0])
    return observable("RMSF of heavy atoms", sides, extents, noise_floor)
