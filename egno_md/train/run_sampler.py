"""Training a sampler on a trajectory store of plain thermostatted MD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from egno_md.core.errors import DataError
from egno_md.core.progress import Progress
from egno_md.core.seen import SeenAtoms
from egno_md.core.units import format_quantity
from egno_md.core.window import Window
from egno_md.data.sampler_windows import SamplerWindows
from egno_md.data.store import Store
from egno_md.data.windows import split_stretches
from egno_md.nn.card import OneSystem
from egno_md.nn.sampler import SamplerOperator
from egno_md.nn.sampler_card import SamplerCard
from egno_md.spec.sampler import Sampler
from egno_md.spec.train import TrainProtocol
from egno_md.train.loop import read_metrics
from egno_md.train.recipe import (
    TRAINING,
    Recipe,
    frame_spacing,
    memory_for,
    validity_of,
)
from egno_md.train.sampler import fit_sampler, window_spread

DISTANCE_FRAMES = 4096
"""From which means and widths of distances are measured."""

TOO_SHORT_A_WINDOW = 1.0
"""ps: shorter windows remember their velocities, which a sampler never sees."""


class SamplerRecipe(Recipe[SamplerOperator, SamplerWindows]):
    """Samplers; see `Recipe`.

    Raises:
        DataError: the store is no equilibrium trajectory, or too short.
        WindowMismatch: the window does not fit the frames.
    """

    fit = staticmethod(fit_sampler)

    def __init__(
        self, store: Store, protocol: TrainProtocol, network: Sampler, progress: Progress
    ) -> None:
        super().__init__(store, protocol, progress)
        check_equilibrium(store)
        self.network, self.system = network, store.system()
        self.selection = SeenAtoms.of(self.system, network.atoms)
        self.window, self.sets = sampler_datasets(store, protocol, self.selection)
        self.noun = f"windows of {len(self.selection.atoms)} atoms"
        if self.window.length < TOO_SHORT_A_WINDOW:
            progress.note(
                f"A window of {format_quantity(self.window.length, 'time')} still remembers the "
                "start's velocities, which a sampler does not see: kind: egno learns such windows "
                "better."
            )

    def build(self) -> SamplerOperator:
        """A sampler that has measured moves and distances of the training windows."""
        windows = self.sets["train"]
        operator = SamplerOperator(self._card(windows))
        operator.learn_distances(windows.frames_apart(DISTANCE_FRAMES))
        return operator

    def _card(self, windows: SamplerWindows) -> SamplerCard:
        numbers = tuple(self.selection.atomic_numbers.tolist())
        bonds = tuple((int(a), int(b)) for a, b in self.selection.bonds)
        one = OneSystem(name=self.system.name, atomic_numbers=numbers, bonds=bonds)
        return SamplerCard(
            network=self.network,
            time_points=self.window.time_points,
            vocabulary=tuple(sorted(set(numbers))),
            displacements=window_spread(windows),
            validity=validity_of(self.store, self.system, one),
        )

    def describe(self, operator: SamplerOperator) -> dict[str, Any]:
        """The sampler's statement on time."""
        return {"mode": "sampler", "statement": operator.card.statement}

    def validate(self, operator: SamplerOperator, folder: Path) -> dict[str, Any]:
        """The loss of the weights that were kept."""
        metrics = read_metrics(folder / "metrics.csv")
        return {"flow_loss": min((float(r["val_flow_loss"]) for r in metrics), default=None)}


def sampler_datasets(
    store: Store, protocol: TrainProtocol, selection: SeenAtoms
) -> tuple[Window, dict[str, SamplerWindows]]:
    """The windows of a store that training reads, in blocks of time as the protocol says."""
    network = protocol.network
    assert isinstance(network, Sampler)
    spacing = frame_spacing(store)
    window = protocol.window.window(spacing)
    parts = split_stretches(store.stretches, protocol.split, window.offsets(spacing)[-1])
    memory = memory_for(store, ["positions"], len(selection.atoms), protocol.data_memory)
    return window, {
        name: SamplerWindows(
            parts[name],
            window,
            spacing,
            selection.atoms,
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
    protocol = store.manifest.provenance.get("protocol") or {}
    if (protocol.get("sampling") or {}).get("kind") == "nve-segments":
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
