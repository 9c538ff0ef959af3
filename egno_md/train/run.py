"""`train`: an operator from a trajectory store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.core.progress import Progress, Silent
from egno_md.core.selection import AtomChoice, choose_atoms, reduce_system
from egno_md.core.window import Window
from egno_md.data.output import OutputMode
from egno_md.data.store import Store
from egno_md.data.stretches import StoredStretch
from egno_md.data.windows import WindowDataset, split_stretches
from egno_md.nn.card import DynamicsCard, OneSystem
from egno_md.nn.edges import check_edges
from egno_md.nn.operator import WindowOperator
from egno_md.spec.network import Egno, Network
from egno_md.spec.sampler import Sampler
from egno_md.spec.train import TrainProtocol
from egno_md.train.errors import measure_errors
from egno_md.train.fit import fit
from egno_md.train.recipe import (
    TRAINING,
    Recipe,
    Training,
    frame_spacing,
    memory_for,
    validity_of,
)
from egno_md.train.run_sampler import SamplerRecipe
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
        mode: see `run_folder`; `resume` continues from the last checkpoint.
        progress: receives updates and notes.

    Raises:
        DataError: the store lacks what training needs.
        WindowMismatch: the window does not fit the frames.
    """
    store, progress = Store(Path(data)), progress or Silent()
    match protocol.network:
        case Sampler() as network:
            recipe = SamplerRecipe(store, protocol, network, progress)
        case network:
            recipe = DynamicsRecipe(store, protocol, network, progress)
    return recipe.train(Path(out), seed=seed, device=device, mode=mode)


class DynamicsRecipe(Recipe[WindowOperator, WindowDataset]):
    """Operators of dynamics; see `Recipe`."""

    fit = staticmethod(fit)

    def __init__(
        self, store: Store, protocol: TrainProtocol, network: Network, progress: Progress
    ) -> None:
        super().__init__(store, protocol, progress)
        self.network, self.system = network, reduce_system(store.system(), protocol.atoms)
        check_edges(self.system, network)
        self.window, self.sets = window_datasets(store, protocol)

    def build(self) -> WindowOperator:
        """An operator whose scales are those of the training windows."""
        windows, network = self.sets["train"], self.network
        spacing = frame_spacing(self.store)
        card = DynamicsCard(
            network=network,
            time_points=self.window.time_points,
            vocabulary=tuple(sorted(set(self.system.atomic_numbers.tolist()))),
            atoms=self.protocol.atoms,
            scales=measure_scales(windows, self.system, self.window, network, spacing),
            validity=validity_of(self.store, self.system, OneSystem.of(self.system)),
        )
        return WindowOperator(with_neighbours(card, self.system, windows))

    def describe(self, operator: WindowOperator) -> dict[str, Any]:
        """No further entries."""
        return {}

    def validate(self, operator: WindowOperator, folder: Path) -> dict[str, Any]:
        """Errors of validation windows."""
        errors = measure_errors(operator.own, self.sets["validation"])
        return {
            "f_mse": errors.f_mse,
            "a_mse": errors.a_mse,
            "velocity_error": errors.velocity_error[-1],
        }


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
        with_forces: whether windows carry the start forces.
        atoms: that an operator sees; None for all.
        memory: see `FramedWindows`.
    """

    spacing: float
    with_forces: bool
    atoms: np.ndarray | None
    memory: float | None

    @classmethod
    def of(cls, store: Store, choice: AtomChoice, with_forces: bool, gibibytes: float) -> Cutter:
        """For some atoms of a store, in so many GiB of memory.

        Raises:
            SpecError: the store's system has no such atoms.
            DataError: its frames are scattered in time.
        """
        atoms = None
        if choice != "all":
            atoms = choose_atoms(store.topology, choice, store.manifest.system)
        columns = ["positions", "velocities", "box"] + ["forces"] * with_forces
        count = len(store.manifest.masses) if atoms is None else len(atoms)
        memory = memory_for(store, columns, count, gibibytes)
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
