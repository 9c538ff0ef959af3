from __future__ import annotations

import mdtraj
import numpy as np
import pytest

from egno_md.core.state import Trajectory
from egno_md.core.system import System, element_masses
from egno_md.core.units import thermal_speed

BUTANE = np.array(
    [[0.0, 0.0, 0.0], [0.15, 0.0, 0.0], [0.2, 0.14, 0.0], [0.35, 0.14, 0.02], [-0.04, -0.1, 0.0]]
)


def new_topology(symbols: str = "CCOCH") -> mdtraj.Topology:
    """C–C–O–C with one hydrogen on the first carbon."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    atoms = [
        topology.add_atom(f"{s}{i}", mdtraj.element.Element.getBySymbol(s), residue)
        for i, s in enumerate(symbols)
    ]
    for i, j in ((0, 1), (1, 2), (2, 3), (0, 4)):
        topology.add_bond(atoms[i], atoms[j])
    return topology


@pytest.fixture(scope="session")
def toy() -> System:
    topology = new_topology()
    masses = element_masses(topology)
    return System("toy", topology, masses, BUTANE, 3 * len(masses) - 3)


@pytest.fixture
def system(toy) -> System:
    return toy


@pytest.fixture(scope="session")
def sample_of(toy):
    """Independent Gaussian frames about one structure, turned at random, at `kelvin`."""

    def draw(seed: int = 0, frames: int = 300, kelvin: float = 300.0, width: float = 0.004):
        generator = np.random.default_rng(seed)
        x = BUTANE + width * generator.normal(size=(frames, 5, 3))
        turns = np.linalg.qr(generator.normal(size=(frames, 3, 3)))[0]
        turns[:, :, 0] *= np.linalg.det(turns)[:, None]
        speed = thermal_speed(toy.masses, kelvin)[:, None]
        return Trajectory(
            positions=x @ turns,
            times=0.01 * np.arange(frames),
            velocities=speed * generator.normal(size=(frames, 5, 3)) + 3.0,
            forces=generator.normal(size=(frames, 5, 3)),
            potential_energy=generator.normal(10.0, 2.0, size=frames),
        )

    return draw


@pytest.fixture
def sample(sample_of):
    return sample_of
