"""Fixtures shared by all tests: small cards, small stores, the shared data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import torch

from egno_md.core.progress import Values
from egno_md.core.seen import SeenAtoms
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.data.store import Store, StoreWriter, new_manifest
from egno_md.md.build import load_system
from egno_md.nn.card import Card, DynamicsCard, OneSystem, Scales, Validity
from egno_md.nn.operator import WindowOperator
from egno_md.nn.sampler import SamplerOperator
from egno_md.nn.sampler_card import SamplerCard
from egno_md.spec.network import Egno, Network, decodes_end_alone
from egno_md.spec.sampler import Sampler

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout; never required."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def ethanol() -> System:
    return load_system("ethanol").system


def make_card(system: System, network: Network, length: float = 0.008) -> DynamicsCard:
    """A card with scales of ethanol at 500 K; one time point where the network has only one."""
    points = 1 if decodes_end_alone(network) else 4
    validity = Validity.of_one(OneSystem.of(system), kelvin=500.0)
    return DynamicsCard(
        network=network,
        time_points=tuple(length * (p + 1) / points for p in range(points)),
        vocabulary=validity.elements,
        validity=validity,
        scales=Scales(
            length=0.1,
            velocity=1.7,
            acceleration=600.0,
            position_residual=0.012,
            velocity_residual=2.4,
        ),
    )


AnyCard = TypeVar("AnyCard", bound=Card)


def changed(card: AnyCard, **changes: object) -> AnyCard:
    """A card of another validity; changes of the one system that it asks for begin with `one_`."""
    of_one = {k.removeprefix("one_"): v for k, v in changes.items() if k.startswith("one_")}
    rest = {k: v for k, v in changes.items() if not k.startswith("one_")}
    one = None if card.one is None else card.one.model_copy(update=of_one)
    validity = card.validity.model_copy(update={"system": one, **rest})
    return card.model_copy(update={"validity": validity})


def make_operator(system: System, network: Network | None = None, seed: int = 0) -> WindowOperator:
    """An untrained operator."""
    torch.manual_seed(seed)
    network = network or Egno(kind="egno", layers=2, hidden=16, vectors=4)
    return WindowOperator(make_card(system, network)).eval()


VOCABULARY = (1, 6, 7, 8)


def make_general_operator(network: Network | None = None, seed: int = 0) -> WindowOperator:
    """An untrained operator for any molecule of up to 30 atoms of H, C, N and O."""
    torch.manual_seed(seed)
    network = network or Egno(kind="egno", layers=2, hidden=16, vectors=4)
    validity = Validity(elements=VOCABULARY, sizes=(2, 30), kelvin=500.0)
    card = make_card(load_system("ethanol").system, network)
    changes = {"vocabulary": VOCABULARY, "validity": validity}
    return WindowOperator(card.model_copy(update=changes)).eval()


def harmonic_trajectory(
    system: System, frames: int, spacing: float = 0.0005, seed: int = 0, start: float = 0.0
) -> Trajectory:
    """Every atom on its own spring: exact positions, velocities, forces, energies."""
    random = np.random.default_rng(seed)
    omega = 300.0
    amplitude = 0.005 * random.standard_normal((system.n_atoms, 3))
    phase = random.uniform(0, 2 * np.pi, (system.n_atoms, 3))
    times = start + spacing * np.arange(frames)
    angle = omega * times[:, None, None] + phase
    displacement = amplitude * np.cos(angle)
    masses = system.masses[:, None]
    return Trajectory(
        positions=system.positions + displacement,
        times=times,
        velocities=-omega * amplitude * np.sin(angle),
        forces=-masses * omega**2 * displacement,
        potential_energy=0.5 * omega**2 * (masses * displacement**2).sum((1, 2)),
    )


@pytest.fixture(scope="session")
def harmonic_store(tmp_path_factory: pytest.TempPathFactory, ethanol: System) -> Store:
    """A store of twelve short contiguous stretches with the ethanol topology."""
    root = tmp_path_factory.mktemp("harmonic") / "store"
    manifest = new_manifest(ethanol, "generate", 0.0005, seed=0, protocol={"temperature": "500 K"})
    writer = StoreWriter(root, manifest, ethanol.topology)
    for index in range(12):
        writer.append(harmonic_trajectory(ethanol, 60, seed=index), f"segment-{index:03d}")
    writer.finish()
    return Store(root)


class Listener:
    """Keeps what a computation tells of its progress."""

    def __init__(self) -> None:
        self.values: dict[str, str | float] = {}
        self.notes: list[str] = []

    def update(self, done: float, total: float, values: Values = "") -> None:
        assert 0 <= done <= total
        if not isinstance(values, str):
            self.values |= values

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="session")
def ala2() -> System:
    return load_system("ala2/hmr").system


def make_sampler(system: System, seed: int = 0, **network: object) -> SamplerOperator:
    """An untrained sampler whose draws are far from trivial."""
    torch.manual_seed(seed)
    spec = Sampler.model_validate(
        {"kind": "sampler", "layers": 2, "hidden": 16, "vectors": 4} | network
    )
    seen = SeenAtoms.of(system, spec.atoms)
    one = OneSystem(
        name=system.name,
        atomic_numbers=tuple(seen.atomic_numbers.tolist()),
        bonds=tuple((int(a), int(b)) for a, b in seen.bonds),
    )
    validity = Validity.of_one(one, kelvin=300.0, potential=system.potential)
    card = SamplerCard(
        network=spec,
        time_points=(10.0, 20.0, 30.0, 40.0),
        vocabulary=validity.elements,
        validity=validity,
        displacements=(0.03, 0.035, 0.04, 0.045),
    )
    operator = SamplerOperator(card)
    frames = torch.tensor(system.positions[seen.atoms]) + 0.005 * torch.randn(
        20, len(seen.atoms), 3, dtype=torch.float64
    )
    operator.learn_distances(frames)
    last = operator.field.final[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.normal_(last.weight, std=0.3)
    return operator.eval()
