"""Whether an operator may be bound to a system, and which of its atoms it acts on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from egno_md.core.errors import BundleMismatch
from egno_md.core.seen import SeenAtoms
from egno_md.core.selection import reduce_system
from egno_md.core.system import System
from egno_md.nn.card import Card, DynamicsCard, OneSystem, symbols
from egno_md.nn.sampler_card import SamplerCard


def bind_dynamics(card: DynamicsCard, system: System, mass_tolerance: float = 0.0) -> System:
    """The system as an operator of dynamics sees it, within what it was trained on.

    Args:
        card: of the operator.
        system: all of it.
        mass_tolerance: Da, by which masses may be off those of the one system that a card
            asks for, which are then taken; packages round atomic weights differently.

    Raises:
        BundleMismatch: naming the first difference.
        SpecError: the system has no such atoms; see `choose_atoms`.
    """
    system = reduce_system(system, card.atoms)
    if card.one is None:
        _check_elements(card, system)
        _check_size(card, system)
    else:
        _check_order(card.one, system)
    _check_box(card, system)
    if card.one is not None:
        system = _check_bonds_and_masses(card.one, system, mass_tolerance)
    _check_charge(card, system)
    check_potential(card, system)
    return system


def bind_sampler(card: SamplerCard, system: System) -> SeenAtoms:
    """The atoms of a system that a sampler sees; masses do not matter to it.

    Raises:
        BundleMismatch: naming the first difference.
    """
    atoms = SeenAtoms.of(system, card.atoms)
    which = "heavy atoms" if card.atoms == "heavy" else "atoms"
    ours, theirs = tuple(atoms.atomic_numbers.tolist()), card.molecule.atomic_numbers
    if len(ours) != len(theirs):
        raise BundleMismatch(
            f"the sampler moves {len(theirs)} {which} of {card.subject}, {system.name} has "
            f"{len(ours)}. Use a sampler trained on {system.name}."
        )
    if ours != theirs or _pairs(atoms.bonds) != _pairs(card.molecule.bonds):
        raise BundleMismatch(
            f"{which} or bonds of {system.name} differ from those the sampler ({card.subject}) was "
            f"trained on, or their order does. Use a sampler trained on {system.name}."
        )
    if system.box is not None:
        raise BundleMismatch(
            f"{system.name} is periodic, and samplers know no box. Use a system without one."
        )
    _check_charge(card, system)
    check_potential(card, system)
    return atoms


def check_potential(card: Card, system: System) -> None:
    """Refuse an operator trained on another potential than the one that will judge it.

    Raises:
        BundleMismatch: both are known and differ.
    """
    potential = card.validity.potential
    if potential and system.potential and potential != system.potential:
        raise BundleMismatch(
            f"the operator learned {card.subject} from {potential}, and {system.name} is moved "
            f"by {system.potential} here. Train one on data of {system.potential}, or propagate "
            f"the system with {potential}."
        )


def _check_elements(card: Card, system: System) -> None:
    elements = card.validity.elements
    atom = next((a for a in system.topology.atoms if a.element.atomic_number not in elements), None)
    if atom is not None:
        raise BundleMismatch(
            f"the operator knows {symbols(elements)}, and {system.name} has {atom.element.name} "
            f"({atom.element.symbol}, atom {atom.index}). Use an operator trained on molecules "
            f"with {atom.element.symbol}."
        )


def _check_size(card: Card, system: System) -> None:
    least, most = card.validity.sizes
    if not least <= system.n_atoms <= most:
        raise BundleMismatch(
            f"the operator was trained on {card.subject} of {least} to {most} atoms, and "
            f"{system.name} has {system.n_atoms}. Use an operator trained on molecules of that "
            "size."
        )


def _check_order(one: OneSystem, system: System) -> None:
    theirs, ours = one.atomic_numbers, tuple(system.atomic_numbers.tolist())
    if len(theirs) != len(ours):
        raise BundleMismatch(
            f"the operator moves {len(theirs)} atoms of {one.name}, {system.name} has "
            f"{len(ours)}. Use an operator trained on {system.name}."
        )
    for index, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        if a != b:
            raise BundleMismatch(
                f"atom {index} is element {a} in the operator ({one.name}) and {b} in "
                f"{system.name}: other atoms, or another order. Use an operator trained on "
                f"{system.name}, or reorder its atoms."
            )


def _check_box(card: Card, system: System) -> None:
    if card.validity.periodic != (system.box is not None):
        of_operator, of_system = (
            ("in a", "none") if card.validity.periodic else ("without a", "one")
        )
        raise BundleMismatch(
            f"the operator ({card.subject}) was trained {of_operator} periodic box and {system.name} "
            f"has {of_system}. Use an operator trained on {system.name}."
        )


def _check_bonds_and_masses(one: OneSystem, system: System, tolerance: float) -> System:
    """The system with the masses that the card has, to all digits."""
    masses = system.masses if one.masses is None else np.array(one.masses)
    differences, same = np.abs(masses - system.masses), replace(system, masses=masses)
    candidate = same if differences.max() <= tolerance else system
    if one.digest is None or one.digest == candidate.digest:
        return same
    ours, theirs = _pairs(system.bonds), _pairs(one.bonds)
    first = ""
    if ours != theirs:
        a, b = min(ours ^ theirs)
        where = system.name if (a, b) in ours else f"{one.name} of the operator"
        first = f": the bond between atoms {a} and {b} is only in {where}"
    elif differences.max() > 0:
        worst = int(differences.argmax())
        first = (
            f": atom {worst} weighs {system.masses[worst]:.4g} Da, in the operator "
            f"{masses[worst]:.4g} Da, and hydrogen mass repartitioning needs an operator of its own"
        )
    raise BundleMismatch(
        f"bonds or masses of {system.name} differ from those the operator ({one.name}) was "
        f"trained on{first}. Use the same system.yaml for both."
    )


def _check_charge(card: Card, system: System) -> None:
    charges = card.validity.charges
    if charges is not None and system.charge is not None and system.charge not in charges:
        raise BundleMismatch(
            f"the operator of {card.subject} knows charges of {', '.join(map(str, charges))} e, and "
            f"{system.name} has {system.charge} e. Use an operator trained on such ions."
        )


def _pairs(bonds: np.ndarray | tuple[tuple[int, int], ...]) -> set[tuple[int, int]]:
    return {(min(a, b), max(a, b)) for a, b in np.asarray(bonds, dtype=int).reshape(-1, 2).tolist()}
