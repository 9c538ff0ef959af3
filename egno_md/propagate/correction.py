"""A sampler's rollout corrected by Metropolis moves: what it needs, and what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from egno_md.core.errors import SpecError
from egno_md.core.seen import SeenAtoms
from egno_md.core.system import System
from egno_md.core.units import whole_multiple
from egno_md.geometry.rotors import Rotors, find_rotors
from egno_md.nn.sampler_card import CORRECTED, STATEMENT, SamplerCard
from egno_md.propagate.events import Tally
from egno_md.spec.propagate import Metropolis, PropagateProtocol


def statement(protocol: PropagateProtocol) -> str:
    """What a rollout of a sampler says of its distribution and its time."""
    return STATEMENT if protocol.correction is None else CORRECTED


def period(protocol: PropagateProtocol, card: SamplerCard) -> float:
    """Ps that a window counts for: the sampler's ΔT, or the MD between two moves."""
    correction = protocol.correction
    return card.window.length if correction is None else correction.dynamics


def find_moves(system: System, seen: SeenAtoms) -> Rotors:
    """The rotatable bonds whose torsions a sampler draws."""
    rotors = find_rotors(system)
    return rotors.subset(np.flatnonzero(np.isin(rotors.atoms, seen.atoms).all(axis=1)).tolist())


def check_correction(protocol: PropagateProtocol, system: System, seen: SeenAtoms) -> None:
    """Refuse a correction that would not be exact.

    Raises:
        SpecError: nothing turns, or something looks at windows.
    """
    correction = protocol.correction
    if correction is None:
        return
    if not len(find_moves(system, seen)):
        raise SpecError(
            f"correction: {system.name} has no rotatable bond among the atoms that the sampler "
            "draws, so there is nothing to move. Leave out correction."
        )
    if protocol.refine_every is not None:
        raise SpecError(
            "correction: a refined end is no state of the chain, and would spoil it. Leave out "
            "refine_every (--refine never)."
        )
    if protocol.policy != "off":
        raise SpecError(
            f"policy: {protocol.policy} would pick among windows by their looks, and the correction "
            "would not be exact. Set policy: 'off' (--policy off)."
        )
    if protocol.save == "points":
        raise SpecError("save: points: a Metropolis move has no time points. Set save: windows.")
    whole_multiple(correction.dynamics, protocol.timestep, "correction.dynamics", "timesteps")


def refuse_correction(protocol: PropagateProtocol, what: str) -> None:
    """Refuse a correction of what has no distribution to correct.

    Raises:
        SpecError: there is one.
    """
    if protocol.correction is not None:
        raise SpecError(
            f"correction: {what} is deterministic and draws nothing that could be weighed. Train "
            "network.kind: sampler, or leave out correction."
        )


def summarise_moves(
    protocol: PropagateProtocol, correction: Metropolis, tally: Tally
) -> dict[str, Any]:
    """What the summary of a corrected rollout says besides."""
    acceptance, weighed = tally.mean("moves_accepted"), tally.mean("moves_weighed")
    return {
        "mode": "sampler",
        "statement": statement(protocol),
        "corrected": correction.kind,
        "acceptance": _rounded(acceptance),
        "moves_weighed": _rounded(weighed),
        "windows_drawn": int(tally.moments.get("windows_drawn", [0.0, 0.0, 0.0])[1]),
        "correction": correction.model_dump(mode="json"),
        "draw_steps": protocol.draws.steps,
        "draw_solver": protocol.draws.solver,
        # time of MD alone: nothing that could be faster than MD
        "speed_up": None,
        "refine_every": 0,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
