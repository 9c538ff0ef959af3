"""Every observable of a reference and a rollout of one system."""

from __future__ import annotations

import numpy as np

from egno_md.analysis.energetics import energy_findings, force_findings, temperature_findings
from egno_md.analysis.findings import Findings
from egno_md.analysis.geometry import (
    distance_findings,
    internal_findings,
    structure_findings,
    torsion_findings,
)
from egno_md.analysis.observable import NOT_ENOUGH_DATA, Comparison
from egno_md.analysis.sides import Pair, Side, check_same_atoms

GROUPS = (
    structure_findings,
    distance_findings,
    internal_findings,
    torsion_findings,
    temperature_findings,
    energy_findings,
    force_findings,
)


def compare(reference: Side, rollout: Side, *, label: str = "rollout", seed: int = 0) -> Comparison:
    """Hold a rollout against a reference.

    What cannot be computed from what the two sides hold is listed with the
    reason instead. Scalar verdicts are not corrected for the number of scalar
    observables: about one in twenty differs by chance alone.

    Args:
        reference: the dynamics to reproduce.
        rollout: what claims to; the same atoms in the same order.
        label: how tables and figures call the rollout.
        seed: of the bootstrap; each group of observables has its own stream.

    Raises:
        DataError: different atoms, no frames, or positions that are not finite.
    """
    reference.check("the reference")
    rollout.check(label)
    check_same_atoms(reference.system, rollout.system, "the reference", label)
    pair = Pair(reference, rollout)
    streams = np.random.default_rng(seed).spawn(len(GROUPS))
    parts = [group(pair, s) for group, s in zip(GROUPS, streams, strict=True)]
    found = sum(parts, Findings())
    return Comparison(
        label=label,
        system=reference.system.name,
        reference_sampling=reference.sampling,
        rollout_sampling=rollout.sampling,
        observables=found.observables,
        profiles=found.profiles,
        distributions=found.distributions,
        series=found.series,
        unavailable=found.unavailable,
        notes=_notes(found),
    )


def _notes(found: Findings) -> tuple[str, ...]:
    torsions = [d for d in found.distributions if d.name.startswith("Torsion")]
    slow = [d for d in torsions if d.verdict == NOT_ENOUGH_DATA]
    if not slow:
        return ()
    return (
        f"{len(slow)} of {len(torsions)} torsions moved too rarely to be judged. Mean angles, bond "
        "lengths and energies depend on the basins visited, so that some differences below may "
        "be differences of sampling, not of dynamics. Compare longer trajectories to tell.",
    )
