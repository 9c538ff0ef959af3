from __future__ import annotations

from egno_md.propagate.event import Event, RefinementRecord
from egno_md.propagate.protein_lines import cost_lines, protein_lines, protein_values
from egno_md.propagate.summary import RolloutSummary
from tests.unit.report.conftest import rollout_summary

OBSERVED: dict[str, dict[str, float]] = {
    "radius_of_gyration": {"mean": 1.95, "std": 0.01},
    "ca_rmsd.open": {"mean": 0.12, "std": 0.02},
    "ca_rmsd.closed": {"mean": 0.7, "std": 0.01},
    "helix": {"mean": 0.5, "std": 0.01},
    "strand": {"mean": 0.2, "std": 0.01},
    "coil": {"mean": 0.3, "std": 0.01},
    "potential_energy": {"mean": -36_000.0, "std": 80.0},
}


def summary_of(**changes: object) -> RolloutSummary:
    return RolloutSummary.model_validate(rollout_summary(**changes))


def event(shift: float) -> Event:
    observed = {name: v["mean"] + shift for name, v in OBSERVED.items()}
    refined = RefinementRecord(1, 0.03, 5.0, {"MET1": 0.08 + shift, "GLY2": 0.06})
    return Event(0, 3, 4.0, "refine", "every window", 5.0, None, refined, observed)


def test_progress_tells_of_the_last_window_of_every_replica() -> None:
    values = protein_values([event(0.0), event(0.02)])
    assert values["CA RMSD to open"] == "1.30 Å"
    assert values["CA RMSD to closed"] == "7.10 Å"
    assert values["radius of gyration"] == "19.60 Å"
    assert values["fold"] == "helix 51%, strand 21%, coil 31%"
    assert values["residues refined by > 0.5 Å"] == "4"
    assert values["refined most"].startswith("MET1 1.0 Å")


def test_progress_says_nothing_of_what_is_no_protein() -> None:
    assert protein_values([]) == {}
    assert protein_values([Event(0, 0, 0.1, "accept", "", 0.0, None)]) == {}


def test_the_end_tells_states_extent_fold_energy_and_refined_residues() -> None:
    summary = summary_of(
        observed=OBSERVED,
        refined_by_residue_nm={"LYS9": 0.09, "MET1": 0.07},
        refinement_displacement_nm=0.031,
    )
    seen, refined = protein_lines(summary)
    assert "1.20 ± 0.20 Å to open, 7.00 ± 0.10 Å to closed" in seen
    assert "radius of gyration 19.50 ± 0.10 Å" in seen
    assert "helix 50%, strand 20%" in seen
    assert "-36,000 ± 80 kJ/mol" in seen
    assert "0.31 Å" in refined
    assert "LYS9 0.9 Å, MET1 0.7 Å" in refined
    assert protein_lines(summary_of()) == []


def test_a_refined_window_s_cost_is_split_and_weighed_against_md() -> None:
    spent = {"network": 0.8, "lift": 0.04, "refinement": 16.0, "checks": 1.0, "total": 20.0}
    summary = summary_of(
        windows=4, window_ps=1.0, speed_up=0.5, seconds=spent,
        events={"refine": 4}, fallback_share=0.0,
    )  # fmt: skip
    cost, even = cost_lines(summary)
    assert cost.startswith("A window costs 5 s: network 0.2 s, lift 0.01 s, refinement 4 s")
    assert cost.endswith("other 0.54 s")
    assert "time of 2 ps of MD" in even
    assert cost_lines(summary_of(events={"accept": 4})) == []
