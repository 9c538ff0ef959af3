"""`fit-potential`: a learned potential from energies and forces, ready to move atoms."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import torch
import yaml

from egno_md.core.errors import DataError
from egno_md.core.progress import Progress, Silent
from egno_md.core.state import Trajectory
from egno_md.core.system import System, atomic_numbers
from egno_md.core.units import KJ_PER_KCAL, NANOMETRE_PER_ANGSTROM
from egno_md.data.download import file_identity
from egno_md.data.md17 import read_md17
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import Store, single_system, write_json
from egno_md.md.build import load_system
from egno_md.md.potentials.torchmdnet import load_force, new_tensornet, save_model
from egno_md.md.structure import write_structure
from egno_md.nn.device import resolve_device
from egno_md.spec.fit_potential import FitPotentialProtocol, FrameSplit
from egno_md.train.potential import LabelledFrames, fit_potential, measure_potential

TIMED_EVALUATIONS = 100


@dataclass(frozen=True, eq=False)
class FittedPotential:
    """A finished fit.

    Attributes:
        system: folder with the system that the potential moves.
        summary: what `summary.json` says.
    """

    system: Path
    summary: dict[str, Any]


def run_fit_potential(
    data: Path | str,
    protocol: FitPotentialProtocol,
    out: Path | str,
    *,
    system: str | None = None,
    seed: int = 0,
    device: str = "auto",
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> FittedPotential:
    """Fit a potential to the energies and forces of one molecule.

    Args:
        data: an MD17 .npz file (original or revised), or a store with forces.
        protocol: network, split, optimisation.
        out: for the system folder, checkpoints, metrics and errors.
        system: shipped name or folder that the atoms must belong to, whose
            bonds are taken; else bonds are guessed from the frames.
        seed: of the split, the weights and the batches.
        device: ``auto``, ``cpu`` or ``gpu``.
        mode: see `run_folder`; `resume` continues from the last checkpoint.
        progress: receives updates and notes.

    Raises:
        DataError: no energies or forces, or another molecule.
        TrainingError: the error became NaN.
    """
    progress, out, path = progress or Silent(), Path(out), Path(data)
    trajectory, topology, identity = _read(path)
    matter = _matter(path, topology, trajectory, system)
    parts = split_frames(len(trajectory), protocol.split, seed, path)
    request = {
        "data": identity,
        "protocol": protocol.model_dump(mode="json"),
        "system": matter.name,
        "digest": matter.digest,
        "seed": seed,
    }
    target = resolve_device(device)
    folder = out / "system"
    with run_folder(out, "fit-potential", request, mode, [path], progress) as run:
        if run.is_complete:
            return FittedPotential(folder, run.record["summary"])
        offset = float(trajectory.potential_energy[parts["train"]].mean())  # type: ignore[index]
        frames = {k: _labelled_frames(trajectory, index, offset) for k, index in parts.items()}
        torch.manual_seed(seed)
        scale = float(frames["train"].forces.std())
        energy, arguments = new_tensornet(protocol.network, matter.atomic_numbers, scale)
        parameters = sum(p.numel() for p in energy.parameters())
        progress.note(
            f"{parameters:,} parameters, {len(parts['train']):,} training, "
            f"{len(parts['validation']):,} validation and {len(parts['test']):,} test frames"
        )
        result = fit_potential(
            energy,
            frames["train"],
            frames["validation"],
            protocol,
            out,
            seed=seed,
            device="gpu" if target.type == "cuda" else "cpu",
            progress=progress,
        )
        errors = measure_potential(energy, frames["test"])
        start = trajectory.positions[parts["train"]][int(frames["train"].energies.argmin())]
        _write_system(folder, matter, start, protocol, path)
        save_model(folder / "model", energy.model, arguments, KJ_PER_KCAL, offset)
        summary = {
            "system": matter.name,
            "parameters": parameters,
            "frames": {k: len(index) for k, index in parts.items()},
            "steps": result.steps,
            "seconds": result.seconds,
            "best_step": result.best_step,
            "stopped": result.stopped,
            "seed": seed,
            "test": asdict(errors),
            "test_force_spread": float(frames["test"].forces.std()),
            "milliseconds_per_force": time_force(folder / "model", matter),
        }
        write_json(out / "summary.json", summary)
        run.finish(summary=summary)
        return FittedPotential(folder, summary)


def split_frames(frames: int, split: FrameSplit, seed: int, source: Path) -> dict[str, np.ndarray]:
    """Indices of training, validation and test frames, drawn at random.

    Raises:
        DataError: too few frames for that split.
    """
    train, validation = (
        round(part * frames) if isinstance(part, float) else part
        for part in (split.train, split.validation)
    )
    if min(train, validation) < 1 or train + validation >= frames:
        raise DataError(
            f"{source}: {frames} frames cannot be split into {train} for training, {validation} "
            "for validation and at least one for the test. Change split.train and "
            "split.validation."
        )
    order = np.random.default_rng(seed).permutation(frames)
    ends = (train, train + validation)
    return dict(zip(("train", "validation", "test"), np.split(order, ends), strict=True))


def time_force(model: Path, system: System) -> float:
    """Median milliseconds of CPU time that one force call takes here."""
    force = load_force(model, system.atomic_numbers)
    seconds = []
    for _ in range(TIMED_EVALUATIONS):
        begun = time.process_time()
        force.compute(system.positions)
        seconds.append(time.process_time() - begun)
    return round(float(np.median(seconds)) * 1e3, 3)


def _read(path: Path) -> tuple[Trajectory, mdtraj.Topology, dict[str, Any]]:
    """Frames with energies and forces; where they lie in time does not matter."""
    if path.suffix.lower() == ".npz" or not path.exists():
        trajectory, topology = read_md17(path)
        return trajectory, topology, file_identity(path)
    store = Store(path)
    stretches = list(store)
    for name in ("forces", "potential_energy"):
        if any(getattr(s, name) is None for s in stretches):
            what = name.replace("_", " ")
            raise DataError(
                f"{path}: holds no {what}, which a potential is fitted to. Generate it with "
                "store_forces: true, or load a file that has them."
            )
    columns = {
        name: np.concatenate([getattr(s, name) for s in stretches])
        for name in ("positions", "times", "forces", "potential_energy")
    }
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise DataError(f"{path}: {name} holds NaN or infinity. Generate it again.")
    return Trajectory(**columns), store.topology, store.identity


def _matter(
    path: Path, topology: mdtraj.Topology, trajectory: Trajectory, system: str | None
) -> System:
    if system is None:
        return single_system(topology, _name(path), trajectory.positions[0])
    built = load_system(system).system
    numbers = atomic_numbers(topology)
    if not np.array_equal(numbers, built.atomic_numbers):
        names = " ".join(a.element.symbol for a in topology.atoms)
        raise DataError(
            f"{path}: its atoms are {names}, those of {built.name} {' '.join(built.elements)}. "
            "Give the system of these atoms, in this order."
        )
    return replace(built, positions=trajectory.positions[0])


def _name(path: Path) -> str:
    return path.stem.removeprefix("rmd17_").removeprefix("md17_") or "molecule"


def _labelled_frames(trajectory: Trajectory, index: np.ndarray, offset: float) -> LabelledFrames:
    """Å, kcal/mol and kcal/mol/Å, which is what TorchMD-Net works in."""
    energies = (trajectory.potential_energy[index] - offset) / KJ_PER_KCAL  # type: ignore[index]
    forces = trajectory.forces[index] * (NANOMETRE_PER_ANGSTROM / KJ_PER_KCAL)  # type: ignore[index]
    positions = trajectory.positions[index] / NANOMETRE_PER_ANGSTROM
    arrays = (positions, energies, forces)
    return LabelledFrames(*(torch.as_tensor(a, dtype=torch.float32) for a in arrays))


def _write_system(
    folder: Path, matter: System, start: np.ndarray, protocol: FitPotentialProtocol, source: Path
) -> None:
    folder.mkdir(exist_ok=True)
    write_structure(folder / "structure.pdb", matter.topology, start)
    content = {
        "name": matter.name,
        "description": f"{matter.name}, {protocol.network.kind} fitted to {source.name}.",
        "structure": "structure.pdb",
        "potential": {"kind": "torchmd-net", "model": "model"},
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "system.yaml").write_text(text, encoding="utf-8")
