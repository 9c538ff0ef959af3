"""An operator on disk: safetensors weights and a JSON card. Never a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import pydantic
import torch
from pydantic import Discriminator, Tag, TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from egno_md.core.errors import BundleMismatch, DataError
from egno_md.nn.card import DynamicsCard
from egno_md.nn.format_1 import DynamicsCard1, SamplerCard1
from egno_md.nn.operator import Operator, WindowOperator
from egno_md.nn.sampler import SamplerOperator
from egno_md.nn.sampler_card import SamplerCard

WEIGHTS = "model.safetensors"
CARD = "card.json"
LARGEST_CARD = 50_000_000

ModelCard = DynamicsCard | SamplerCard
"""The card of any operator; `mode` tells which."""

AnyOperator = TypeVar("AnyOperator", bound=Operator)


def _version(content: Any) -> str:
    """Kind of operator and format of a card on disk."""
    if not isinstance(content, dict):
        return "dynamics 2"
    mode = "sampler" if content.get("mode") == "sampler" else "dynamics"
    return f"{mode} {1 if content.get('format') == 'egno-md operator 1' else 2}"


_CARDS: TypeAdapter[ModelCard | DynamicsCard1 | SamplerCard1] = TypeAdapter(
    Annotated[
        Annotated[DynamicsCard, Tag("dynamics 2")]
        | Annotated[SamplerCard, Tag("sampler 2")]
        | Annotated[DynamicsCard1, Tag("dynamics 1")]
        | Annotated[SamplerCard1, Tag("sampler 1")],
        Discriminator(_version),
    ]
)


def save_bundle(folder: Path, operator: Operator) -> None:
    """Write a bundle; loading it gives bit-for-bit the same operator."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().clone().contiguous() for k, v in operator.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    text = operator.card.model_dump_json(indent=1)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def load_operator(folder: Path, kind: type[AnyOperator]) -> AnyOperator:
    """Read a bundle, ready for inference on CPU; see `Operator.load`.

    Raises:
        DataError: files missing, damaged, or weights that do not fit the card.
        BundleMismatch: the bundle holds an operator of another kind.
    """
    card = read_card(folder)
    loaded_kind = SamplerOperator if isinstance(card, SamplerCard) else WindowOperator
    if not issubclass(loaded_kind, kind):
        _refuse_mode(folder, card)
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
    operator = SamplerOperator(card) if isinstance(card, SamplerCard) else WindowOperator(card)
    try:
        operator.load_state_dict(state)
    except RuntimeError:
        raise DataError(
            f"{folder}: the weights do not fit the card's network. Copy the bundle again."
        ) from None
    if not all(bool(torch.isfinite(v).all()) for v in state.values()):
        raise DataError(f"{folder / WEIGHTS}: holds NaN or infinity. Train it again.")
    assert isinstance(operator, kind)
    return operator.eval()


def _refuse_mode(folder: Path, card: ModelCard) -> NoReturn:
    if card.mode == "sampler":
        raise BundleMismatch(
            f"{folder}: holds a sampler of {card.subject}, whose windows are draws and no dynamics. "
            "Use it with 'egno-md propagate', or train a network such as kind: egno."
        )
    raise BundleMismatch(
        f"{folder}: holds an operator of dynamics of {card.subject}, which draws nothing. "
        "Train network.kind: sampler."
    )


def _fewest_numbers(card: ModelCard) -> int:
    """Numbers that the weights have at least: seen before anything of that size is made."""
    network = card.network
    layers = getattr(network, "layers", 1)
    width = max(getattr(network, k, 1) for k in ("hidden", "vectors", "clusters"))
    return layers * width


def read_card(folder: Path) -> ModelCard:
    """Read and check a bundle's card, of any format that was ever shipped.

    Raises:
        DataError: missing or not a card.
    """
    path = folder / CARD
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise DataError(f"{path}: too large for a card.")
        card = _CARDS.validate_python(json.loads(path.read_text(encoding="utf-8")))
        return card.upgraded() if isinstance(card, DynamicsCard1 | SamplerCard1) else card
    except OSError:
        inside = next((p for p in (folder / "bundle", folder.parent) if (p / CARD).is_file()), None)
        remedy = (
            "Train one with 'egno-md train'." if inside is None else f"Did you mean '{inside}'?"
        )
        raise DataError(f"{folder}: no operator bundle (no {CARD}). {remedy}") from None
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(p) for p in problem["loc"][1:])  # the first is the tag of the format
        raise DataError(f"{path}: damaged card: {where}: {problem['msg']}.") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: damaged card: not JSON. Copy the bundle again.") from None
