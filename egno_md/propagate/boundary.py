"""What acts between windows: thermostat kicks, adaptive friction, volume moves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from egno_md.core.ports import VolumeMoves
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.constraints import Projection
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.thermostat import Thermostat


class Boundary(Protocol):
    """Acts on a replica at a window's start or end."""

    def apply(self, state: ReplicaState, duration: float) -> ReplicaState:
        """The replica afterwards.

        Args:
            state: at the boundary; its random stream may be drawn from.
            duration: of the window, ps.

        Raises:
            PotentialError: there is no such state.
        """
        ...


@dataclass(frozen=True, eq=False)
class Kick:
    """Half a window of the thermostat, constraints kept.

    Attributes:
        thermostat: of the velocities.
        constraints: that they must keep; None without constraints.
        clocks: charged for thermostat and constraints.
    """

    thermostat: Thermostat
    constraints: Projection | None
    clocks: Clocks

    def apply(self, state: ReplicaState, duration: float) -> ReplicaState:
        """With kicked velocities."""
        with self.clocks.charge("thermostat"):
            frame = self.thermostat.kick(state.frame, duration, state.random, state.excess_friction)
        if self.constraints is not None:
            with self.clocks.charge("constraints"):
                frame = self.constraints.velocities(frame)
        return replace(state, frame=frame)


@dataclass(frozen=True, eq=False)
class AdaptFriction:
    """Lets the excess friction answer to the temperatures.

    Attributes:
        thermostat: whose friction it is.
    """

    thermostat: Thermostat

    def apply(self, state: ReplicaState, duration: float) -> ReplicaState:
        """With the friction after a window."""
        excess = self.thermostat.adapt(state.frame, duration, state.excess_friction)
        return replace(state, excess_friction=excess)


@dataclass(frozen=True, eq=False)
class ChangeVolume:
    """A trial move of the volume now and then.

    Attributes:
        moves: Monte Carlo moves of the box.
        every: windows between two of them.
        clocks: charged for the barostat.
    """

    moves: VolumeMoves
    every: int
    clocks: Clocks

    def apply(self, state: ReplicaState, duration: float) -> ReplicaState:
        """After a trial move, where one is due."""
        del duration
        if (state.window + 1) % self.every:
            return state
        with self.clocks.charge("barostat"):
            frame, is_accepted = self.moves.attempt(state.frame, state.random)
        tried, accepted = state.volume_moves
        return replace(state, frame=frame, volume_moves=(tried + 1, accepted + is_accepted))
