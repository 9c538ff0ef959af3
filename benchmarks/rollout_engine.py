"""The rollout engine at 300 K: speed, ensembles, bad operators, energy, 16 fs windows.

    python benchmarks/rollout_engine.py ROOT [--parts reference rollouts speed bad nve]
        [--molecules ethanol aspirin] [--operator aspirin=BUNDLE ...]

Every step writes its own folder under ROOT and is skipped when it is complete,
so that an interrupted run goes on. Figures are added to
`benchmarks/results/rollout_engine.json`. The operators are the shipped ones
unless named; `protocols/train/egno-16fs.yaml` on data of `nve-400k` makes them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from egno_md import api as em
from egno_md.data.output import provenance
from egno_md.data.store import write_json
from egno_md.nn.bundle import save_bundle
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.policy import Policy, with_policy

RESULTS = Path(__file__).resolve().parent / "results" / "rollout_engine.json"
PARTS = ("reference", "rollouts", "compare", "speed", "bad", "nve")
ENSEMBLE = {
    "ethanol": {"length": "100 ps", "replicas": 8},
    "aspirin": {"length": "25.008 ps", "replicas": 4},
}
REFERENCE = {
    "ethanol": {"sampling.length": "50 ps", "replicas": 4},
    "aspirin": {"sampling.length": "25.008 ps", "replicas": 4},
}
SPEED = {
    "ethanol": {"one": "8 ps", "batch": "1.6 ps"},
    "aspirin": {"one": "3.2 ps", "batch": "0.32 ps"},
}
BATCH = 32
AGAIN = {"mode": "resume"}


class Bench:
    """One molecule's runs.

    Args:
        root: of its folders.
        molecule: a shipped system.
        operators: bundle per name.
    """

    def __init__(self, root: Path, molecule: str, operators: dict[str, str | Path]) -> None:
        self.root, self.molecule, self.operators = root / molecule, molecule, operators

    def reference(self) -> dict[str, Any]:
        """Reference and replicate MD, 4 fs between frames."""
        spans = {"sampling.frame_spacing": "4 fs", **REFERENCE[self.molecule]}
        protocol = em.protocol("generate", "nvt-300k", spans)
        for seed, name in ((31, "reference"), (32, "replicate")):
            out = self.root / name
            em.generate(self.molecule, protocol, out, seed=seed, workers=2, **AGAIN)
        return {"protocol": protocol.model_dump(mode="json")}

    def rollouts(self) -> dict[str, Any]:
        """The ensemble with and without the controller."""
        found = {}
        for label, operator in self.operators.items():
            for policy, changes in (
                ("fallback", {}),
                ("off", {"boundary": {"kind": "langevin", "friction": "5 /ps"}}),
            ):
                name = f"{label} {policy}"
                changes = {**ENSEMBLE[self.molecule], "record.save": "points", **changes}
                found[name] = self._propagate(name, operator, changes, seed=33, policy=policy)
        return found

    def compare(self) -> dict[str, Any]:
        """Every rollout and the replicate against the reference."""
        names = [f"{o} {p}" for o in self.operators for p in ("fallback", "off")]
        folders = [f for f in (*map(self._folder, names), self.root / "replicate") if f.is_dir()]
        out = self.root / "comparison"
        em.compare(self.root / "reference", folders, out, seed=7, **AGAIN)
        found = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
        return {r["label"]: _short(r) for r in found["rollouts"]}

    def speed(self) -> dict[str, Any]:
        """Net speed of one replica and of a batch, every window checked or every tenth."""
        found = {}
        for label, operator in self.operators.items():
            for count, kind in ((1, "one"), (BATCH, "batch")):
                length = SPEED[self.molecule][kind]
                for every in (1,) if self._has_forces(operator) else (1, 5):
                    name = f"{label} x{count} every {every}"
                    changes = {
                        "length": length,
                        "replicas": count,
                        "judge.every": every,
                        "equilibration": "0.2 ps",
                        "record.reference_steps": 1000,
                    }
                    found[name] = self._propagate("speed " + name, operator, changes, seed=34)
        return found

    def bad(self) -> dict[str, Any]:
        """An operator of random weights under the policies."""
        bundle = self.root / "random-bundle"
        if not bundle.exists():
            torch.manual_seed(0)
            first = next(iter(self.operators.values()))
            save_bundle(bundle, WindowOperator(WindowOperator.load(Path(first)).card))
        found = {}
        for policy in ("fallback", "strict", "monitor"):
            changes = {"length": "20 ps", "replicas": 2}
            found[policy] = self._propagate(f"bad {policy}", bundle, changes, 35, policy=policy)
        return found

    def nve(self) -> dict[str, Any]:
        """Ten picoseconds with energy control and without."""
        found = {}
        for label, operator in self.operators.items():
            for keeps in (True, False):
                changes = {
                    "length": "10 ps",
                    "replicas": 4,
                    "temperature": "300 K",
                    "boundary": {"kind": "none", "keep_energy": keeps},
                }
                name = f"{label} {'kept' if keeps else 'free'}"
                found[name] = self._propagate(f"nve {name}", operator, changes, 36, "nve")
        return found

    def _propagate(
        self,
        name: str,
        operator: str | Path,
        changes: dict[str, Any],
        seed: int,
        protocol: str = "nvt-300k",
        policy: Policy = "fallback",
    ) -> dict[str, Any]:
        rules = with_policy(em.protocol("propagate", protocol, changes), policy)
        out = self._folder(name)
        done = em.propagate(self.molecule, operator, rules, out, seed=seed, **AGAIN)
        return done.summary.to_json()

    def _folder(self, name: str) -> Path:
        return self.root / name.replace(" ", "-")

    def _has_forces(self, operator: str | Path) -> bool:
        return WindowOperator.load(Path(operator)).card.uses_forces


def _short(rollout: dict[str, Any]) -> dict[str, Any]:
    """What the bars ask of a comparison; the rest is in its folder."""
    distances = {d["name"]: d for d in rollout["distributions"]}
    torsions = [d for name, d in distances.items() if name.startswith("Torsion ")]
    peaks = next((p for p in rollout["profiles"] if p["name"] == "Vibrational peaks"), None)
    everything = [*rollout["observables"], *rollout["profiles"], *rollout["distributions"]]
    return {
        **{f"verdicts, {k}": v for k, v in rollout["verdicts"].items()},
        "different": [o["name"] for o in everything if o["verdict"] == "different"],
        "h(r) MAE x 10": distances["h(r)"]["distance"],
        "largest torsion distance": max(d["distance"] for d in torsions),
        "peaks of the reference, 1/cm": peaks and [round(x) for x in peaks["reference"]],
        "largest peak shift, 1/cm": peaks and max(abs(x) for x in peaks["difference"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--molecules", nargs="+", choices=tuple(ENSEMBLE), default=list(ENSEMBLE))
    parser.add_argument("--operator", nargs="*", default=[], metavar="MOLECULE:NAME=BUNDLE")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for molecule in arguments.molecules:
        named = [o.split(":", 1)[1] for o in arguments.operator if o.startswith(f"{molecule}:")]
        operators = dict(o.split("=", 1) for o in named)
        bench = Bench(arguments.root, molecule, operators or _shipped(molecule))
        for part in arguments.parts:
            found = getattr(bench, part)()
            results.setdefault(molecule, {}).setdefault(part, {}).update(found)
            results["provenance"] = {
                **provenance(),
                "seeds": "reference 31, replicate 32, rollouts 33, speed 34, random weights 35, "
                "NVE 36; operators 0",
            }
            write_json(RESULTS, results)


def _shipped(molecule: str) -> dict[str, str | Path]:
    folder = Path(__file__).resolve().parents[1] / "systems" / molecule / "operators"
    return {p.name: p for p in sorted(folder.iterdir())}


if __name__ == "__main__":
    main()
