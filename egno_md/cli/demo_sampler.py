"""`demo --system ala2`: the chain of a sampler on alanine dipeptide, in minutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from egno_md.cli.demo import Chain, Demo, Table, demo_protocol, rollout_rows
from egno_md.compare.observables.phi_psi import backbone_torsions, map_distance, positive_phi
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import Store, write_json
from egno_md.nn.sampler_card import STATEMENT
from egno_md.propagate.summary import RolloutSummary
from egno_md.spec.generate import GenerateProtocol
from egno_md.spec.propagate import PropagateProtocol
from egno_md.spec.train import TrainProtocol

if TYPE_CHECKING:
    from egno_md.console import Console

SYSTEM = "ala2/hmr"
STRONG = (
    "egno-md generate ala2/hmr --protocol nvt-300k-4fs --out runs/data",
    "egno-md train runs/data --protocol sampler-40ps --out runs/sampler",
    "egno-md propagate ala2/hmr --operator runs/sampler/bundle --windows 100 --replicas 64 "
    "--refine every=1 --out runs/rollout",
)


def run_sampler_demo(
    out: Path, *, seed: int, device: str, mode: OutputMode, console: Console
) -> Demo:
    """Generate twice, train a sampler, draw with and without refinement, compare, report.

    Args:
        out: every step writes its own folder there.
        seed: of every random stream.
        device: ``auto``, ``cpu`` or ``gpu``.
        mode: `resume` continues with the step that was interrupted.
        console: shows the progress.
    """
    chain = Chain(out, seed, device, console)
    with run_folder(out, "demo", {"seed": seed, "system": "ala2"}, mode) as run:
        chain.stage("1/5 reference MD of alanine dipeptide, two independent halves")
        protocol = demo_protocol("ala2-reference", GenerateProtocol)
        data, reference = (
            chain.generate(SYSTEM, protocol, name, number)
            for number, name in enumerate(("data", "reference"))
        )
        chain.stage("2/5 training a sampler of 40 ps windows")
        training = chain.train(data, demo_protocol("ala2-train", TrainProtocol))
        chain.stage("3/5 drawing windows: every end refined, and never")
        rollouts = chain.propagate(SYSTEM, training.bundle, _rollout_protocols(), data)
        chain.stage("4/5 comparing with the half that the sampler has not seen")
        chain.compare(reference, list(rollouts))
        maps = _maps(reference, {n: Store(out / n) for n in ("data", *rollouts)})
        chain.stage("5/5 the report")
        page = chain.report(
            ("data", "reference", "operator", *rollouts),
            "egno-md demo: alanine dipeptide, a sampler",
        )
        seconds = chain.seconds
        summary = {
            "seconds": round(seconds, 1),
            "rollouts": {n: s.to_json() for n, s in rollouts.items()},
            "maps": maps,
            "report": str(page),
        }
        write_json(out / "demo.json", summary)
        run.finish(seconds=round(seconds, 1))
    return Demo(
        [_rollout_table(rollouts), _map_table(maps)],
        [
            STATEMENT,
            f"This sampler trained for {training.summary['seconds']:.0f} s. A stronger one, in at "
            "most an hour on one core:",
            *(f"  {c}" for c in STRONG),
            f"Report: {page}",
            f"The demo took {seconds:.0f} s.",
        ],
        summary,
    )


def _rollout_protocols() -> dict[str, PropagateProtocol]:
    refined = demo_protocol("ala2-propagate", PropagateProtocol)
    return {"refined": refined, "unrefined": refined.model_copy(update={"refine": None})}


def _maps(reference: Store, others: dict[str, Store]) -> dict[str, dict[str, Any]]:
    """φ/ψ of the one residue, against the reference."""
    reference_torsions = _torsions(reference)
    maps: dict[str, dict[str, Any]] = {"reference": {"distance": 0.0}}
    chains = {"reference": reference_torsions} | {n: _torsions(s) for n, s in others.items()}
    for name, torsions in chains.items():
        share = positive_phi(torsions)
        maps[name] = {
            "frames": sum(map(len, torsions)),
            "distance": map_distance(reference_torsions, torsions),
            "positive_phi": share.value,
            "positive_phi_interval": [share.low, share.high],
        }
    return maps


def _torsions(store: Store) -> list[Any]:
    system = store.system()
    return [backbone_torsions(system, t.positions)[:, 0] for t in store]


def _rollout_table(rollouts: dict[str, RolloutSummary]) -> Table:
    parts = ("network", "lift", "checks", "refinement", "fallback")
    cells: dict[str, Callable[[RolloutSummary], str]] = {
        "drawn (ns)": lambda s: f"{s.simulated_ps * 1e-3:.2f}",
        "windows drawn again": lambda s: f"{s.redraws}",
        "windows left to MD": lambda s: f"{s.fallback_share:.1%}",
        **{f"seconds in {part}": lambda s, part=part: f"{s.seconds[part]:.1f}" for part in parts},
        "ns/day, all costs inside": lambda s: f"{s.rollout_ns_per_day:,.0f}",
        "ns/day of OpenMM, one replica": lambda s: f"{s.reference_ns_per_day:,.0f}",
        "net speed-up": lambda s: f"{s.speed_up or 0.0:.1f}×",
    }
    rows = rollout_rows(rollouts, cells)
    return "Draws of alanine dipeptide, 16 replicas", ["", *rollouts], rows


def _map_table(maps: dict[str, dict[str, Any]]) -> Table:
    rows = [
        [
            name,
            f"{m['frames']:,}",
            f"{m['distance']:.3f}",
            f"{m['positive_phi']:.2%}",
            f"{m['positive_phi_interval'][0]:.2%} to {m['positive_phi_interval'][1]:.2%}",
        ]
        for name, m in maps.items()
    ]
    columns = ["", "frames", "Jensen–Shannon distance of φ/ψ", "φ > 0", "95% interval"]
    return "φ/ψ against the reference; 'data' is the other half of the MD", columns, rows
