"""What a rollout comes to: typed, and on disk without what does not apply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.units import SECONDS_PER_DAY, kinetic_energy
from egno_md.propagate.event import EndState, Event, EventKind, MoveRecord, RefinementRecord
from egno_md.propagate.run import TOTAL, Finished
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.summary import (
    Description,
    Drawn,
    Machine,
    RolloutSummary,
    Spread,
    summarise,
)
from egno_md.propagate.totals import Totals
from tests.unit.propagate.springs import make_states
from tests.unit.propagate.test_event import make_check

DYNAMICS = Description(
    policy="fallback", ensemble="NVT", kelvin=300.0, replicas=1, window_ps=0.5, timestep=0.001
)
MACHINE = Machine(reference_platform="Reference", network_device="cpu", atoms="all", caveat="")


def event(kind: EventKind = "accept", **fields: Any) -> Event:
    end = None
    if kind != "stop":
        end = EndState({"all": 310.0, "C": 320.0, "H": 305.0}, 0.01, **fields.pop("end", {}))
    return Event(0, 0, 0.5, kind, "", 0.0, **{"check": None, "end": end, **fields})


def summed(
    system: System,
    *events: Event,
    description: Description = DYNAMICS,
    states: list[ReplicaState] | None = None,
) -> RolloutSummary:
    totals = Totals()
    for each in events:
        totals.take(each)
    states = states or make_states(system, 1)
    finished = Finished(tuple(states), totals, {"network": 0.123456, TOTAL: 2.0})
    return summarise(system, description, finished, [1e-3, 3e-3], MACHINE)


def test_a_rollout_of_dynamics_in_numbers(ethanol: System) -> None:
    found = summed(
        ethanol,
        event(check=make_check(energy_error=1.0)),
        event(check=make_check(energy_error=3.0)),
        event("fallback", check=make_check(energy_error=11.0), end={"excess_friction": {"H": 2.0}}),
        event("stop"),
        states=make_states(ethanol, 1, stop_reason="enough"),
    )
    assert found.events == {
        "accept": 2, "stay": 0, "prefix": 0, "refine": 0, "exact": 0, "fallback": 1, "stop": 1,
    }  # fmt: skip
    assert (found.windows, found.simulated_ps, found.mode) == (3, 1.5, "dynamics")
    assert found.fallback_share == pytest.approx(1 / 3)
    assert (found.stop_reasons, found.stopped) == (["enough"], {"enough": 1})
    assert found.energy_error_mean == 5.0
    assert found.energy_drift == pytest.approx(2.0 / 0.5), "of windows that were kept"
    assert found.temperature_mean == 310.0
    assert found.temperature_by_element == {"C": 320.0, "H": 305.0}
    assert found.excess_friction_by_element == {"H": 2.0}
    assert found.seconds == {"network": 0.1235, TOTAL: 2.0}
    assert found.rollout_ns_per_day == pytest.approx(1.5e-3 / 2 * SECONDS_PER_DAY)
    assert found.reference_ns_per_day == pytest.approx(1e-6 / 2e-3 * SECONDS_PER_DAY)
    assert found.speed_up == pytest.approx(found.rollout_ns_per_day / found.reference_ns_per_day)


def test_what_does_not_apply_is_left_out_and_what_is_left_reads_back(ethanol: System) -> None:
    found = summed(ethanol, event())
    content = found.to_json()
    for name in ("trajectory_drift", "volume_mean", "statement", "draw_steps", "refinement_blocks",
                 "energy_error_mean", "acceptance", "batches", "observed"):  # fmt: skip
        assert getattr(found, name) is None
        assert name not in content
    assert content["caveat"] == ""
    assert None not in content.values()
    assert RolloutSummary.model_validate(content) == found


def test_nve_has_no_target_and_the_drift_of_its_total_energy(ethanol: System) -> None:
    x, v = ethanol.positions, np.ones((9, 3))
    kinetic = float(kinetic_energy(v, ethanol.masses))
    states = [
        replace(
            state, frame=Frame(x, v, 3.0, potential_energy=7.0), energy=kinetic + 1.0, begun=1.0
        )
        for state in make_states(ethanol, 2)
    ]
    nve = replace(DYNAMICS, ensemble="NVE", kelvin=None)
    found = summed(ethanol, event("exact"), description=nve, states=states)
    assert found.trajectory_drift == pytest.approx(3.0)
    assert "temperature_target" not in found.to_json()
    assert RolloutSummary.model_validate(found.to_json()) == found
    assert summed(ethanol, event(), description=nve).trajectory_drift is None


def test_a_box_has_a_volume_a_density_and_accepted_moves(ethanol: System) -> None:
    states = [replace(s, volume_moves=(4, s.index)) for s in make_states(ethanol, 2)]
    found = summed(ethanol, event(end={"volume": 2.0}), event(end={"volume": 4.0}), states=states)
    assert (found.volume_mean, found.volume_std, found.barostat_acceptance) == (3.0, 1.0, 0.125)
    assert found.density_g_per_ml == pytest.approx(46.07 * 1.66054e-3 / 3, rel=1e-3)


def test_refinement_makes_a_sampler_of_dynamics_and_names_residues(ethanol: System) -> None:
    refined = RefinementRecord(4, 0.02, 1.0, {"ALA1": 0.1, "GLY2": 0.3})
    found = summed(ethanol, event("refine", refined=refined, observed={"helix": 0.5}))
    assert found.mode == "sampler"
    assert found.refined_by_residue_nm == {"GLY2": 0.3, "ALA1": 0.1}
    assert list(found.refined_by_residue_nm) == ["GLY2", "ALA1"], "the most moved first"
    assert (found.refinement_blocks, found.refinement_displacement_nm) == (4, 0.02)
    assert found.observed == {"helix": Spread(mean=0.5, std=0.0)}


def test_drawn_windows_say_what_their_time_is(ethanol: System) -> None:
    drawn = replace(
        DYNAMICS,
        statement="its time is not kinetics",
        is_faster_than_md=False,
        drawn=lambda totals: Drawn(corrected=False, windows_drawn=totals.windows_drawn),
    )
    found = summed(ethanol, event("stay", move=MoveRecord(True, False, 8)), description=drawn)
    assert (found.mode, found.windows_drawn, found.speed_up) == ("sampler", 8, None)
    content = found.to_json()
    assert content["corrected"] is False, "which is not the same as nothing said"
    assert "speed_up" not in content
    assert RolloutSummary.model_validate(content) == found


def test_what_it_ran_on_is_known_alone(ethanol: System) -> None:
    assert summed(ethanol, event()).of_machine == MACHINE
