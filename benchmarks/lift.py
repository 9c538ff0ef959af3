"""Lifting and refinement on adenylate kinase: the round trip along a real transition path.

Heavy atoms, the backbone (855 atoms) or the alpha carbons of a path frame are lifted from another
frame of the path, and refined; the result is compared with what the path says. Then the same with
Gaussian noise on what is lifted, which refinement must survive or refuse. Needs the files of
MDAnalysis's adenylate kinase path (adk.psf, adk_dims.dcd). Run from the project's root:

    python benchmarks/lift.py ../shared/data/adk

Writes benchmarks/results/lift.json. About ten minutes on one core.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.selection import choose_atoms
from egno_md.core.state import Frame
from egno_md.data.output import provenance
from egno_md.geometry.contacts import Contacts
from egno_md.geometry.lift import Lift
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.md.build import BuiltSystem, load_system
from egno_md.md.refine.refiner import OpenMMRefiner, Restraints
from egno_md.spec.propagate import Refinement

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
SIGMAS = (0.5, 1.0)
"""Å of Gaussian noise per coordinate."""
KELVIN = 300.0
SPEC = {"timestep": "1 fs", "dynamics": "20 fs", "max_blocks": 30}
MOVES = {"heavy": ((48, 49),), "backbone": ((0, 1), (48, 49), (0, 24)), "ca": ((48, 49),)}
"""Frames of the path that are refined, too: lifted from, lifted to."""
CHARMM = {("ILE", "CD1"): "CD", ("last", "O"): "OT1", ("last", "OXT"): "OT2"}


@dataclass
class Bench:
    built: BuiltSystem
    path: np.ndarray
    heavy: np.ndarray
    stereo: Stereochemistry
    contacts: Contacts
    refiners: dict[str, OpenMMRefiner]

    def refiner(self, lift: Lift) -> OpenMMRefiner:
        if lift.atoms not in self.refiners:
            backbone = choose_atoms(self.built.system.topology, "backbone", "adk")
            held = lift.chosen if lift.atoms == "ca" else backbone
            self.refiners[lift.atoms] = OpenMMRefiner(
                self.built,
                Refinement.model_validate(SPEC),
                KELVIN,
                "CPU",
                SEED,
                Restraints(held, self.stereo),
            )
        return self.refiners[lift.atoms]


def heavy_path(folder: Path, topology: mdtraj.Topology) -> np.ndarray:
    """Heavy atoms of the path in our order, nm."""
    path = mdtraj.load_dcd(str(folder / "adk_dims.dcd"), top=str(folder / "adk.psf"))
    theirs = {(a.residue.index, a.name): a.index for a in path.topology.atoms}
    last = topology.n_residues - 1
    order = []
    for atom in topology.atoms:
        if atom.element.atomic_number > 1:
            residue = atom.residue
            where = "last" if residue.index == last else residue.name
            names = (atom.name, CHARMM.get((where, atom.name), ""))
            order.append(
                next(theirs[residue.index, n] for n in names if (residue.index, n) in theirs)
            )
    return path.xyz[:, order].astype(np.float64)


def rmsd(a: np.ndarray, b: np.ndarray) -> float:
    """Å, without superposition."""
    return 10 * float(np.sqrt(np.square(a - b).sum(1).mean()))


def refine(bench: Bench, lift: Lift, before: np.ndarray, lifted: np.ndarray) -> dict:
    """What a refinement made of a lifted frame."""
    still = np.zeros_like(lifted)
    begun = time.perf_counter()
    try:
        done = bench.refiner(lift).refine(
            Frame(lifted, still), Frame(before, still), np.random.default_rng(SEED)
        )
    except PotentialError as error:
        spent = time.perf_counter() - begun
        return {"refused": str(error.args[0]), "refine_seconds": round(spent, 2)}
    after = done.frame.positions
    changed = bench.stereo.changed(before, after)
    contact = bench.contacts.closest(after, 0.2)
    return {
        "refine_seconds": round(time.perf_counter() - begun, 2),
        "blocks": done.blocks,
        "max_force": round(done.max_force, 1),
        "changed": int(changed.sum()),
        "cis_before": int(bench.stereo.cis(before).sum()),
        "cis_after": int(bench.stereo.cis(after).sum()),
        "closest_contact_angstrom": round(10 * min(contact, 0.2), 2),
        "positions": after,
    }


def round_trips(bench: Bench, choices: list[str]) -> list[dict]:
    system, rows = bench.built.system, []
    whole = Lift.of(system, "heavy")
    for choice in choices:
        lift = Lift.of(system, choice)
        for start, stop in MOVES.get(choice, ()):
            before = whole.positions(system.positions, bench.path[start])
            target = whole.positions(before, bench.path[stop])
            begun = time.perf_counter()
            lifted = lift.positions(before, target[lift.chosen])
            seconds = time.perf_counter() - begun
            found = refine(bench, lift, before, lifted)
            after = found.pop("positions", None)
            rows.append(
                {
                    "atoms": choice,
                    "chosen": len(lift.chosen),
                    "from": start,
                    "to": stop,
                    "move_angstrom": round(rmsd(bench.path[start], bench.path[stop]), 3),
                    "lift_ms": round(1e3 * seconds, 2),
                    "heavy_rmsd_lifted": round(rmsd(lifted[bench.heavy], bench.path[stop]), 3),
                    "heavy_rmsd_refined": None
                    if after is None
                    else round(rmsd(after[bench.heavy], bench.path[stop]), 3),
                    **found,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def whole_path(bench: Bench) -> list[dict]:
    """Lifting alone, from every frame of the path to the next and to farther ones."""
    system, rows = bench.built.system, []
    frames = Lift.of(system, "heavy").positions(system.positions, bench.path)
    for choice in ("backbone", "ca"):
        lift = Lift.of(system, choice)
        for stride in (1, 5, 25):
            errors, moves, changed, cis = [], [], 0, 0
            for start in range(len(frames) - stride):
                before, target = frames[start], frames[start + stride]
                lifted = lift.positions(before, target[lift.chosen])
                errors.append(rmsd(lifted[bench.heavy], bench.path[start + stride]))
                moves.append(rmsd(bench.path[start], bench.path[start + stride]))
                changed += int(bench.stereo.changed(target, lifted).sum())
                cis += int(bench.stereo.cis(lifted).sum() - bench.stereo.cis(target).sum())
            rows.append(
                {
                    "atoms": choice,
                    "stride": stride,
                    "pairs": len(errors),
                    "move_angstrom": [round(min(moves), 3), round(max(moves), 3)],
                    "heavy_rmsd_mean": round(float(np.mean(errors)), 3),
                    "heavy_rmsd_max": round(max(errors), 3),
                    "pairs_within_0.6": int(np.sum(np.array(errors) <= 0.6)),
                    "centres_or_peptides_turned": changed,
                    "cis_made": cis,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def noisy(bench: Bench, choices: list[str]) -> list[dict]:
    system, rows = bench.built.system, []
    random = np.random.default_rng(SEED)
    for choice in choices:
        lift = Lift.of(system, choice)
        for sigma in SIGMAS:
            before = system.positions
            shaken = before[lift.chosen]
            shaken = shaken + 0.1 * sigma * random.standard_normal(shaken.shape)
            lifted = lift.positions(before, shaken)
            found = refine(bench, lift, before, lifted)
            after = found.pop("positions", None)
            rows.append(
                {
                    "atoms": choice,
                    "noise_angstrom": sigma,
                    "heavy_rmsd_lifted": round(rmsd(lifted[bench.heavy], before[bench.heavy]), 3),
                    "heavy_rmsd_refined": None
                    if after is None
                    else round(rmsd(after[bench.heavy], before[bench.heavy]), 3),
                    **found,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def named(rows: list[dict], form: str) -> dict[str, dict]:
    return {form.format(**row): row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--choices", default="heavy,backbone,ca")
    parser.add_argument("--noise", default="all,heavy,backbone,ca")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "lift.json")
    asked = parser.parse_args()
    built = load_system("adk")
    system = built.system
    bench = Bench(
        built,
        heavy_path(asked.folder, system.topology),
        np.flatnonzero(system.atomic_numbers > 1),
        Stereochemistry.of(system),
        Contacts.of(system),
        {},
    )
    result = {
        "path": named(whole_path(bench), "{atoms}, stride {stride}"),
        "round_trips": named(
            round_trips(bench, [c for c in asked.choices.split(",") if c]),
            "{atoms}, frame {from} to {to}",
        ),
        "noise": named(
            noisy(bench, [c for c in asked.noise.split(",") if c]), "{atoms}, {noise_angstrom} Å"
        ),
        "refinement": SPEC,
        "seed": SEED,
        "provenance": provenance(),
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
