"""`train`: an operator from a trajectory store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from egno_md.core.progress import Progress, Silent
from egno_md.core.selection import AtomChoice, choose_atoms, reduce_system
from egno_md.core.window import Window
from egno_md.data.output import OutputMode
from egno_md.data.store import Store
from egno_md.data.stretches import StoredStretch
from egno_md.data.windows import WindowDataset, split_stretches
from egno_md.nn.card import DynamicsCard, OneSystem
from egno_md.nn.device import resolve_device
from egno_md.nn.edges import check_edges
from egno_md.nn.operator import WindowOperator
from egno_md.spec.network import Egno
from egno_md.spec.sampler import Sampler
from egno_md.spec.train import TrainProtocol
from egno_md.train.errors import measure_errors
from egno_md.train.fit import fit
from egno_md.train.outcome import (
    TRAINING,
    Training,
    finish_training,
    frame_spacing,
    memory_for,
    open_training,
    training_request,
    validity_of,
)
from egno_md.train.run_sampler import run_train_sampler
from egno_md.train.scales import measure_scales, with_neighbours


def run_train(
    data: Path | str,
    protocol: TrainProtocol,
    out: Path | str,
    *,
    seed: int = 0,
    device: str = "auto",
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> Training:
    """Train an operator on a store.

    Args:
        data: a store from `generate` or `load`.
        protocol: window, network, optimisation.
        out: for the bundle, checkpoints, metrics and the loss plot.
        seed: of the weights and the batches.
        device: ``auto``, ``cpu`` or ``gpu``.
        mode: see `open_output`; `resume` continues from the last checkpoint.
        progress: who listens.

    Raises:
        DataError: the store lacks what training needs.
        WindowMismatch: the window does not fit the frames.
    """
    if isinstance(protocol.network, Sampler):
        return run_train_sampler(data, protocol, out, seed, device, mode, progress)
    progress, out = progress or Silent(), Path(out)
    store = Store(Path(data))
    system = reduce_system(store.system(), protocol.atoms)
    check_edges(system, protocol.network)
    window, sets = window_datasets(store, protocol)
    request = training_request(store, protocol, seed)
    target = resolve_device(device)
    output, record = open_training(out, request, mode, store)
    if record.get("status") == "complete":
        progress.note(f"{out} is complete already.")
        return Training(out / "bundle", WindowOperator.load(out / "bundle"), record["summary"])
    torch.manual_seed(seed)
    spacing = frame_spacing(store)
    card = DynamicsCard(
        network=protocol.network,
        time_points=window.time_points,
        vocabulary=tuple(sorted(set(system.atomic_numbers.tolist()))),
        atoms=protocol.atoms,
        scales=measure_scales(sets["train"], system, window, protocol.network, spacing),
        validity=validity_of(store, system, OneSystem.of(system)),
    )
    card = with_neighbours(card, system, sets["train"])
    operator = WindowOperator(card)
    parameters = sum(p.numel() for p in operator.parameters())
    progress.note(
        f"{parameters:,} parameters, {len(sets['train']):,} training and "
        f"{len(sets['validation']):,} validation windows"
    )
    result = fit(
        operator,
        sets["train"],
        sets["validation"],
        protocol,
        out,
        seed=seed,
        device="gpu" if target.type == "cuda" else "cpu",
        progress=progress,
    )
    errors = measure_errors(operator, sets["validation"])
    validation = {
        "f_mse": errors.f_mse,
        "a_mse": errors.a_mse,
        "velocity_error": errors.velocity_error[-1],
    }
    found = {
        "system": system.name,
        "parameters": parameters,
        "training_windows": len(sets["train"]),
        "validation": validation,
    }
    return finish_training(operator, result, found, request, out, output)


def window_datasets(
    store: Store, protocol: TrainProtocol
) -> tuple[Window, dict[str, WindowDataset]]:
    """The windows of a store that training reads, split as the protocol says."""
    spacing = frame_spacing(store)
    window = protocol.window.window(spacing)
    parts = split_stretches(store.stretches, protocol.split, window.offsets(spacing)[-1])
    cut = Cutter.of(store, protocol.atoms, uses_forces(protocol), protocol.data_memory)
    return window, {name: cut(parts[name], window) for name in TRAINING}


@dataclass(frozen=True, eq=False)
class Cutter:
    """Cuts windows from stretches of one store.

    Attributes:
        spacing: ps between frames.
        with_forces: whether the start forces are wanted.
        atoms: that an operator sees; None for all.
        memory: see `FramedWindows`.
    """

    spacing: float
    with_forces: bool
    atoms: np.ndarray | None
    memory: float | None

    @classmethod
    def of(cls, store: Store, choice: AtomChoice, with_forces: bool, allowed: float) -> Cutter:
        """For some atoms of a store, in so many GiB of memory.

        Raises:
            SpecError: the store's system has no such atoms.
            DataError: its frames are scattered in time.
        """
        atoms = None
        if choice != "all":
            atoms = choose_atoms(store.topology, choice, store.manifest.system)
        columns = ["positions", "velocities", "box"] + ["forces"] * with_forces
        seen = len(store.manifest.masses) if atoms is None else len(atoms)
        memory = memory_for(store, columns, seen, allowed)
        return cls(frame_spacing(store), with_forces, atoms, memory)

    def __call__(self, stretches: Sequence[StoredStretch], window: Window) -> WindowDataset:
        """Every window inside some stretches."""
        return WindowDataset(
            stretches,
            window,
            self.spacing,
            with_forces=self.with_forces,
            atoms=self.atoms,
            memory=self.memory,
        )


def uses_forces(protocol: TrainProtocol) -> bool:
    """Whether the network has the force channel."""
    return isinstance(protocol.network, Egno) and protocol.network.force_channel
