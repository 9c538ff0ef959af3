"""What the steerable layers take from e3nn (extra `egno-md[e3nn]`).

Importing this module raises `ModuleNotFoundError` where e3nn is missing; see
`layer_factory`. Features are concatenated irreducible representations: scalars
h first, then the layer's state. e3nn's vectors are plain (x, y, z).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from egno_md.core.quiet import no_jit_warnings
from egno_md.nn.graph import Graph
from egno_md.nn.layers.parts import Mover, join

with no_jit_warnings():
    import e3nn
    from e3nn import o3
    from e3nn.nn import Gate


@contextmanager
def plain_torch() -> Iterator[None]:
    """Let e3nn write plain torch code, not TorchScript, which torch 2.13 deprecates."""
    before = e3nn.get_optimization_defaults()
    e3nn.set_optimization_defaults(jit_script_fx=False, optimize_einsums=False)
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(**before)


class Features:
    """Which steerable features a node has, and how they are laid out.

    Args:
        hidden: scalars.
        degree: highest l of the state: hidden/4 vectors, hidden/8 tensors of degree 2.
    """

    scalars: Any  # e3nn has no useful types
    state: Any
    all: Any
    sphere: Any

    def __init__(self, hidden: int, degree: int) -> None:
        counts = [max(hidden // 4, 1), max(hidden // 8, 1)][:degree]
        parts = [(n, (l, (-1) ** l)) for l, n in enumerate(counts, start=1)]  # noqa: E741
        self.scalars = o3.Irreps([(hidden, (0, 1))])
        self.state = o3.Irreps(parts)
        self.all = self.scalars + self.state
        self.sphere = o3.Irreps.spherical_harmonics(degree)
        self.hidden, self.vectors, self.degree = hidden, counts[0], degree

    def gate(self) -> Any:
        """SiLU of scalars; all else times the sigmoid of a scalar of its own."""
        gates = o3.Irreps([(self.state.num_irreps, (0, 1))])
        silu, sigmoid = nn.functional.silu, torch.sigmoid
        return Gate(self.scalars, [silu], gates, [sigmoid], self.state)

    def harmonics(self) -> Any:
        """Harmonics of `Edges.direction`: solid ones, which are smooth where nodes coincide."""
        return o3.SphericalHarmonics(self.sphere, normalize=False, normalization="component")

    def split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars and state."""
        return features[..., : self.hidden], features[..., self.hidden :]

    def vectors_of(self, state: Tensor) -> Tensor:
        """The vectors of a state, ``(nodes, points, 3, vectors)``."""
        vectors = state[..., : 3 * self.vectors]
        return vectors.unflatten(-1, (self.vectors, 3)).transpose(-1, -2)


class Carrier(nn.Module):
    """Input and output stage of a steerable layer.

    The velocity is added to the vectors in every layer, since an EGNO mixes it
    along time between layers.
    """

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features = features
        self.begin = nn.Linear(1, features.vectors, bias=False)
        self.move = Mover(features.hidden, features.vectors)

    def state(self, v: Tensor, state: Tensor | None) -> Tensor:
        """The state with the velocity in it."""
        vectors = self.begin(v[..., None]).transpose(-1, -2).flatten(-2)
        rest = self.features.state.dim - vectors.shape[-1]
        initial = nn.functional.pad(vectors, (0, rest))
        return initial if state is None else initial + state

    def forward(self, x: Tensor, v: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """New positions, scalars and state."""
        h, state = self.features.split(features)
        return self.move(x, v, h, self.features.vectors_of(state)), h, state


class Coupling(nn.Module):
    """f_j ⊗ Y(r_ij) on every edge, channel by channel: a tensor field before its weights.

    TFN's full kernel mixes channels on edges. Here each channel is weighed by
    itself, and the linear map after the sum mixes them: the same kernel with its
    radial part factorised, at a fraction of the cost (Batzner et al. 2022). All
    degrees have equally many channels, so that one matrix per edge, linear in Y,
    takes all paths l ⊗ l' → l'' at once.

    Args:
        features: of the layer.
        channels: of each degree.
    """

    path_of: Tensor

    def __init__(self, features: Features, channels: int) -> None:
        super().__init__()
        paths = _paths(features.degree)
        self.degree, self.channels, self.paths = features.degree, channels, len(paths)
        degrees = range(features.degree + 1)
        self.sent: Any = o3.Irreps([(channels, (n, (-1) ** n)) for n in degrees])
        self.irreps: Any = o3.Irreps([(channels, (o, (-1) ** o)) for _, _, o in paths])
        sizes = torch.tensor([2 * o + 1 for _, _, o in paths])
        path_of = torch.repeat_interleave(torch.arange(len(paths)), sizes)
        self.register_buffer("path_of", path_of, persistent=False)

    def forward(self, sent: Tensor, harmonics: Tensor, graph: Graph) -> Tensor:
        """``(edges, points, channels, components)`` out of the features of the nodes."""
        table = _table(self.degree, str(sent.device), sent.dtype)
        by_edge = (harmonics @ table.flatten(1)).unflatten(-1, table.shape[1:])
        return graph.gather_senders(self.by_channel(sent, self.sent)) @ by_edge

    def weigh(self, product: Tensor, weights: Tensor) -> Tensor:
        """Times one weight per channel and path, ``(edges, points, channels · paths)``."""
        by_path = weights.unflatten(-1, (self.channels, self.paths))
        return product * by_path.index_select(-1, self.path_of)

    def by_channel(self, flat: Tensor, irreps: Any) -> Tensor:
        """e3nn's layout, degree by degree, to ``(..., channels, components)``."""
        parts = flat.split([count * ir.dim for count, ir in irreps], dim=-1)
        return join(*(p.unflatten(-1, (self.channels, -1)) for p in parts))

    def flatten(self, by_channel: Tensor) -> Tensor:
        """The result's ``(..., channels, components)`` to e3nn's layout."""
        parts = by_channel.split([ir.dim for _, ir in self.irreps], dim=-1)
        return join(*(p.flatten(-2) for p in parts))


@lru_cache(maxsize=8)
def _paths(degree: int) -> tuple[tuple[int, int, int], ...]:
    """Degrees of f, of Y and of the result, where parities agree."""
    return tuple(
        (i, k, o)
        for i, k, o in itertools.product(range(degree + 1), repeat=3)
        if abs(i - k) <= o <= i + k and (i + k + o) % 2 == 0
    )


@lru_cache(maxsize=16)
def _table(degree: int, device: str, dtype: torch.dtype) -> Tensor:
    """Coefficients of all paths: components of Y by those of f by those of the result.

    Made in each precision anew: a buffer turned to double would keep its rounding.
    """
    size, columns = (degree + 1) ** 2, []
    with torch.inference_mode(False):
        for i, k, o in _paths(degree):
            block = torch.zeros(size, size, 2 * o + 1, dtype=torch.float64)
            coefficients = o3.wigner_3j(k, i, o, dtype=torch.float64) * (2 * o + 1) ** 0.5
            block[k**2 : (k + 1) ** 2, i**2 : (i + 1) ** 2] = coefficients
            columns.append(block)
        return torch.cat(columns, dim=-1).to(device, dtype)


__all__ = [
    "Carrier",
    "Coupling",
    "Features",
    "o3",
    "plain_torch",
]
