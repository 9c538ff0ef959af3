"""The sampler: a start frame and noise in, one possible window out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from egno_md.core.errors import BundleMismatch
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.geometry.bonded import complete_pairs, hop_pairs, hops_of
from egno_md.nn.binding import bind_sampler
from egno_md.nn.edges import HOPS
from egno_md.nn.geometry import Torsions, environments
from egno_md.nn.graph import Graph, make_graph
from egno_md.nn.operator import Operator
from egno_md.nn.sampler_card import SamplerCard
from egno_md.nn.velocity_field import Conditions, StartFeatures, VelocityField
from egno_md.spec.propagate import Solver

LENGTH = 0.1
"""nm, the network's unit of length: about one bond."""

SMALLEST_WIDTH = 1e-3
"""nm, of a distance in the training data."""

WARP = 2.0
"""Flow times of n steps are 1 - (1 - k/n)^WARP, close to each other near the data: the last
step lands on a conditional mean, so that what it spans is missing from bonds' widths."""

EDGES_AT_ONCE = 1500
"""Over replicas: what the network holds then fits into a core's cache (measured)."""


def flow_times(share: Tensor) -> Tensor:
    """Flow times from shares of the steps."""
    return 1 - (1 - share) ** WARP


class SamplerOperator(Operator):
    """A sampler: a start frame and noise in, one possible window out.

    Equivariant under rotations and translations; equivariant under relabelling of
    atoms together with the card's atoms and bonds. It is not under reflections: a
    molecule and its mirror image are different inputs.

    Args:
        card: architecture, system and scales.
    """

    def __init__(self, card: SamplerCard) -> None:
        super().__init__()
        self.card: SamplerCard = card  # pyright: ignore[reportIncompatibleVariableOverride]
        numbers = np.array(card.molecule.atomic_numbers)
        bonds = np.array(card.molecule.bonds, dtype=np.int64).reshape(-1, 2)
        atoms = len(numbers)
        self._bonds = bonds
        self.kinds: Tensor
        self.distances: Tensor
        self.widths: Tensor
        kinds = torch.from_numpy(environments(numbers, bonds)).float()
        self.register_buffer("kinds", kinds, persistent=False)
        self.register_buffer("distances", torch.ones(atoms, atoms))
        self.register_buffer("widths", torch.ones(atoms, atoms))
        self.field = VelocityField(card.network, kinds.shape[1], HOPS + 1)
        self._molecule: MoleculeGraph | None = None
        self.register_load_state_dict_post_hook(lambda *_: self._forget())

    @property
    def atoms(self) -> int:
        """Number of atoms that it acts on."""
        return len(self.card.molecule.atomic_numbers)

    def bind(self, system: System | None = None) -> BoundSampler:
        """The sampler on the system that its card asks for; see `Operator.bind`.

        Raises:
            BundleMismatch: naming the first difference.
        """
        atoms = np.arange(self.atoms) if system is None else bind_sampler(self.card, system).atoms
        return BoundSampler(self, atoms)

    def learn_distances(self, positions: Float[Tensor, "frames atoms 3"]) -> None:
        """Measure mean and width of every distance, which normalise the edge features.

        Args:
            positions: of training frames, nm.
        """
        x = positions.double()
        distances = (x[:, :, None] - x[:, None]).norm(dim=-1)
        width = distances.std(0).clamp(min=SMALLEST_WIDTH)
        self.distances.copy_(distances.mean(0) / LENGTH)
        self.widths.copy_(width / LENGTH)
        self._forget()

    def conditions(self, start: Float[Tensor, "batch atoms 3"]) -> Conditions:
        """Conditions of the network, from start frames in nm.

        Raises:
            BundleMismatch: another number of atoms.
        """
        batch, atoms = start.shape[:2]
        if atoms != self.atoms:
            raise BundleMismatch(
                f"the sampler moves {self.atoms} atoms of {self.card.subject}, the frame has "
                f"{atoms}. Give it the atoms that its card names (network.atoms)."
            )
        molecule = self.molecule
        graph = molecule.graph.batch(batch, start)
        ends = (molecule.graph.receivers, molecule.graph.senders)
        receivers, senders = (end.to(start.device) for end in ends)
        shift = torch.arange(batch, device=start.device)[:, None]
        quads, edges = molecule.torsions.to(start.device), molecule.torsion_edges.to(start.device)
        centred = start - start.mean(1, keepdim=True)
        return Conditions(
            start=centred.flatten(0, 1) / LENGTH,
            nodes=self.kinds.repeat(batch, 1),
            graph=graph,
            distances=self.distances[receivers, senders].repeat(batch),
            widths=self.widths[receivers, senders].repeat(batch),
            torsions=(quads + shift[..., None] * atoms).flatten(0, 1),
            torsion_edges=(edges + shift * len(receivers)).flatten(),
        )

    @property
    def molecule(self) -> MoleculeGraph:
        """Edges and torsions of one molecule; they depend on the distances where there is a cutoff."""
        if self._molecule is None:
            near = None
            if self.card.network.cutoff is not None:
                near = self.distances.cpu().numpy() * LENGTH < self.card.network.cutoff
            with torch.inference_mode(False):
                self._molecule = join_atoms(self.atoms, self._bonds, near)
        return self._molecule

    def _forget(self) -> None:
        self._molecule = None

    def preconditioned(
        self, moves: Float[Tensor, "batch points atoms 3"], flow: Float[Tensor, " batch"]
    ) -> Preconditioning:
        """The linear part of the velocity, and what the network's output is multiplied by.

        For Gaussian moves of width d and noise of width σ, the velocity that is best
        without a network is a(t) times the noisy move, and its error has the width b(t).
        """
        spread = flow.new_tensor(self.card.displacements)[:, None, None] / LENGTH
        noise = self.card.network.noise / LENGTH
        t = flow.view(-1, 1, 1, 1)
        total = (t * spread).square() + ((1 - t) * noise) ** 2
        linear = (t * spread.square() - (1 - t) * noise**2) / total
        return Preconditioning(moves * linear, spread * noise / total.sqrt(), moves / total.sqrt())

    def velocity(
        self,
        moves: Float[Tensor, "batch points atoms 3"],
        flow: Float[Tensor, " batch"],
        conditions: Conditions,
        start_features: StartFeatures,
    ) -> Float[Tensor, "batch points atoms 3"]:
        """Velocity of noisy windows, in units of length per flow time.

        Args:
            moves: since the start frame, in units of length, without a common shift.
            flow: time of each window.
            conditions: from `conditions`.
            start_features: features of the start frames.
        """
        linear_part = self.preconditioned(moves, flow)
        return linear_part.linear + linear_part.scale * self.residual(
            moves, linear_part, flow, conditions, start_features
        )

    def residual(
        self,
        moves: Tensor,
        linear_part: Preconditioning,
        flow: Tensor,
        conditions: Conditions,
        start_features: StartFeatures,
    ) -> Float[Tensor, "batch points atoms 3"]:
        """The network's output, of order one."""
        points = moves.shape[1]
        index = torch.arange(points, dtype=moves.dtype, device=moves.device)
        output = self.field(
            _by_node(moves),
            _by_node(linear_part.scaled),
            flow.repeat_interleave(self.atoms),
            conditions,
            start_features,
            index,
        )
        output = output.view(len(moves), self.atoms, 3, points).permute(0, 3, 1, 2)
        return output - output.mean(2, keepdim=True)

    @torch.inference_mode()
    def draw(
        self,
        start: Float[Tensor, "batch atoms 3"],
        noise: Float[Tensor, "batch points atoms 3"],
        steps: int,
        solver: Solver = "euler",
    ) -> Float[Tensor, "batch points atoms 3"]:
        """One window after every start frame, nm, where the start frame stands.

        The same noise gives the same window.

        Args:
            start: nm.
            noise: standard normal.
            steps: of the solver.
            solver: `euler`, one network call a step; `heun`, two, of second order.
        """
        at_once = max(EDGES_AT_ONCE // max(self.molecule.graph.senders.numel(), 1), 1)
        parts = zip(start.split(at_once), noise.split(at_once), strict=True)
        return torch.cat([self._draw(x, n, steps, solver) for x, n in parts])

    def _draw(self, start: Tensor, noise: Tensor, steps: int, solver: Solver) -> Tensor:
        conditions = self.conditions(start)
        start_features = self.field.start_features(conditions)
        moves = centred(noise) * (self.card.network.noise / LENGTH)
        times = flow_times(torch.linspace(0, 1, steps + 1, dtype=start.dtype)).tolist()
        one = torch.ones(len(start), dtype=start.dtype, device=start.device)
        for time, next_time in pairwise(times):
            slope = self.velocity(moves, one * time, conditions, start_features)
            ahead = moves + (next_time - time) * slope
            if solver == "heun" and next_time < 1:
                mean = (
                    slope + self.velocity(ahead, one * next_time, conditions, start_features)
                ) / 2
                ahead = moves + (next_time - time) * mean
            moves = ahead
        return start[:, None] + moves * LENGTH


@dataclass(frozen=True, eq=False)
class BoundSampler:
    """A sampler bound to a system: its weights, and the atoms of the system that it acts on.

    Attributes:
        operator: whose weights draw; it may be moved to a device later.
        atoms: numbers of the system's atoms that it sees, ascending.
    """

    operator: SamplerOperator
    atoms: Int[np.ndarray, " seen"]

    @property
    def card(self) -> SamplerCard:
        """The sampler's card."""
        return self.operator.card

    @property
    def window(self) -> Window:
        """ΔT and its time points."""
        return self.card.window

    @property
    def needs_forces(self) -> bool:
        """Samplers see positions alone."""
        return False

    def draw(
        self,
        start: Float[Tensor, "batch seen 3"],
        noise: Float[Tensor, "batch points seen 3"],
        steps: int,
        solver: Solver = "euler",
    ) -> Float[Tensor, "batch points seen 3"]:
        """One window after every start frame; see `SamplerOperator.draw`."""
        return self.operator.draw(start, noise, steps, solver)


@dataclass(frozen=True, eq=False)
class MoleculeGraph:
    """Edges and torsions of one molecule.

    Attributes:
        graph: edges, with the number of bonds between their atoms one-hot.
        torsions: four atoms of each.
        torsion_edges: the edge between the first and the last of them.
    """

    graph: Graph
    torsions: Int[Tensor, "torsions 4"]
    torsion_edges: Int[Tensor, " torsions"]


def join_atoms(
    atoms: int,
    bonds: Int[np.ndarray, "bonds 2"],
    near: Bool[np.ndarray, "atoms atoms"] | None = None,
) -> MoleculeGraph:
    """Edges between all atoms, or between those that are mostly near each other.

    Args:
        atoms: of the molecule.
        bonds: each once.
        near: which atoms are; those at most `HOPS` bonds apart are joined whatever their
            distance. None joins all.
    """
    pairs = complete_pairs(atoms)
    hops = hops_of(pairs, *hop_pairs(bonds, atoms, HOPS), atoms)
    if near is not None:
        is_edge = near[pairs[:, 0], pairs[:, 1]] | (hops > 0)
        pairs, hops = pairs[is_edge], hops[is_edge]
    features = (hops[:, None] == np.arange(HOPS + 1)).astype(np.float64)
    paths = Torsions.of(pairs, hops, bonds)
    graph = make_graph(pairs, features, atoms)
    return MoleculeGraph(graph, torch.from_numpy(paths.atoms), torch.from_numpy(paths.edges))


@dataclass(frozen=True, eq=False)
class Preconditioning:
    """The velocity's best linear estimate, and scales for the network.

    Attributes:
        linear: its linear part.
        scale: of the remainder.
        scaled: the moves over their root mean square.
    """

    linear: Float[Tensor, "batch points atoms 3"]
    scale: Float[Tensor, "batch points 1 1"]
    scaled: Float[Tensor, "batch points atoms 3"]


def centred(values: Float[Tensor, "*batch atoms 3"]) -> Float[Tensor, "*batch atoms 3"]:
    """Values without their mean over atoms."""
    return values - values.mean(-2, keepdim=True)


def _by_node(values: Float[Tensor, "batch points atoms 3"]) -> Float[Tensor, "nodes 3 points"]:
    return values.permute(0, 2, 3, 1).flatten(0, 1).contiguous()
