"""What a `train` protocol may say: window, network, data, optimisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.core.errors import WindowMismatch
from egno_md.core.units import format_quantity
from egno_md.core.window import Window
from egno_md.spec.base import Length, Spec, Time, WallTime

Positive = Annotated[int, Field(ge=1)]


class UniformWindow(Spec):
    """EGNO-U: P evenly spaced time points up to ΔT.

    Attributes:
        length: ΔT, how far one network call reaches.
        points: P, time points decoded at once.
    """

    kind: Literal["uniform"] = "uniform"
    length: Time
    points: Positive

    def window(self, spacing: float) -> Window:  # noqa: ARG002 - one interface
        """The time points in ps."""
        return Window.uniform(self.length, self.points)


class LastWindow(Spec):
    """EGNO-L: the last P consecutive frames up to ΔT.

    Attributes:
        length: ΔT, how far one network call reaches.
        points: P, the number of frames decoded before ΔT and at it.
    """

    kind: Literal["last"]
    length: Time
    points: Positive

    def window(self, spacing: float) -> Window:
        """The time points in ps, for frames `spacing` ps apart.

        Raises:
            WindowMismatch: P frames do not fit into ΔT.
        """
        if (self.points - 1) * spacing >= self.length:
            raise WindowMismatch(
                f"the last {self.points} frames, {format_quantity(spacing, 'time')} apart, do not "
                f"fit into {format_quantity(self.length, 'time')}. Use fewer points."
            )
        return Window.last(self.length, self.points, spacing)


class PublishedEgno(Spec):
    """EGNO exactly as published (Xu et al. 2024), for comparison with the paper.

    Attributes:
        layers: blocks of temporal convolution and message passing.
        hidden: channels per node and time point.
        modes: Fourier modes kept by the temporal convolutions.
        edges: complete graph, or the bonded two-hop graph.
    """

    kind: Literal["egno-published"]
    layers: Positive = 5
    hidden: Positive = 64
    modes: Annotated[int, Field(ge=0)] = 2
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
    edges: Literal["complete", "two-hop", "radius"] = "complete"
    cutoff: Length | None = None

    @model_validator(mode="after")
    def _radius_has_a_cutoff(self) -> Egno:
        if (self.edges == "radius") != (self.cutoff is not None):
            raise ValueError(
                "edges: radius needs a cutoff such as '0.5 nm', and other edges have none."
            )
        return self


class Split(Spec):
    """How much of the data trains, validates and tests, in time order.

    Whole contiguous segments where there are enough, else blocks of time with
    a gap of one window between them. Frames are never shuffled across.

    Attributes:
        validation: share that chooses the weights to keep.
        test: share that `evaluate` measures on; training never reads it.
    """

    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


class Optimisation(Spec):
    """AdamW with a cosine to zero over the budget, which ends at steps or time.

    Attributes:
        batch_size: windows per step.
        learning_rate: at its largest.
        weight_decay: of AdamW.
        schedule: of the learning rate over the budget.
        gradient_clip: largest norm of the gradient; null for none.
        weight_average: decay of the moving average of the weights, which is what is
            kept; null for the last weights.
        max_steps: budget in steps.
        max_time: budget in time on the clock; whichever budget is spent first ends it.
        validate_every: steps between two validations, each of which may be the best.
        patience: validations without a better one before training ends; null for all.
    """

    batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-6
    schedule: Literal["cosine", "constant"] = "cosine"
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    weight_average: Annotated[float, Field(gt=0, lt=1)] | None = 0.999
    max_steps: Positive | None = None
    max_time: WallTime | None = None
    validate_every: Positive = 500
    patience: Positive | None = None

    @model_validator(mode="after")
    def _has_a_budget(self) -> Optimisation:
        if self.max_steps is None and self.max_time is None:
            raise ValueError("give max_steps: 20000 or max_time: '20 min', or both.")
        return self


class TrainProtocol(Spec):
    """How an operator is trained.

    Attributes:
        window: which time points one call decodes.
        network: which operator.
        split: of the data by time.
        optimisation: budget and steps.
        supervise_velocities: weight of the velocity error beside the position error;
            0 gives an operator that cannot roll out.
    """

    window: Annotated[UniformWindow | LastWindow, Field(discriminator="kind")]
    network: Annotated[Egno | PublishedEgno, Field(discriminator="kind")]
    split: Split = Split()
    optimisation: Optimisation
    supervise_velocities: Annotated[float, Field(ge=0)] = 1.0
