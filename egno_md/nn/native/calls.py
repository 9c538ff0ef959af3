"""Calls of the C functions: their structures, addresses of tensors, threads over edges."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ctypes import POINTER, Structure, byref, c_int64, c_void_p
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from egno_md.nn.graph import Graph
from egno_md.nn.native.build import library

LANES = 16
"""Hidden channels must be a multiple: whole vectors on every machine."""

PART = 5_000
"""Rows that are worth a thread."""


class Maps(Structure):
    """`maps`: the networks of a message."""

    _fields_: ClassVar = [
        *((name, c_int64) for name in ("hidden", "inputs", "outs", "is_deep")),
        *((name, c_void_p) for name in ("wk", "w2", "b2", "w3", "b3", "wo", "bo")),
    ]


class MapGradients(Structure):
    """`map_gradients`."""

    _fields_: ClassVar = [(name, c_void_p) for name in ("wk", "w2", "b2", "w3", "b3", "wo", "bo")]


class Layout(Structure):
    """`layout`: where the rows of nodes and edges lie."""

    _fields_: ClassVar = [
        *(
            (name, c_int64)
            for name in ("points", "node_step", "point_step", "edge_step", "edge_point_step")
        ),
        *((name, c_void_p) for name in ("receivers", "senders")),
    ]


def is_native(values: Tensor, channels: int | None = None) -> bool:
    """Whether such rows can go through the library, in this process.

    Args:
        values: rows.
        channels: that must fill whole vectors; those of `values` by default.
    """
    plain = values.dtype == torch.float32 and values.device.type == "cpu"
    if not plain or (channels or values.shape[-1]) % LANES or torch.compiler.is_compiling():
        return False
    return library() is not None


def padded(count: int) -> int:
    """Numbers of so many, in whole vectors of any machine."""
    return -(-count // LANES) * LANES


def address(values: Tensor | None) -> int | None:
    """Address of a contiguous tensor's first number."""
    if values is None:
        return None
    assert values.is_contiguous()
    return values.data_ptr()


def run_native(name: str, call: Structure, parts: Sequence[tuple[int, int]]) -> None:
    """Run a function of the library on ranges of rows or edges, in threads where there are several.

    Raises:
        MemoryError: a call found no memory.
    """
    native = _function(name, type(call))
    _over([(byref(call), *part) for part in parts], native)


def run_gradient(
    name: str,
    call: Structure,
    parts: Sequence[tuple[int, int]],
    zeros: Callable[[], list[Tensor]],
    gradients: Callable[[list[Tensor]], Structure],
) -> list[Tensor]:
    """Run the gradient of a function on such ranges.

    Args:
        name: of the function.
        call: its arguments.
        parts: of the rows or edges.
        zeros: arrays for the sums of one part.
        gradients: their structure, with all other gradients.

    Returns:
        Sums of those arrays over the parts.

    Raises:
        MemoryError: a call found no memory.
    """
    sets = [zeros() for _ in parts]
    structures = [gradients(arrays) for arrays in sets]
    native = _function(name, type(call), type(structures[0]))
    pointers = zip(structures, parts, strict=True)
    _over([(byref(call), byref(g), *part) for g, part in pointers], native)
    if len(sets) == 1:
        return sets[0]
    return [torch.stack(same).sum(0) for same in zip(*sets, strict=True)]


@cache
def _function(name: str, *structures: type[Structure]) -> Callable[..., int]:
    """A function of the library that takes pointers to these and the ends of a range."""
    functions = library()
    assert functions is not None
    call: Any = functions.find(name)
    call.argtypes = [*map(POINTER, structures), c_int64, c_int64]
    return call


def ranges(graph: Graph, points: int) -> list[tuple[int, int]]:
    """Edges cut where a receiver's end, one part for every thread that is worth it."""
    edges = len(graph.senders)
    count = min(torch.get_num_threads(), max(edges * points // PART, 1))
    key = ("native", count)
    if key not in graph.plans:
        cuts = [0]
        for part in range(1, count):
            at = graph.receivers[edges * part // count]
            cuts.append(int(torch.searchsorted(graph.receivers, at)))
        cuts = sorted({*cuts, edges})
        graph.plans[key] = list(pairwise(cuts))
    return graph.plans[key]


def shares(rows: int) -> list[tuple[int, int]]:
    """Rows cut into one part for every thread that is worth it."""
    count = min(torch.get_num_threads(), max(rows // PART, 1))
    cuts = [rows * k // count for k in range(count + 1)]
    return list(pairwise(cuts))


def _over(parts: Sequence[tuple[Any, ...]], call: Callable[..., int]) -> None:
    if len(parts) == 1:
        results = [call(*parts[0])]
    else:
        threads = _threads(os.getpid(), torch.get_num_threads())
        results = list(threads.map(lambda part: call(*part), parts))
    if not all(results):
        raise MemoryError("no memory for a block of rows")


@cache
def _threads(process: int, count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"egno-{process}")
