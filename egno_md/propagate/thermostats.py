"""From what a protocol says to the thermostat between windows."""

from __future__ import annotations

from egno_md.core.system import System
from egno_md.propagate.thermostat import LangevinKicks, Thermostat, VelocityRescaling
from egno_md.spec import propagate as spec


def make_thermostat(protocol: spec.PropagateProtocol, system: System) -> Thermostat | None:
    """The thermostat of a rollout, or None in NVE."""
    kelvin = protocol.temperature
    match protocol.thermostat:
        case spec.NoThermostat():
            return None
        case spec.Langevin(friction=friction):
            return LangevinKicks.of(system, kelvin, friction)
        case spec.AdaptiveLangevin(friction=friction, relaxation=relaxation):
            return LangevinKicks.of(system, kelvin, friction, relaxation)
        case spec.VelocityRescaling(relaxation=relaxation):
            return VelocityRescaling(kelvin, relaxation, system.masses, system.degrees_of_freedom)
