"""Who proposes windows: an operator, a sampler, or MD itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Reference, ThermostattedDynamics
from egno_md.core.state import Frame, Trajectory
from egno_md.core.window import Window
from egno_md.geometry.lift import Lift
from egno_md.nn.bound import BoundOperator
from egno_md.nn.sampler import BoundSampler
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.conservation import restore_momenta
from egno_md.propagate.constraints import Projection
from egno_md.propagate.proposal import Proposal
from egno_md.propagate.state import ReplicaState
from egno_md.spec.propagate import Solver

Array = np.ndarray


class WindowSource(Protocol):
    """Proposes the windows after many replicas of one system.

    Attributes:
        window: ΔT and its time points.
        kind: `dynamics` evolves a state in true time, a `sampler` draws from an ensemble.
        needs_forces: whether starts must have forces.
    """

    @property
    def window(self) -> Window:
        """ΔT and its time points."""
        ...

    @property
    def kind(self) -> Literal["dynamics", "sampler"]:
        """Whether its time is true time."""
        ...

    @property
    def needs_forces(self) -> bool:
        """Whether starts must have forces."""
        ...

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        """One window after every state; random numbers come from the states."""
        ...


class ExactSource(WindowSource, Protocol):
    """MD: a source that also finishes windows which another began."""

    def run(self, state: ReplicaState, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        """Exact dynamics of a replica from `frame`, recorded after the times `elapsed`, ps.

        Raises:
            PotentialError: the dynamics failed.
        """
        ...


@dataclass(frozen=True, eq=False)
class ExactWindows:
    """Velocity Verlet of the reference.

    Attributes:
        reference: the engine.
        window: ΔT and its time points.
        clocks: charged for windows that it proposes.
    """

    reference: Reference
    window: Window
    clocks: Clocks = field(default_factory=Clocks)
    kind: Literal["dynamics"] = "dynamics"
    needs_forces: bool = False

    def run(self, state: ReplicaState, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        """Exact dynamics of a replica from `frame`; see `ExactSource.run`."""
        del state
        return self.reference.window(frame, elapsed)

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        """One window of MD after every state."""
        return [_propose_exactly(self, state) for state in states]


@dataclass(frozen=True, eq=False)
class ThermostattedWindows:
    """Langevin dynamics with a random stream of the replica's own, from fresh velocities.

    Attributes:
        dynamics: the engine.
        window: ΔT and its time points.
        friction: 1/ps.
        clocks: charged for windows that it proposes.
    """

    dynamics: ThermostattedDynamics
    window: Window
    friction: float
    clocks: Clocks = field(default_factory=Clocks)
    kind: Literal["dynamics"] = "dynamics"
    needs_forces: bool = False

    def run(self, state: ReplicaState, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        """Exact dynamics of a replica from `frame`; see `ExactSource.run`."""
        return self.dynamics.window(frame, elapsed, self.friction, state.random)

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        """One window of MD after every state."""
        return [_propose_exactly(self, state) for state in states]


def _propose_exactly(source: ExactWindows | ThermostattedWindows, state: ReplicaState) -> Proposal:
    try:
        with source.clocks.charge("dynamics"):
            window = source.run(state, state.frame, list(source.window.time_points))
    except PotentialError as error:
        return Proposal.failed(state.frame, str(error.args[0]))
    return Proposal.of(window)


@dataclass(frozen=True, eq=False)
class FunctionWindows:
    """Windows that a function of your own proposes, one start frame at a time.

    Attributes:
        function: a start frame to its window: positions and velocities of all atoms at every
            time point, at the times of the start's plus the window's.
        window: ΔT and its time points.
        needs_forces: whether start frames must have forces.
        kind: `sampler` where its time is not true time.

    Example:
        >>> import numpy as np
        >>> from egno_md.core.state import Frame, Trajectory
        >>> from egno_md.core.window import Window
        >>> window = Window((0.001,))
        >>> def ballistic(frame):
        ...     x = frame.positions + frame.velocities * 0.001
        ...     return Trajectory(x[None], np.array([frame.time + 0.001]), frame.velocities[None])
        >>> FunctionWindows(ballistic, window).window.length
        0.001
    """

    function: Callable[[Frame], Trajectory]
    window: Window
    needs_forces: bool = False
    kind: Literal["dynamics", "sampler"] = "dynamics"

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        """One window after every state."""
        proposals = []
        for state in states:
            try:
                proposals.append(Proposal.of(self.function(state.frame)))
            except PotentialError as error:
                proposals.append(Proposal.failed(state.frame, str(error.args[0])))
        return proposals


@dataclass(frozen=True, eq=False)
class OperatorWindows:
    """A window operator of all atoms, or of some that carry the others.

    Predictions of all atoms get their linear and angular momentum back; those of
    some atoms have none to keep, since the others' is not known.

    Attributes:
        operator: bound to the system, on the device where it runs.
        masses: Da, of all atoms.
        lift: from the operator's atoms to all; None where it predicts all.
        clocks: charged for network and lift.
    """

    operator: BoundOperator
    masses: Float[Array, " atoms"]
    lift: Lift | None = None
    clocks: Clocks = field(default_factory=Clocks)
    kind: Literal["dynamics"] = "dynamics"

    @property
    def window(self) -> Window:
        """ΔT and its time points."""
        return self.operator.window

    @property
    def needs_forces(self) -> bool:
        """Whether the operator has a force channel."""
        return self.operator.needs_forces

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        """The windows after many frames of the same system, in one network call."""
        frames = [state.frame for state in states]
        with self.clocks.charge("network"):
            windows = self._predict(frames)
        if self.lift is not None:
            with self.clocks.charge("lift"):
                pairs = zip(frames, windows, strict=True)
                windows = [self.lift.window(frame, window) for frame, window in pairs]
        return [Proposal.of(window) for window in windows]

    def _predict(self, frames: Sequence[Frame]) -> list[Trajectory]:
        """Windows of the atoms that the operator sees."""
        seen = [f if self.lift is None else self.lift.reduce(f) for f in frames]
        prediction = self.operator.predict(seen)
        positions = prediction.positions.double().cpu().numpy()
        velocities = prediction.velocities.double().cpu().numpy()
        points = np.array(self.window.time_points)
        windows = []
        for frame, x, v in zip(seen, positions, velocities, strict=True):
            if self.lift is None:
                x, v = restore_momenta(frame, x, v, points, self.masses)
            box = None if frame.box is None else np.repeat(frame.box[None], len(points), axis=0)
            windows.append(Trajectory(x, frame.time + points, velocities=v, box=box))
        return windows


@dataclass(frozen=True, eq=False)
class SamplerWindows:
    """A sampler of heavy atoms, its draws lifted to all atoms. It makes no velocities.

    Attributes:
        operator: bound to the system, on the device where it runs.
        lift: from those to all atoms.
        steps: of the flow from noise to a window.
        solver: how the flow is followed.
        clocks: charged for network and lift.
    """

    operator: BoundSampler
    lift: Lift
    steps: int
    solver: Solver = "euler"
    clocks: Clocks = field(default_factory=Clocks)
    kind: Literal["sampler"] = "sampler"
    needs_forces: bool = False

    @property
    def window(self) -> Window:
        """ΔT and its time points."""
        return self.operator.window

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        """One draw after every state, in one batch."""
        with self.clocks.charge("network"):
            drawn = self.draw([s.frame for s in states], [s.random for s in states])
        with self.clocks.charge("lift"):
            windows = self.lift.positions(None, drawn)
        points = np.array(self.window.time_points)
        return [
            Proposal.of(Trajectory(positions, state.frame.time + points))
            for state, positions in zip(states, windows, strict=True)
        ]

    def draw(
        self, frames: Sequence[Frame], random: Sequence[np.random.Generator]
    ) -> Float[Array, "frames points seen 3"]:
        """One window of the atoms that the sampler sees after every frame, nm.

        Args:
            frames: starts.
            random: of each frame; one draw of noise is taken from it.
        """
        parameter = next(self.operator.operator.parameters())
        shape = (self.window.points, len(self.operator.atoms), 3)
        noise = np.stack([r.standard_normal(shape) for r in random])
        start = np.stack([f.positions[self.operator.atoms] for f in frames])
        # about the centre: float32 keeps its digits however far a molecule has gone
        centre = start.mean(1, keepdims=True)

        def tensor(values: Array) -> torch.Tensor:
            return torch.from_numpy(values).to(device=parameter.device, dtype=parameter.dtype)

        window = self.operator.draw(tensor(start - centre), tensor(noise), self.steps, self.solver)
        return window.double().cpu().numpy() + centre[:, None]


@dataclass(frozen=True, eq=False)
class ProjectedWindows:
    """Another source's windows, brought onto the constraints.

    Attributes:
        source: proposes.
        projection: of every time point.
        clocks: charged for constraints.
    """

    source: WindowSource
    projection: Projection
    clocks: Clocks

    @property
    def window(self) -> Window:
        """That of the other source."""
        return self.source.window

    @property
    def kind(self) -> Literal["dynamics", "sampler"]:
        """That of the other source."""
        return self.source.kind

    @property
    def needs_forces(self) -> bool:
        """Whether the other source does."""
        return self.source.needs_forces

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        """Projected windows, with what they were before."""
        proposals = self.source.propose(states)
        with self.clocks.charge("constraints"):
            return [
                p if p.problem else self._projected(state.frame, p)
                for state, p in zip(states, proposals, strict=True)
            ]

    def _projected(self, start: Frame, proposal: Proposal) -> Proposal:
        window = self.projection.window(start, proposal.window)
        return Proposal(window, window[len(window) - 1], proposal.window)
