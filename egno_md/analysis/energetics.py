"""Observables of velocities, energies and forces, where they are known."""

from __future__ import annotations

import numpy as np

from egno_md.analysis import thermal
from egno_md.analysis.findings import Findings, not_available, observable, scalar, series
from egno_md.analysis.sides import Pair
from egno_md.analysis.statistics import Chains, judge

PS_PER_NS = 1e3
FEWEST_FRAMES = 4
"""Frames in a chain, two per half, that a slope and its noise floor need."""


def temperature_findings(pair: Pair, generator: np.random.Generator) -> Findings:
    """Temperature, its width, and the temperature of each element."""
    if reason := pair.missing("velocities"):
        return not_available(reason, "Temperature", "Temperature per element")
    kelvin = pair.both(lambda s: thermal.temperatures(s.system, s.chains))
    definition = "2K/(f k_B) without centre-of-mass motion, f the system's degrees of freedom"
    overall = Findings(
        observables=(
            scalar("Temperature", "K", "mean", kelvin, f"{definition}; mean.", generator),
            scalar(
                "Temperature, width",
                "K",
                "width",
                kelvin,
                f"{definition}; standard deviation.",
                generator,
            ),
        ),
        series=(series("Temperature", "K", pair, kelvin),),
    )
    if thermal.has_constraints(pair.reference.system) or thermal.has_constraints(
        pair.rollout.system
    ):
        return overall + not_available(
            "constraints take degrees of freedom from pairs of atoms, not from elements.",
            "Temperature per element",
        )
    reference, rollout = pair.both(lambda s: thermal.element_temperatures(s.system, s.chains))
    return overall + Findings(
        observables=tuple(
            scalar(
                f"Temperature of {element}",
                "K",
                "mean",
                (reference[element], rollout[element]),
                f"2K/(f k_B) of the {element} atoms without centre-of-mass motion, with "
                "f = 3(N - M/M_total) for N atoms of total mass M.",
                generator,
            )
            for element in reference
        )
    )


def energy_findings(pair: Pair, generator: np.random.Generator) -> Findings:
    """Potential and total energy, their widths, and the drift of the total."""
    if reason := pair.missing("potential_energy"):
        return not_available(reason, "Potential energy", "Total energy")
    potential = pair.both(
        lambda s: [np.asarray(c.potential_energy, dtype=np.float64) for c in s.chains]
    )
    found = _energy("Potential energy", pair, potential, generator)
    if reason := pair.missing("velocities"):
        return found + not_available(reason, "Total energy")
    total = pair.both(lambda s: thermal.total_energies(s.system, s.chains))
    return found + _energy("Total energy", pair, total, generator) + _drift(pair, total, generator)


def force_findings(pair: Pair, generator: np.random.Generator) -> Findings:
    """The root-mean-square force."""
    if reason := pair.missing("forces"):
        return not_available(reason, "Force")
    squared = pair.both(
        lambda s: [(np.asarray(c.forces, np.float64) ** 2).sum(-1).mean(-1) for c in s.chains]
    )
    return Findings(
        observables=(
            scalar(
                "Force, root mean square",
                "kJ/mol/nm",
                "root mean",
                squared,
                "Root-mean-square force on an atom, over atoms and frames.",
                generator,
            ),
        )
    )


def _energy(
    name: str, pair: Pair, values: tuple[Chains, Chains], generator: np.random.Generator
) -> Findings:
    spelled = name.lower()
    mean, width = f"Mean {spelled} over frames.", f"Standard deviation of the {spelled}."
    return Findings(
        observables=(
            scalar(name, "kJ/mol", "mean", values, mean, generator),
            scalar(f"{name}, width", "kJ/mol", "width", values, width, generator),
        ),
        series=(series(name, "kJ/mol", pair, values),),
    )


def _drift(pair: Pair, total: tuple[Chains, Chains], generator: np.random.Generator) -> Findings:
    name = "Total energy drift"
    shortest = min(len(c) for side in total for c in side)
    if shortest < FEWEST_FRAMES:
        return not_available(f"a chain has fewer than {FEWEST_FRAMES} frames.", name)
    times = pair.both(lambda s: [c.times / PS_PER_NS for c in s.chains])
    reference, rollout = (thermal.drift(x, t, generator) for x, t in zip(total, times, strict=True))
    found = judge(reference, rollout, _drift_between_halves(total[0], times[0]))
    definition = (
        "Least-squares slope of the total energy over time, one for all chains; its error from a "
        "wild block bootstrap. Under a thermostat this is not conservation, only stationarity."
    )
    return Findings(observables=(observable(name, "kJ/mol/ns", found, definition),))


def _drift_between_halves(chains: Chains, times: Chains) -> float:
    """Slope in the second half of each chain less that in its first, frame-weighted mean."""
    changes = []
    for x, t in zip(chains, times, strict=True):
        half = len(x) // 2
        first, second = np.polyfit(t[:half], x[:half], 1), np.polyfit(t[half:], x[half:], 1)
        changes.append(second[0] - first[0])
    return float(np.average(changes, weights=[len(x) for x in chains]))
