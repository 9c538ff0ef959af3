"""What a rollout comes to, in numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from egno_md.core.system import System
from egno_md.core.units import SECONDS_PER_DAY, kinetic_energy
from egno_md.propagate.events import KINDS, Tally
from egno_md.propagate.loop import Replica
from egno_md.propagate.protein_lines import protein_values
from egno_md.spec.propagate import NoThermostat, PropagateProtocol

GRAM_PER_ML = 1.66053906660e-3
"""1 Da/nm³ in g/ml."""


def summarise(
    system: System,
    protocol: PropagateProtocol,
    window_length: float,
    replicas: list[Replica],
    tally: Tally,
    total: float,
    seconds_per_step: list[float],
    machine: dict[str, Any],
) -> dict[str, Any]:
    """The content of `summary.json`.

    Args:
        system: that moved.
        protocol: that was run.
        window_length: ΔT, ps.
        replicas: where they ended.
        tally: counts and clocks.
        total: wall seconds of the rollout, every check and repair included.
        seconds_per_step: of reference MD, measured before and after.
        machine: platform, device and threads, for the record.
    """
    events = {kind: tally.events.get(kind, 0) for kind in KINDS}
    settled = sum(events.values()) - events["stop"]
    simulated = settled * window_length
    step = float(np.median(seconds_per_step))
    reference_rate = protocol.timestep * 1e-3 / step * SECONDS_PER_DAY
    rate = simulated * 1e-3 / total * SECONDS_PER_DAY
    is_nvt = not isinstance(protocol.thermostat, NoThermostat)
    stops = [r.stop_reason for r in replicas]
    return {
        "system": system.name,
        "potential": system.potential,
        "policy": protocol.policy,
        "ensemble": _ensemble(protocol),
        # refinement draws new velocities: from then on it samples, it does not evolve
        "mode": "sampler" if events["refine"] else "dynamics",
        "replicas": protocol.replicas,
        "windows": settled,
        "window_ps": window_length,
        "simulated_ps": round(simulated, 9),
        "temperature_target": protocol.temperature if is_nvt else None,
        "temperature_mean": _rounded(tally.mean("temperature")),
        "temperature_by_element": _by_element(tally, system, "temperature", 2),
        **_volume(system, tally),
        "excess_friction_by_element": _by_element(tally, system, "excess_friction", 4),
        "stop_reasons": stops,
        "stopped": dict(Counter(reason for reason in stops if reason)),
        "events": events,
        "fallback_share": events["fallback"] / max(settled, 1),
        "energy_error_mean": _rounded(tally.mean("energy_error")),
        "energy_error_std": _rounded(tally.deviation("energy_error")),
        "energy_drift": _drift(tally, window_length),
        "trajectory_drift": None if is_nvt else _trajectory_drift(replicas, system, settled),
        "largest_bond_deviation": tally.largest_bond_deviation,
        "seconds": {k: round(v, 4) for k, v in tally.seconds.items()} | {"total": round(total, 4)},
        "rollout_ns_per_day": rate,
        "reference_ns_per_day": reference_rate,
        "speed_up": rate / reference_rate,
        **machine,
    }


def _ensemble(protocol: PropagateProtocol) -> str:
    if isinstance(protocol.thermostat, NoThermostat):
        return "NVE"
    return "NVT" if protocol.pressure is None else "NPT"


def _volume(system: System, tally: Tally) -> dict[str, float | None]:
    """Mean volume and density of a periodic system, and how often its volume changed."""
    volume = tally.mean("volume")
    if volume is None:
        return {}
    return {
        "volume_mean": _rounded(volume),
        "volume_std": _rounded(tally.deviation("volume")),
        "density_g_per_ml": _rounded(float(system.masses.sum()) * GRAM_PER_ML / volume),
        "barostat_acceptance": _rounded(tally.mean("barostat_accepted")),
    }


def _drift(tally: Tally, window_length: float) -> float | None:
    """Energy that errors of windows kept whole put in, kJ/mol per ps of such windows."""
    kept = tally.moments.get("kept_energy_error")
    return None if kept is None else _rounded(kept[1] / (kept[0] * window_length))


def _trajectory_drift(replicas: list[Replica], system: System, settled: int) -> float | None:
    """Change of the replicas' total energy from their first frame to their last, kJ/mol/ps."""
    slopes = []
    for replica in replicas:
        frame = replica.frame
        if settled and replica.energy is not None and frame.potential_energy is not None:
            has = float(kinetic_energy(frame.velocities, system.masses)) + frame.potential_energy
            slopes.append((has - replica.energy) / max(frame.time - replica.begun, 1e-12))
    return _rounded(float(np.mean(slopes))) if slopes else None


def _by_element(tally: Tally, system: System, name: str, digits: int) -> dict[str, float]:
    means = {e: tally.mean(f"{name}.{e}") for e in dict.fromkeys(system.elements)}
    return {e: round(mean, digits) for e, mean in means.items() if mean is not None}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def progress_values(tally: Tally, replicas: list[Replica]) -> dict[str, str]:
    """Means so far, in words, for a panel of progress."""
    values = {}
    means = (
        ("temperature", "temperature", "K", ".0f"),
        ("energy error", "energy_error", "kJ/mol a window", "+.2g"),
    )
    for title, quantity, unit, form in means:
        if (mean := tally.mean(quantity)) is not None:
            values[title] = f"{mean:{form}} {unit}"
    energies = [e for r in replicas if (e := r.frame.potential_energy) is not None]
    if energies:
        values["potential energy"] = f"{sum(energies) / len(energies):.2f} kJ/mol"
    values |= protein_values([r.told for r in replicas if r.told is not None])
    return values | {kind: f"{tally.events[kind]:,}" for kind in KINDS if tally.events[kind]}
