from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

PROVENANCE = {
    "versions": {"egno-md": "0.1.0", "openmm": "8.6.1"},
    "python": "3.11",
    "machine": "x86_64, 2 cores",
    "system": "Linux",
}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_run(folder: Path, verb: str, **extra: object) -> None:
    record = {
        "verb": verb, "status": "complete", "fingerprint": "0", "request": {"seed": 3},
        "provenance": PROVENANCE, "started": "2026-01-01", "finished": "2026-01-02", **extra,
    }  # fmt: skip
    write(folder / "run.json", record)


def write_png(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Figure(figsize=(0.5, 0.5)).savefig(path)


def rollout_summary(**changes: object) -> dict:
    return {
        "system": "ethanol", "potential": "gfn2-xtb", "policy": "fallback", "ensemble": "NVT", "mode": "dynamics",
        "replicas": 1, "windows": 4, "window_ps": 0.008, "simulated_ps": 0.032,
        "temperature_target": 500.0, "temperature_mean": 512.3,
        "temperature_by_element": {"H": 520.0, "C": 495.0}, "stop_reasons": [""],
        "stopped": {}, "excess_friction_by_element": {},
        "events": {"accept": 2, "prefix": 0, "refine": 1, "fallback": 1, "stop": 0},
        "fallback_share": 0.25, "energy_error_mean": 0.02, "energy_error_std": 3.6,
        "largest_bond_deviation": 0.022,
        "seconds": {"network": 1.0, "checks": 0.1, "refinement": 0.0, "fallback": 0.4,
                    "thermostat": 0.01, "output": 0.01, "total": 1.6},
        "rollout_ns_per_day": 30.0, "reference_ns_per_day": 5.0, "speed_up": 6.0, **changes,
    }  # fmt: skip


def event(window: int, kind: str, energy: float | None) -> dict:
    return {
        "replica": 0, "window": window, "time": 0.008 * (window + 1), "kind": kind,
        "reason": "", "seconds": 0.01, "energy_error": energy, "max_force": None,
        "bond_deviation": None, "temperature": None, "temperature_by_element": {},
    }  # fmt: skip


@pytest.fixture
def folders(tmp_path) -> dict[str, Path]:
    """One small folder per verb, and a rollout without checks."""
    found = {
        name: tmp_path / name
        for name in ("reference", "operator", "evaluation", "checked", "unchecked", "comparison")
    }
    write_run(found["reference"], "generate", ns_per_day=5.0)
    shards = [{"file": "a.h5", "chain": "0", "frames": 7, "start": 0, "stop": 1}]
    write(found["reference"] / "manifest.json", {"system": "ethanol", "shards": shards})
    write_run(found["operator"], "train", command=["egno-md", "train", "my data"])
    write(
        found["operator"] / "summary.json",
        {"system": "ethanol", "parameters": 221928, "steps": 9, "seconds": 45.0,
         "validation": {"f_mse": 2.7e-4}},
    )  # fmt: skip
    (found["operator"] / "metrics.csv").write_text("step,loss\n9,0.1\n")
    write_png(found["operator"] / "loss.png")
    write(found["operator"] / "bundle" / "card.json", {"system": "ethanol", "mode": "dynamics"})
    write_run(found["evaluation"], "evaluate")
    errors = {"operator": 0.002, "persistence": 0.1, "ballistic": 0.12, "half_a_tau_squared": None}
    write(
        found["evaluation"] / "evaluation.json",
        {"system": "ethanol", "windows": 30, "f_mse": 2e-4, "a_mse": 1e-4,
         "by_time": [{"time": 0.008, "position_rmse": errors, "velocity_error": errors}],
         "equivariance": {"rotation": 1e-6}, "zero_shot": {}},
    )  # fmt: skip
    write_png(found["evaluation"] / "figures" / "errors.png")
    for name in ("checked", "unchecked"):
        write_run(found[name], "propagate")
        write(found[name] / "summary.json", rollout_summary())
        kinds = ("accept", "accept", "refine", "fallback")
        lines = [json.dumps(event(i, k, 0.1 * i)) for i, k in enumerate(kinds)]
        (found[name] / "events.jsonl").write_text("\n".join(lines) + '\n{"half')
    write_run(found["comparison"], "compare")
    write(found["comparison"] / "comparison.json", comparison())
    write_png(found["comparison"] / "figures" / "distances.png")
    return found


def comparison() -> dict:
    sampling = {"frames": 9, "chains": 1, "picoseconds": 1.0}
    scalar = {
        "name": "Temperature", "unit": "K", "reference": 300.0, "rollout": 400.0,
        "difference": 100.0, "interval": [90.0, 110.0], "noise_floor": 1.0,
        "verdict": "different", "definition": "2K/(f k_B)",
    }  # fmt: skip
    profile = {
        "name": "RMSF", "unit": "nm", "labels": ["C1"], "reference": [0.1], "rollout": [0.1],
        "difference": [0.0], "lower": [None], "upper": [None], "noise_floor": [0.0],
        "verdicts": ["not enough data"], "verdict": "not enough data", "definition": "x",
    }  # fmt: skip
    distribution = {
        "name": "h(r)", "unit": "Å", "edges": [0, 1], "reference": [1], "rollout": [1],
        "measure": "MAE", "distance": 0.0, "expected": None, "noise_floor": 0.0,
        "verdict": "indistinguishable", "definition": "x",
    }  # fmt: skip
    rollout = {
        "label": "checked", "system": "ethanol", "reference_sampling": sampling,
        "rollout_sampling": sampling, "observables": [scalar], "profiles": [profile],
        "distributions": [distribution], "series": [],
        "unavailable": [{"name": "Force", "reason": "no forces in the rollout."}],
        "notes": ["Torsions moved <too> rarely."],
        "verdicts": {"indistinguishable": 1, "different": 1, "not enough data": 1},
    }  # fmt: skip
    figures = [{"name": "distances", "title": "Distances", "alt": "h(r) of both"}]
    return {
        "system": "ethanol",
        "reference": "reference",
        "rollouts": [rollout],
        "figures": figures,
    }
