"""What can be run here: devices, systems, operators."""

from __future__ import annotations

from egno_md.core.errors import BundleMismatch, DataError, SpecError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.units import format_quantity
from egno_md.nn.bundle import read_any_card
from egno_md.nn.card import OperatorCard
from egno_md.nn.sampler_card import SamplerCard
from egno_md.spec.files import find_operator
from egno_md.spec.network import predicts_velocities
from egno_md.spec.propagate import PropagateProtocol


def check_free(system: System, what: str) -> None:
    """Refuse a box or constraints where only `egno-md propagate` keeps them.

    Raises:
        SpecError: the system has either.
    """
    if system.box is not None:
        has, remedy = "periodic boundaries", "a system without a box"
    elif system.degrees_of_freedom < 3 * system.n_atoms - 3:
        has, remedy = "constraints", "constraints: none"
    else:
        return
    raise SpecError(
        f"{system.name} has {has}, which {what} does not keep. Use 'egno-md propagate', or {remedy}."
    )


def check_boxes(frames: list[Frame], system: System, source: str) -> None:
    """Refuse start frames without a box for a periodic system, or with one for another.

    Raises:
        DataError: naming where they come from.
    """
    if system.box is not None and any(f.box is None for f in frames):
        raise DataError(
            f"{source}: its frames have no box vectors and {system.name} is periodic. "
            "Start from frames that were stored with their box."
        )
    if system.box is None and any(f.box is not None for f in frames):
        raise DataError(
            f"{source}: its frames have a periodic box and {system.name} has none. "
            "Load them again with '--system'."
        )


def check_whole(card: OperatorCard, what: str) -> None:
    """Refuse an operator of some atoms where nothing carries the others.

    Raises:
        BundleMismatch: naming the atoms.
    """
    if card.atoms != "all":
        raise BundleMismatch(
            f"the operator of {card.system} knows its atoms: {card.atoms} alone, and {what} moves "
            "all of them. Use 'egno-md propagate --refine every=1', or train with atoms: all."
        )


def length_of(
    system: str,
    operator: str | None,
    protocol: PropagateProtocol,
    windows: int,
    length: str | None,
) -> str:
    """A number of windows as a length with its unit.

    Raises:
        SpecError: a length is given too.
    """
    if length is not None:
        raise SpecError(f"--windows {windows} and --length {length} exclude each other. Give one.")
    if protocol.correction is not None:
        return format_quantity(windows * protocol.correction.dynamics, "time")
    card = read_any_card(find_operator(system, operator))
    return format_quantity(windows * card.window.length, "time")


def default_protocol(system: str, operator: str | None) -> str:
    """The shipped protocol that suits an operator's mode and what it sees."""
    card = read_any_card(find_operator(system, operator))
    if isinstance(card, SamplerCard):
        return "sampler-300k"
    return "nvt-300k" if card.atoms == "all" else "protein-300k"


def read_every(text: str) -> int | None:
    """N of ``every=N``; None of ``never``.

    Raises:
        SpecError: written otherwise.
    """
    if text == "never":
        return None
    key, _, value = text.partition("=")
    if key != "every" or not value.isdecimal() or int(value) < 1:
        raise SpecError(
            f"--refine {text!r}: write every=N with a whole number, such as every=1, or never."
        )
    return int(value)


def check_rolls_out(card: OperatorCard) -> None:
    """Refuse an operator without velocities, or whose velocities were never trained.

    Raises:
        BundleMismatch: it cannot start a second window.
    """
    if not predicts_velocities(card.network):
        raise BundleMismatch(
            f"the operator of {card.system} is of kind: {card.network.kind}, which predicts "
            "positions alone, so its windows cannot follow each other. Train kind: egno."
        )
    protocol = card.training.get("protocol", {})
    if protocol and not protocol.get("supervise_velocities", 1.0):
        raise BundleMismatch(
            f"the operator of {card.system} was trained without velocities, so its windows cannot "
            "follow each other. Train with supervise_velocities: 1.0."
        )
