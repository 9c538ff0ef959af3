"""What a rollout comes to, in numbers: `summary.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from egno_md.core.system import System
from egno_md.core.units import SECONDS_PER_DAY, kinetic_energy
from egno_md.propagate.event import KINDS
from egno_md.propagate.run import TOTAL, Finished
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.totals import Moments, Totals

GRAM_PER_ML = 1.66053906660e-3
"""1 Da/nm³ in g/ml."""


class Spread(BaseModel):
    """Mean and standard deviation of what was observed.

    Attributes:
        mean: over windows' ends.
        std: likewise.
    """

    model_config = ConfigDict(frozen=True)

    mean: float | None = None
    std: float | None = None


class Drawn(BaseModel):
    """What is said of a rollout whose windows were drawn; nothing of dynamics.

    Attributes:
        statement: what its distribution and its time are.
        corrected: `metropolis`, or False of a distribution that is the model's.
        refine_every: windows between two refined ends; 0 for never.
        draw_steps: of the flow.
        draw_solver: likewise.
        redraws: draws that did not hold.
        refinement_shift_nm: mean move of atoms by a refinement.
        acceptance: share of Metropolis moves that were made.
        moves_weighed: share of them for which the way back was drawn.
        windows_drawn: for Metropolis moves.
        correction: settings of the Metropolis moves.
    """

    model_config = ConfigDict(frozen=True)

    statement: str | None = None
    corrected: Literal["metropolis", False] | None = None
    refine_every: int | None = None
    draw_steps: int | None = None
    draw_solver: str | None = None
    redraws: int | None = None
    refinement_shift_nm: float | None = None
    acceptance: float | None = None
    moves_weighed: float | None = None
    windows_drawn: int | None = None
    correction: dict[str, Any] | None = None


class Machine(BaseModel):
    """What a rollout ran on, and with what.

    Attributes:
        reference_platform: OpenMM's.
        network_device: torch's; None without a network.
        network_threads: torch's.
        atoms: which atoms the operator sees; None without one.
        caveat: what such windows cannot give; empty where there is nothing to say, None without
            an operator of dynamics.
    """

    model_config = ConfigDict(frozen=True)

    reference_platform: str | None = None
    network_device: str | None = None
    network_threads: int | None = None
    atoms: str | None = None
    caveat: str | None = None


class RolloutSummary(Machine, Drawn):
    """The content of `summary.json`.

    Attributes:
        system: that moved.
        potential: that judged it.
        policy: how windows were judged and corrected, in a word.
        ensemble: NVE, NVT or NPT.
        mode: `dynamics`, or `sampler` where its time is not true time.
        replicas: copies.
        windows: settled, over all replicas.
        window_ps: what a window counts for.
        simulated_ps: over all replicas.
        temperature_target: K; None in NVE.
        temperature_mean: K.
        temperature_by_element: K.
        volume_mean: nm³, of a periodic system.
        volume_std: nm³.
        density_g_per_ml: of a periodic system.
        barostat_acceptance: share of volume moves that were accepted.
        excess_friction_by_element: mean, 1/ps.
        stop_reasons: per replica; empty where it did not stop.
        stopped: how often each reason.
        events: windows per kind.
        fallback_share: of windows.
        energy_error_mean: of checked windows, kJ/mol.
        energy_error_std: likewise.
        energy_drift: energy that errors of kept windows put in, kJ/mol/ps of such windows.
        trajectory_drift: of the total energy in NVE, kJ/mol/ps.
        largest_bond_deviation: nm.
        seconds: wall time per clock, and `total`.
        rollout_ns_per_day: net of every check and repair.
        reference_ns_per_day: of MD, timed before and after in the same run.
        speed_up: their ratio; None where the time is MD's own.
        observed: by observers at windows' ends.
        refined_by_residue_nm: mean move of each residue's atoms by refinements.
        refinement_blocks: mean of minimisation blocks.
        refinement_displacement_nm: mean move of all atoms.
        batches: size and number of batches.
        wall_seconds: of all batches together.
    """

    model_config = ConfigDict(frozen=True)

    system: str
    potential: str
    policy: str
    ensemble: str
    mode: Literal["dynamics", "sampler"]
    replicas: int
    windows: int
    window_ps: float
    simulated_ps: float
    temperature_target: float | None = None
    temperature_mean: float | None = None
    temperature_by_element: dict[str, float]
    volume_mean: float | None = None
    volume_std: float | None = None
    density_g_per_ml: float | None = None
    barostat_acceptance: float | None = None
    excess_friction_by_element: dict[str, float]
    stop_reasons: list[str]
    stopped: dict[str, int]
    events: dict[str, int]
    fallback_share: float
    energy_error_mean: float | None = None
    energy_error_std: float | None = None
    energy_drift: float | None = None
    trajectory_drift: float | None = None
    largest_bond_deviation: float
    seconds: dict[str, float]
    rollout_ns_per_day: float
    reference_ns_per_day: float
    speed_up: float | None = None
    observed: dict[str, Spread] | None = None
    refined_by_residue_nm: dict[str, float | None] | None = None
    refinement_blocks: float | None = None
    refinement_displacement_nm: float | None = None
    batches: dict[str, int] | None = None
    wall_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As `summary.json` has it: without what does not apply."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def of_machine(self) -> Machine:
        """What it ran on, alone."""
        return Machine.model_validate({name: getattr(self, name) for name in Machine.model_fields})


@dataclass(frozen=True)
class Description:
    """What is known of a rollout before it runs.

    Attributes:
        policy: how windows are judged and corrected, in a word.
        ensemble: NVE, NVT or NPT.
        kelvin: target temperature; None in NVE.
        replicas: copies.
        window_ps: what a window counts for.
        timestep: of MD, ps.
        statement: what a rollout says whose windows are drawn; empty of dynamics.
        is_faster_than_md: whether its time may be set against MD's.
        drawn: what is said of drawn windows besides.
    """

    policy: str
    ensemble: Literal["NVE", "NVT", "NPT"]
    kelvin: float | None
    replicas: int
    window_ps: float
    timestep: float
    statement: str = ""
    is_faster_than_md: bool = True
    drawn: Callable[[Totals], Drawn] = lambda _: Drawn()


def summarise(
    system: System,
    description: Description,
    finished: Finished,
    seconds_per_step: Sequence[float],
    machine: Machine,
) -> RolloutSummary:
    """A finished rollout in numbers.

    Args:
        system: that moved.
        description: what was run.
        finished: where it ended.
        seconds_per_step: of reference MD, measured before and after.
        machine: what it ran on.
    """
    totals, states, length = finished.totals, finished.states, description.window_ps
    events = {kind: totals.events.get(kind, 0) for kind in KINDS}
    settled = sum(events.values()) - events["stop"]
    simulated = settled * length
    step = float(np.median(seconds_per_step))
    reference_rate = description.timestep * 1e-3 / step * SECONDS_PER_DAY
    rate = simulated * 1e-3 / finished.seconds[TOTAL] * SECONDS_PER_DAY
    is_nve = description.kelvin is None
    residues = {name: rounded(m.mean) for name, m in totals.refined.items()}
    return RolloutSummary(
        system=system.name,
        potential=system.potential,
        policy=description.policy,
        ensemble=description.ensemble,
        # refinement draws new velocities: from then on it samples, it does not evolve
        mode="sampler" if description.statement or events["refine"] else "dynamics",
        replicas=description.replicas,
        windows=settled,
        window_ps=length,
        simulated_ps=round(simulated, 9),
        temperature_target=description.kelvin,
        temperature_mean=rounded(totals.temperature.mean),
        temperature_by_element=_by_element(totals.temperature_by_element, system, 2),
        **_volume(system, totals, states),
        excess_friction_by_element=_by_element(totals.excess_friction, system, 4),
        stop_reasons=[s.stop_reason for s in states],
        stopped=dict(Counter(s.stop_reason for s in states if s.stop_reason)),
        events=events,
        fallback_share=events["fallback"] / max(settled, 1),
        energy_error_mean=rounded(totals.energy_error.mean),
        energy_error_std=rounded(totals.energy_error.deviation),
        energy_drift=_drift(totals, length),
        trajectory_drift=_trajectory_drift(states, system, settled) if is_nve else None,
        largest_bond_deviation=totals.largest_bond_deviation,
        seconds={name: round(value, 4) for name, value in finished.seconds.items()},
        rollout_ns_per_day=rate,
        reference_ns_per_day=reference_rate,
        speed_up=rate / reference_rate if description.is_faster_than_md else None,
        **vars(machine),
        **vars(description.drawn(totals)),
        observed={
            name: Spread(mean=rounded(m.mean), std=rounded(m.deviation))
            for name, m in totals.observed.items()
        }
        or None,
        refined_by_residue_nm=dict(sorted(residues.items(), key=lambda i: -(i[1] or 0.0))) or None,
        refinement_blocks=rounded(totals.refinement_blocks.mean),
        refinement_displacement_nm=rounded(totals.refinement_displacement.mean),
    )


def _volume(
    system: System, totals: Totals, states: Sequence[ReplicaState]
) -> dict[str, float | None]:
    """Mean volume and density of a periodic system, and how often its volume changed."""
    volume = totals.volume.mean
    if volume is None:
        return {}
    tried, accepted = (sum(s.volume_moves[n] for s in states) for n in (0, 1))
    return {
        "volume_mean": rounded(volume),
        "volume_std": rounded(totals.volume.deviation),
        "density_g_per_ml": rounded(float(system.masses.sum()) * GRAM_PER_ML / volume),
        "barostat_acceptance": rounded(accepted / tried) if tried else None,
    }


def _drift(totals: Totals, window_length: float) -> float | None:
    """Energy that errors of windows kept whole put in, kJ/mol per ps of such windows."""
    mean = totals.kept_energy_error.mean
    return None if mean is None else rounded(mean / window_length)


def _trajectory_drift(states: Sequence[ReplicaState], system: System, settled: int) -> float | None:
    """Change of the replicas' total energy from their first frame to their last, kJ/mol/ps."""
    slopes = []
    for state in states:
        frame = state.frame
        if settled and state.energy is not None and frame.potential_energy is not None:
            total = float(kinetic_energy(frame.velocities, system.masses)) + frame.potential_energy
            slopes.append((total - state.energy) / max(frame.time - state.begun, 1e-12))
    return rounded(float(np.mean(slopes))) if slopes else None


def _by_element(moments: Mapping[str, Moments], system: System, digits: int) -> dict[str, float]:
    means = {e: moments[e].mean for e in dict.fromkeys(system.elements) if e in moments}
    return {e: round(mean, digits) for e, mean in means.items() if mean is not None}


def rounded(value: float | None, digits: int = 6) -> float | None:
    """To so many significant digits."""
    return None if value is None else float(f"{value:.{digits}g}")
