"""Whether the verdicts of `compare` can be trusted, and what it needs.

    python benchmarks/compare_calibration.py --data DATA [--structure PDB]

makes 12 ns of alanine dipeptide at 300 K and 2 ns at 400 K with OpenMM in DATA (an hour on a
core; what is there already is used), and writes results/compare_calibration.json:

- splits: stretches of 1 ns of one and the same 300 K dynamics dealt into two halves at random,
  20 times. All observables should be indistinguishable.
- heated: 1 ns at 300 K and 1 ns at 400 K, 10 times. Temperature, energies and the widths of
  temperature, bonds and angles should differ every time. (The RMSF of this molecule is that of
  its slow torsions, for which 1 ns does not always do.)
- coverage: how often 95% intervals of AR(1) series hold the known mean and standard deviation.
- short: how often rollouts of three correlation times are said to be not enough data.
- memory and speed: a DCD file of 1 GB of the atoms of --structure compared with itself, and
  2 x 10,000 frames of ethanol, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mdtraj
import numpy as np
from scipy.signal import lfilter

from egno_md import api as em
from egno_md.compare.comparison import Reference
from egno_md.compare.sides import Side
from egno_md.compare.statistics import (
    ENOUGH_SAMPLES,
    MEAN,
    WIDTH,
    series_estimate,
    student_reach,
)
from egno_md.compare.verdicts import Extent, difference
from egno_md.core.state import Trajectory
from egno_md.data.output import provenance
from egno_md.data.store import Store, write_json
from egno_md.md.build import load_system

RESULTS = Path(__file__).parent / "results" / "compare_calibration.json"
SPLITS = 20
HEATED = 10
SEGMENT = 5000
"""Frames of 0.2 ps: 1 ns."""
MUST_DIFFER = (
    "Temperature",
    "Potential energy",
    "Potential energy, width",
    "Total energy",
    "Temperature, width",
    "Bond length, width",
    "Angle, width",
)
COMMON = {"timestep": "1 fs", "store_forces": False, "equilibration": "20 ps"}
SAMPLING = {"sampling.frame_spacing": "200 fs"}


PARTS = ("splits", "heated", "coverage", "short", "speed", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--structure", type=Path, help="PDB whose atoms make the large file.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="What to run.")
    given = parser.parse_args()
    for part in given.parts:
        began = time.perf_counter()
        found = run_part(part, given.data, given.structure)
        results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        results["system"] = "ala2, amber14 with OBC2, 5/ps Langevin, 1 fs, frames of 0.2 ps"
        results["provenance"] = {k: v for k, v in provenance().items() if k != "command"}
        results[part] = {**found, "seconds": round(time.perf_counter() - began, 1)}
        RESULTS.parent.mkdir(exist_ok=True)
        write_json(RESULTS, results)
        print(part, json.dumps(found, indent=1), flush=True)


def run_part(part: str, data: Path, structure: Path | None) -> dict:
    if part in ("coverage", "short"):
        return {"coverage": coverage, "short": short}[part]()
    if part in ("speed", "memory"):
        with tempfile.TemporaryDirectory() as folder:
            if part == "speed":
                return speed(Path(folder))
            return memory(Path(folder), structure) if structure else {"skipped": "no --structure"}
    cold = [s for name, seed, ns in (("a", 11, 2), ("b", 13, 4)) for s in segments(
        dynamics(data, f"ala2-300k-{name}", seed, "300 K", ns))]  # fmt: skip
    system = load_system("ala2").system
    if part == "splits":
        return splits(system, cold)
    return heated(system, cold, segments(dynamics(data, "ala2-400k", 12, "400 K", 1)))


def dynamics(data: Path, name: str, seed: int, kelvin: str, nanoseconds: int) -> Store:
    """Two replicas of MD, made where they are not there yet."""
    changes = {**COMMON, **SAMPLING, "temperature": kelvin, "replicas": 2,
               "sampling.length": f"{nanoseconds} ns"}  # fmt: skip
    protocol = em.protocol("generate", "nvt-300k", changes)
    return em.generate("ala2", protocol, data / name, seed=seed, mode="resume")


def segments(store: Store) -> list[Trajectory]:
    """Stretches of 1 ns."""
    return [
        chain.slice(start, start + SEGMENT)
        for chain in store
        for start in range(0, len(chain) - SEGMENT + 1, SEGMENT)
    ]


def splits(system, pool: list[Trajectory]) -> dict:
    """The same dynamics on both sides."""
    counts, called = [], Counter()
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(pool))
        half = len(pool) // 2
        a, b = ([pool[i] for i in part] for part in (order[:half], order[half : 2 * half]))
        found = Reference(Side(system, a, kelvin=300.0)).compare(
            Side(system, b, kelvin=300.0), seed=split
        )
        counts.append(found.verdicts)
        called.update(j.name for j in found.judged if j.verdict == "different")
        print("split", split, found.verdicts, dict(called), flush=True)
    shares = [c["indistinguishable"] / sum(c.values()) for c in counts]
    return {
        "nanoseconds_per_side": len(pool) // 2,
        "splits": SPLITS,
        "observables": sum(counts[0].values()),
        "indistinguishable_share_mean": float(np.mean(shares)),
        "indistinguishable_share_lowest": float(np.min(shares)),
        "comparisons_with_any_difference": sum(c["different"] > 0 for c in counts),
        "not_enough_data_mean": float(np.mean([c["not enough data"] for c in counts])),
        "called_different": dict(called),
    }


def heated(system, cold: list[Trajectory], hot: list[Trajectory]) -> dict:
    """100 K apart."""
    missed: Counter = Counter()
    for trial in range(HEATED):
        generator = np.random.default_rng(trial)
        a, b = cold[generator.integers(len(cold))], hot[generator.integers(len(hot))]
        found = Reference(Side(system, [a])).compare(Side(system, [b]), seed=trial)
        verdicts = {j.name: j.verdict for j in found.judged}
        missed.update(n for n in MUST_DIFFER if verdicts[n] != "different")
        print("heated", trial, found.verdicts, dict(missed), flush=True)
    return {"trials": HEATED, "must_differ": MUST_DIFFER, "missed": dict(missed)}


def ar1(generator, frames: int, phi: float) -> np.ndarray:
    warm = int(20 / (1 - phi))
    noise = generator.normal(size=frames + warm) * np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise)[warm:]


def coverage(trials: int = 200) -> dict:
    """AR(1) series of unit variance and mean zero."""
    rows = []
    for name, statistic, truth in (("mean", MEAN, 0.0), ("standard deviation", WIDTH, 1.0)):
        for phi in (0.0, 0.5, 0.9, 0.99):
            for samples in (20, 50, 200, 1000):
                frames = int(samples * (1 + phi) / (1 - phi))
                if frames > 60_000:
                    continue
                generator = np.random.default_rng([int(1000 * phi), samples])
                judged = hits = 0
                for _ in range(trials):
                    x = ar1(generator, frames, phi)
                    features = np.stack([x, x**2], axis=-1)[:, None]
                    found = series_estimate([features], statistic, generator)
                    if found.samples[0] < ENOUGH_SAMPLES:
                        continue
                    judged += 1
                    reach = student_reach(found.error, found.blocks - 1)[0]
                    hits += abs(found.value[0] - truth) <= reach
                rows.append({"statistic": name, "phi": phi, "independent_samples": samples,
                             "frames": frames, "judged_share": judged / trials,
                             "covered": hits / max(judged, 1)})  # fmt: skip
                print(rows[-1], flush=True)
    return {"trials": trials, "rows": rows}


def short(trials: int = 200) -> dict:
    """Rollouts of three correlation times."""
    rows = {}
    for phi in (0.9, 0.99):
        frames = int(3 * (1 + phi) / (1 - phi) / 2)
        refused = 0
        for trial in range(trials):
            generator = np.random.default_rng(trial)
            chains = [ar1(generator, n, phi)[:, None, None] for n in (200 * frames, frames)]
            a, b = (series_estimate([c], MEAN, generator) for c in chains)
            spans = tuple(Extent(float(len(c)), len(c)) for c in chains)
            refused += not difference(a, b, spans).is_enough[0]
        rows[f"phi {phi}"] = refused / trials
    return {"share_not_enough_data": rows, "trials": trials}


def speed(folder: Path) -> dict:
    """2 x 10,000 frames of ethanol-sized noise about its structure, in stores of ours."""
    from egno_md.data.store import StoreWriter, new_manifest

    system = load_system("ethanol").system
    for name, seed in (("a", 0), ("b", 1)):
        writer = StoreWriter(
            folder / name, new_manifest(system, "generate", 0.002), system.topology
        )
        generator = np.random.default_rng(seed)
        shape = (10_000, system.n_atoms, 3)
        smooth = lfilter([0.1], [1, -0.9], generator.normal(size=shape), axis=0)
        writer.append(
            Trajectory(
                positions=system.positions + 0.01 * smooth,
                times=0.002 * np.arange(10_000),
                velocities=generator.normal(size=shape),
                forces=generator.normal(size=shape),
                potential_energy=generator.normal(size=10_000),
            ),
            "chain",
        )
        writer.finish()
    return spawn(folder, folder / "a", folder / "b")


def memory(folder: Path, structure: Path) -> dict:
    """A DCD file of 1 GB against another."""
    top = mdtraj.load(str(structure))[0]
    frames = int(1e9 // (12 * top.n_atoms + 24))
    files = []
    for name, seed in (("large-a", 0), ("large-b", 1)):
        generator = np.random.default_rng(seed)
        files.append(folder / f"{name}.dcd")
        with mdtraj.formats.DCDTrajectoryFile(str(files[-1]), "w") as file:
            for start in range(0, frames, 500):
                shape = (min(500, frames - start), top.n_atoms, 3)
                noise = generator.normal(scale=0.01, size=shape)
                file.write((10 * (top.xyz + noise)).astype(np.float32))
    found = spawn(folder, *files, structure)
    size = files[0].stat().st_size
    return {"file_bytes": size, "atoms": top.n_atoms, "frames": frames, **found}


MEASURE = """
import json, resource, sys, time
from pathlib import Path
from egno_md.compare.run import run_compare
before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
out, reference, rollout, *rest = map(Path, sys.argv[1:])
extra = {"topology": rest[0], "spacing": 1.0} if rest else {}
run_compare(reference, [rollout], out, mode="overwrite", **extra)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "peak_resident_bytes": used.ru_maxrss * 1024,
    "processor_seconds": round(used.ru_utime - before.ru_utime, 1),
    "wall_seconds": round(time.perf_counter() - began, 1),
}))
"""


def spawn(folder: Path, *paths: Path) -> dict:
    """Compare in a process of its own; its memory and time."""
    command = [sys.executable, "-c", MEASURE, str(folder / "out"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
