"""`train`: an operator from a trajectory store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from egno_md.core.processes import rank
from egno_md.core.progress import Progress, Silent
from egno_md.core.selection import (
    AtomChoice,
    choose_atoms,
    reduce_system,
    reduce_trajectory,
)
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.data.output import OutputMode, open_output, read_run
from egno_md.data.store import Store
from egno_md.data.windows import WindowDataset, split_stretches
from egno_md.nn.bundle import load_bundle
from egno_md.nn.card import OperatorCard
from egno_md.nn.operator import WindowOperator
from egno_md.spec.network import Egno, Network
from egno_md.spec.sampler import Sampler
from egno_md.spec.train import Split, TrainProtocol
from egno_md.train.errors import measure_errors
from egno_md.train.fit import fit
from egno_md.train.scales import measure_scales, with_neighbours
from egno_md.workflows.support import check_edges, resolve_device
from egno_md.workflows.train_sampler import run_train_sampler
from egno_md.workflows.training import (
    Training,
    finish_training,
    frame_spacing,
    temperature_of,
    training_request,
)


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
    output = None
    if rank() == 0:  # of processes that train together one alone writes
        output = open_output(out, "train", request, mode, inputs=[store.root])
    record = output.record if output else (mode == "resume" and read_run(out)) or {}
    if record.get("status") == "complete":
        progress.note(f"{out} is complete already.")
        return Training(out / "bundle", load_bundle(out / "bundle"), record["summary"])
    torch.manual_seed(seed)
    spacing = frame_spacing(store)
    scales = measure_scales(sets["train"], system, window, protocol.network, spacing)
    card = _card(protocol.network, window, system, store, scales)
    card = card.model_copy(update={"atoms": protocol.atoms})
    card = with_neighbours(card, sets["train"])
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
    """The windows of a store, split as the protocol says."""
    spacing = frame_spacing(store)
    window = protocol.window.window(spacing)
    with_forces = uses_forces(protocol)
    return window, split_datasets(
        seen_stretches(store, protocol.atoms), spacing, window, protocol.split, with_forces
    )


def seen_stretches(store: Store, atoms: AtomChoice) -> list[Trajectory]:
    """The contiguous stretches of a store, of the atoms that an operator sees.

    Raises:
        SpecError: the store's system has no such atoms.
    """
    if atoms == "all":
        return list(store)
    chosen = choose_atoms(store.topology, atoms, store.manifest.system)
    return [reduce_trajectory(stretch, chosen) for stretch in store]


def split_datasets(
    stretches: list[Trajectory], spacing: float, window: Window, split: Split, with_forces: bool
) -> dict[str, WindowDataset]:
    """Train, validation and test windows of contiguous stretches."""
    parts = split_stretches(stretches, split, window.offsets(spacing)[-1])
    return {
        name: WindowDataset(found, window, spacing, with_forces=with_forces)
        for name, found in parts.items()
    }


def uses_forces(protocol: TrainProtocol) -> bool:
    """Whether the network has the force channel."""
    return isinstance(protocol.network, Egno) and protocol.network.force_channel


def _card(
    network: Network, window: Window, system: System, store: Store, scales: Any
) -> OperatorCard:
    return OperatorCard(
        network=network,
        time_points=window.time_points,
        system=system.name,
        digest=system.digest,
        atomic_numbers=tuple(system.atomic_numbers.tolist()),
        masses=tuple(system.masses.tolist()),
        bonds=tuple((int(a), int(b)) for a, b in system.bonds),
        periodic=system.box is not None,
        scales=scales,
        kelvin=temperature_of(store),
        potential=system.potential,
    )
