"""What every window source owes: shapes, times, determinism, independence, symmetry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from egno_md.core.errors import ContractError
from egno_md.propagate.proposal import Proposal
from egno_md.propagate.source import WindowSource
from egno_md.propagate.state import ReplicaState

SAME_NM = 1e-5
"""nm: positions that are the same up to the rounding of a float32 network."""

TIME_PS = 1e-9
"""ps: times that are the same up to rounding."""

SHIFT = np.array([0.3, -0.2, 0.1])
"""nm: a move of the whole system."""


def check_source(
    source: WindowSource,
    states: Sequence[ReplicaState],
    *,
    tolerance: float = SAME_NM,
    is_translation_free: bool = True,
) -> None:
    """Ask of a source what every `WindowSource` owes.

    Args:
        source: proposes windows.
        states: at least two starts of the system that it proposes for, with forces where the
            source needs them.
        tolerance: nm, between positions that are to be the same.
        is_translation_free: whether the system feels no place in space, so that a moved start
            must give a moved window; False with external fields or restraints.

    Raises:
        ContractError: naming the claim that is not kept.

    Example:
        >>> from egno_md.testing import check_source
        >>> check_source(source, states)  # doctest: +SKIP
    """
    if len(states) < 2:
        raise ContractError(f"{len(states)} states: give two or more, to see that none matters.")
    streams = [state.random.bit_generator.state for state in states]
    proposals = _propose(source, states)
    _check_shapes(source, states, proposals)
    again = _propose(source, states)
    _check_same(proposals, again, tolerance, "the same starts and streams give another window")
    alone = [_propose(source, [state])[0] for state in states]
    _check_same(proposals, alone, tolerance, "a window depends on the other replicas of its batch")
    if is_translation_free:
        shifted = [
            replace(s, frame=replace(s.frame, positions=s.frame.positions + SHIFT)) for s in states
        ]
        expected = [
            replace(p, window=replace(p.window, positions=p.window.positions + SHIFT))
            for p in proposals
        ]
        shifted_proposals = _propose(source, shifted)
        _check_same(
            expected, shifted_proposals, tolerance, "a moved start does not give a moved window"
        )
    if streams != [state.random.bit_generator.state for state in states]:
        raise ContractError("the states' own random streams were drawn from. Fork them first.")


def _propose(source: WindowSource, states: Sequence[ReplicaState]) -> list[Proposal]:
    """From copies of the random streams, as `WindowMove.step` hands them over."""
    proposals = source.propose([state.forked() for state in states])
    if len(proposals) != len(states):
        raise ContractError(
            f"{len(proposals)} proposals for {len(states)} states. Give one for each, in order."
        )
    return proposals


def _check_shapes(
    source: WindowSource, states: Sequence[ReplicaState], proposals: Sequence[Proposal]
) -> None:
    points = np.array(source.window.time_points)
    for state, proposal in zip(states, proposals, strict=True):
        if proposal.problem:
            raise ContractError(f"no window from a sound start: {proposal.problem}.")
        window, atoms = proposal.window, len(state.frame.positions)
        if window.positions.shape != (len(points), atoms, 3):
            raise ContractError(
                f"positions of shape {window.positions.shape}, expected {(len(points), atoms, 3)}: "
                "all atoms at every time point."
            )
        if not np.isfinite(window.positions).all():
            raise ContractError("positions that are not finite from a sound start.")
        if source.kind == "dynamics" and window.velocities is None:
            raise ContractError(
                "windows of dynamics without velocities. Give them, or set kind to 'sampler'."
            )
        off = np.abs(window.times - (state.frame.time + points)).max()
        if not off <= TIME_PS:
            raise ContractError(
                f"times off by {off:.2g} ps: they are the start's time plus the window's time points."
            )


def _check_same(
    expected: Sequence[Proposal], given: Sequence[Proposal], tolerance: float, claim: str
) -> None:
    for ours, theirs in zip(expected, given, strict=True):
        off = np.abs(ours.window.positions - theirs.window.positions).max()
        if not off <= tolerance:
            raise ContractError(
                f"{claim}: positions off by {off:.2g} nm, at most {tolerance:.0e} nm is rounding."
            )
