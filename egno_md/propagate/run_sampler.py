"""`propagate` with a sampler: draws, lifted to all atoms and refined into states of MD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from egno_md.core.errors import SpecError
from egno_md.core.progress import Progress
from egno_md.core.seen import SeenAtoms
from egno_md.core.state import Frame
from egno_md.core.units import SECONDS_PER_DAY, format_quantity, whole_multiple
from egno_md.data.output import Output, OutputMode, open_output
from egno_md.data.store import Store, new_manifest, write_json
from egno_md.geometry.lift import Lift
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import OpenMMEngine, ThermostatName
from egno_md.md.generate.chains import replica_seed
from egno_md.md.refine.draws import LangevinWindows, SamplerRefiner
from egno_md.nn.bundle import check_potential, check_sampler_belongs
from egno_md.nn.device import resolve_device
from egno_md.nn.sampler import SamplerOperator
from egno_md.propagate.checks import Checker
from egno_md.propagate.controller import Controller, RunningTemperature
from egno_md.propagate.correction import (
    check_correction,
    find_moves,
    period,
    statement,
    summarise_moves,
)
from egno_md.propagate.drawing import Drawer
from egno_md.propagate.events import KINDS, Tally
from egno_md.propagate.loop import Replica
from egno_md.propagate.metropolis_loop import MetropolisLoop
from egno_md.propagate.recorder import Recorder, load_state
from egno_md.propagate.rolling import (
    Pace,
    check_points,
    roll,
    rollout_inputs,
    rollout_request,
    seconds_per_step,
)
from egno_md.propagate.rollout_summary import summarise
from egno_md.propagate.sampler_loop import SamplerLoop
from egno_md.propagate.shapes import Shapes
from egno_md.propagate.starts import frame_from_structure, frames_from_store
from egno_md.propagate.support import check_boxes
from egno_md.spec.propagate import Langevin, PropagateProtocol

WINDOWS_PER_FLUSH = 100
FLEXIBLE_TIMESTEP = 1.0e-3
"""ps: longer steps need constraints on bonds to hydrogen."""

SEEN_TEMPERATURES = 0.02
"""A sampler is of one temperature; a share by which another is let pass."""


def run_sampler(
    built: BuiltSystem,
    bundle: Path,
    operator: SamplerOperator,
    protocol: PropagateProtocol,
    out: Path,
    *,
    start: Path | str | None,
    frame: int | Sequence[int] | None,
    seed: int,
    device: str,
    mode: OutputMode,
    progress: Progress,
) -> tuple[Path, dict[str, Any]]:
    """Propagate a system by draws of a sampler; see `run_propagate`.

    Returns:
        The output folder and the summary.

    Raises:
        BundleMismatch: the sampler draws other atoms.
        SpecError: what the protocol asks cannot be done with a sampler.
    """
    card = operator.card
    seen, friction, windows = check_draws(protocol, built, operator)
    run = _SamplerRun(built, protocol, seed, operator.to(resolve_device(device)), seen, friction)
    source = None if start is None else Store(Path(start))
    stored = None if source is None else run.stored_frames(source, frame)
    request = rollout_request(built, card, protocol, source, frame, seed)
    output = open_output(out, "propagate", request, mode, inputs=rollout_inputs(bundle, source))
    if output.is_complete:
        progress.note(f"{out} is complete already.")
        return out, output.record["summary"]
    progress.note(statement(protocol))
    summary = run.propagate(output, windows, stored, progress)
    write_json(out / "summary.json", summary)
    output.finish(summary=summary)
    return out, summary


def check_draws(
    protocol: PropagateProtocol, built: BuiltSystem, operator: SamplerOperator
) -> tuple[SeenAtoms, float, int]:
    """The atoms that a sampler draws, the friction of the MD beside it, 1/ps, and the windows.

    Raises:
        BundleMismatch: the sampler draws other atoms.
        WindowMismatch: the length is no whole number of windows.
        SpecError: another thermostat or temperature, a timestep beyond the system's, or a
            correction that would not be exact.
    """
    system, card = built.system, operator.card
    seen = check_sampler_belongs(card, system)
    check_potential(card, system)
    if not isinstance(protocol.thermostat, Langevin):
        raise SpecError(
            f"thermostat.kind: {protocol.thermostat.kind} acts between windows of dynamics, and a "
            "sampler has none. Set kind: langevin, for the MD that refines and takes over."
        )
    if protocol.pressure is not None:
        raise SpecError("pressure: samplers know no box. Leave out pressure.")
    if card.kelvin is not None and (
        abs(protocol.temperature / card.kelvin - 1) > SEEN_TEMPERATURES
    ):
        raise SpecError(
            f"temperature: {protocol.temperature:g} K, and the sampler of {card.system} learned the "
            f"distribution at {card.kelvin:g} K. Set temperature: {card.kelvin:g} K, or train one "
            "on MD at yours."
        )
    if protocol.timestep > FLEXIBLE_TIMESTEP and not len(system.constraints):
        raise SpecError(
            f"timestep: {format_quantity(protocol.timestep, 'time')} is too long for {system.name} "
            "without constraints. Use a system with constraints: h-bonds (such as ala2/hmr), or "
            "timestep: 0.5 fs."
        )
    check_points(protocol, card.time_points)
    check_correction(protocol, system, seen)
    windows = whole_multiple(protocol.length, period(protocol, card), "the length", "windows")
    return seen, protocol.thermostat.friction, windows


def summarise_draws(protocol: PropagateProtocol, tally: Tally) -> dict[str, Any]:
    """What the summary of a sampler's rollout says besides."""
    if protocol.correction is not None:
        return summarise_moves(protocol, protocol.correction, tally)
    shift = tally.mean("refinement_shift")
    return {
        "mode": "sampler",
        "statement": statement(protocol),
        "corrected": False,
        "refine_every": protocol.refine_every or 0,
        "draw_steps": protocol.draws.steps,
        "draw_solver": protocol.draws.solver,
        "redraws": int(tally.moments.get("redraws", [0.0, 0.0, 0.0])[1]),
        "refinement_shift_nm": None if shift is None else float(f"{shift:.4g}"),
    }


