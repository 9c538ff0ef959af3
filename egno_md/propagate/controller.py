"""Which windows are believed: tolerances in physical units, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from egno_md.core.ports import Accept, Fallback, Refine, Stop, Verdict
from egno_md.core.units import BOLTZMANN
from egno_md.propagate.checks import Check
from egno_md.propagate.constraints import FAILED
from egno_md.spec.propagate import Policy, Tolerances

STRICTNESS = {"strict": 0.5}
"""Factor on every tolerance but that of contacts."""

MEMORY_PS = 2.0
"""Relaxation time of the running temperatures, ps."""

DECORRELATION_PS = 0.1
"""Time after which a small molecule's kinetic temperature is new, for its noise."""

NOISE = 4.0
"""Standard errors that a running temperature may be off before it counts."""


@dataclass
class RunningTemperature:
    """Exponential mean of the temperature, overall and per element.

    Attributes:
        freedom: degrees of freedom per name.
        values: mean so far, K, per name.
        elapsed: ps averaged over.
    """

    freedom: dict[str, float]
    values: dict[str, float] = field(default_factory=dict)
    elapsed: float = 0.0

    def copy(self) -> RunningTemperature:
        """For judging a window that may be rejected."""
        return RunningTemperature(self.freedom, dict(self.values), self.elapsed)

    def update(self, kelvins: dict[str, float], duration: float) -> None:
        """Take a frame's temperatures in: ``all`` and one per element."""
        self.elapsed += duration
        weight = duration / min(self.elapsed, MEMORY_PS)
        for name, value in kelvins.items():
            before = self.values.get(name, value)
            self.values[name] = before + min(weight, 1.0) * (value - before)

    def worst(self, kelvin: float, tolerance: float) -> tuple[str, float] | None:
        """The name and value furthest beyond `tolerance` and noise, or None."""
        samples = max(min(self.elapsed, MEMORY_PS) / DECORRELATION_PS, 1.0)
        beyond = {}
        for name, value in self.values.items():
            noise = NOISE * np.sqrt(2 / self.freedom[name] / samples)
            excess = abs(value / kelvin - 1) - max(tolerance, noise)
            if excess > 0:
                beyond[name] = excess
        if not beyond:
            return None
        name = max(beyond, key=beyond.__getitem__)
        return name, self.values[name]


@dataclass(frozen=True, eq=False)
class Controller:
    """Judges the measurements of a proposal.

    Attributes:
        policy: what to do with a bad window.
        tolerances: when it is bad.
        kelvin: target temperature, or None in NVE.
        reference_kelvin: temperature that sets the scale k_B T.
        degrees_of_freedom: of the system.
    """

    policy: Policy
    tolerances: Tolerances
    kelvin: float | None
    reference_kelvin: float
    degrees_of_freedom: int

    @property
    def _factor(self) -> float:
        """On tolerances."""
        return STRICTNESS.get(self.policy, 1.0)

    def problem(self, check: Check) -> str | None:
        """Why a frame is not believed, or None."""
        factor = self._factor
        limits = self.tolerances
        if not check.keeps_constraints:
            return FAILED
        if not check.is_finite:
            return "not finite"
        if check.bond_deviation > factor * limits.bond:
            return f"bond off by {check.bond_deviation * 10:.2f} Å"
        if check.hottest_atom > factor * limits.atom * BOLTZMANN * self.reference_kelvin:
            return f"an atom with a kinetic energy of {check.hottest_atom:.3g} kJ/mol"
        if check.turned:
            return f"{check.turned[0]} turned around ({len(check.turned)} in all)"
        if check.inverted_centres:
            return f"{check.inverted_centres} centres inverted"
        if check.closest_contact < limits.contact:
            return f"contact of {check.closest_contact * 10:.2f} Å"
        if check.max_force > factor * limits.force:
            return f"force {check.max_force:.3g} kJ/mol/nm"
        scale = BOLTZMANN * self.reference_kelvin * self.degrees_of_freedom
        if check.energy_error is not None and (
            abs(check.energy_error) > factor * limits.energy * scale
        ):
            return f"energy error {check.energy_error:.3g} kJ/mol"
        return None

    def judge(
        self,
        check: Check,
        running: RunningTemperature,
        points: int,
        earlier: Callable[[], Iterator[tuple[int, Check]]],
    ) -> Verdict:
        """Decide on a window.

        Args:
            check: of the window's last point.
            running: temperatures so far, this window included.
            points: P.
            earlier: measures earlier points, latest first, when asked.
        """
        problem = self.problem(check)
        if problem is None and self.kelvin is not None:
            worst = running.worst(self.kelvin, self._factor * self.tolerances.temperature)
            if worst is not None:
                problem = f"temperature of {worst[0]} {worst[1]:.0f} K"
                if self.policy in ("fallback", "strict"):
                    return Fallback(problem)
        if problem is None:
            return Accept(points - 1)
        match self.policy:
            case "refine":
                return Refine(problem)
            case "fallback" | "strict":
                for upto, measured in earlier():
                    if self.problem(measured) is None:
                        return Accept(upto)
                return Fallback(problem)
            case "monitor" if self._is_broken(check):
                return Stop(problem)
            case _:
                return Accept(points - 1)

    def _is_broken(self, check: Check) -> bool:
        """Beyond repair: not finite, a bond off by thrice its tolerance, or huge forces."""
        limits = self.tolerances
        return (
            not check.is_finite
            or check.bond_deviation > 3 * limits.bond
            or check.max_force > 10 * limits.force
            or check.inverted_centres > 0
            or len(check.turned) > 0
        )
