"""`propagate`: a surrogate rollout, watched and repaired by OpenMM."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.core.errors import DataError, SpecError
from egno_md.core.progress import Progress, Silent
from egno_md.core.state import Frame
from egno_md.core.units import format_quantity, whole_multiple
from egno_md.data.output import Output, OutputMode, open_output
from egno_md.data.store import Store, new_manifest, write_json
from egno_md.md.build import BuiltSystem, load_system
from egno_md.md.engine import NVT, OpenMMEngine
from egno_md.md.generate import replica_seed
from egno_md.md.refiner import OpenMMRefiner
from egno_md.nn.bundle import check_belongs, load_bundle
from egno_md.rollout.checks import Checker
from egno_md.rollout.controller import Controller, RunningTemperature
from egno_md.rollout.loop import Replica, WindowLoop
from egno_md.rollout.recorder import Recorder, load_state
from egno_md.rollout.surrogate import Surrogate
from egno_md.rollout.thermostat import LangevinKicks, maxwell_velocities
from egno_md.spec.propagate import AdaptiveLangevin, NoThermostat, PropagateProtocol
from egno_md.workflows.device import resolve_device

WINDOWS_PER_FLUSH = 500
SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True)
class Rollout:
    """A finished rollout.

    Attributes:
        store: its frames.
        summary: what `summary.json` says.
    """

    store: Store
    summary: dict[str, Any]


def run_propagate(
    system: str,
    bundle: Path | str,
    protocol: PropagateProtocol,
    out: Path | str,
    *,
    start: Path | str | None = None,
    frame: int | None = None,
    seed: int = 0,
    device: str = "auto",
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> Rollout:
    """Propagate a system by whole windows.

    Args:
        system: shipped name or folder.
        bundle: of the operator.
        protocol: how far, how judged, how repaired.
        out: for frames (HDF5 store and XTC), events and summary.
        start: a store to start from; else the system's structure, equilibrated.
        frame: which frame of the store; else the last one, or for several
            replicas evenly spread ones.
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
    operator = load_bundle(Path(bundle))
    check_belongs(operator.card, built.system)
    windows = whole_multiple(protocol.length, operator.card.window.length, "the length", "windows")
    whole_multiple(
        operator.card.window.length / operator.card.window.points,
        protocol.timestep,
        "the time point",
        "timesteps",
    )
    request = {
        "system": built.spec.model_dump(mode="json"),
        "operator": operator.card.model_dump(mode="json"),
        "protocol": protocol.model_dump(mode="json"),
        "start": None if start is None else Path(start).name,
        "frame": frame,
        "seed": seed,
    }
    output = open_output(out, "propagate", request, mode)
    if output.is_complete:
        progress.note(f"{out} is complete already.")
        return Rollout(Store(out), output.record["summary"])
    target = resolve_device(device)
    run = _Run(built, protocol, seed, Surrogate(operator.to(target), built.system.masses))
    summary = run.propagate(
        output, windows, None if start is None else Path(start), frame, progress
    )
    write_json(out / "summary.json", summary)
    output.finish(summary=summary)
    return Rollout(Store(out), summary)