class _SamplerRun:
    """One rollout's parts."""

    def __init__(
        self,
        built: BuiltSystem,
        protocol: PropagateProtocol,
        seed: int,
        operator: SamplerOperator,
        seen: SeenAtoms,
        friction: float,
    ) -> None:
        self.built, self.protocol, self.seed = built, protocol, seed
        self.friction, self.operator = friction, operator
        system = built.system
        self.engine = self._engine(seed, "langevin-middle")
        relaxed = self.engine.start().positions
        self.relaxed = self.engine.read()
        dynamics = LangevinWindows(self.engine, protocol.temperature)
        self.freedom = {"all": float(system.degrees_of_freedom)}
        self._refiner: SamplerRefiner | None = None

        def refiner() -> SamplerRefiner:
            if self._refiner is None:
                self._refiner = SamplerRefiner(
                    built, protocol.refinement, dynamics, protocol.platform
                )
            return self._refiner

        drawer = Drawer(operator, seen, Lift.relaxed(system, seen.atoms, relaxed), protocol.draws)
        checker = Checker.of(system, relaxed, protocol.tolerances.contact)
        self.loop: SamplerLoop | MetropolisLoop
        if protocol.correction is not None:
            self.loop = MetropolisLoop(
                drawer=drawer,
                rotors=find_moves(system, seen),
                settings=protocol.correction,
                evaluator=self.engine,
                dynamics=dynamics,
                checker=checker,
                kelvin=protocol.temperature,
                friction=friction,
            )
            return
        self.loop = SamplerLoop(
            drawer=drawer,
            dynamics=dynamics,
            refiner=refiner,
            shapes=Shapes.of(system, relaxed, protocol.tolerances),
            checker=checker,
            controller=Controller(
                protocol.policy,
                protocol.tolerances,
                protocol.temperature,
                protocol.temperature,
                system.degrees_of_freedom,
            ),
            friction=friction,
            refine_every=protocol.refine_every or 0,
            saves_points=protocol.save == "points",
        )

    def _engine(self, seed: int, thermostat: ThermostatName = "langevin") -> OpenMMEngine:
        return OpenMMEngine(
            self.built,
            timestep=self.protocol.timestep,
            kelvin=self.protocol.temperature,
            friction=self.friction,
            seed=seed,
            platform=self.protocol.platform,
            thermostat=thermostat,
        )

    def stored_frames(self, store: Store, frame: int | Sequence[int] | None) -> list[Frame]:
        """Start frames of every replica from a store."""
        protocol = self.protocol
        frames = frames_from_store(
            store, self.built.system, frame, protocol.replicas, protocol.temperature, self.seed
        )
        check_boxes(frames, self.built.system, str(store.root))
        return frames

    def propagate(
        self, output: Output, windows: int, stored: list[Frame] | None, progress: Progress
    ) -> dict[str, Any]:
        """Run to the end and summarise; `stored` frames to start from, if any."""
        protocol, card = self.protocol, self.operator.card
        spacing = period(protocol, card)
        if protocol.save == "points":
            spacing /= card.window.points
        manifest = new_manifest(
            self.built.system,
            "propagate",
            spacing,
            spec=self.built.spec.model_dump(mode="json"),
            protocol=protocol.model_dump(mode="json"),
            seed=self.seed,
            mode="sampler",
            statement=statement(self.protocol),
        )
        saved = load_state(output.root, self.freedom)
        recorder = Recorder.open(output.root, self.built.system, manifest, save_points=True)
        if saved is None:
            replicas, first = self._start(stored), 0
        else:
            replicas, first = saved.replicas, saved.windows
            self.loop = replace(self.loop, tally=saved.tally)
        reference = [self._time_reference()]
        total = roll(
            self.loop,
            recorder,
            replicas,
            range(first, windows),
            Pace(WINDOWS_PER_FLUSH),
            lambda done, spent: self._report(progress, done, windows, done - first, spent),
        )
        reference.append(self._time_reference())
        if recorder.writer.manifest.shards:
            recorder.writer.finish()
        return self._summary(replicas, total, reference)

    def _summary(
        self, replicas: list[Replica], total: float, reference: list[float]
    ) -> dict[str, Any]:
        machine = {
            "reference_platform": self.engine.platform,
            "network_device": str(next(self.operator.parameters()).device),
            "network_threads": torch.get_num_threads(),
        }
        found = summarise(
            self.built.system,
            self.protocol,
            period(self.protocol, self.operator.card),
            replicas,
            self.loop.tally,
            total,
            reference,
            machine,
        )
        return found | summarise_draws(self.protocol, self.loop.tally)

    def _start(self, stored: list[Frame] | None) -> list[Replica]:
        frames = stored
        if frames is None:
            frames = [
                frame_from_structure(
                    self._engine(replica_seed(self.seed, i)),
                    self.protocol.equilibration,
                    self.relaxed.positions,
                )
                for i in range(self.protocol.replicas)
            ]
        return [
            Replica(
                frame,
                np.random.default_rng([self.seed, i]),
                RunningTemperature(self.freedom),
                np.zeros(0),
            )
            for i, frame in enumerate(frames)
        ]

    def _time_reference(self) -> float:
        """Seconds per step of OpenMM's own Langevin dynamics of this system."""
        engine = self._engine(self.seed, "langevin-middle")
        return seconds_per_step(engine, self.relaxed, max(self.protocol.reference_steps // 2, 1))

    def _report(
        self, progress: Progress, done: int, windows: int, now: int, seconds: float
    ) -> None:
        tally, length = self.loop.tally, period(self.protocol, self.operator.card)
        simulated = now * length * self.protocol.replicas
        rate = simulated * 1e-3 / max(seconds, 1e-9) * SECONDS_PER_DAY
        values = {
            "drawn": format_quantity(round(done * length, 9), "time"),
            "speed": f"{rate:.3g} ns/day",
        }
        if (mean := tally.mean("temperature")) is not None:
            values["temperature"] = f"{mean:.0f} K"
        if (mean := tally.mean("potential_energy")) is not None:
            values["potential energy"] = f"{mean:.2f} kJ/mol"
        spent = {k: v for k, v in tally.seconds.items() if v > 0 and k != "total"}
        whole = max(sum(spent.values()), 1e-9)
        values["time in"] = ", ".join(f"{k} {v / whole:.0%}" for k, v in spent.items())
        values |= {kind: f"{tally.events[kind]:,}" for kind in KINDS if tally.events[kind]}
        progress.update(done, windows, values)
