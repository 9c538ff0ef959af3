"""From one call of a network to a whole window: at once, or in blocks that follow each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from egno_md.core.errors import SpecError, WindowMismatch
from egno_md.core.window import Window
from egno_md.nn.decode import Prediction, Start, join_predictions
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

    def __call__(
        self, start: Start, training_times: Times, query_times: Times | None
    ) -> Prediction:
        """Decode the time points `query_times`, or the `training_times` where it is None."""
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
    query_times: Float[Tensor, " points"] | None,
    *,
    is_training: bool,
) -> Prediction:
    """A window, by as many calls as the network needs.

    A network that goes through the window in blocks starts every block where the
    one before ended. The velocities that it starts from, and reports, are then the
    displacements since the time point before over the time between: means over a
    step, the best estimate of a network that predicts positions alone. EGNN-R
    is trained on its first step only, without its own predictions as input.

    Args:
        network: what it is.
        call: calls it once.
        start: the start frames.
        times: the time points it was trained at.
        query_times: others than those.
        is_training: whether the prediction is for a loss.

    Raises:
        WindowMismatch: it cannot decode those time points.
    """
    query = None if query_times is None else tuple(query_times.tolist())
    if decodes_any_time(network):
        return call(start, times, query)
    decodable = times[-1:] if decodes_end_alone(network) else times
    if query is not None and not _same(query, decodable):
        raise WindowMismatch(
            f"a network of kind: {network.kind} decodes the time points it was trained at and no "
            "others. Ask for none, or train kind: egno, which decodes any."
        )
    if decodes_end_alone(network):
        return replace(call(start, decodable, None), points=slice(-1, None))
    size = block_points(network)
    if size is None:
        return call(start, decodable, None)
    if size == 1 and is_training:
        return replace(_with_mean_velocities(call, start, times[:1]), points=slice(0, 1))
    return _in_blocks(call, start, times, size)


def _in_blocks(call: Call, start: Start, times: Times, size: int) -> Prediction:
    parts: list[Prediction] = []
    for first in range(0, len(times), size):
        part = _with_mean_velocities(call, start, times[: min(size, len(times) - first)])
        parts.append(part)
        start = replace(start, positions=part.positions[:, -1], velocities=part.velocities[:, -1])
    return join_predictions(parts, dim=1)


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
