"""The device that networks run on."""

from __future__ import annotations

import torch

from egno_md.core.errors import SpecError


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
