"""Which windows are believed: tolerances in physical units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from egno_md.core.state import Frame
from egno_md.core.units import BOLTZMANN
from egno_md.propagate.check import Check, Checker
from egno_md.propagate.constraints import FAILED
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.proposal import Accept, Judgement, Proposal, Reject, Stop, Verdict
from egno_md.propagate.shapes import Shapes
from egno_md.propagate.state import ReplicaState
from egno_md.spec.propagate import ShapeTolerances, Tolerances

STRICT = 0.5
"""Factor of strict judges on every tolerance but that of contacts."""


class Judge(Protocol):
    """Decides which proposals are believed."""

    @property
    def precedes_refinement(self) -> bool:
        """Whether windows whose end is refined whatever they look like are judged before it.

        Energies of an unrefined end mean nothing there.
        """
        ...

    def needs_energies(self, window: int) -> bool:
        """Whether starts and ends of a window must be evaluated, to be judged."""
        ...

    def judge(
        self, states: Sequence[ReplicaState], proposals: Sequence[Proposal]
    ) -> list[Judgement]:
        """One judgement per proposal.

        Args:
            states: starts of the windows.
            proposals: with evaluated ends where `needs_energies` asks for it.
        """
        ...

    def judge_refined(self, start: Frame, end: Frame) -> tuple[Check, str | None]:
        """What is measured of a refined end, and why it is not believed."""
        ...

    def holds(self, state: ReplicaState, proposal: Proposal, upto: int) -> bool:
        """Whether a window can be kept up to one of its earlier time points."""
        ...


@dataclass(frozen=True)
class Limits:
    """Tolerances of one system.

    Attributes:
        energy: largest |ΔE| over a window, kJ/mol.
        force: kJ/mol/nm.
        bond: nm.
        contact: nm.
        atom: largest kinetic energy of one atom, kJ/mol.
        temperature: largest relative departure of the running temperature.
    """

    energy: float
    force: float
    bond: float
    contact: float
    atom: float
    temperature: float

    @classmethod
    def of(
        cls, tolerances: ShapeTolerances, kelvin: float, degrees_of_freedom: int, *, strict: bool
    ) -> Limits:
        """From a protocol's tolerances.

        Args:
            tolerances: as the protocol says them.
            kelvin: temperature that sets the scale k_B T.
            degrees_of_freedom: of the system.
            strict: half of them, but for contacts.
        """
        factor = STRICT if strict else 1.0
        energy = temperature = np.inf
        if isinstance(tolerances, Tolerances):
            energy = factor * tolerances.energy * (BOLTZMANN * kelvin * degrees_of_freedom)
            temperature = factor * tolerances.temperature
        return cls(
            energy=energy,
            force=factor * tolerances.force,
            bond=factor * tolerances.bond,
            contact=tolerances.contact,
            atom=factor * tolerances.atom * BOLTZMANN * kelvin,
            temperature=temperature,
        )

    def problem(self, check: Check) -> str | None:
        """Why a frame is not believed, or None."""
        if not check.keeps_constraints:
            return FAILED
        if not check.is_finite:
            return "not finite"
        if check.bond_deviation > self.bond:
            return f"bond off by {check.bond_deviation * 10:.2f} Å"
        if check.hottest_atom > self.atom:
            return f"an atom with a kinetic energy of {check.hottest_atom:.3g} kJ/mol"
        if check.turned:
            return f"{check.turned[0]} turned around ({len(check.turned)} in all)"
        if check.inverted_centres:
            return f"{check.inverted_centres} centres inverted"
        if check.closest_contact < self.contact:
            return f"contact of {check.closest_contact * 10:.2f} Å"
        if check.max_force > self.force:
            return f"force {check.max_force:.3g} kJ/mol/nm"
        if check.energy_error is not None and abs(check.energy_error) > self.energy:
            return f"energy error {check.energy_error:.3g} kJ/mol"
        return None

    def is_broken(self, check: Check) -> bool:
        """Beyond repair: not finite, a bond off by thrice its tolerance, or huge forces."""
        return (
            not check.is_finite
            or check.bond_deviation > 3 * self.bond
            or check.max_force > 10 * self.force
            or check.inverted_centres > 0
            or len(check.turned) > 0
        )


@dataclass(frozen=True, eq=False)
class Unjudged:
    """Believes every window that is finite, and measures ends whose energy is known anyway.

    Attributes:
        checker: measures.
    """

    checker: Checker
    precedes_refinement: bool = False

    def needs_energies(self, window: int) -> bool:
        """Never."""
        del window
        return False

    def judge(
        self, states: Sequence[ReplicaState], proposals: Sequence[Proposal]
    ) -> list[Judgement]:
        """Accept, or stop at what is not finite."""
        return [
            Judgement(_finite(proposal), self.measure(state.frame, proposal))
            for state, proposal in zip(states, proposals, strict=True)
        ]

    def measure(self, start: Frame, proposal: Proposal) -> Check | None:
        """What is measured of an end whose energy is known."""
        if proposal.end.potential_energy is None:
            return None
        with self.checker.clocks.charge("checks"):
            return measure(self.checker, start, proposal.unprojected_end, proposal.end)

    def judge_refined(self, start: Frame, end: Frame) -> tuple[Check, str | None]:
        """Measured, and believed."""
        with self.checker.clocks.charge("checks"):
            # a refined end says nothing of energy conservation
            return self.checker.measure(replace(start, potential_energy=None), end), None

    def holds(self, state: ReplicaState, proposal: Proposal, upto: int) -> bool:
        """Always."""
        del state, proposal, upto
        return True


@dataclass(frozen=True, eq=False)
class EnergyJudge:
    """Judges evaluated ends: energy, forces, temperatures, bonds, contacts, stereochemistry.

    Attributes:
        checker: measures.
        limits: when a window is bad.
        evaluation: of earlier time points.
        duration: ΔT, ps.
        kelvin: target of the running temperature; None in NVE.
        every: windows between two judged ones; None where only refined ends are judged, for
            the energy of lifted atoms means nothing before refinement.
    """

    checker: Checker
    limits: Limits
    evaluation: Evaluation
    duration: float
    kelvin: float | None = None
    every: int | None = 1
    precedes_refinement: bool = False

    def needs_energies(self, window: int) -> bool:
        """Whether a window is judged."""
        return self.every is not None and (window + 1) % self.every == 0

    def judge(
        self, states: Sequence[ReplicaState], proposals: Sequence[Proposal]
    ) -> list[Judgement]:
        """By the end of each window, where it is due."""
        unjudged = Unjudged(self.checker)
        judgements = []
        for state, proposal in zip(states, proposals, strict=True):
            check = unjudged.measure(state.frame, proposal)
            is_due = check is not None and self.needs_energies(state.window)
            verdict = self._verdict(state, check) if is_due and check else _finite(proposal)
            judgements.append(Judgement(verdict, check))
        return judgements

    def _verdict(self, state: ReplicaState, check: Check) -> Verdict:
        problem = self.limits.problem(check)
        if problem is not None:
            return Reject(problem, is_broken=self.limits.is_broken(check))
        if self.kelvin is None:
            return Accept()
        running, freedom = state.running, self.checker.system.freedom
        if check.is_finite:
            kelvins = {"all": check.temperature, **check.temperature_by_element}
            running = running.updated(kelvins, self.duration)
        worst = running.worst(self.kelvin, self.limits.temperature, freedom)
        if worst is None:
            return Accept()
        return Reject(f"temperature of {worst[0]} {worst[1]:.0f} K", has_prefix=False)

    def judge_refined(self, start: Frame, end: Frame) -> tuple[Check, str | None]:
        """By everything but energy conservation."""
        check, _ = Unjudged(self.checker).judge_refined(start, end)
        return check, self.limits.problem(check)

    def holds(self, state: ReplicaState, proposal: Proposal, upto: int) -> bool:
        """Whether the window up to a time point has no problem; evaluates it."""
        frame = self.evaluation.one(state.index, proposal.window[upto])
        check = measure(self.checker, state.frame, proposal.unprojected[upto], frame)
        return self.limits.problem(check) is None


@dataclass(frozen=True, eq=False)
class ShapeJudge:
    """Judges the shape of the molecule at every time point; asks for no energies.

    Attributes:
        checker: measures refined ends.
        limits: when a window is bad.
        shapes: looks at whole windows of all replicas at once.
    """

    checker: Checker
    limits: Limits
    shapes: Shapes
    precedes_refinement: bool = True

    def needs_energies(self, window: int) -> bool:
        """Never."""
        del window
        return False

    def judge(
        self, states: Sequence[ReplicaState], proposals: Sequence[Proposal]
    ) -> list[Judgement]:
        """By bonds, contacts, stereocentres and peptide bonds at every time point."""
        with self.checker.clocks.charge("checks"):
            problems = self.shapes.problems(
                np.stack([state.frame.positions for state in states]),
                np.stack([proposal.window.positions for proposal in proposals]),
            )
        verdicts: list[Verdict] = [
            Accept() if problem is None else Reject(problem, is_broken=True) for problem in problems
        ]
        return [Judgement(verdict) for verdict in verdicts]

    def judge_refined(self, start: Frame, end: Frame) -> tuple[Check, str | None]:
        """By its shape, forces and the kinetic energies of its atoms."""
        check, _ = Unjudged(self.checker).judge_refined(start, end)
        problem = self.limits.problem(check)
        with self.checker.clocks.charge("checks"):
            turned = self.shapes.problems(start.positions[None], end.positions[None, None])[0]
        return check, problem or turned

    def holds(self, state: ReplicaState, proposal: Proposal, upto: int) -> bool:
        """Whether every time point up to this one has the shape of the molecule."""
        windows = proposal.window.positions[None, : upto + 1]
        return self.shapes.problems(state.frame.positions[None], windows)[0] is None


def measure(checker: Checker, start: Frame, unprojected: Frame, end: Frame) -> Check:
    """Measure an end; bonds as they were before any projection mended them."""
    check = checker.measure(start, end)
    deviation = max(check.bond_deviation, checker.bond_deviation(unprojected))
    keeps = end.is_finite or not unprojected.is_finite
    return replace(check, bond_deviation=deviation, keeps_constraints=keeps)


def _finite(proposal: Proposal) -> Verdict:
    if proposal.end.is_finite:
        return Accept()
    return Stop(FAILED if proposal.unprojected_end.is_finite else "not finite")
