"""Whether an operator can roll a system out as a protocol asks, before anything is computed."""

from __future__ import annotations

from egno_md.core.errors import SpecError
from egno_md.core.units import whole_multiple
from egno_md.md.build import BuiltSystem
from egno_md.nn.bundle import check_belongs, check_potential
from egno_md.nn.card import OperatorCard
from egno_md.propagate.correction import refuse_correction
from egno_md.propagate.rolling import check_points
from egno_md.propagate.support import check_rolls_out
from egno_md.spec.propagate import PropagateProtocol


def check_rollout(built: BuiltSystem, card: OperatorCard, protocol: PropagateProtocol) -> int:
    """How many windows a rollout has, once it is known that it can be run.

    Raises:
        BundleMismatch: the operator moves other atoms.
        WindowMismatch: the length is no whole number of windows.
        SpecError: the protocol asks for what the system or the operator does not have.
    """
    check_belongs(card, built.system)
    check_potential(card, built.system)
    refuse_correction(protocol, f"the operator of {card.system}")
    if protocol.pressure is not None and built.system.box is None:
        raise SpecError(
            f"pressure: {built.system.name} has no periodic box, so it has no volume. "
            "Leave out pressure."
        )
    check_rolls_out(card)
    windows = whole_multiple(protocol.length, card.window.length, "the length", "windows")
    card.window.offsets(protocol.timestep)
    check_points(protocol, card.time_points)
    return windows
