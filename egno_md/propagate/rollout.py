"""`propagate`: one rollout, all replicas in one batch, watched and repaired by OpenMM."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egno_md.core.errors import SpecError
from egno_md.core.progress import Progress, Silent
from egno_md.core.state import Frame
from egno_md.core.units import SECONDS_PER_DAY, format_quantity
from egno_md.data.output import Output, OutputMode, run_folder
from egno_md.data.store import Store, new_manifest, write_json
from egno_md.md.build import BuiltSystem, load_system
from egno_md.md.engine import NVT, OpenMMEngine
from egno_md.nn.bound import BoundOperator
from egno_md.nn.card import Card, DynamicsCard
from egno_md.nn.device import resolve_device
from egno_md.nn.operator import Operator
from egno_md.nn.sampler import BoundSampler
from egno_md.propagate.build import Plan, build
from egno_md.propagate.describe import caveat, describe
from egno_md.propagate.event import KINDS
from egno_md.propagate.protein_lines import protein_values
from egno_md.propagate.record import EVENTS, Recorder, load_state
from egno_md.propagate.requirements import Extent, Model, check_boxes, extent
from egno_md.propagate.run import TOTAL, Pace, run
from egno_md.propagate.source import FunctionWindows
from egno_md.propagate.start import frames_from_store, minimiser_iterations, preparation
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.summary import Description, RolloutSummary, summarise
from egno_md.propagate.totals import Totals
from egno_md.spec.files import find_operator
from egno_md.spec.propagate import ExactSource, PropagateProtocol

WINDOWS_PER_FLUSH = 500
DRAWS_PER_FLUSH = 100
REFINED_ATOMS_PER_FLUSH = 50_000
"""Atoms refined between two checkpoints: about a minute of one core for adenylate kinase."""

SUMMARY = "summary.json"
OBSERVABLES = "observables.csv"

WARM = 1.1
"""Times the training temperature up to which an operator is not asked too much."""


@dataclass(frozen=True)
class Rollout:
    """A finished rollout.

    Attributes:
        out: its folder.
        summary: what `summary.json` says.
    """

    out: Path
    summary: RolloutSummary

    @property
    def store(self) -> Store:
        """Its frames.

        Raises:
            DataError: it stopped before the first window was done.
        """
        return Store(self.out)


@dataclass(frozen=True, eq=False)
class Request:
    """What a rollout is asked to do, checked before anything is computed.

    Attributes:
        built: the system.
        bundle: of the operator; None where the source needs none.
        model: operator or sampler.
        protocol: how it is run.
        extent: how far it goes.
        source: store to start from, if any.
        frame: which of its frames.
        seed: of every random stream.
    """

    built: BuiltSystem
    bundle: Path | None
    model: Model | None
    protocol: PropagateProtocol
    extent: Extent
    source: Store | None
    frame: int | Sequence[int] | None
    seed: int

    @classmethod
    def of(
        cls,
        system: str,
        operator: Path | str | Operator | Model | None,
        protocol: PropagateProtocol,
        start: Path | str | None,
        frame: int | Sequence[int] | None,
        seed: int,
    ) -> Request:
        """Load and check what a rollout needs.

        Raises:
            BundleMismatch: the operator moves other atoms.
            WindowMismatch: the length is no whole number of windows.
            SpecError: the protocol asks for what cannot be done.
        """
        built = load_system(system)
        bundle, model = None, None
        if isinstance(protocol.source, ExactSource):
            if operator is not None:
                named = operator if isinstance(operator, str | Path) else "one"
                raise SpecError(
                    f"source.kind: exact is MD itself and needs no operator, and {named} is given. "
                    "Leave it out, or set source.kind: operator."
                )
        elif isinstance(operator, str | Path) or operator is None:
            bundle = find_operator(system, operator)
            model = bind_model(Operator.load(bundle), built)
        elif isinstance(operator, Operator):
            model = bind_model(operator, built)
        else:
            model = operator
        reach = extent(protocol, built, model)
        source = None if start is None else Store(Path(start))
        return cls(built, bundle, model, protocol, reach, source, frame, seed)

    @property
    def card(self) -> Card | None:
        """Of the operator; None of a function."""
        return getattr(self.model, "card", None)

    def folder(
        self, out: Path, mode: OutputMode, progress: Progress
    ) -> AbstractContextManager[Output]:
        """The folder of the rollout, claimed for it."""
        request = {
            "system": self.built.spec.model_dump(mode="json"),
            "operator": describe_model(self.model),
            "protocol": self.protocol.model_dump(mode="json"),
            "start": None if self.source is None else self.source.identity,
            "frame": self.frame,
            "seed": self.seed,
        }
        inputs = [] if self.bundle is None else [self.bundle]
        inputs += [] if self.source is None else [self.source.root]
        return run_folder(out, "propagate", request, mode, inputs, progress)

    def start_frames(self) -> list[Frame] | None:
        """Stored frames of every replica; None to begin at the structure."""
        if self.source is None:
            return None
        system, protocol = self.built.system, self.protocol
        frames = frames_from_store(
            self.source, system, self.frame, protocol.replicas, protocol.temperature, self.seed
        )
        check_boxes(frames, system, str(self.source.root))
        return frames

    def notes(self, description: Description) -> list[str]:
        """What a user should know before it runs."""
        kelvin = None if self.card is None else self.card.validity.kelvin
        notes = [description.statement]
        if not description.statement:
            notes = [
                f"The operator was trained at {kelvin:g} K and is asked for "
                f"{self.protocol.temperature:g} K: expect more fallbacks."
                if kelvin is not None and self.protocol.temperature > WARM * kelvin
                else "",
                caveat(self.card) if isinstance(self.card, DynamicsCard) else "",
                preparation(
                    self.built.system, self.protocol.equilibration, self.source is not None
                ),
            ]
        return [note for note in notes if note]


def bind_model(operator: Operator, built: BuiltSystem) -> BoundOperator | BoundSampler:
    """An operator on a system.

    Raises:
        BundleMismatch: the system lies outside what it was trained on.
    """
    bound = operator.bind(built.system)
    assert isinstance(bound, BoundOperator | BoundSampler)
    return bound


def describe_model(model: Model | None) -> dict[str, Any] | None:
    """What decides the windows of an operator or a function, as JSON."""
    match model:
        case None:
            return None
        case FunctionWindows(function=function, window=window):
            name = f"{function.__module__}.{function.__qualname__}"
            return {"function": name, "time_points": list(window.time_points)}
        case _:
            return model.card.model_dump(mode="json")


def run_propagate(
    system: str,
    operator: Path | str | Operator | Model | None,
    protocol: PropagateProtocol,
    out: Path | str,
    *,
    start: Path | str | None = None,
    frame: int | Sequence[int] | None = None,
    seed: int = 0,
    device: str = "auto",
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> Rollout:
    """Propagate a system by whole windows, all replicas in one batch; see `run_ensemble`.

    Args:
        system: shipped name or folder.
        operator: folder of a bundle, the name of one shipped with the system, None for the
            system's own, an operator that is loaded or bound already, or a `FunctionWindows`.
        protocol: how far, by whom, how judged, how corrected.
        out: for frames (HDF5 store and XTC), events and summary.
        start: a store to start from; else the system's structure, equilibrated.
        frame: which frame of the store, or one for each replica; else the last one,
            or for several replicas evenly spread ones.
        seed: of every random stream.
        device: ``auto``, ``cpu`` or ``gpu``, for the network.
        mode: see `run_folder`.
        progress: receives progress and notes.

    Raises:
        BundleMismatch: the operator moves other atoms.
        WindowMismatch: the length is no whole number of windows.
    """
    progress, out = progress or Silent(), Path(out)
    request = Request.of(system, operator, protocol, start, frame, seed)
    description = describe(protocol, request.extent.window_ps)
    target = resolve_device(device)
    frames = request.start_frames()
    for note in request.notes(description):
        progress.note(note)
    model = request.model
    if isinstance(model, BoundOperator | BoundSampler):
        model.operator.to(target)
    iterations = minimiser_iterations(request.built.system, request.source is not None)
    # before the folder is claimed: what cannot be built must not cost results that are there
    plan = build(request.built, model, protocol, seed, iterations)
    try:
        with request.folder(out, mode, progress) as output:
            if output.is_complete:
                return Rollout(out, RolloutSummary.model_validate(output.record["summary"]))
            summary = _propagate(request, description, plan, out, frames, progress)
            write_json(out / SUMMARY, summary.to_json())
            output.finish(summary=summary.to_json())
    finally:
        plan.bench.close()
    return Rollout(out, summary)


def _propagate(
    request: Request,
    description: Description,
    plan: Plan,
    out: Path,
    frames: list[Frame] | None,
    progress: Progress,
) -> RolloutSummary:
    """Run to the end and summarise."""
    built, protocol, bench = request.built, request.protocol, plan.bench
    saves_points = protocol.record.save == "points"
    statement = {"statement": description.statement} if description.statement else {}
    manifest = new_manifest(
        built.system,
        "propagate",
        plan.move.duration / (plan.points if saves_points else 1),
        spec=built.spec.model_dump(mode="json"),
        protocol=protocol.model_dump(mode="json"),
        seed=request.seed,
        mode=plan.move.kind,
        **statement,
    )
    saved = load_state(out)
    recorder = Recorder.open(out, built.system, manifest, saves_points)
    totals, seconds, first = Totals(), {}, 0
    if saved is None:
        states = plan.states(frames)
    else:
        states, totals, first = list(saved.replicas), saved.totals, saved.windows
        seconds = dict(saved.seconds)
    before = seconds.pop(TOTAL, 0.0)
    plan.move.clocks.restore(seconds)
    panel = _Panel(plan, description, request.extent.windows, first, progress)
    reference = [time_reference(plan)]
    finished = run(
        plan.move,
        states,
        recorder,
        range(first, request.extent.windows),
        choose_pace(plan, built.system.n_atoms),
        totals=totals,
        seconds_before=before,
        report=panel,
        forget=bench.forget,
    )
    reference.append(time_reference(plan))
    if recorder.writer.manifest.shards:
        recorder.writer.finish()
    write_observables(out)
    return summarise(built.system, description, finished, reference, plan.machine)


def choose_pace(plan: Plan, atoms: int) -> Pace:
    """How often to write and tell: refined windows of a large system take seconds each.

    Args:
        plan: of the rollout.
        atoms: of one replica.
    """
    protocol = plan.bench.protocol
    if plan.move.kind == "sampler":
        return Pace(DRAWS_PER_FLUSH)
    every = None if protocol.refine is None else protocol.refine.every
    if every is None:
        return Pace(WINDOWS_PER_FLUSH, 20)
    refined = every * REFINED_ATOMS_PER_FLUSH // (atoms * protocol.replicas)
    return Pace(min(WINDOWS_PER_FLUSH, max(refined, 1)))


def time_reference(plan: Plan) -> float:
    """Seconds per step of OpenMM's own Langevin dynamics of this system."""
    bench = plan.bench
    steps = max(bench.protocol.record.reference_steps // 2, 1)
    return seconds_per_step(bench.new_engine(bench.seed, "langevin-middle"), bench.relaxed, steps)


def seconds_per_step(engine: OpenMMEngine, start: Frame, steps: int) -> float:
    """Seconds per step of OpenMM's own dynamics of the system."""
    engine.load(start)
    engine.skip(max(steps // 10, 2), ensemble=NVT)
    begun = time.perf_counter()
    engine.skip(steps, ensemble=NVT)
    return (time.perf_counter() - begun) / steps


@dataclass(frozen=True)
class _Panel:
    """Figures of a rollout under way, for a panel of progress."""

    plan: Plan
    description: Description
    windows: int
    first: int
    progress: Progress

    def __call__(
        self, done: int, states: Sequence[ReplicaState], totals: Totals, seconds: float
    ) -> None:
        """Tell how far it is."""
        duration = self.plan.move.duration
        simulated = (done - self.first) * duration * len(states) * 1e-3
        rate = simulated / max(seconds, 1e-9) * SECONDS_PER_DAY
        is_drawn = self.plan.move.kind == "sampler"
        values = {
            "drawn" if is_drawn else "simulated": format_quantity(
                round(done * duration, 9), "time"
            ),
            "speed": f"{rate:.3g} ns/day",
        }
        if (mean := totals.temperature.mean) is not None:
            values["temperature"] = f"{mean:.0f} K"
        if (mean := totals.energy_error.mean) is not None:
            values["energy error"] = f"{mean:+.2g} kJ/mol a window"
        energies = [e for s in states if (e := s.frame.potential_energy) is not None]
        mean = totals.potential_energy.mean if is_drawn else None
        if mean is None and energies:
            mean = sum(energies) / len(energies)
        if mean is not None:
            values["potential energy"] = f"{mean:.2f} kJ/mol"
        values |= protein_values([s.last_event for s in states if s.last_event is not None])
        spent = {k: v for k, v in self.plan.move.clocks.seconds.items() if v > 0}
        whole = max(sum(spent.values()), 1e-9)
        values["time in"] = ", ".join(f"{k} {v / whole:.0%}" for k, v in spent.items())
        values |= {kind: f"{totals.events[kind]:,}" for kind in KINDS if totals.events[kind]}
        self.progress.update(done, self.windows, values)


def write_observables(root: Path) -> None:
    """What was observed at every window's end, as a table; nothing where nothing was."""
    rows: list[dict[str, Any]] = []
    with (root / EVENTS).open(encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if "observed" in event:
                rows.append(
                    {k: event[k] for k in ("replica", "window", "time")} | event["observed"]
                )
    if not rows:
        return
    with (root / OBSERVABLES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(k for r in rows for k in r)))
        writer.writeheader()
        writer.writerows(rows)
