"""What a window gets once it has been judged: kept, cut, refined, drawn again, or done by MD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Float

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refiner
from egno_md.core.state import Frame, Trajectory, join
from egno_md.propagate.check import Check
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.conservation import restore_energy
from egno_md.propagate.constraints import Projection
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.event import RefinementRecord
from egno_md.propagate.judge import Judge
from egno_md.propagate.proposal import (
    Accept,
    Again,
    Correction,
    Halted,
    Judgement,
    Proposal,
    Reject,
    Settled,
    Stop,
    padded,
    with_end,
)
from egno_md.propagate.source import ExactSource, WindowSource
from egno_md.propagate.state import ReplicaState


class Corrector(Protocol):
    """Settles judged proposals."""

    def correct(
        self, start: ReplicaState, proposal: Proposal, judgement: Judgement, attempt: int
    ) -> Correction:
        """What becomes of a proposal.

        Args:
            start: of the window.
            proposal: of the source.
            judgement: of the judge.
            attempt: proposals of this window that did not hold before.

        Raises:
            PotentialError: beyond repair.
        """
        ...


def keep(proposal: Proposal, check: Check | None) -> Settled:
    """The window as proposed, with what is known of its end."""
    window = proposal.window
    if window.potential_energy is None:
        window = with_end(window, proposal.end)
    return Settled(
        window, proposal.end, "accept", check=check, has_velocities=proposal.has_velocities
    )


@dataclass(frozen=True, eq=False)
class Replacement:
    """MD in place of a window, or of its end.

    Attributes:
        exact: MD, over the time points of the source's windows.
        clocks: charged for fallback.
    """

    exact: ExactSource
    clocks: Clocks

    def run(self, start: ReplicaState, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        """MD from `frame`, recorded after the times `elapsed`, ps.

        Raises:
            PotentialError: the dynamics failed.
        """
        with self.clocks.charge("fallback"):
            return self.exact.run(start, frame, elapsed)

    def whole(self, start: ReplicaState, reason: str, check: Check | None) -> Settled:
        """The whole window.

        Raises:
            PotentialError: the dynamics failed.
        """
        points = list(self.exact.window.time_points)
        window = self.run(start, start.frame, points)
        window = replace(window, times=start.frame.time + np.array(points))
        return Settled(window, window[len(window) - 1], "fallback", reason, check)


@dataclass(frozen=True, eq=False)
class Monitor:
    """Keeps bad windows; broken ones end the rollout."""

    def correct(
        self, start: ReplicaState, proposal: Proposal, judgement: Judgement, attempt: int
    ) -> Correction:
        """Keep it, or stop."""
        del start, attempt
        match judgement.verdict:
            case Reject(reason, is_broken=True) | Stop(reason):
                return Halted(reason, judgement.check)
            case _:
                return keep(proposal, judgement.check)


@dataclass(frozen=True, eq=False)
class Refining:
    """Refines frames, on whichever system the refiner uses.

    Attributes:
        refiner: made when first needed.
        constraints: that a refined frame must keep; None without constraints.
        clocks: charged for refinement.
    """

    refiner: Callable[[], Refiner]
    constraints: Projection | None
    clocks: Clocks

    def __call__(
        self, end: Frame, start: Frame, random: np.random.Generator
    ) -> tuple[Frame, RefinementRecord]:
        """The refined frame, and what was done.

        Args:
            end: to refine.
            start: of its window; has the stereochemistry to keep.
            random: of velocities and noise.

        Raises:
            PotentialError: beyond repair.
        """
        with self.clocks.charge("refinement"):
            refiner = self.refiner()
            done = refiner.refine(end, start, random)
            frame = done.frame
            if self.constraints is not None:
                frame = self.constraints.frame(frame)
        return frame, RefinementRecord.of(done, refiner.system)


@dataclass(frozen=True, eq=False)
class Repair:
    """Refines the ends of bad windows.

    Attributes:
        refining: how.
        judge: measures what came of it.
    """

    refining: Refining
    judge: Judge

    def correct(
        self, start: ReplicaState, proposal: Proposal, judgement: Judgement, attempt: int
    ) -> Correction:
        """Keep it, or refine its end."""
        del attempt
        match judgement.verdict:
            case Accept():
                return keep(proposal, judgement.check)
            case Reject(reason, is_refined=True) | Stop(reason):
                return Halted(reason, judgement.check)
            case Reject(reason):
                end = proposal.end if proposal.end.is_finite else proposal.unprojected_end
                refined, record = self.refining(end, start.frame, start.random)
                self._refuse_other_molecule(start.frame, refined)
                refined = replace(refined, time=end.time)
                window = with_end(proposal.window, refined)
                return Settled(window, refined, "refine", reason, judgement.check, record)

    def _refuse_other_molecule(self, start: Frame, refined: Frame) -> None:
        """Minimisation cannot undo an inverted stereocentre."""
        check, problem = self.judge.judge_refined(start, refined)
        if check.turned or check.inverted_centres:
            raise PotentialError(f"after refinement: {problem}. Use policy fallback.")


@dataclass(frozen=True, eq=False)
class Fallback:
    """Keeps the part of a bad window that holds, and lets MD do the rest.

    Attributes:
        replacement: MD.
        judge: looks for the part that holds.
        retry: proposes the rest once more before MD does it; None for MD at once.
        evaluation: of the start and end of a retried rest.
    """

    replacement: Replacement
    judge: Judge
    evaluation: Evaluation
    retry: WindowSource | None = None

    def correct(
        self, start: ReplicaState, proposal: Proposal, judgement: Judgement, attempt: int
    ) -> Correction:
        """Keep it, or its prefix, or nothing of it."""
        del attempt
        match judgement.verdict:
            case Accept():
                return keep(proposal, judgement.check)
            case Stop(reason):
                return Halted(reason, judgement.check)
            case Reject(has_prefix=True):
                for upto in range(len(proposal.window) - 2, -1, -1):
                    if self.judge.holds(start, proposal, upto):
                        return self._prefix(start, proposal, upto, judgement.check)
            case Reject():
                pass
        return self.replacement.whole(start, judgement.verdict.reason, judgement.check)

    def _prefix(
        self, start: ReplicaState, proposal: Proposal, upto: int, check: Check | None
    ) -> Settled:
        """The window up to a time point, and the rest from there."""
        kept = proposal.window.slice(0, upto + 1)
        points = np.array(self.replacement.exact.window.time_points)
        elapsed = points[upto + 1 :] - points[upto]
        rest = None
        if self.retry is not None and np.allclose(elapsed, points[: len(elapsed)]):
            rest = self._proposed_rest(self.retry, start, kept[upto], len(elapsed))
        if rest is None:
            rest = self.replacement.run(start, kept[upto], elapsed.tolist())
        window = join([padded(kept), padded(rest)])
        reason = f"{upto + 1} of {len(proposal.window)}"
        return Settled(window, window[len(window) - 1], "prefix", reason, check)

    def _proposed_rest(
        self, source: WindowSource, start: ReplicaState, frame: Frame, points: int
    ) -> Trajectory | None:
        """So many time points as the source proposes them from `frame`, if they hold."""
        start = replace(start, frame=self.evaluation.one(start.index, frame))
        proposal = source.propose([start])[0].upto(points)
        proposal = replace(proposal, end=self.evaluation.one(start.index, proposal.end))
        if not self.judge.holds(start, proposal, points - 1):
            return None
        return with_end(proposal.window, proposal.end)


@dataclass(frozen=True, eq=False)
class Redraw:
    """Has bad windows drawn again, and lets MD take their place when none holds.

    Attributes:
        replacement: MD.
        redraws: of a window.
    """

    replacement: Replacement
    redraws: int

    def correct(
        self, start: ReplicaState, proposal: Proposal, judgement: Judgement, attempt: int
    ) -> Correction:
        """Keep it, or draw again."""
        match judgement.verdict:
            case Accept():
                return keep(proposal, judgement.check)
            case Stop(reason):
                return Halted(reason, judgement.check)
            case Reject(reason) if attempt < self.redraws:
                return Again(reason)
            case Reject(reason):
                return self.replacement.whole(start, reason, judgement.check)


@dataclass(frozen=True, eq=False)
class RefineEvery:
    """Refines the end of every N-th window whatever it looks like.

    Attributes:
        corrector: of other windows, of bad ones, and of ends that cannot be refined.
        every: N.
        refining: how.
        judge: judges refined ends.
        evaluation: of refined ends; None where the refiner gives their energy.
    """

    corrector: Corrector
    every: int
    refining: Refining
    judge: Judge
    evaluation: Evaluation | None

    def correct(
        self, start: ReplicaState, proposal: Proposal, judgement: Judgement, attempt: int
    ) -> Correction:
        """Refine its end, or let the other corrector settle it."""
        is_due = (start.window + 1) % self.every == 0
        if not is_due or not isinstance(judgement.verdict, Accept):
            return self.corrector.correct(start, proposal, judgement, attempt)
        check, record = None, None
        try:
            end, record = self.refining(proposal.unprojected_end, start.frame, start.random)
            if self.evaluation is not None:
                end = self.evaluation.one(start.index, end)
            check, problem = self.judge.judge_refined(start.frame, end)
            problem = problem and f"after refinement: {problem}"
        except PotentialError as error:
            end, problem = proposal.end, str(error.args[0])
        if problem is not None:
            verdict = Reject(problem, is_broken=True, has_prefix=False, is_refined=True)
            settled = self.corrector.correct(start, proposal, Judgement(verdict, check), attempt)
            return settled if isinstance(settled, Again) else replace(settled, refined=record)
        end = replace(end, time=proposal.end.time)
        due = "every window" if self.every == 1 else f"every {self.every} windows"
        return Settled(with_end(proposal.window, end), end, "refine", due, check, record)


@dataclass(frozen=True, eq=False)
class ConserveEnergy:
    """Gives accepted windows of NVE the energy of the rollout's start back.

    Attributes:
        corrector: settles windows.
        replacement: MD, where the internal motion cannot give or take that much.
        masses: Da.
    """

    corrector: Corrector
    replacement: Replacement
    masses: Float[np.ndarray, " atoms"]

    def correct(
        self, start: ReplicaState, proposal: Proposal, judgement: Judgement, attempt: int
    ) -> Correction:
        """As the other corrector settles it, with the energy restored."""
        settled = self.corrector.correct(start, proposal, judgement, attempt)
        if not isinstance(settled, Settled) or settled.kind != "accept":
            return settled
        if settled.end.potential_energy is None or start.energy is None:
            return settled
        end = restore_energy(settled.end, start.energy, self.masses)
        if end is None:
            return self.replacement.whole(start, "energy beyond repair", settled.check)
        return replace(settled, window=with_end(proposal.window, end), end=end)
