"""What can be run here: devices, systems, operators."""

from __future__ import annotations

import torch

from egno_md.core.errors import BundleMismatch, SpecError
from egno_md.core.system import System
from egno_md.nn.card import OperatorCard


def resolve_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        SpecError: a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_gpu else "cpu")
    if name == "gpu" and not has_gpu:
        raise SpecError("--device gpu: torch finds no GPU here. Use --device cpu.")
    return torch.device("cuda" if name == "gpu" else "cpu")


def check_supported(system: System) -> None:
    """Refuse what operators and window rollouts do not treat rightly yet.

    Raises:
        SpecError: constraints or periodic boundaries.
    """
    if system.box is not None:
        raise SpecError(
            f"{system.name} has periodic boundaries, which operators do not know yet. "
            "Use a system without a box."
        )
    if system.degrees_of_freedom < 3 * system.n_atoms - 3:
        raise SpecError(
            f"{system.name} has constraints, which windows do not keep yet. "
            "Set constraints: none in its system.yaml."
        )


def check_rolls_out(card: OperatorCard) -> None:
    """Refuse an operator whose velocities were never trained.

    Raises:
        BundleMismatch: it cannot start a second window.
    """
    protocol = card.training.get("protocol", {})
    if protocol and not protocol.get("supervise_velocities", 1.0):
        raise BundleMismatch(
            f"the operator of {card.system} was trained without velocities, so its windows cannot "
            "follow each other. Train with supervise_velocities: 1.0."
        )
