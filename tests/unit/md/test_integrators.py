from __future__ import annotations

import numpy as np
import openmm

from egno_md.core.thermal import ornstein_uhlenbeck
from egno_md.md.integrators import kicked_verlet, velocity_verlet

TIMESTEP, FRICTION, KELVIN = 1e-3, 10.0, 300.0
ROUNDING = 1e-6
"""nm and nm/ps; Reference works in double precision."""


def springs(integrator: openmm.Integrator) -> tuple[openmm.Context, list[int]]:
    """Two atoms on a spring, and how often their force was asked for."""
    system, calls = openmm.System(), [0]
    for mass in (12.0, 16.0):
        system.addParticle(mass)
    bond = openmm.HarmonicBondForce()
    bond.addBond(0, 1, 0.15, 2e5)
    system.addForce(bond)

    def count(state: openmm.State) -> tuple[float, np.ndarray]:
        calls[0] += 1
        return 0.0, np.zeros((2, 3))

    system.addForce(openmm.PythonForce(count))
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions([[0, 0, 0], [0.16, 0, 0]])
    context.setVelocities([[0.1, 0.2, 0], [-0.3, 0, 0.1]])
    return context, calls


def state_of(context: openmm.Context) -> tuple[np.ndarray, np.ndarray]:
    state = context.getState(positions=True, velocities=True)
    return state.getPositions(asNumpy=True)._value, state.getVelocities(asNumpy=True)._value


def test_kicks_from_outside_are_those_of_an_ornstein_uhlenbeck_process() -> None:
    """The same positions as velocities set by hand between stretches of velocity Verlet."""
    masses, still = np.array([12.0, 16.0]), np.zeros((2, 3))
    kicked, plain = kicked_verlet(TIMESTEP, 2, FRICTION), velocity_verlet(TIMESTEP)
    ours, theirs = springs(kicked)[0], springs(plain)[0]
    random, again = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(5):
        kick = ornstein_uhlenbeck(still, masses, KELVIN, FRICTION, 2 * TIMESTEP, random)
        kicked.setPerDofVariableByName("kick", kick)
        kicked.step(1)
        noise = ornstein_uhlenbeck(still, masses, KELVIN, FRICTION, 2 * TIMESTEP, again)
        velocities = np.exp(-FRICTION * 2 * TIMESTEP) * state_of(theirs)[1] + noise
        theirs.setVelocities(velocities)
        plain.step(2)
    for one, other in zip(state_of(ours), state_of(theirs), strict=True):
        np.testing.assert_allclose(one, other, atol=ROUNDING)


def test_a_kick_has_no_force_computed_again() -> None:
    kicked = kicked_verlet(TIMESTEP, 2, FRICTION)
    context, calls = springs(kicked)
    for _ in range(10):
        kicked.setPerDofVariableByName("kick", np.zeros((2, 3)))
        kicked.step(1)
    assert calls[0] == 1 + 2 * 10
    del context  # it must outlive the steps
