"""Integrators whose velocities stand on the step, unlike OpenMM's leapfrog ones."""

from __future__ import annotations

import math

import openmm

from egno_md.core.units import BOLTZMANN


def velocity_verlet(timestep: float, *, is_closed: bool = False) -> openmm.CustomIntegrator:
    """Velocity Verlet (Swope et al. 1982): half kick, drift, half kick.

    Args:
        timestep: ps.
        is_closed: shut out forces that change the state, such as a barostat.
    """
    integrator = openmm.CustomIntegrator(timestep)
    integrator.addPerDofVariable("before", 0)
    if not is_closed:
        integrator.addUpdateContextState()
    _verlet_step(integrator)
    return integrator


def langevin(timestep: float, kelvin: float, friction: float, seed: int) -> openmm.CustomIntegrator:
    """OBABO Langevin dynamics (Bussi & Parrinello 2007).

    An exact Ornstein-Uhlenbeck half-step on the velocities before and after a
    velocity-Verlet step, so that velocities belong to the same instant as the
    positions and their distribution is exactly Maxwell's for harmonic modes.

    Args:
        timestep: ps.
        kelvin: temperature.
        friction: 1/ps.
        seed: of OpenMM's random stream.
    """
    integrator = openmm.CustomIntegrator(timestep)
    integrator.addGlobalVariable("kT", BOLTZMANN * kelvin)
    integrator.addGlobalVariable("friction", friction)
    integrator.addGlobalVariable("keep", 0)
    integrator.addPerDofVariable("before", 0)
    integrator.addUpdateContextState()
    integrator.addComputeGlobal("keep", "exp(-0.5*friction*dt)")
    _half_kick(integrator)
    _verlet_step(integrator)
    _half_kick(integrator)
    integrator.setRandomNumberSeed(seed)
    return integrator


def kicked_verlet(timestep: float, steps: int, friction: float) -> openmm.CustomIntegrator:
    """Velocity-Verlet steps after friction and a kick from outside, all in one step.

    The kick is the noise of an Ornstein-Uhlenbeck process over `steps * timestep`. It is
    given as the per-DOF variable ``kick``, which leaves OpenMM's forces valid where
    setting velocities would have them computed once more.

    Args:
        timestep: ps.
        steps: of velocity Verlet between two kicks.
        friction: 1/ps.
    """
    integrator = openmm.CustomIntegrator(timestep)
    integrator.addGlobalVariable("keep", math.exp(-friction * steps * timestep))
    integrator.addPerDofVariable("kick", 0)
    integrator.addPerDofVariable("before", 0)
    integrator.addUpdateContextState()
    integrator.addComputePerDof("v", "keep*v + kick")
    for _ in range(steps):
        _verlet_step(integrator)
    return integrator


def _half_kick(integrator: openmm.CustomIntegrator) -> None:
    integrator.addComputePerDof("v", "keep*v + sqrt((1-keep*keep)*kT/m)*gaussian")
    integrator.addConstrainVelocities()


def _verlet_step(integrator: openmm.CustomIntegrator) -> None:
    integrator.addComputePerDof("v", "v + 0.5*dt*f/m")
    integrator.addComputePerDof("x", "x + dt*v")
    integrator.addComputePerDof("before", "x")
    integrator.addConstrainPositions()
    integrator.addComputePerDof("v", "v + 0.5*dt*f/m + (x-before)/dt")
    integrator.addConstrainVelocities()
