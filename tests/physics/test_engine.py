"""The rollout engine with real quantum chemistry and operators good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from egno_md import api as em
from egno_md.nn.bundle import save_bundle
from egno_md.nn.operator import WindowOperator
from egno_md.spec.files import find_operator

SHIPPED = "egno-8fs-500k"
QUICK = {"equilibration": "0.05 ps", "record.reference_steps": 40, "length": "0.16 ps"}


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as bad as can be."""
    bundle = tmp_path_factory.mktemp("bad") / "bundle"
    torch.manual_seed(1)
    save_bundle(bundle, WindowOperator(WindowOperator.load(find_operator("ethanol", SHIPPED)).card))
    return bundle


def propagate(operator: Path | str, out: Path, protocol: str = "nvt-300k", **changes: object):
    rules = em.protocol("propagate", protocol, {**QUICK, **changes})
    return em.propagate("ethanol", operator, rules, out, seed=3).summary


@pytest.mark.parametrize(
    "judge", [{"kind": "energy"}, {"kind": "energy", "strict": True}], ids=["fallback", "strict"]
)
def test_a_bad_operator_costs_time_but_not_the_molecule(
    random_weights: Path, tmp_path: Path, judge: dict[str, object]
) -> None:
    summary = propagate(random_weights, tmp_path, judge=judge)
    events = summary.events
    assert events["stop"] == 0
    assert events["accept"] == 0
    assert events["fallback"] + events["prefix"] == 20
    assert summary.largest_bond_deviation < 0.05
    assert summary.speed_up < 1


def test_a_bad_operator_under_monitor_stops_with_its_reason(
    random_weights: Path, tmp_path: Path
) -> None:
    summary = propagate(random_weights, tmp_path, correct={"kind": "monitor"})
    assert summary.events["stop"] == 1
    assert summary.stop_reasons[0] != ""


def test_nve_with_energy_control_does_not_drift(tmp_path: Path) -> None:
    summary = propagate(SHIPPED, tmp_path, "nve", temperature="300 K")
    assert summary.events["accept"] == 20
    assert abs(summary.trajectory_drift) < 0.5


def test_velocity_rescaling_runs_and_workers_change_no_bit(tmp_path: Path) -> None:
    thermostat = {"kind": "velocity-rescaling", "relaxation": "0.1 ps"}
    one = propagate(SHIPPED, tmp_path / "1", boundary=thermostat, replicas=2)
    two = propagate(SHIPPED, tmp_path / "2", boundary=thermostat, replicas=2, workers=2)
    assert one.events == two.events
    assert one.temperature_mean == two.temperature_mean
    for key in ("energy_error_mean", "energy_error_std", "largest_bond_deviation"):
        assert getattr(one, key) == getattr(two, key)
