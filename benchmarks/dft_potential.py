"""Ethanol from density functional theory to operator windows.

    python benchmarks/dft_potential.py ROOT --frames rmd17_ethanol.npz

Fits TensorNet to revised MD17 (PBE), measures its forces on held-out frames and
its drift in dynamics, generates NVE segments with it, trains an operator on
them and rolls it out. Every step writes its own folder under ROOT and is
skipped when it is complete. The figures end in `results/dft_potential.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from ethanol import conservation, short

from egno_md import api as em
from egno_md.core.units import KJ_PER_KCAL, NANOMETRE_PER_ANGSTROM, kinetic_energy
from egno_md.data.download import file_sum
from egno_md.data.output import provenance
from egno_md.data.store import write_json
from egno_md.md.build import load_system
from egno_md.md.engine import NVE, OpenMMEngine
from egno_md.md.potentials.torchmdnet import TorchMDNetForce, load_force

RESULTS = Path(__file__).resolve().parent / "results"
FIT_TIME, TRAIN_TIME = "25 min", "10 min"
SEGMENTS = 60
DRIFT_PS, DRIFT_TIMESTEP = 3.0, 0.0005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--frames", type=Path, required=True, help="rmd17_ethanol.npz")
    arguments = parser.parse_args()
    root, again = arguments.root, {"mode": "resume"}
    protocol = em.protocol("fit-potential", "tensornet", {"optimisation.max_time": FIT_TIME})
    fitted = em.fit_potential(
        arguments.frames, protocol, root / "potential", system="ethanol", **again
    )
    system = str(fitted.system)
    results = {
        "data": {"file": arguments.frames.name, "sha256": file_sum(arguments.frames)},
        "fit": {k: v for k, v in fitted.summary.items() if k != "milliseconds_per_force"},
        "force call": force_call(fitted.system, arguments.frames),
        "drift": {},
    }
    for kelvin in (300, 500):
        done = root / f"drift-{kelvin}.json"
        if not done.is_file():
            write_json(done, drift(system, kelvin))
        results["drift"][f"{kelvin} K"] = json.loads(done.read_text())
    results["provenance"] = {
        **provenance(),
        "seeds": "fit 0, drift 1, generated data 1, operator 0, rollout 6",
        "budget": f"fit {FIT_TIME}, operator {TRAIN_TIME}, wall time on a shared core",
    }
    write_json(RESULTS / "dft_potential.json", results)
    changes = {
        "sampling.segments": SEGMENTS,
        "sampling.timestep": None,
        "equilibration": "1 ps",
    }
    protocol = em.protocol("generate", "nve-500k", changes)
    data = em.generate(system, protocol, root / "data", seed=1, **again)
    results["generated"] = conservation(data)
    protocol = em.protocol("train", "egno-8fs", {"optimisation.max_time": TRAIN_TIME})
    trained = em.train(data.root, protocol, root / "operator", device="cpu", **again)
    evaluation = em.evaluate(trained.bundle, data.root, root / "evaluation", **again)
    results["operator"] = {"training": trained.summary, "test split": short(evaluation)}
    changes = {"length": "4 ps", "replicas": 2, "record.reference_steps": 400}
    protocol = em.protocol("propagate", "nvt-500k", changes)
    rollout = em.propagate(
        system, trained.bundle, protocol, root / "rollout", start=data.root, seed=6, **again
    )
    results["rollout"] = rollout.summary.to_json()
    write_json(RESULTS / "dft_potential.json", results)
    print(json.dumps(results["fit"]["test"], indent=1))


def force_call(folder: Path, frames: Path) -> dict:
    """Milliseconds of CPU time a force call, ours beside TorchMD-Net's own evaluation."""
    with np.load(frames, allow_pickle=False) as file:
        positions, numbers = file["coords"][:100], file["nuclear_charges"]
    ours = load_force(folder / "model", numbers)
    theirs = TorchMDNetForce(ours.model.model, numbers, ours.energy_unit)  # type: ignore[union-attr]
    theirs.model.derivative = True
    found = {}
    for name, force in (("all pairs", ours), ("TorchMD-Net", theirs)):
        spent = []
        for frame in positions * NANOMETRE_PER_ANGSTROM:
            begun = time.process_time()
            _, forces = force.compute(frame)
            spent.append(time.process_time() - begun)
        found[name] = {"milliseconds": round(float(np.median(spent)) * 1e3, 3), "forces": forces}
    apart = np.abs(found["all pairs"].pop("forces") - found["TorchMD-Net"].pop("forces")).max()
    found["largest difference, kcal/mol/Å"] = float(apart) / KJ_PER_KCAL * NANOMETRE_PER_ANGSTROM
    return {**found, "threads": torch.get_num_threads()}


def drift(system: str, kelvin: float) -> dict:
    """Slope and scatter of the total energy along NVE by velocity Verlet."""
    engine = OpenMMEngine(
        load_system(system), timestep=DRIFT_TIMESTEP, kelvin=kelvin, friction=5.0, seed=1
    )
    engine.start()
    engine.skip(round(1.0 / DRIFT_TIMESTEP))
    begun = time.perf_counter()
    trajectory = engine.run(round(DRIFT_PS / DRIFT_TIMESTEP), 5, ensemble=NVE)
    seconds = time.perf_counter() - begun
    total = trajectory.potential_energy + kinetic_energy(
        trajectory.velocities, engine.system.masses
    )
    slope, level = np.polyfit(trajectory.times, total, 1)
    return {
        "length_ps": DRIFT_PS,
        "timestep_fs": DRIFT_TIMESTEP * 1e3,
        "drift_kj_per_mol_per_ps": float(slope),
        "scatter_kj_per_mol": float((total - slope * trajectory.times - level).std()),
        "spread_of_potential_energy": float(np.std(trajectory.potential_energy)),
        "milliseconds_per_step": round(seconds / (DRIFT_PS / DRIFT_TIMESTEP) * 1e3, 3),
    }


if __name__ == "__main__":
    main()
