"""Options of `propagate` that stand for several keys of a protocol."""

from __future__ import annotations

from egno_md.core.errors import SpecError
from egno_md.core.units import format_quantity
from egno_md.nn.bundle import read_card
from egno_md.nn.card import DynamicsCard
from egno_md.spec import propagate as spec
from egno_md.spec.files import find_operator


def with_refinement(protocol: spec.PropagateProtocol, text: str) -> spec.PropagateProtocol:
    """The protocol with `refine.every` as ``every=N`` or ``never`` has it.

    Raises:
        SpecError: written otherwise.
    """
    if text == "never":
        refines_bad = isinstance(protocol.correct, spec.Repair) and protocol.refine is not None
        kept = protocol.refine.model_copy(update={"every": None}) if refines_bad else None  # type: ignore[union-attr]
        return protocol.model_copy(update={"refine": kept})
    key, _, value = text.partition("=")
    if key != "every" or not value.isdecimal() or int(value) < 1:
        raise SpecError(
            f"--refine {text!r}: write every=N with a whole number, such as every=1, or never."
        )
    refine = protocol.refine or spec.Refinement()
    return protocol.model_copy(update={"refine": refine.model_copy(update={"every": int(value)})})


def length_of(
    system: str,
    operator: str | None,
    protocol: spec.PropagateProtocol,
    windows: int,
    length: str | None,
) -> str:
    """A number of windows as a length with its unit.

    Raises:
        SpecError: a length is given too.
    """
    if length is not None:
        raise SpecError(f"--windows {windows} and --length {length} exclude each other. Give one.")
    match protocol.source:
        case spec.MetropolisSource(dynamics=duration) | spec.ExactSource(window=duration):
            pass
        case _:
            duration = read_card(find_operator(system, operator)).window.length
    return format_quantity(windows * duration, "time")


def default_protocol(system: str, operator: str | None) -> str:
    """The shipped protocol that suits an operator's mode and the atoms it sees."""
    card = read_card(find_operator(system, operator))
    match card:
        case DynamicsCard(atoms="all"):
            return "nvt-300k"
        case DynamicsCard():
            return "protein-300k"
        case _:
            return "sampler-300k"
