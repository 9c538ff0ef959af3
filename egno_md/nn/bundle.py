"""An operator on disk: safetensors weights and a JSON card. Never a pickle."""

from __future__ import annotations

import json
from pathlib import Path

import pydantic
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from egno_md.core.errors import BundleMismatch, DataError
from egno_md.core.seen import SeenAtoms
from egno_md.core.selection import reduce_system
from egno_md.core.system import System
from egno_md.nn.card import OperatorCard
from egno_md.nn.operator import WindowOperator
from egno_md.nn.sampler import SamplerOperator
from egno_md.nn.sampler_card import SamplerCard

WEIGHTS = "model.safetensors"
CARD = "card.json"
LARGEST_CARD = 50_000_000


def save_bundle(folder: Path, operator: WindowOperator | SamplerOperator) -> None:
    """Write a bundle; loading it gives bit-for-bit the same operator."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().clone().contiguous() for k, v in operator.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    text = operator.card.model_dump_json(indent=1)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def load_bundle(folder: Path) -> WindowOperator:
    """Read the bundle of an operator of dynamics, ready for inference on CPU.

    Raises:
        DataError: files missing, damaged, or weights that do not fit the card.
        BundleMismatch: it holds a sampler.
    """
    read_card(folder)
    operator = load_any_bundle(folder)
    assert isinstance(operator, WindowOperator)
    return operator


def load_any_bundle(folder: Path) -> WindowOperator | SamplerOperator:
    """Read a bundle, of dynamics or of a sampler, ready for inference on CPU.

    Raises:
        DataError: files missing, damaged, or weights that do not fit the card.
    """
    card = read_any_card(folder)
    try:
        state = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{folder / WEIGHTS}: missing or damaged weights ({type(error).__name__}). "
            "Copy the bundle again."
        ) from None
    numbers = sum(v.numel() for v in state.values())
    if _fewest_numbers(card) > numbers:
        raise DataError(
            f"{folder}: the card's network is larger than the weights, which are {numbers:,} "
            "numbers. Copy the bundle again."
        )
    made = SamplerOperator(card) if isinstance(card, SamplerCard) else WindowOperator(card)
    try:
        made.load_state_dict(state)
    except RuntimeError:
        raise DataError(
            f"{folder}: the weights do not fit the card's network. Copy the bundle again."
        ) from None
    if not all(bool(torch.isfinite(v).all()) for v in state.values()):
        raise DataError(f"{folder / WEIGHTS}: holds NaN or infinity. Train it again.")
    return made.eval()


def _fewest_numbers(card: OperatorCard | SamplerCard) -> int:
    """Numbers that the weights have at least: seen before anything of that size is made."""
    network = card.network
    layers = getattr(network, "layers", 1)
    width = max(getattr(network, k, 1) for k in ("hidden", "vectors", "clusters"))
    return layers * width


def read_card(folder: Path) -> OperatorCard:
    """Read and check the card of an operator of dynamics.

    Raises:
        DataError: missing or not a card.
        BundleMismatch: it is a sampler's.
    """
    card = read_any_card(folder)
    if isinstance(card, SamplerCard):
        raise BundleMismatch(
            f"{folder}: holds a sampler of {card.system}, whose windows are draws and no dynamics. "
            "Use it with 'egno-md propagate', or train a network such as kind: egno."
        )
    return card


def read_any_card(folder: Path) -> OperatorCard | SamplerCard:
    """Read and check a bundle's card.

    Raises:
        DataError: missing or not a card.
    """
    path = folder / CARD
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise DataError(f"{path}: too large for a card.")
        content = json.loads(path.read_text(encoding="utf-8"))
        is_sampler = isinstance(content, dict) and content.get("mode") == "sampler"
        return (SamplerCard if is_sampler else OperatorCard).model_validate(content)
    except OSError:
        inside = next((p for p in (folder / "bundle", folder.parent) if (p / CARD).is_file()), None)
        remedy = (
            "Train one with 'egno-md train'." if inside is None else f"Did you mean '{inside}'?"
        )
        raise DataError(f"{folder}: no operator bundle (no {CARD}). {remedy}") from None
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(p) for p in problem["loc"])
        raise DataError(f"{path}: damaged card: {where}: {problem['msg']}.") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: damaged card: not JSON. Copy the bundle again.") from None


def check_belongs(card: OperatorCard, system: System) -> None:
    """Refuse an operator trained on other atoms.

    Raises:
        BundleMismatch: naming the first difference.
    """
    system = reduce_system(system, card.atoms)
    theirs, ours = card.atomic_numbers, tuple(system.atomic_numbers.tolist())
    if len(theirs) != len(ours):
        raise BundleMismatch(
            f"the operator moves {len(theirs)} atoms of {card.system}, {system.name} has "
            f"{len(ours)}. Use an operator trained on {system.name}."
        )
    for index, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        if a != b:
            raise BundleMismatch(
                f"atom {index} is element {a} in the operator ({card.system}) and {b} in "
                f"{system.name}: other atoms, or another order. Use an operator trained on "
                f"{system.name}, or reorder its atoms."
            )
    if card.periodic != (system.box is not None):
        trained, asked = ("in a", "none") if card.periodic else ("without a", "one")
        raise BundleMismatch(
            f"the operator ({card.system}) was trained {trained} periodic box and {system.name} "
            f"has {asked}. Use an operator trained on {system.name}."
        )
    if card.digest != system.digest:
        raise BundleMismatch(
            f"bonds or masses of {system.name} differ from those the operator ({card.system}) was "
            "trained on. Use the same system.yaml for both."
        )


def check_sampler_belongs(card: SamplerCard, system: System) -> SeenAtoms:
    """Refuse a sampler trained on other atoms; masses do not matter to it.

    Returns:
        Which atoms of the system it sees.

    Raises:
        BundleMismatch: naming the first difference.
    """
    seen = SeenAtoms.of(system, card.network.atoms)
    which = "heavy atoms" if card.network.atoms == "heavy" else "atoms"
    ours, theirs = tuple(seen.atomic_numbers.tolist()), card.atomic_numbers
    if len(ours) != len(theirs):
        raise BundleMismatch(
            f"the sampler moves {len(theirs)} {which} of {card.system}, {system.name} has "
            f"{len(ours)}. Use a sampler trained on {system.name}."
        )
    bonds = {tuple(sorted(b)) for b in seen.bonds.tolist()}
    if ours != theirs or bonds != {tuple(sorted(b)) for b in card.bonds}:
        raise BundleMismatch(
            f"{which} or bonds of {system.name} differ from those the sampler ({card.system}) was "
            f"trained on, or their order does. Use a sampler trained on {system.name}."
        )
    if system.box is not None:
        raise BundleMismatch(
            f"{system.name} is periodic, and samplers know no box. Use a system without one."
        )
    return seen


def check_potential(card: OperatorCard | SamplerCard, system: System) -> None:
    """Refuse an operator trained on another potential than the one that will judge it.

    Raises:
        BundleMismatch: both are known and differ.
    """
    if card.potential and system.potential and card.potential != system.potential:
        raise BundleMismatch(
            f"the operator learned {card.system} from {card.potential}, and {system.name} is moved "
            f"by {system.potential} here. Train one on data of {system.potential}, or propagate "
            f"the system with {card.potential}."
        )
