"""`demo`: the whole chain on ethanol with GFN2-xTB, small enough for minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from egno_md.cli.tables import NAMES
from egno_md.compare.run import run_compare
from egno_md.core.units import format_quantity
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import Store, write_json
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
from egno_md.train.run import Training, run_train

if TYPE_CHECKING:
    from egno_md.console import Console

SYSTEM = "ethanol"
STRONG = (
    "egno-md generate ethanol --protocol nve-500k --out runs/data",
    "egno-md train runs/data --protocol egno-8fs --out runs/operator",
    "egno-md propagate ethanol --operator runs/operator/bundle --out runs/rollout",
)
Model = TypeVar("Model", bound=Spec)
Table = tuple[str, list[str], list[list[str]]]
"""Title, columns and rows."""


@dataclass(frozen=True)
class Demo:
    """Results of a demo.

    Attributes:
        tables: for people.
        lines: what to read below them.
        content: the same for machines.
    """

    tables: list[Table]
    lines: list[str]
    content: dict[str, Any]


class Chain:
    """The verbs of a demo, each in a folder of its own, where it resumes.

    Args:
        out: the demo's folder.
        seed: of every random stream.
        device: ``auto``, ``cpu`` or ``gpu``.
        console: shows the stages, with the time since the demo began, and progress.
    """

    def __init__(self, out: Path, seed: int, device: str, console: Console) -> None:
        self.out, self.seed, self.device = out, seed, device
        self.console, self.began = console, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.perf_counter() - self.began

    def stage(self, title: str) -> None:
        """Announce a stage."""
        self.console.stage(title)
        self.console.note(f"[{self.seconds:4.0f} s] {title}")

    def generate(self, system: str, protocol: GenerateProtocol, name: str, number: int) -> Store:
        """Reference MD, with the demo's seed plus `number`."""
        return run_generate(
            system,
            protocol,
            self.out / name,
            seed=self.seed + number,
            workers=2,
            mode="resume",
            progress=self.console,
        )

    def train(self, data: Store, protocol: TrainProtocol) -> Training:
        """An operator."""
        return run_train(
            data.root,
            protocol,
            self.out / "operator",
            seed=self.seed,
            device=self.device,
            mode="resume",
            progress=self.console,
        )

    def propagate(
        self, system: str, bundle: Path, protocols: dict[str, PropagateProtocol], start: Store
    ) -> dict[str, RolloutSummary]:
        """A rollout per protocol, by name."""
        return {
            name: run_propagate(
                system,
                bundle,
                protocol,
                self.out / name,
                start=start.root,
                seed=self.seed,
                device=self.device,
                mode="resume",
                progress=self.console,
            ).summary
            for name, protocol in protocols.items()
        }

    def compare(self, reference: Store, rollouts: Sequence[str]) -> None:
        """Rollouts beside the reference."""
        run_compare(
            reference.root,
            [self.out / name for name in rollouts],
            self.out / "comparison",
            seed=self.seed,
            mode="resume",
            progress=self.console,
        )

    def report(self, parts: Sequence[str], title: str) -> Path:
        """The page about all parts and the comparison."""
        folders = [self.out / p for p in (*parts, "comparison")]
        return run_report(folders, self.out / "report", mode="overwrite", title=title)


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
        console: shows the progress.
    """
    chain = Chain(out, seed, device, console)
    with run_folder(out, "demo", {"seed": seed}, mode) as run:
        chain.stage("1/6 reference MD of ethanol, GFN2-xTB, NVE segments for training")
        segments = demo_protocol("segments", GenerateProtocol)
        data = chain.generate(SYSTEM, segments, "data", 0)
        chain.stage("2/6 reference MD, NVT, to compare with")
        nvt = demo_protocol("reference", GenerateProtocol)
        reference = chain.generate(SYSTEM, nvt, "reference", 1)
        chain.stage("3/6 training an operator")
        training = chain.train(data, demo_protocol("train", TrainProtocol))
        chain.stage("4/6 evaluating it on held-out segments")
        evaluation = run_evaluate(
            training.bundle,
            data.root,
            out / "evaluation",
            seed=seed,
            mode="resume",
            progress=console,
        )
        chain.stage("5/6 propagating: falling back to MD, refining, and without any control")
        rollouts = chain.propagate(SYSTEM, training.bundle, _rollout_protocols(), reference)
        chain.stage("6/6 comparing with the reference, and the report")
        chain.compare(reference, [name for name in rollouts if _has_frames(out / name)])
        page = chain.report(
            ("data", "reference", "operator", "evaluation", *rollouts),
            "egno-md demo: ethanol, GFN2-xTB",
        )
        seconds = chain.seconds
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
    """The same rollout with checks, with refinement, and without either."""
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


def _operator_table(evaluation: dict[str, Any]) -> Table:
    last = evaluation["by_time"][-1]
    rows = [
        [name, f"{last['position_rmse'][key]:.4f}", f"{100 * last['velocity_error'][key]:.1f}"]
        for key, name in NAMES.items()
    ]
    title = f"One window of {last['time'] * 1e3:g} fs, held-out segments"
    return title, ["", "position error (Å)", "velocity error (% of thermal)"], rows


def rollout_rows(
    rollouts: dict[str, RolloutSummary], cells: dict[str, Callable[[RolloutSummary], str]]
) -> list[list[str]]:
    """A row per label, with a cell of every rollout."""
    return [[label, *(cell(s) for s in rollouts.values())] for label, cell in cells.items()]


def _rollout_table(rollouts: dict[str, RolloutSummary]) -> Table:
    columns = ["", *(f"{name} ({s.policy})" for name, s in rollouts.items())]

    def temperature(s: RolloutSummary) -> str:
        mean = s.temperature_mean
        return "-" if mean is None else f"{mean:.0f} (target {s.temperature_target:.0f})"

    def drift(s: RolloutSummary) -> str:
        return "-" if s.energy_drift is None else f"{s.energy_drift:+.1f}"

    cells = {
        "simulated (ps)": lambda s: f"{s.simulated_ps:.1f}",
        "energy drift of the windows (kJ/mol/ps)": drift,
        "mean temperature (K)": temperature,
        "largest bond deviation (Å)": lambda s: f"{10 * s.largest_bond_deviation:.2f}",
        "windows accepted": lambda s: f"{s.events['accept']}",
        "a prefix kept, rest by MD": lambda s: f"{s.events['prefix']}",
        "refined": lambda s: f"{s.events['refine']}",
        "fallback to MD": lambda s: f"{s.fallback_share:.1%}",
        "stopped": lambda s: "; ".join(s.stopped) or "no",
        "ns/day, all costs inside": lambda s: f"{s.rollout_ns_per_day:.1f}",
        "ns/day of reference MD": lambda s: f"{s.reference_ns_per_day:.1f}",
        "net speed-up": lambda s: f"{s.speed_up or 0.0:.2f}×",
    }
    return "Rollouts of ethanol", columns, rollout_rows(rollouts, cells)


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