class _Run:
    """One rollout's parts."""

    def __init__(
        self, built: BuiltSystem, protocol: PropagateProtocol, seed: int, surrogate: Surrogate
    ) -> None:
        self.built, self.protocol, self.seed, self.surrogate = built, protocol, seed, surrogate
        thermostat = protocol.thermostat
        is_nvt = not isinstance(thermostat, NoThermostat)
        friction = thermostat.friction if is_nvt else 1.0
        relaxation = thermostat.relaxation if isinstance(thermostat, AdaptiveLangevin) else None
        self.friction = friction
        self.engine = self._engine(seed)
        masses = built.system.masses
        share = 1 - masses / masses.sum()
        elements = np.array(built.system.elements)
        self.freedom = {"all": float(built.system.degrees_of_freedom)} | {
            str(e): float(3 * share[elements == e].sum()) for e in np.unique(elements)
        }
        kicks = LangevinKicks.of(built.system, protocol.temperature, friction, relaxation)
        self.no_excess = kicks.no_excess()
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
            checker=Checker.of(built.system, self.engine.start().positions),
            refiner=self._refiner,
            thermostat=kicks if is_nvt else None,
            kelvin=protocol.temperature,
            check_every=protocol.check_every,
        )
        self._made_refiner: OpenMMRefiner | None = None

    def _engine(self, seed: int) -> OpenMMEngine:
        return OpenMMEngine(
            self.built,
            timestep=self.protocol.timestep,
            kelvin=self.protocol.temperature,
            friction=self.friction,
            seed=seed,
            platform=self.protocol.platform,
        )

    def _refiner(self) -> OpenMMRefiner:
        if self._made_refiner is None:
            self._made_refiner = OpenMMRefiner(
                self.built,
                self.protocol.refinement,
                self.protocol.temperature,
                self.protocol.platform,
                self.seed,
            )
        return self._made_refiner

    def propagate(
        self,
        output: Output,
        windows: int,
        start: Path | None,
        frame: int | None,
        progress: Progress,
    ) -> dict[str, Any]:
        """Run to the end and summarise."""
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
            replicas, first = self._start(start, frame), 0
        else:
            replicas, first = saved.replicas, saved.windows
            self.loop = replace(self.loop, tally=saved.tally)
        reference = [self._time_reference(replicas[0].frame)]
        before = self.loop.tally.seconds.pop("total", 0.0)
        begun = time.perf_counter()
        self.engine.forget()
        for window in range(first, windows):
            for index, event, trajectory in self.loop.advance(replicas, window):
                recorder.record(index, event, trajectory)
            done = window + 1
            is_over = all(r.stop_reason for r in replicas)
            if done % WINDOWS_PER_FLUSH == 0 or done == windows or is_over:
                with self.loop.clock("output"):
                    total = before + time.perf_counter() - begun
                    tally = replace(
                        self.loop.tally, seconds={**self.loop.tally.seconds, "total": total}
                    )
                    recorder.flush(done, replicas, tally)
                    self.engine.forget()
            if done % 20 == 0 or done == windows or is_over:
                self._report(progress, done, windows, first, time.perf_counter() - begun)
            if is_over:
                break
        total = before + time.perf_counter() - begun
        reference.append(self._time_reference(replicas[0].frame))
        if recorder.writer.manifest.shards:
            recorder.writer.finish()
        return self._summary(replicas, total, reference)

    def _spacing(self) -> float:
        card = self.surrogate.operator.card
        if self.protocol.save == "windows":
            return card.window.length
        return card.window.length / card.window.points

    def _start(self, start: Path | None, frame: int | None) -> list[Replica]:
        count = self.protocol.replicas
        frames = self._from_store(start, frame) if start is not None else self._from_structure()
        return [
            Replica(
                replace(frames[i], time=0.0, forces=None, potential_energy=None),
                np.random.default_rng([self.seed, i]),
                RunningTemperature(self.freedom),
                self.no_excess,
            )
            for i in range(count)
        ]

    def _from_store(self, path: Path, frame: int | None) -> list[Frame]:
        store = Store(path)
        if store.manifest.digest != self.built.system.digest:
            raise DataError(
                f"{path}: holds {store.manifest.system}, whose atoms, bonds or masses differ from "
                f"{self.built.system.name}'s. Start from a store of the same system."
            )
        trajectory = store.chain(store.chains[-1])
        available = len(trajectory)
        if frame is not None:
            if not -available <= frame < available:
                raise SpecError(f"--frame {frame}: {path} has frames 0 to {available - 1}.")
            chosen = [frame] * self.protocol.replicas
        elif self.protocol.replicas == 1:
            chosen = [available - 1]
        else:
            chosen = np.linspace(0, available - 1, self.protocol.replicas).astype(int).tolist()
        frames = []
        for replica, index in enumerate(chosen):
            if trajectory.velocities is None:
                random = np.random.default_rng([self.seed, replica, 1])
                masses = self.built.system.masses
                velocities = maxwell_velocities(masses, self.protocol.temperature, random)
                frames.append(Frame(trajectory.positions[index].astype(np.float64), velocities))
            else:
                frames.append(_double(trajectory[index]))
        return frames

    def _from_structure(self) -> list[Frame]:
        frames = []
        for replica in range(self.protocol.replicas):
            engine = self._engine(replica_seed(self.seed, replica))
            engine.start()
            steps = round(self.protocol.equilibration / self.protocol.timestep)
            if steps:
                engine.skip(steps)
            frames.append(engine.read())
        return frames

    def _time_reference(self, frame: Frame) -> float:
        """Seconds per step of the reference, its own thermostatted dynamics."""
        steps = max(self.protocol.reference_steps // 2, 1)
        self.engine.load(frame)
        self.engine.skip(2, ensemble=NVT)
        begun = time.perf_counter()
        self.engine.skip(steps, ensemble=NVT)
        return (time.perf_counter() - begun) / steps

    def _report(
        self, progress: Progress, done: int, windows: int, first: int, seconds: float
    ) -> None:
        tally = self.loop.tally
        length = self.surrogate.length * self.protocol.replicas
        rate = (done - first) * length * 1e-3 / max(seconds, 1e-9) * SECONDS_PER_DAY
        kelvin = tally.mean("temperature") or 0.0
        events = ", ".join(f"{n} {k}" for k, n in sorted(tally.events.items()))
        reached = format_quantity(round(done * self.surrogate.length, 9), "time")
        progress.update(done, windows, f"{reached}, {rate:.3g} ns/day, {kelvin:.0f} K, {events}")

    def _summary(
        self, replicas: list[Replica], total: float, reference: list[float]
    ) -> dict[str, Any]:
        tally = self.loop.tally
        events = {
            k: tally.events.get(k, 0) for k in ("accept", "prefix", "refine", "fallback", "stop")
        }
        settled = sum(events.values()) - events["stop"]
        simulated = settled * self.surrogate.length
        per_step = float(np.median(reference))
        reference_rate = self.protocol.timestep * 1e-3 / per_step * SECONDS_PER_DAY
        rate = simulated * 1e-3 / total * SECONDS_PER_DAY
        is_nvt = not isinstance(self.protocol.thermostat, NoThermostat)
        excess = self._by_element("excess_friction", 4) if is_nvt else {}
        return {
            "system": self.built.system.name,
            "potential": self.built.system.potential,
            "policy": self.protocol.policy,
            "ensemble": "NVT" if is_nvt else "NVE",
            "mode": "dynamics",
            "replicas": self.protocol.replicas,
            "windows": settled,
            "window_ps": self.surrogate.length,
            "simulated_ps": round(simulated, 9),
            "temperature_target": self.protocol.temperature if is_nvt else None,
            "temperature_mean": _rounded(tally.mean("temperature")),
            "temperature_by_element": self._by_element("temperature", 2),
            "excess_friction_by_element": excess,
            "stop_reasons": [r.stop_reason for r in replicas],
            "stopped": dict(Counter(r.stop_reason for r in replicas if r.stop_reason)),
            "events": events,
            "fallback_share": events["fallback"] / max(settled, 1),
            "energy_error_mean": _rounded(tally.mean("energy_error")),
            "energy_error_std": _rounded(tally.deviation("energy_error")),
            "energy_drift": self._drift(settled),
            "largest_bond_deviation": tally.largest_bond_deviation,
            "seconds": {k: round(v, 4) for k, v in tally.seconds.items()}
            | {"total": round(total, 4)},
            "rollout_ns_per_day": rate,
            "reference_ns_per_day": reference_rate,
            "speed_up": rate / reference_rate,
        }

    def _drift(self, settled: int) -> float | None:
        """Energy that errors of kept windows put in, kJ/mol per ps and replica."""
        kept = self.loop.tally.moments.get("kept_energy_error")
        simulated = settled * self.surrogate.length
        return None if kept is None or not settled else _rounded(kept[1] / simulated)

    def _by_element(self, name: str, digits: int) -> dict[str, float]:
        """Means of a quantity per element."""
        means = {e: self.loop.tally.mean(f"{name}.{e}") for e in self.freedom if e != "all"}
        return {e: round(m, digits) for e, m in means.items() if m is not None}


def _double(frame: Frame) -> Frame:
    return replace(
        frame,
        positions=frame.positions.astype(np.float64),
        velocities=frame.velocities.astype(np.float64),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
