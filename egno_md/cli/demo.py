"""`demo`: the whole chain on ethanol with GFN2-xTB, small enough for minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from egno_md.compare.run import run_compare
from egno_md.core.units import format_quantity
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import write_json
from egno_md.md.generate.run import run_generate
from egno_md.propagate.policy import with_policy
from egno_md.propagate.rollout import run_propagate
from egno_md.propagate.summary import RolloutSummary
from egno_md.report.run import run_report
from egno_md.spec.base import Spec
from egno_md.spec.files import read_spec, shipped
from egno_md.spec.generate import GenerateProtocol
from egno_md.spec.propagate import AdaptiveLangevin, Langevin, PropagateProtocol
from egno_md.spec.train import TrainProtocol
from egno_md.train.evaluate import run_evaluate
from egno_md.train.run import run_train

if TYPE_CHECKING:
    from egno_md.console import Console

SYSTEM = "ethanol"
STRONG = (
    "egno-md generate ethanol --protocol nve-500k --out runs/data",
    "egno-md train runs/data --protocol egno-8fs --out runs/operator",
    "egno-md propagate ethanol --operator runs/operator/bundle --out runs/rollout",
)
Model = TypeVar("Model", bound=Spec)


@dataclass(frozen=True)
class Demo:
    """What the demo found.

    Attributes:
        tables: title, columns and rows, for people.
        lines: what to read below them.
        content: the same for machines.
    """

    tables: list[tuple[str, list[str], list[list[str]]]]
    lines: list[str]
    content: dict[str, Any]


class Stages:
    """Says where a demo is, on its own clock.

    Args:
        console: who listens.
    """

    def __init__(self, console: Console) -> None:
        self.console, self.began = console, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.perf_counter() - self.began

    def __call__(self, title: str) -> None:
        """Say that a stage begins."""
        self.console.stage(title)
        self.console.note(f"[{self.seconds:4.0f} s] {title}")


def demo_protocol(name: str, model: type[Model]) -> Model:
    """One of the protocols that demos ship."""
    return read_spec(shipped("protocols") / "demo" / f"{name}.yaml", model)


def run_demo(out: Path, *, seed: int, device: str, mode: OutputMode, console: Console) -> Demo:
    """Generate, train, evaluate, propagate twice, compare and report.

    Args:
        out: every step writes its own folder there.
        seed: of every random stream.
        device: ``auto``, ``cpu`` or ``gpu``.
        mode: `resume` continues with the step that was interrupted.
        console: who listens.
    """
    stage = Stages(console)
    with run_folder(out, "demo", {"seed": seed}, mode) as run:
        inner: OutputMode = "resume"
        stage("1/6 reference MD of ethanol, GFN2-xTB, NVE segments for training")
        data = run_generate(
            SYSTEM,
            demo_protocol("segments", GenerateProtocol),
            out / "data",
            seed=seed,
            workers=2,
            mode=inner,
            progress=console,
        )
        stage("2/6 reference MD, NVT, to compare with")
        reference = run_generate(
            SYSTEM,
            demo_protocol("reference", GenerateProtocol),
            out / "reference",
            seed=seed + 1,
            workers=2,
            mode=inner,
            progress=console,
        )
        stage("3/6 training an operator")
        training = run_train(
            data.root,
            demo_protocol("train", TrainProtocol),
            out / "operator",
            seed=seed,
            device=device,
            mode=inner,
            progress=console,
        )
        stage("4/6 evaluating it on held-out segments")
        evaluation = run_evaluate(
            training.bundle, data.root, out / "evaluation", seed=seed, mode=inner, progress=console
        )
        stage("5/6 propagating: falling back to MD, refining, and without any control")
        rollouts: dict[str, RolloutSummary] = {}
        for name, protocol in _rollout_protocols().items():
            rollouts[name] = run_propagate(
                SYSTEM,
                training.bundle,
                protocol,
                out / name,
                start=reference.root,
                seed=seed,
                device=device,
                mode=inner,
                progress=console,
            ).summary
        stage("6/6 comparing with the reference, and the report")
        folders = [out / name for name in rollouts if _has_frames(out / name)]
        run_compare(
            reference.root, folders, out / "comparison", seed=seed, mode=inner, progress=console
        )
        parts = ("data", "reference", "operator", "evaluation", *rollouts, "comparison")
        page = run_report(
            [out / p for p in parts],
            out / "report",
            mode="overwrite",
            title="egno-md demo: ethanol, GFN2-xTB",
        )
        seconds = stage.seconds
        summary = {
            "seconds": round(seconds, 1),
            "evaluation": {k: evaluation[k] for k in ("f_mse", "a_mse", "by_time")},
            "rollouts": {n: s.to_json() for n, s in rollouts.items()},
            "report": str(page),
        }
        write_json(out / "demo.json", summary)
        run.finish(seconds=round(seconds, 1))
    return Demo(
        [_operator_table(evaluation), _rollout_table(rollouts)],
        [
            *_verdict(rollouts, training.summary),
            f"Report: {page}",
            f"The demo took {seconds:.0f} s.",
        ],
        summary,
    )


def _rollout_protocols() -> dict[str, PropagateProtocol]:
    """The same rollout under a controller, with refinement, and left alone."""
    checked = demo_protocol("propagate", PropagateProtocol)
    assert isinstance(checked.boundary, AdaptiveLangevin)
    friction = format_quantity(checked.boundary.friction, "rate")
    plain = Langevin.model_validate({"kind": "langevin", "friction": friction})
    return {
        "checked": checked,
        "refined": with_policy(checked, "refine"),
        "unchecked": with_policy(checked, "off").model_copy(update={"boundary": plain}),
    }


def _has_frames(folder: Path) -> bool:
    return any((folder / "shards").glob("*.h5"))


def _operator_table(evaluation: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    last = evaluation["by_time"][-1]
    names = {
        "operator": "operator",
        "persistence": "persistence",
        "ballistic": "ballistic",
        "half_a_tau_squared": "½aτ²",
    }
    rows = [
        [name, f"{last['position_rmse'][key]:.4f}", f"{100 * last['velocity_error'][key]:.1f}"]
        for key, name in names.items()
    ]
    title = f"One window of {last['time'] * 1e3:g} fs, held-out segments"
    return title, ["", "position error (Å)", "velocity error (% of thermal)"], rows


def _rollout_table(
    rollouts: dict[str, RolloutSummary],
) -> tuple[str, list[str], list[list[str]]]:
    columns = ["", *(f"{name} ({s.policy})" for name, s in rollouts.items())]

    def row(label: str, show: Any) -> list[str]:
        return [label, *(show(s) for s in rollouts.values())]

    def temperature(s: RolloutSummary) -> str:
        mean = s.temperature_mean
        return "-" if mean is None else f"{mean:.0f} (target {s.temperature_target:.0f})"

    def drift(s: RolloutSummary) -> str:
        return "-" if s.energy_drift is None else f"{s.energy_drift:+.1f}"

    rows = [
        row("simulated (ps)", lambda s: f"{s.simulated_ps:.1f}"),
        row("energy drift of the windows (kJ/mol/ps)", drift),
        row("mean temperature (K)", temperature),
        row("largest bond deviation (Å)", lambda s: f"{10 * s.largest_bond_deviation:.2f}"),
        row("windows accepted", lambda s: f"{s.events['accept']}"),
        row("a prefix kept, rest by MD", lambda s: f"{s.events['prefix']}"),
        row("refined", lambda s: f"{s.events['refine']}"),
        row("fallback to MD", lambda s: f"{s.fallback_share:.1%}"),
        row("stopped", lambda s: "; ".join(s.stopped) or "no"),
        row("ns/day, all costs inside", lambda s: f"{s.rollout_ns_per_day:.1f}"),
        row("ns/day of reference MD", lambda s: f"{s.reference_ns_per_day:.1f}"),
        row("net speed-up", lambda s: f"{s.speed_up or 0.0:.2f}×"),
    ]
    return "Rollouts of ethanol", columns, rows


def _verdict(rollouts: dict[str, RolloutSummary], training: dict[str, Any]) -> list[str]:
    gain = rollouts["checked"].speed_up or 0.0
    verdict = (
        f"This operator trained for {training['seconds']:.0f} s. Net of every check and fallback "
        f"its rollout ran {gain:.2f}× as fast as OpenMM with GFN2-xTB"
    )
    verdict += ": no gain yet." if gain <= 1 else "."
    verdict += (
        " 'checked' and 'refined' also adapt the friction per element to the windows' heat; "
        "'unchecked' is left alone."
    )
    return [
        verdict,
        "A stronger operator, 20 minutes of training on one core:",
        *(f"  {c}" for c in STRONG),
    ]
