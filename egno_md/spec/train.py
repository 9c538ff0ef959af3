"""What a `train` protocol may say: window, network, data, optimisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.core.errors import WindowMismatch
from egno_md.core.selection import AtomChoice
from egno_md.core.units import format_quantity
from egno_md.core.window import Window
from egno_md.spec.base import Memory, Positive, Spec, Time, WallTime
from egno_md.spec.network import (
    Egno,
    Hierarchical,
    Linear,
    PublishedEgno,
    Stack,
    check_points,
    decodes_end_alone,
    predicts_velocities,
)
from egno_md.spec.sampler import Sampler

Trained = Annotated[
    Egno | PublishedEgno | Stack | Linear | Hierarchical | Sampler, Field(discriminator="kind")
]
"""The networks of dynamics, and the sampler."""

DATA_MEMORY = 4.0
"""GiB."""


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


class Steps(Spec):
    """How one optimiser step is taken: AdamW.

    Attributes:
        batch_size: windows per step.
        learning_rate: at its largest.
        weight_decay: of AdamW.
        schedule: of the learning rate over the budget; `step` halves it at half time.
        gradient_clip: largest norm of the gradient; null for none.
        weight_average: decay of the moving average of the weights, which is what is
            kept; null for the last weights.
        patience: validations without a better one before training ends; null for all.
        accumulate: batches whose gradients are averaged into one step; the memory of one
            for the step of many.
        precision: of the arithmetic: `single`; `tf32` lets a GPU round what it multiplies
            to 10 bits; `bf16` multiplies matrices in bfloat16, which is for GPUs too, and
            keeps weights, sums and loss single.
        compile: translate the network with torch.compile, which takes about a minute and a
            C++ compiler, and pays in long trainings; without a compiler training goes on
            as it is. `cuda-graphs` records a GPU's kernels as well and replays them at once.
    """

    batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-6
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    weight_average: Annotated[float, Field(gt=0, lt=1)] | None = 0.999
    patience: Positive | None = None
    accumulate: Positive = 1
    precision: Literal["single", "tf32", "bf16"] = "single"
    compile: bool | Literal["cuda-graphs"] = False


class Optimisation(Steps):
    """Steps until a budget of steps or time is spent.

    Attributes:
        max_steps: budget in steps.
        max_time: budget in time on the clock; whichever budget is spent first ends it.
        validate_every: steps between two validations, each of which may be the best.
    """

    max_steps: Positive | None = None
    max_time: WallTime | None = None
    validate_every: Positive = 500

    @model_validator(mode="after")
    def _has_a_budget(self) -> Optimisation:
        if self.max_steps is None and self.max_time is None:
            raise ValueError("give max_steps: 20000 or max_time: '20 min', or both.")
        return self


class TrainProtocol(Spec):
    """How an operator is trained.

    Attributes:
        window: which time points one call decodes.
        network: which operator; a `sampler` draws windows, all others predict them.
        split: of the data by time.
        optimisation: budget and steps.
        atoms: which atoms the operator sees and predicts: all, heavy ones, a protein's
            backbone (N, CA, C, O) or its alpha carbons. The others are carried along
            in a rollout, whose windows must then be refined.
        supervise_velocities: weight of the velocity error beside the position error;
            0 gives an operator that cannot roll out, and is all that networks without
            velocities of their own can have. A sampler has none and does not ask.
        data_memory: that frames may take in each process. A store that needs more stays
            in its files, and the windows of many batches are read ahead together; what
            is learned is the same to the bit.
    """

    window: Annotated[UniformWindow | LastWindow, Field(discriminator="kind")]
    network: Trained
    split: Split = Split()
    optimisation: Optimisation
    atoms: AtomChoice = "all"
    supervise_velocities: Annotated[float, Field(ge=0)] = 1.0
    data_memory: Memory = DATA_MEMORY

    @model_validator(mode="after")
    def _network_decodes_the_window(self) -> TrainProtocol:
        network, points = self.network, self.window.points
        if isinstance(network, Sampler):
            return self
        if decodes_end_alone(network) and points > 1:
            raise ValueError(
                f"network.kind: {network.kind} predicts the window's end alone, and the window has "
                f"{points} points. Set window.points: 1, or a network that decodes them all, such "
                "as readout: sequential or kind: eghno."
            )
        check_points(network, points, is_even=self.window.kind == "uniform")
        if isinstance(network, PublishedEgno) and network.reads == "sequence":
            raise ValueError(
                "network.reads: sequence starts from P frames, and a window from one. Set reads: "
                "frame; sequences are known to 'egno-md benchmark' only."
            )
        if self.supervise_velocities > 0 and not predicts_velocities(network):
            raise ValueError(
                f"a network of kind: {network.kind} passes velocities through as they are, so they "
                "cannot be supervised. Set supervise_velocities: 0.0, or use kind: egno."
            )
        return self
