"""What passes between the parts of a step: proposals, verdicts, settled windows, outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from egno_md.core.state import Frame, Trajectory
from egno_md.propagate.check import Check
from egno_md.propagate.event import Event, EventKind, RefinementRecord
from egno_md.propagate.state import ReplicaState


@dataclass(frozen=True, eq=False)
class Proposal:
    """A window as a source proposes it.

    Attributes:
        window: all atoms at every time point; without velocities where the source makes none.
        end: the last frame, with energy and forces once it has been evaluated. Its
            velocities are zero where the source makes none.
        unprojected: the window before it was brought onto constraints; else the window itself.
        problem: why there is no window; empty where there is one.
    """

    window: Trajectory
    end: Frame
    unprojected: Trajectory
    problem: str = ""

    @classmethod
    def of(cls, window: Trajectory) -> Proposal:
        """From a window, with or without velocities."""
        last = len(window) - 1
        if window.velocities is not None:
            return cls(window, window[last], window)
        positions = window.positions[last]
        end = Frame(positions, np.zeros_like(positions), float(window.times[last]))
        return cls(window, end, window)

    @classmethod
    def failed(cls, start: Frame, problem: str) -> Proposal:
        """No window, and why."""
        return cls(no_frames(start), start, no_frames(start), problem)

    def upto(self, points: int) -> Proposal:
        """The first so many time points, their last frame not evaluated."""
        window = self.window.slice(0, points)
        return Proposal(window, window[points - 1], self.unprojected.slice(0, points))

    @property
    def has_velocities(self) -> bool:
        """Whether the source makes velocities."""
        return self.window.velocities is not None

    @property
    def unprojected_end(self) -> Frame:
        """The last frame before it was brought onto constraints."""
        if not self.has_velocities:
            return self.end
        return self.unprojected[len(self.unprojected) - 1]


@dataclass(frozen=True)
class Accept:
    """The window is believed."""


@dataclass(frozen=True)
class Reject:
    """The window is not believed.

    Attributes:
        reason: why.
        is_broken: whether its end is far from any molecule.
        has_prefix: whether an earlier time point may be better; not where the running
            temperature is off.
        is_refined: whether refinement was tried already.
    """

    reason: str
    is_broken: bool = False
    has_prefix: bool = True
    is_refined: bool = False


@dataclass(frozen=True)
class Stop:
    """The rollout ends here.

    Attributes:
        reason: why.
    """

    reason: str


Verdict = Accept | Reject | Stop


@dataclass(frozen=True)
class Judgement:
    """What a judge says of a proposal.

    Attributes:
        verdict: whether it is believed.
        check: what was measured of its end; None where nothing was.
    """

    verdict: Verdict
    check: Check | None = None


@dataclass(frozen=True, eq=False)
class Settled:
    """A window as it is kept, before the boundary acts on its end.

    Attributes:
        window: all atoms at every time point.
        end: its last frame, with all that is known of it.
        kind: how it was settled.
        reason: why not simply accepted.
        check: see `Event`.
        refined: what a refinement did.
        has_velocities: whether the end's velocities were made.
    """

    window: Trajectory
    end: Frame
    kind: EventKind
    reason: str = ""
    check: Check | None = None
    refined: RefinementRecord | None = None
    has_velocities: bool = True


@dataclass(frozen=True)
class Again:
    """The source is to propose once more.

    Attributes:
        reason: what was wrong.
    """

    reason: str


@dataclass(frozen=True, eq=False)
class Halted:
    """Nothing can be kept: the rollout ends at the window's start.

    Attributes:
        reason: why.
        check: what was measured of the proposal.
        refined: what a refinement did that did not help.
    """

    reason: str
    check: Check | None = None
    refined: RefinementRecord | None = None


Correction = Settled | Again | Halted


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one step made of one replica.

    Attributes:
        state: where it is now.
        event: what happened.
        window: frames at every time point; none after a stop. Their last velocities are
            those before the boundary's last kick.
        end: the window's last frame alone, with all that is known of it.
    """

    state: ReplicaState
    event: Event
    window: Trajectory
    end: Trajectory


def no_frames(like: Frame) -> Trajectory:
    """An empty trajectory of as many atoms."""
    return Trajectory(np.zeros((0, *like.positions.shape)), np.zeros(0))


def single(frame: Frame, *, has_velocities: bool = True) -> Trajectory:
    """A trajectory of one frame, with all that is known of it."""
    trajectory = Trajectory.of([frame])
    return trajectory if has_velocities else replace(trajectory, velocities=None)


def with_end(window: Trajectory, end: Frame) -> Trajectory:
    """The window with its last frame replaced; energies and forces known only there."""
    positions = window.positions.copy()
    positions[-1] = end.positions
    if window.velocities is None:
        return replace(window, positions=positions)
    velocities = np.array(window.velocities)
    velocities[-1] = end.velocities
    energies, forces = None, None
    if end.potential_energy is not None:
        energies = np.full(len(window), np.nan)
        energies[-1] = end.potential_energy
    if end.forces is not None:
        forces = np.full(window.positions.shape, np.nan)
        forces[-1] = end.forces
    return replace(
        window,
        positions=positions,
        velocities=velocities,
        forces=forces,
        potential_energy=energies,
    )


def padded(window: Trajectory) -> Trajectory:
    """Unknown energies and forces as NaN, so that parts of a window can be joined."""
    if window.potential_energy is not None:
        return window
    return replace(
        window,
        potential_energy=np.full(len(window), np.nan),
        forces=np.full(window.positions.shape, np.nan),
    )


def by_index(states: Sequence[ReplicaState]) -> dict[int, Frame]:
    """Frames by replica."""
    return {state.index: state.frame for state in states}
