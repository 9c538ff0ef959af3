"""Independent samples per wall second."""

from __future__ import annotations

import numpy as np

from egno_md.compare.catalogue import entry
from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, not_available
from egno_md.compare.observable import Efficiency
from egno_md.compare.statistics import ENOUGH_SAMPLES, effective_samples, phases
from egno_md.geometry import internal

Array = np.ndarray

NAME = "Independent samples per second"


def efficiency(context: Context, bench: Bench) -> tuple[Efficiency | None, Findings]:
    """Of the observable that is slowest in the reference, of torsions and energy.

    Returns:
        The rates, or None and the reason.
    """
    if reason := bench.pair.no_kinetics():
        return None, not_available(reason, NAME)
    seconds = [r.survey.side.seconds for r in bench.records]
    if seconds == [None, None]:
        reason = "the wall time of neither side is known. Compare folders of ours."
        return None, not_available(reason, NAME)
    candidates = _samples(context, bench)
    if not candidates:
        return None, not_available("neither torsions nor energies on both sides.", NAME)
    slowest = min(candidates, key=lambda n: candidates[n][0])
    samples = candidates[slowest]
    rates = [None if s is None else n / s for n, s in zip(samples, seconds, strict=True)]
    is_known = None not in rates and min(samples) >= ENOUGH_SAMPLES
    ratio = rates[1] / rates[0] if is_known else None  # type: ignore[operator]
    listing = entry(NAME)
    return Efficiency(
        slowest=slowest,
        unit=listing.unit,
        reference=rates[0],
        rollout=rates[1],
        ratio=ratio,
        reference_seconds=seconds[0],
        rollout_seconds=seconds[1],
        reference_samples=samples[0],
        rollout_samples=samples[1],
        definition=listing.definition,
    ), Findings()


def _samples(context: Context, bench: Bench) -> dict[str, tuple[float, float]]:
    samples: dict[str, tuple[float, float]] = {}
    if all("followed" in r.series for r in bench.records):
        labels = internal.labels(context.system, context.torsions[context.followed])
        sides = [
            effective_samples(phases(r.series["followed"])).min(axis=-1) for r in bench.records
        ]
        for k, label in enumerate(labels):
            samples[f"Torsion {label}"] = (float(sides[0][k]), float(sides[1][k]))
    if not bench.pair.missing("potential_energy"):
        energies = [r.series["potential"] for r in bench.records]
        values = [float(effective_samples(c)) for c in energies]
        samples["Potential energy"] = (values[0], values[1])
    return samples
