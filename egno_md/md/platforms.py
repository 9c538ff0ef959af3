"""OpenMM platforms of this machine, and their speed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import openmm

from egno_md.core.errors import EgnoMDError
from egno_md.core.units import SECONDS_PER_DAY
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import NVT, OpenMMEngine, platform_names

TIMESTEP = 5e-4
"""ps, of the dynamics that is timed."""


@dataclass(frozen=True)
class PlatformSpeed:
    """One OpenMM platform on one system.

    Attributes:
        name: of the platform.
        ns_per_day: at a timestep of 0.5 fs; None where it does not work.
        problem: why it does not.
    """

    name: str
    ns_per_day: float | None
    problem: str = ""


def platform_speeds(built: BuiltSystem, seconds: float = 0.3) -> list[PlatformSpeed]:
    """Langevin dynamics on every platform for about `seconds` each."""
    return [_speed(built, name, seconds) for name in platform_names()]


def plugin_failures() -> list[str]:
    """OpenMM plugins that are installed and cannot be loaded."""
    return [str(line).strip() for line in openmm.Platform.getPluginLoadFailures()]


def _speed(built: BuiltSystem, name: str, seconds: float) -> PlatformSpeed:
    try:
        engine = OpenMMEngine(
            built, timestep=TIMESTEP, kelvin=300.0, friction=5.0, seed=0, platform=name
        )
        engine.start()
        engine.skip(10, ensemble=NVT)
        steps, elapsed = 10, 0.0
        while elapsed < seconds:
            steps *= 2
            start = time.perf_counter()
            engine.skip(steps, ensemble=NVT)
            engine.read()
            elapsed = time.perf_counter() - start
    except (EgnoMDError, openmm.OpenMMException) as error:
        return PlatformSpeed(name, None, " ".join(str(error).split())[:160])
    return PlatformSpeed(name, steps * TIMESTEP * 1e-3 / elapsed * SECONDS_PER_DAY)
