"""`propagate`: a surrogate rollout, watched and repaired by OpenMM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from egno_md.core.progress import Progress, Silent
from egno_md.core.state import Frame
from egno_md.core.units import SECONDS_PER_DAY, format_quantity
from egno_md.data.output import Output, OutputMode, open_output
from egno_md.data.store import Store, new_manifest, write_json
from egno_md.md.barostat import MonteCarloBarostat
from egno_md.md.build import BuiltSystem, load_system
from egno_md.md.engine import OpenMMEngine, ThermostatName
from egno_md.md.generate.chains import replica_seed
from egno_md.md.pool import EnginePool
from egno_md.md.refine.refiner import OpenMMRefiner
from egno_md.nn.bundle import load_any_bundle
from egno_md.nn.device import resolve_device
from egno_md.nn.sampler import SamplerOperator
from egno_md.propagate.checks import Checker
from egno_md.propagate.constraints import Projection
from egno_md.propagate.controller import Controller, RunningTemperature
from egno_md.propagate.loop import Replica, WindowLoop
from egno_md.propagate.proteins import (
    caveat,
    find_lift,
    find_observer,
    summarise_protein,
    what_is_held,
    write_observables,
)
from egno_md.propagate.recorder import EVENTS, Recorder, load_state
from egno_md.propagate.rollable import check_rollout
from egno_md.propagate.rolling import (
    choose_pace,
    roll,
    rollout_inputs,
    rollout_request,
    seconds_per_step,
)
from egno_md.propagate.rollout_summary import progress_values, summarise
from egno_md.propagate.run_sampler import run_sampler
from egno_md.propagate.starts import (
    frame_from_structure,
    frames_from_store,
    minimiser_iterations,
    preparation,
)
from egno_md.propagate.support import check_boxes
from egno_md.propagate.surrogate import Surrogate
from egno_md.propagate.thermostats import make_thermostat
from egno_md.spec.files import find_operator
from egno_md.spec.propagate import PropagateProtocol

MD_FRICTION = 5.0
"""1/ps, of equilibration and timing where the thermostat between windows has no friction."""


@dataclass(frozen=True)
class Rollout:
    """A finished rollout.

    Attributes:
        out: its folder.
        summary: what `summary.json` says.
    """

    out: Path
    summary: dict[str, Any]

    @property
    def store(self) -> Store:
        """Its frames.

        Raises:
            DataError: it stopped before the first window was done.
        """
        return Store(self.out)


def run_propagate(
    system: str,
    bundle: Path | str | None,
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

    Windows are of dynamics, or drawn from a sampler.

    Args:
        system: shipped name or folder.
        bundle: of the operator; a name or None for one shipped with the system.
        protocol: how far, how judged, how repaired.
        out: for frames (HDF5 store and XTC), events and summary.
        start: a store to start from; else the system's structure, equilibrated.
        frame: which frame of the store, or one for each replica; else the last one,
            or for several replicas evenly spread ones.
        seed: of every random stream.
        device: ``auto``, ``cpu`` or ``gpu``, for the network.
        mode: see `open_output`.
        progress: who listens.

    Raises:
        BundleMismatch: the operator moves other atoms.
        WindowMismatch: the length is no whole number of windows.
    """
    progress, out = progress or Silent(), Path(out)
    built = load_system(system)
    bundle = find_operator(system, bundle)
    operator = load_any_bundle(bundle)
    if isinstance(operator, SamplerOperator):
        drawn = run_sampler(
            built,
            bundle,
            operator,
            protocol,
            out,
            start=start,
            frame=frame,
            seed=seed,
            device=device,
            mode=mode,
            progress=progress,
        )
        return Rollout(*drawn)
    card = operator.card
    windows = check_rollout(built, card, protocol)
    if card.kelvin is not None and protocol.temperature > 1.1 * card.kelvin:
        progress.note(
            f"The operator was trained at {card.kelvin:g} K and is asked for "
            f"{protocol.temperature:g} K: expect more fallbacks."
        )
    target = resolve_device(device)
    lift = find_lift(built, card, protocol)
    if warning := caveat(card):
        progress.note(warning)
    if said := preparation(built.system, protocol.equilibration, start is not None):
        progress.note(said)
    surrogate = Surrogate(operator.to(target), built.system.masses, lift)
    iterations = minimiser_iterations(built.system, start is not None)
    run = _Run(built, protocol, seed, surrogate, iterations)
    source = None if start is None else Store(Path(start))
    stored = None if source is None else run.stored_frames(source, frame)
    request = rollout_request(built, card, protocol, source, frame, seed)
    output = open_output(out, "propagate", request, mode, inputs=rollout_inputs(bundle, source))
    if output.is_complete:
        progress.note(f"{out} is complete already.")
        return Rollout(out, output.record["summary"])
    try:
        summary = run.propagate(output, windows, stored, progress)
    finally:
        run.close()
    write_json(out / "summary.json", summary)
    output.finish(summary=summary)
    return Rollout(out, summary)


