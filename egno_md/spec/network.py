"""Which network a `train` protocol may name: ours, the published EGNO, and its rivals."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.spec.base import Length, Spec

Positive = Annotated[int, Field(ge=1)]

Spatial = Literal[
    "egnn", "rf", "mpnn", "clofnet", "schnet", "painn", "tfn", "se3-transformer", "segnn"
]
"""Layers that pass messages between nodes at one time point."""


class PublishedEgno(Spec):
    """EGNO exactly as published (Xu et al. 2024), for comparison with the paper.

    `spatial`, `temporal` and `reads` depart from it: other layers, the paper's
    ablations, and its trajectory-to-trajectory variant.

    Attributes:
        layers: blocks of temporal convolution and message passing.
        hidden: channels per node and time point.
        modes: Fourier modes kept by the temporal convolutions.
        edges: complete graph, or the bonded two-hop graph.
        spatial: the layer that passes messages; `egnn` as published. `tfn`,
            `se3-transformer` and `segnn` need the extra `egno-md[e3nn]`.
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
    temporal: Literal["full", "no-velocity", "scalars", "none"] = "full"
    reads: Literal["frame", "sequence"] = "frame"


class Stack(Spec):
    """Layers of one kind, one after another, without temporal convolutions: the rivals.

    Attributes:
        kind: of the layers.
        layers: how many.
        hidden: channels per node.
        edges: complete graph, or the bonded two-hop graph.
        readout: `last` predicts the window's end alone; `sequential` reads the time
            points one after another (EGNN-S); `rolled` applies one step P times
            (EGNN-R); `blocks` predicts the window two points at a time (EGNN-TB).
    """

    kind: Spatial
    layers: Positive = 4
    hidden: Positive = 64
    edges: Literal["complete", "two-hop"] = "two-hop"
    readout: Literal["last", "sequential", "rolled", "blocks"] = "last"


class Linear(Spec):
    """x + c v: one fitted coefficient per time point.

    Attributes:
        edges: ignored; there are none.
    """

    kind: Literal["linear"]
    edges: Literal["complete", "two-hop"] = "two-hop"


class Hierarchical(Spec):
    """EGHN (Han et al. 2022), and EGHNO: the same with temporal convolutions.

    Attributes:
        kind: `eghn` predicts the window's end alone, `eghno` every time point.
        layers: of the low and of the high level, and of the pooling.
        hidden: channels per node.
        clusters: K, nodes of the high level.
        modes: Fourier modes kept by the temporal convolutions.
        connectivity: λ, weight of the loss that keeps clusters connected.
        edges: complete graph, or the bonded two-hop graph.
    """

    kind: Literal["eghn", "eghno"]
    layers: Positive = 4
    hidden: Positive = 64
    clusters: Annotated[int, Field(ge=2)] = 20
    modes: Annotated[int, Field(ge=0)] = 2
    connectivity: Annotated[float, Field(ge=0)] = 2.0
    edges: Literal["complete", "two-hop"] = "two-hop"


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
    edges: Literal["complete", "two-hop", "radius"] = "complete"
    cutoff: Length | None = None

    @model_validator(mode="after")
    def _radius_has_a_cutoff(self) -> Egno:
        if (self.edges == "radius") != (self.cutoff is not None):
            raise ValueError(
                "edges: radius needs a cutoff such as '0.5 nm', and other edges have none."
            )
        return self


Network = Annotated[
    Egno | PublishedEgno | Stack | Linear | Hierarchical, Field(discriminator="kind")
]
