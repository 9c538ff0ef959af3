"""Observables of the positions."""

from __future__ import annotations

import numpy as np

from egno_md.analysis import distances, internal, structure
from egno_md.analysis.findings import Findings, not_available, profile, scalar
from egno_md.analysis.histograms import compare_histograms
from egno_md.analysis.observable import Profile
from egno_md.analysis.sides import Pair


def structure_findings(pair: Pair, generator: np.random.Generator) -> Findings:
    """RMSD, RMSF and radius of gyration."""
    system = pair.reference.system
    mean = structure.mean_structure(system, pair.reference.chains)
    rmsd = pair.both(lambda s: structure.deviations(system, s.chains, mean))
    squared = pair.both(lambda s: structure.squared_fluctuations(system, s.chains, mean))
    heavy = structure.heavy_atoms(system)
    of_heavy = [[c[:, heavy].mean(axis=1) for c in side] for side in squared]
    radii = pair.both(lambda s: structure.radii_of_gyration(s.system, s.chains))
    gyration = "Mass-weighted root-mean-square distance from the centre of mass"
    return Findings(
        observables=(
            scalar(
                "RMSD to mean structure",
                "nm",
                "mean",
                rmsd,
                "Heavy-atom root-mean-square deviation from the reference's mean structure after "
                "superposition on it; mean over frames.",
                generator,
            ),
            scalar(
                "RMSF of heavy atoms",
                "nm",
                "root mean",
                (of_heavy[0], of_heavy[1]),
                "Root-mean-square fluctuation about each side's own mean positions after "
                "superposition, over heavy atoms and frames.",
                generator,
            ),
            scalar(
                "Radius of gyration",
                "nm",
                "mean",
                radii,
                f"{gyration}; mean over frames.",
                generator,
            ),
            scalar(
                "Radius of gyration, width",
                "nm",
                "width",
                radii,
                f"{gyration}; standard deviation over frames.",
                generator,
            ),
        ),
        profiles=(
            profile(
                "RMSF",
                "nm",
                "root mean",
                squared,
                internal.labels(system, np.arange(system.n_atoms)[:, None]),
                "Root-mean-square fluctuation of each atom about its mean position after "
                "superposition of the heavy atoms.",
                generator,
            ),
        ),
    )


def internal_findings(pair: Pair, generator: np.random.Generator) -> Findings:
    """Bond lengths and angles, each with mean and width."""
    system = pair.reference.system
    if not len(system.bonds):
        reason = "the topology has no bonds. Give a topology file with CONECT records."
        return not_available(reason, "Bond lengths", "Angles")
    bonds = pair.both(lambda s: internal.bond_lengths(system, s.chains))
    names = internal.labels(system, system.bonds)
    profiles = _mean_and_width("Bond length", "nm", bonds, names, generator)
    indices = internal.angle_indices(system)
    if not len(indices):
        return Findings(profiles=profiles) + not_available("no two bonds meet.", "Angles")
    angles = pair.both(lambda s: internal.angle_values(system, indices, s.chains))
    names = internal.labels(system, indices)
    return Findings(
        profiles=profiles + _mean_and_width("Angle", "degree", angles, names, generator)
    )


def torsion_findings(pair: Pair, generator: np.random.Generator) -> Findings:
    """The distribution of every torsion about a rotatable heavy-atom bond."""
    system = pair.reference.system
    indices = internal.torsion_indices(system)
    if not len(indices):
        return not_available("no rotatable bond between heavy atoms.", "Torsions")
    values = pair.both(lambda s: internal.torsion_values(system, indices, s.chains))
    edges = np.linspace(-180.0, 180.0, internal.TORSION_BINS + 1)
    found = []
    for t, name in enumerate(internal.labels(system, indices)):
        reference, rollout = ([c[:, t] for c in side] for side in values)
        found.append(
            compare_histograms(
                f"Torsion {name}",
                "degree",
                edges,
                (internal.torsion_counts(reference), internal.torsion_counts(rollout)),
                (internal.torsion_inefficiency(reference), internal.torsion_inefficiency(rollout)),
                internal.JENSEN_SHANNON,
                generator,
                members=len(indices),
            )
        )
    return Findings(distributions=tuple(found))


def distance_findings(pair: Pair, generator: np.random.Generator) -> Findings:
    """h(r)."""
    counts = pair.both(lambda s: distances.distance_counts(s.chains))
    if not all(sum(c.sum() for c in side) for side in counts):
        return not_available("no two atoms lie within 10 Å.", "h(r)")
    found = compare_histograms(
        "h(r)",
        "Å",
        distances.EDGES,
        counts,
        (distances.distance_inefficiency(counts[0]), distances.distance_inefficiency(counts[1])),
        distances.HR_MAE,
        generator,
    )
    return Findings(distributions=(found,))


def _mean_and_width(
    name: str, unit: str, values: tuple, labels: tuple[str, ...], generator: np.random.Generator
) -> tuple[Profile, Profile]:
    each = f"over frames of each {name.lower()}."
    return (
        profile(f"{name}, mean", unit, "mean", values, labels, f"Mean {each}", generator),
        profile(
            f"{name}, width",
            unit,
            "width",
            values,
            labels,
            f"Standard deviation {each}",
            generator,
        ),
    )