class _Run:
    """One rollout's parts."""

    def __init__(
        self,
        built: BuiltSystem,
        protocol: PropagateProtocol,
        seed: int,
        surrogate: Surrogate,
        iterations: int,
    ) -> None:
        self.built, self.protocol, self.seed, self.surrogate = built, protocol, seed, surrogate
        thermostat = make_thermostat(protocol, built.system)
        is_nvt = thermostat is not None
        self.no_excess = np.zeros(0) if thermostat is None else thermostat.no_excess()
        self.friction = getattr(protocol.thermostat, "friction", MD_FRICTION)
        self.engine = self._engine(seed)
        self.relaxed = self.engine.start(iterations=iterations)
        per_atom = built.system.atom_freedom
        elements = np.array(built.system.elements)
        self.freedom = {"all": float(built.system.degrees_of_freedom)} | {
            str(e): float(per_atom[elements == e].sum()) for e in np.unique(elements)
        }
        self.pool = None
        if protocol.workers > 1:
            self.pool = EnginePool(built.spec, built.folder, self.engine.platform, protocol.workers)
        self.loop = WindowLoop(
            surrogate=surrogate,
            reference=self.engine,
            controller=Controller(
                protocol.policy,
                protocol.tolerances,
                protocol.temperature if is_nvt else None,
                protocol.temperature,
                built.system.degrees_of_freedom,
            ),
            checker=Checker.of(built.system, self.relaxed.positions, protocol.tolerances.contact),
            refiner=self._refiner,
            thermostat=thermostat,
            kelvin=protocol.temperature,
            check_every=protocol.check_every,
            evaluator=self.pool,
            keeps_energy=getattr(protocol.thermostat, "keep_energy", False),
            retries=protocol.retry_prefix,
            constraints=self._projection(),
            barostat=self._barostat(),
            barostat_every=protocol.barostat_every,
            refine_every=protocol.refine_every,
            observer=find_observer(built),
        )
        self._made_refiner: OpenMMRefiner | None = None

    def _projection(self) -> Projection | None:
        system = self.built.system
        return Projection(self.engine, system.masses) if len(system.constraints) else None

    def _barostat(self) -> MonteCarloBarostat | None:
        system, protocol = self.built.system, self.protocol
        if protocol.pressure is None or system.box is None:
            return None
        return MonteCarloBarostat.of(
            self.engine.evaluate,
            system.molecules,
            protocol.temperature,
            protocol.pressure,
            float(abs(np.linalg.det(system.box))),
        )

    def _engine(
        self,
        seed: int,
        thermostat: ThermostatName = "langevin",
        pressure: float | None = None,
    ) -> OpenMMEngine:
        return OpenMMEngine(
            self.built,
            timestep=self.protocol.timestep,
            kelvin=self.protocol.temperature,
            friction=self.friction,
            seed=seed,
            platform=self.protocol.platform,
            thermostat=thermostat,
            pressure=pressure,
        )

    def _refiner(self) -> OpenMMRefiner:
        if self._made_refiner is None:
            self._made_refiner = OpenMMRefiner(
                self.built,
                self.protocol.refinement,
                self.protocol.temperature,
                self.protocol.platform,
                self.seed,
                what_is_held(self.built, self.surrogate.operator.card, self.protocol),
            )
        return self._made_refiner

    def close(self) -> None:
        """End what runs beside."""
        if self.pool is not None:
            self.pool.close()

    def _forget(self) -> None:
        self.engine.forget()
        if self.pool is not None:
            self.pool.forget()

    def propagate(
        self,
        output: Output,
        windows: int,
        stored: list[Frame] | None,
        progress: Progress,
    ) -> dict[str, Any]:
        """Run to the end and summarise; `stored` frames to start from, if any."""
        manifest = new_manifest(
            self.built.system,
            "propagate",
            self._spacing(),
            spec=self.built.spec.model_dump(mode="json"),
            protocol=self.protocol.model_dump(mode="json"),
            seed=self.seed,
            mode="dynamics",
        )
        saved = load_state(output.root, self.freedom)
        recorder = Recorder.open(
            output.root, self.built.system, manifest, self.protocol.save == "points"
        )
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
            choose_pace(
                self.built.system.n_atoms * self.protocol.replicas, self.protocol.refine_every
            ),
            lambda done, spent: self._report(progress, replicas, (done, windows, first), spent),
            self._forget,
        )
        reference.append(self._time_reference())
        if recorder.writer.manifest.shards:
            recorder.writer.finish()
        write_observables(output.root, output.root / EVENTS)
        return summarise(
            self.built.system,
            self.protocol,
            self.surrogate.length,
            replicas,
            self.loop.tally,
            total,
            reference,
            {
                "reference_platform": self.engine.platform,
                "network_device": str(next(self.surrogate.operator.parameters()).device),
                "network_threads": torch.get_num_threads(),
                "atoms": self.surrogate.operator.card.atoms,
                "caveat": caveat(self.surrogate.operator.card),
                **summarise_protein(self.loop.tally),
            },
        )

    def _spacing(self) -> float:
        card = self.surrogate.operator.card
        if self.protocol.save == "windows":
            return card.window.length
        return card.window.length / card.window.points

    def stored_frames(self, store: Store, frame: int | Sequence[int] | None) -> list[Frame]:
        """Start frames of every replica from a store."""
        protocol = self.protocol
        frames = frames_from_store(
            store, self.built.system, frame, protocol.replicas, protocol.temperature, self.seed
        )
        check_boxes(frames, self.built.system, str(store.root))
        projection = self._projection()
        return frames if projection is None else [projection.frame(f) for f in frames]

    def _start(self, stored: list[Frame] | None) -> list[Replica]:
        protocol = self.protocol
        count = protocol.replicas
        frames = stored
        if frames is None:
            engines = (
                self._engine(replica_seed(self.seed, i), pressure=protocol.pressure)
                for i in range(count)
            )
            minimised = self.relaxed.positions
            frames = [frame_from_structure(e, protocol.equilibration, minimised) for e in engines]
        return [
            Replica(
                frames[i],
                np.random.default_rng([self.seed, i]),
                RunningTemperature(self.freedom),
                self.no_excess,
            )
            for i in range(count)
        ]

    def _time_reference(self) -> float:
        """Seconds per step of OpenMM's own Langevin dynamics of this system."""
        engine = self._engine(self.seed, "langevin-middle")
        return seconds_per_step(engine, self.relaxed, max(self.protocol.reference_steps // 2, 1))

    def _report(
        self,
        progress: Progress,
        replicas: list[Replica],
        count: tuple[int, int, int],
        seconds: float,
    ) -> None:
        done, windows, first = count
        tally = self.loop.tally
        length = self.surrogate.length * self.protocol.replicas
        rate = (done - first) * length * 1e-3 / max(seconds, 1e-9) * SECONDS_PER_DAY
        reached = format_quantity(round(done * self.surrogate.length, 9), "time")
        values = {"simulated": reached, "speed": f"{rate:.3g} ns/day"}
        values |= progress_values(tally, replicas)
        progress.update(done, windows, values)
