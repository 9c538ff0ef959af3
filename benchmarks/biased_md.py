"""Populations of a dipeptide's map from MD on a flattened surface: a truth of its own.

Static bias along φ and ψ, and every frame weighed by exp(V/k_B T) (Torrie & Valleau 1977). Which
bias it is does not matter to what comes out, only to how fast: here it is minus the free energy
of any rough sample that has seen all basins, smoothed and capped.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import openmm

from egno_md.core.units import BOLTZMANN
from egno_md.geometry.torsions import torsion_angles
from egno_md.md.build import load_system
from egno_md.md.engine import OpenMMEngine

Array = np.ndarray

KELVIN = 300.0
CELLS = 48
WIDTH = 40.0
"""κ of the kernels that smooth the rough sample: 9 degrees."""
CAP = 25.0
"""kJ/mol, of free energies that are flattened."""
GROUP = 7
"""Of the bias among OpenMM's forces."""
EVERY = 0.4
"""ps between recorded frames."""


def free_energy(angles: Array) -> Array:
    """Smoothed and capped, kJ/mol on a periodic grid, its lowest point at 0.

    Args:
        angles: ``(frames, 2)`` radians, of the rough sample.
    """
    grid = np.arange(CELLS) / CELLS * 2 * np.pi - np.pi
    kernels = [np.exp(WIDTH * (np.cos(grid[:, None] - a) - 1)) for a in angles.T]
    density = kernels[0] @ kernels[1].T
    energies = -BOLTZMANN * KELVIN * np.log(np.maximum(density / density.max(), 1e-12))
    return np.minimum(energies, CAP)


def bias_force(rough: Array, atoms: Array) -> openmm.CustomCompoundBondForce:
    """Minus that free energy, as a force on the five atoms of φ and ψ."""
    table = -free_energy(rough)
    closed = np.pad(table, ((0, 1), (0, 1)), mode="wrap")
    function = openmm.Continuous2DFunction(
        CELLS + 1, CELLS + 1, closed.T.ravel(), -np.pi, np.pi, -np.pi, np.pi, True
    )
    force = openmm.CustomCompoundBondForce(
        5, "bias(dihedral(p1, p2, p3, p4), dihedral(p2, p3, p4, p5))"
    )
    force.addTabulatedFunction("bias", function)
    force.addBond([int(a) for a in atoms], [])
    force.setForceGroup(GROUP)
    return force


def biased_md(system: str, rough: Array, atoms: Array, length: float, seed: int) -> Array:
    """``(frames, 3)``: φ, ψ (radians) and the bias (kJ/mol) of every frame.

    Args:
        system: shipped name.
        rough: angles of any sample of all basins.
        atoms: five, of φ and ψ.
        length: ps.
        seed: of the noise.
    """
    built = load_system(system)
    changed = openmm.XmlSerializer.clone(built.openmm_system)
    changed.addForce(bias_force(rough, atoms))
    engine = OpenMMEngine(
        replace(built, openmm_system=changed), timestep=4e-3, kelvin=KELVIN, friction=1.0,
        seed=seed, thermostat="langevin-middle",
    )  # fmt: skip
    engine.start()
    engine.skip(5000)
    quads = np.stack([atoms[:4], atoms[1:]])
    found = np.zeros((round(length / EVERY), 3))
    for frame in found:
        engine.skip(round(EVERY / engine.timestep))
        state = engine.context.getState(positions=True)
        frame[:2] = torsion_angles(state.getPositions(asNumpy=True)._value, quads)
        energy = engine.context.getState(energy=True, groups={GROUP}).getPotentialEnergy()
        frame[2] = energy.value_in_unit(openmm.unit.kilojoule_per_mole)
    return found


def kept(
    folder: Path, system: str, rough: Array, atoms: Array, length: float, seed: int, parts: int
) -> Array:
    """As `biased_md`, in independent parts that are made once; each is `length` ps long."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        path = folder / f"{part}.npy"
        if not path.is_file():
            np.save(path, biased_md(system, rough, atoms, length, seed + part))
    return np.concatenate([np.load(folder / f"{part}.npy") for part in range(parts)])
