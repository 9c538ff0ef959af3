"""Which network a `train` protocol may name: ours, the published EGNO, and its rivals."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.spec.base import Length, Positive, Spec

Spatial = Literal[
    "egnn", "rf", "mpnn", "clofnet", "schnet", "painn", "tfn", "se3-transformer", "segnn"
]
"""Layers that pass messages between nodes at one time point."""

BLOCK = 2
"""Time points of a block of EGNN-TB, as published."""


def _check_cutoff(edges: str, cutoff: float | None) -> None:
    if (edges == "radius") != (cutoff is not None):
        raise ValueError(
            "edges: radius needs a cutoff such as '0.5 nm', and other edges have none."
        )


class PublishedEgno(Spec):
    """EGNO exactly as published (Xu et al. 2024), for comparison with the paper.

    `spatial`, `embedding`, `temporal` and `reads` depart from it: other layers, a
    richer embedding, the paper's ablations, and its trajectory-to-trajectory variant.

    Attributes:
        layers: blocks of temporal convolution and message passing.
        hidden: channels per node and time point.
        modes: Fourier modes kept by the temporal convolutions.
        edges: complete graph, or the bonded two-hop graph.
        spatial: the layer that passes messages; `egnn` as published. `tfn`,
            `se3-transformer` and `segnn` need the extra `egno-md[e3nn]`.
        embedding: of nodes: a `linear` map of their features, as published, or that
            and the invariants that TorchMD-Net's TensorNet finds in the start frame.
        temporal: what is mixed along time: `full` scalars, positions and velocities
            (ablation I), `no-velocity` (II), `scalars` only (III), `none` (IV).
        reads: the start frame, or the `sequence` of P frames that ends with it
            (EGNO-T2T); sequences are known to `egno-md benchmark` only.
    """

    kind: Literal["egno-published"]
    layers: Positive = 5
    hidden: Positive = 64
    modes: Annotated[int, Field(ge=0)] = 2
    edges: Literal["complete", "two-hop"] = "two-hop"
    spatial: Spatial = "egnn"
    embedding: Literal["linear", "tensornet"] = "linear"
    temporal: Literal["full", "no-velocity", "scalars", "none"] = "full"
    reads: Literal["frame", "sequence"] = "frame"


class Stack(Spec):
    """Layers of one kind, one after another, without temporal convolutions: the rivals.

    Attributes:
        kind: of the layers.
        layers: how many.
        hidden: channels per node.
        edges: complete graph, or the bonded two-hop graph.
        readout: `last` predicts the window's end alone, so `window.points` is 1;
            `sequential` reads one time point after another out of the layers, from the
            lowest to the highest (EGNN-S), so it needs a layer a point; `rolled`
            learns one step of ΔT/P and applies it P times (EGNN-R); `blocks` predicts
            the window two points at a time, each block from the end of the one before
            (EGNN-TB).
    """

    kind: Spatial
    layers: Positive = 4
    hidden: Positive = 64
    edges: Literal["complete", "two-hop"] = "two-hop"
    readout: Literal["last", "sequential", "rolled", "blocks"] = "last"


class Linear(Spec):
    """x + c v: one fitted coefficient per time point."""

    kind: Literal["linear"]


class Hierarchical(Spec):
    """EGHN (Han et al. 2022), and EGHNO: the same with temporal convolutions.

    Attributes:
        kind: `eghn` predicts the window's end alone, so `window.points` is 1; `eghno`
            predicts every time point.
        layers: of the low and of the high level, and of the pooling.
        hidden: channels per node.
        clusters: K, nodes of the high level.
        modes: Fourier modes kept by the temporal convolutions.
        connectivity: λ, weight of the loss that keeps clusters connected.
        edges: complete graph, the bonded two-hop graph, or all pairs within `cutoff`
            at the window's start and the bonded two-hop ones, as for proteins.
        cutoff: of radius edges.
    """

    kind: Literal["eghn", "eghno"]
    layers: Positive = 4
    hidden: Positive = 64
    clusters: Annotated[int, Field(ge=2)] = 20
    modes: Annotated[int, Field(ge=0)] = 2
    connectivity: Annotated[float, Field(ge=0)] = 2.0
    edges: Literal["complete", "two-hop", "radius"] = "two-hop"
    cutoff: Length | None = None

    @model_validator(mode="after")
    def _radius_has_a_cutoff(self) -> Hierarchical:
        _check_cutoff(self.edges, self.cutoff)
        return self


class Egno(Spec):
    """Our EGNO. Each option names one departure from the published network.

    Attributes:
        layers: blocks of temporal convolution and message passing.
        hidden: scalar channels per node and time point.
        vectors: equivariant vector channels per node and time point.
        modes: Fourier modes kept by the temporal convolutions.
        initialisation: `stable` starts every block near the identity;
            `published` draws all-positive spectral weights.
        distances: `normalised` uses bounded functions of the distance;
            `squared` uses the published ‖r‖².
        output: `ballistic` corrects x + vτ by terms of order τ² (and v by terms
            of order τ), so that short times are right by construction; `direct`
            predicts the displacement and the velocity outright.
        force_channel: give the force at the window's start as a vector channel.
        couplings: multiply what an edge is with functions of its length along the
            path, so that a product of charges becomes a Coulomb term.
        projections: of vectors on edges, as messages see them. `plain` ones let an input far
            beyond the training data grow from block to block; `soft` ones are asinh of
            them, equal for small vectors and logarithmic for large ones.
        identities: tell every node which one it is, so that a body's hands and feet, or
            the residues of one protein, may differ; the network then knows one system
            alone, atom by atom, and equal atoms are no longer treated equally.
        edges: complete graph, the bonded two-hop graph, or all pairs within
            `cutoff` at the window's start (and the bonded two-hop ones), whose
            messages fade out smoothly towards it. Periodic boxes need `radius`.
        cutoff: of radius edges.
    """

    kind: Literal["egno"]
    layers: Positive = 4
    hidden: Positive = 64
    vectors: Annotated[int, Field(ge=3)] = 6
    modes: Annotated[int, Field(ge=0)] = 3
    initialisation: Literal["stable", "published"] = "stable"
    distances: Literal["normalised", "squared"] = "normalised"
    output: Literal["ballistic", "direct"] = "ballistic"
    force_channel: bool = True
    couplings: bool = False
    projections: Literal["plain", "soft"] = "plain"
    identities: bool = False
    edges: Literal["complete", "two-hop", "radius"] = "complete"
    cutoff: Length | None = None

    @model_validator(mode="after")
    def _radius_has_a_cutoff(self) -> Egno:
        _check_cutoff(self.edges, self.cutoff)
        return self


Network = Annotated[
    Egno | PublishedEgno | Stack | Linear | Hierarchical, Field(discriminator="kind")
]


def block_points(network: Network) -> int | None:
    """Time points that one call decodes, for networks that go through the window in blocks."""
    if not isinstance(network, Stack):
        return None
    return {"rolled": 1, "blocks": BLOCK}.get(network.readout)


def decodes_end_alone(network: Network) -> bool:
    """Whether a network predicts ΔT and no time point before it."""
    if isinstance(network, Stack):
        return network.readout == "last"
    return isinstance(network, Hierarchical) and network.kind == "eghn"


def decodes_any_time(network: Network) -> bool:
    """Whether a network can be asked for time points that it was not trained at."""
    if isinstance(network, Hierarchical):
        return network.kind == "eghno"
    return isinstance(network, Egno | PublishedEgno)


def predicts_velocities(network: Network) -> bool:
    """Whether velocities come out of a network, and not only go into it."""
    if isinstance(network, PublishedEgno):
        return network.temporal == "full"
    if isinstance(network, Hierarchical):
        return network.kind == "eghno"
    return isinstance(network, Egno)


def check_points(network: Network, points: int, *, is_even: bool) -> None:
    """Refuse a window that a network cannot decode.

    Args:
        network: that decodes it.
        points: P.
        is_even: whether the time points are pΔT/P.

    Raises:
        ValueError: saying what to change.
    """
    if not isinstance(network, Stack):
        return
    if network.readout == "sequential" and network.layers < points:
        raise ValueError(
            f"readout: sequential reads a time point out of a layer, and there are {points} points "
            f"and {network.layers} layers. Set network.layers: {points}, or fewer points."
        )
    if block_points(network) is not None and not is_even:
        raise ValueError(
            f"readout: {network.readout} goes on in equal steps, and the time points are uneven. "
            "Use window.kind: uniform, or readout: sequential."
        )
