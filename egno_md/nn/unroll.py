"""From one call of a network to a whole window: at once, or in blocks that follow each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from egno_md.core.errors import SpecError, WindowMismatch
from egno_md.core.window import Window
from egno_md.nn.decode import Prediction, Start
from egno_md.spec.network import (
    Network,
    block_points,
    check_points,
    decodes_any_time,
    decodes_end_alone,
)

EVEN = 1e-6
"""Relative tolerance within which time points count as evenly spaced or as the same."""

Times = tuple[float, ...]


class Call(Protocol):
    """One call of a network."""

    def __call__(self, start: Start, trained: Times, asked: Times | None) -> Prediction:
        """Decode the time points `asked`, or all that it was `trained` at."""
        ...


def check_window(network: Network, times: Times) -> None:
    """Refuse time points that a network cannot decode.

    Raises:
        SpecError: saying what to change.
    """
    try:
        check_points(network, len(times), is_even=_same(times, _even(times)))
    except ValueError as error:
        raise SpecError(str(error)) from None


def decode_window(
    network: Network,
    call: Call,
    start: Start,
    times: Times,
    asked: Float[Tensor, " points"] | None,
    *,
    is_training: bool,
) -> Prediction:
    """A window, by as many calls as the network needs.

    A network that goes through the window in blocks starts every block where the
    one before ended. The velocities that it starts from, and reports, are then the
    displacements since the time point before over the time between: means over a
    step, which are all that a network knows that predicts positions alone. EGNN-R
    is trained on its first step only, without its own predictions as input.

    Args:
        network: what it is.
        call: calls it once.
        start: the start frames.
        times: the time points it was trained at.
        asked: others than those.
        is_training: whether the prediction is for a loss.

    Raises:
        WindowMismatch: it cannot decode what is asked for.
    """
    wanted = None if asked is None else tuple(asked.tolist())
    if decodes_any_time(network):
        return call(start, times, wanted)
    own = times[-1:] if decodes_end_alone(network) else times
    if wanted is not None and not _same(wanted, own):
        raise WindowMismatch(
            f"a network of kind: {network.kind} decodes the time points it was trained at and no "
            "others. Ask for none, or train kind: egno, which decodes any."
        )
    if decodes_end_alone(network):
        return replace(call(start, own, None), points=slice(-1, None))
    size = block_points(network)
    if size is None:
        return call(start, own, None)
    if size == 1 and is_training:
        return replace(_with_mean_velocities(call, start, times[:1]), points=slice(0, 1))
    return _in_blocks(call, start, times, size)


def _in_blocks(call: Call, start: Start, times: Times, size: int) -> Prediction:
    parts: list[Prediction] = []
    for first in range(0, len(times), size):
        part = _with_mean_velocities(call, start, times[: min(size, len(times) - first)])
        parts.append(part)
        start = replace(start, positions=part.positions[:, -1], velocities=part.velocities[:, -1])
    return Prediction(
        torch.cat([p.positions for p in parts], dim=1),
        torch.cat([p.velocities for p in parts], dim=1),
    )


def _with_mean_velocities(call: Call, start: Start, times: Times) -> Prediction:
    part = call(start, times, None)
    path = torch.cat([start.positions[:, None], part.positions], dim=1)
    return replace(part, velocities=path.diff(dim=1) / times[0])


def _even(times: Times) -> Times:
    return Window.uniform(times[-1], len(times)).time_points


def _same(ours: Times, theirs: Times) -> bool:
    return len(ours) == len(theirs) and all(
        abs(a - b) <= EVEN * theirs[-1] for a, b in zip(ours, theirs, strict=True)
    )
