"""Observables of velocities, energies and forces, where they are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from egno_md.compare.blocks import from_series
from egno_md.compare.context import Context
from egno_md.compare.findings import (
    Bench,
    Findings,
    not_available,
    observable,
    with_square,
)
from egno_md.compare.observables import thermal
from egno_md.compare.observables.exact import exact_findings
from egno_md.compare.record import Probe, Record
from egno_md.compare.sides import Survey
from egno_md.compare.statistics import (
    BLOCK_INEFFICIENCIES,
    MEAN,
    MOST_BLOCKS,
    RESAMPLES,
    ROOT_MEAN,
    WIDTH,
    Estimate,
    effective_samples,
    inefficiency,
)
from egno_md.core.state import Trajectory

Array = np.ndarray

PS_PER_NS = 1e3
FEWEST_FRAMES = 4
"""Frames in a chain, two per half, that a slope and its noise floor need."""


def probes(context: Context) -> list[Probe]:
    """Potential energies and forces."""
    width = 24 * context.system.n_atoms
    return [
        Probe(
            {"potential": "series"},
            lambda p: {"potential": np.asarray(p.potential_energy, np.float64)},
            "potential_energy",
        ),
        Probe(
            {"squared force": "series"},
            lambda p: {"squared force": (np.asarray(p.forces, np.float64) ** 2).sum(-1).mean(-1)},
            "forces",
            width=width,
        ),
    ]


def kinetic_probes(survey: Survey) -> list[Probe]:
    """Temperatures and total energies of one side, by its own masses and degrees of freedom."""
    system = survey.side.system
    elements = dict.fromkeys(system.elements)

    def kelvin(part: Trajectory) -> Mapping[str, Array]:
        values_by_name = {"temperature": thermal.temperatures(system, part)}
        for e, values in thermal.element_temperatures(system, part).items():
            values_by_name[f"temperature of {e}"] = values
        return values_by_name

    def total(part: Trajectory) -> Mapping[str, Array]:
        if part.potential_energy is None:
            return {"total": np.full(len(part), np.nan)}
        return {"total": thermal.total_energies(system, part)}

    names = ("temperature", *(f"temperature of {e}" for e in elements))
    width = 24 * system.n_atoms
    return [
        Probe(dict.fromkeys(names, "series"), kelvin, "velocities", width=width),
        Probe({"total": "series"}, total, "velocities", width=width),
    ]


def findings(context: Context, bench: Bench) -> Findings:
    """Temperatures, energies, forces."""
    return _temperatures(context, bench) + _energies(bench) + _forces(bench)


def _temperatures(context: Context, bench: Bench) -> Findings:
    if reason := bench.pair.missing("velocities") or bench.pair.no_temperature():
        return not_available(reason, "Temperature", "Temperature of *", "Exact temperature *")
    results = Findings(
        observables=(bench.scalar("Temperature", "temperature", MEAN),),
        series=(bench.trace("Temperature", "K", "temperature"),),
    )
    systems = [r.survey.side.system for r in bench.records]
    freedoms = [s.internal_freedom for s in systems]
    if freedoms[0] == freedoms[1]:
        width = bench.scalar("Temperature, width", "temperature", WIDTH, with_square)
        results += Findings((width,))
    else:
        reason = (
            f"{freedoms[0]} degrees of freedom fluctuate otherwise than {freedoms[1]}; each side "
            "is held against its own exact width where the thermostat is known."
        )
        results += not_available(reason, "Temperature, width")
    if any(s.has_constraints for s in systems):
        reason = "constraints take degrees of freedom from pairs of atoms, not from elements."
        results += not_available(reason, "Temperature of *")
        elements: list[str] = []
    else:
        elements = list(dict.fromkeys(context.system.elements))
        results += Findings(
            tuple(
                bench.scalar(f"Temperature of {e}", f"temperature of {e}", MEAN) for e in elements
            )
        )
    return results + exact_findings(bench, elements)


def _energies(bench: Bench) -> Findings:
    if reason := bench.pair.missing("potential_energy"):
        return not_available(reason, "Potential energy", "Total energy")
    results = _energy("Potential energy", "potential", bench)
    if reason := bench.pair.missing("velocities") or bench.pair.no_masses():
        return results + not_available(reason, "Total energy")
    return results + _energy("Total energy", "total", bench) + _drift(bench)


def _energy(name: str, quantity: str, bench: Bench) -> Findings:
    return Findings(
        observables=(
            bench.scalar(name, quantity, MEAN),
            bench.scalar(f"{name}, width", quantity, WIDTH, with_square),
        ),
        series=(bench.trace(name, "kJ/mol", quantity),),
    )


def _forces(bench: Bench) -> Findings:
    if reason := bench.pair.missing("forces"):
        return not_available(reason, "Force, root mean square")
    return Findings((bench.scalar("Force, root mean square", "squared force", ROOT_MEAN),))


def _drift(bench: Bench) -> Findings:
    name = "Total energy drift"
    if reason := bench.pair.no_kinetics():
        return not_available(reason, name)
    if min(len(c) for r in bench.records for c in r.series["total"]) < FEWEST_FRAMES:
        return not_available(f"a chain has fewer than {FEWEST_FRAMES} frames.", name)
    times = [_times(r) for r in bench.records]
    sides = [drift(r.series["total"], t, bench.generator)
             for r, t in zip(bench.records, times, strict=True)]  # fmt: skip
    points = [sum(map(len, t)) for t in times]
    extents = bench.extents(points)
    floor = _drift_between_halves(bench.reference.series["total"], times[0])
    return Findings((observable(name, sides, extents, floor),))


def _times(record: Record) -> list[Array]:
    """Ns of each frame within its chain."""
    spacing = record.survey.spacing
    assert spacing is not None
    return [spacing / PS_PER_NS * np.arange(len(c)) for c in record.series["total"]]


def drift(chains: list[Array], times: list[Array], generator: np.random.Generator) -> Estimate:
    """Least-squares slope of a series over time, one slope for all chains.

    Each chain has its own offset. The standard error comes from a wild block
    bootstrap (Shao 2010, J. Am. Stat. Assoc. 105, 218): blocks of the
    residuals are given random signs.

    Args:
        chains: each ``(frames,)``.
        times: of the frames.
        generator: draws the signs.

    Returns:
        Slope in units of the series per unit of the times.
    """
    centred = [(t - t.mean(), x - x.mean()) for t, x in zip(times, chains, strict=True)]
    spread = max(sum(float(t @ t) for t, _ in centred), np.finfo(float).tiny)
    slope = sum(float(t @ x) for t, x in centred) / spread
    residuals = [x - slope * t for t, x in centred]
    g = float(inefficiency(residuals))
    frames = sum(map(len, residuals))
    limit = max(int(frames / max(BLOCK_INEFFICIENCIES * g, frames / MOST_BLOCKS)), 1)
    pieces = from_series([t * r for (t, _), r in zip(centred, residuals, strict=True)], limit).sums
    signs = generator.choice([-1.0, 1.0], size=(RESAMPLES, len(pieces)))
    error = float(np.std(signs @ pieces / spread))
    return Estimate(
        np.array([slope]),
        np.array([error if len(pieces) > 1 else np.nan]),
        np.array([float(len(pieces))]),
        np.array([float(effective_samples(residuals, g))]),
    )


def _drift_between_halves(chains: list[Array], times: list[Array]) -> float:
    """Slope in the second half of each chain less that in its first, frame-weighted mean."""
    changes = []
    for x, t in zip(chains, times, strict=True):
        half = len(x) // 2
        first, second = np.polyfit(t[:half], x[:half], 1), np.polyfit(t[half:], x[half:], 1)
        changes.append(second[0] - first[0])
    return float(np.average(changes, weights=[len(x) for x in chains]))
