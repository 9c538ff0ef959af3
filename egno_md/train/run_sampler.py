"""`train` for a sampler: from a trajectory store of plain thermostatted MD."""

from __future__ import annotations

from pathlib import Path

import torch

from egno_md.core.errors import DataError
from egno_md.core.progress import Progress, Silent
from egno_md.core.seen import SeenAtoms
from egno_md.core.units import format_quantity
from egno_md.core.window import Window
from egno_md.data.output import OutputMode
from egno_md.data.sampler_windows import SamplerWindows
from egno_md.data.store import Store
from egno_md.data.windows import split_stretches
from egno_md.nn.card import OneSystem
from egno_md.nn.device import resolve_device
from egno_md.nn.sampler import SamplerOperator
from egno_md.nn.sampler_card import SamplerCard
from egno_md.spec.sampler import Sampler
from egno_md.spec.train import TrainProtocol
from egno_md.train.loop import read_metrics
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
from egno_md.train.sampler import fit_sampler, window_spread

DISTANCE_FRAMES = 4096
"""From which means and widths of distances are measured."""

TOO_SHORT_A_WINDOW = 1.0
"""ps: shorter windows remember their velocities, which a sampler never sees."""


def run_train_sampler(
    data: Path | str,
    protocol: TrainProtocol,
    out: Path | str,
    seed: int,
    device: str,
    mode: OutputMode,
    progress: Progress | None,
) -> Training:
    """Train a sampler on a store; see `run_train`.

    Raises:
        DataError: the store is no equilibrium trajectory, or too short.
        WindowMismatch: the window does not fit the frames.
    """
    progress, out = progress or Silent(), Path(out)
    store = Store(Path(data))
    network = protocol.network
    assert isinstance(network, Sampler)
    check_equilibrium(store)
    system = store.system()
    seen = SeenAtoms.of(system, network.atoms)
    window, sets = sampler_datasets(store, protocol, seen)
    if window.length < TOO_SHORT_A_WINDOW:
        progress.note(
            f"A window of {format_quantity(window.length, 'time')} still remembers the start's "
            "velocities, which a sampler does not see: kind: egno learns such windows better."
        )
    request = training_request(store, protocol, seed)
    target = resolve_device(device)
    output, record = open_training(out, request, mode, store)
    if record.get("status") == "complete":
        progress.note(f"{out} is complete already.")
        return Training(out / "bundle", SamplerOperator.load(out / "bundle"), record["summary"])
    torch.manual_seed(seed)
    numbers = tuple(seen.atomic_numbers.tolist())
    bonds = tuple((int(a), int(b)) for a, b in seen.bonds)
    one = OneSystem(name=system.name, atomic_numbers=numbers, bonds=bonds)
    card = SamplerCard(
        network=network,
        time_points=window.time_points,
        vocabulary=tuple(sorted(set(numbers))),
        displacements=window_spread(sets["train"]),
        validity=validity_of(store, system, one),
    )
    operator = SamplerOperator(card)
    operator.learn_distances(sets["train"].frames_apart(DISTANCE_FRAMES))
    parameters = sum(p.numel() for p in operator.parameters())
    progress.note(
        f"{parameters:,} parameters, {len(sets['train']):,} training and "
        f"{len(sets['validation']):,} validation windows of {len(seen.atoms)} atoms"
    )
    result = fit_sampler(
        operator,
        sets["train"],
        sets["validation"],
        protocol,
        out,
        seed=seed,
        device="gpu" if target.type == "cuda" else "cpu",
        progress=progress,
    )
    metrics = read_metrics(out / "metrics.csv")
    best = min((float(r["val_flow_loss"]) for r in metrics), default=None)
    found = {
        "system": system.name,
        "mode": "sampler",
        "statement": card.statement,
        "parameters": parameters,
        "training_windows": len(sets["train"]),
        "validation": {"flow_loss": best},
    }
    return finish_training(operator, result, found, request, out, output)


def sampler_datasets(
    store: Store, protocol: TrainProtocol, seen: SeenAtoms
) -> tuple[Window, dict[str, SamplerWindows]]:
    """The windows of a store that training reads, in blocks of time as the protocol says."""
    network = protocol.network
    assert isinstance(network, Sampler)
    spacing = frame_spacing(store)
    window = protocol.window.window(spacing)
    parts = split_stretches(store.stretches, protocol.split, window.offsets(spacing)[-1])
    memory = memory_for(store, ["positions"], len(seen.atoms), protocol.data_memory)
    return window, {
        name: SamplerWindows(
            parts[name],
            window,
            spacing,
            seen.atoms,
            time_reversal=network.time_reversal,
            memory=memory,
        )
        for name in TRAINING
    }


def check_equilibrium(store: Store) -> None:
    """Refuse what no thermostat moved, or what holds a box.

    Raises:
        DataError: NVE segments, a sampler's own frames, or a periodic system.
    """
    known = store.manifest.provenance.get("protocol") or {}
    if (known.get("sampling") or {}).get("kind") == "nve-segments":
        raise DataError(
            f"{store.root}: holds NVE segments, from which no ensemble can be learned. Generate "
            "one long thermostatted trajectory (sampling.kind: nvt), such as --protocol "
            "nvt-300k-4fs."
        )
    if store.manifest.provenance.get("mode") == "sampler":
        raise DataError(
            f"{store.root}: was drawn by a sampler. Train on MD, or errors of the one become "
            "the truth of the next."
        )
    if store.system().box is not None:
        raise DataError(
            f"{store.root}: its system is periodic, and samplers know no box. Use implicit solvent."
        )
