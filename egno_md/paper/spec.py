"""What a `benchmark` protocol may say: the data of one published table and its models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from egno_md.spec.base import Positive, Spec, Time, WallTime
from egno_md.spec.network import Network
from egno_md.spec.train import Steps

Targets = Literal["uniform", "last"]
"""EGNO-U: evenly spread over the window; EGNO-L: its last consecutive frames."""

Velocity = Literal["forward", "backward"]
"""x[t+1] − x[t], which looks one frame into the future, or x[t] − x[t−1]."""

Md17Split = Literal["published", "random", "time"]
AdkSplit = Literal["published", "time"]


class NbodyData(Spec):
    """Charged particles, generated: Satorras et al. 2021 after Kipf et al. 2018.

    Attributes:
        train: trajectories to learn from.
        validation: trajectories that choose the weights.
        test: trajectories that are reported.
        seed: of the trajectories; the same for every training seed.
    """

    kind: Literal["nbody"]
    train: Positive = 3000
    validation: Positive = 2000
    test: Positive = 2000
    seed: Annotated[int, Field(ge=0)] = 43


class MocapData(Spec):
    """CMU motion capture: Xu et al. 2024 after Huang et al. 2022.

    Attributes:
        subject: run of subject 9, or walk of subject 35.
        path: npz file, or a folder of ASF and AMC files; null for the command's --data.
    """

    kind: Literal["mocap"]
    subject: Literal["run", "walk"] = "run"
    path: Path | None = None


class Md17Data(Spec):
    """Heavy atoms of one molecule: Xu et al. 2024 after Chmiela et al. 2017.

    Attributes:
        path: the original npz, or a store of this package; null for the command's --data.
        length: ΔT.
        train: windows to learn from.
        validation: windows that choose the weights.
        test: windows that are reported.
        split: the very starts of the authors (`published`, original files only),
            others at `random` over the whole trajectory, or from blocks of `time`,
            whose windows share no frame.
        seed: of the starts.
    """

    kind: Literal["md17"]
    path: Path | None = None
    length: Time = 1.5
    train: Positive = 500
    validation: Positive = 2000
    test: Positive = 2000
    split: Md17Split = "random"
    seed: Annotated[int, Field(ge=0)] = 0


class AdkData(Spec):
    """Backbone of adenylate kinase: Xu et al. 2024 after Seyler and Beckstein 2017.

    Attributes:
        topology: PSF file; null for the command's --data, or a download.
        trajectory: DCD file; likewise.
        offsets: frames ahead of the start that are decoded.
        cutoff: Å, of the radius graph: 8 in the published configuration, 10 in the text.
        velocity: `forward` differences look one frame into the future, as published;
            `backward` ones are causal.
        split: `published`, whose last training windows reach into the validation
            frames, or by `time` with a window between the parts.
    """

    kind: Literal["adk"]
    topology: Path | None = None
    trajectory: Path | None = None
    offsets: tuple[Positive, ...] = (3, 7, 11, 15)
    cutoff: Annotated[float, Field(gt=0)] = 8.0
    velocity: Velocity = "forward"
    split: AdkSplit = "published"


class Published(Spec):
    """The row of the paper.

    Attributes:
        f_mse: of the last frame.
        a_mse: mean over the P frames; null where the paper has none.
    """

    f_mse: Annotated[float, Field(gt=0)]
    a_mse: Annotated[float, Field(gt=0)] | None = None


class StartNoise(Spec):
    """Normal noise on the start frames that a network learns from, drawn anew at every step.

    The windows stay what they are, so that the network learns to come back to where motion
    goes: with few windows, what keeps it from learning them by heart.

    Attributes:
        positions: standard deviation over the network's unit of length, a short distance
            between nodes for ours and that of the data for others.
        velocities: standard deviation over the network's unit of velocity, the root mean
            square for ours.
    """

    positions: Annotated[float, Field(ge=0)] = 0.0
    velocities: Annotated[float, Field(ge=0)] = 0.0


class BenchmarkModel(Spec):
    """One row of a table.

    Attributes:
        title: in the table.
        network: which operator.
        window: `uniform` time points (EGNO-U) or the `last` frames (EGNO-L).
        points: P.
        steps: of the optimiser.
        supervise_velocities: weight of the velocity error beside the position error.
        time_reversal: learn half of the windows run backwards in time; charged particles
            alone, since the others' velocities are differences of frames.
        start_noise: on the start frames of training; null for none.
        published: what the paper gives; null for none.
        published_for: what it gives for each molecule, where it has several.
    """

    title: str
    network: Network
    window: Targets = "uniform"
    points: Positive
    steps: Steps = Steps()
    supervise_velocities: Annotated[float, Field(ge=0)] = 0.0
    time_reversal: bool = False
    start_noise: StartNoise | None = None
    published: Published | None = None
    published_for: dict[str, Published] = Field(default_factory=dict)


TaskDataSpec = Annotated[NbodyData | MocapData | Md17Data | AdkData, Field(discriminator="kind")]


class TaskBudget(Spec):
    """What training on benchmark data may spend.

    Attributes:
        epochs: budget of every model.
        max_time: of every model and seed on the clock, beside `epochs`; null for none.
        evaluate_every: epochs between two validations.
    """

    epochs: Positive = 100
    max_time: WallTime | None = None
    evaluate_every: Positive = 5


class BenchmarkProtocol(TaskBudget):
    """One published table.

    Attributes:
        data: which windows.
        unit: of the errors in the table, such as Å²; empty where the data name none.
        models: rows by the name that `--models` uses.
    """

    data: TaskDataSpec
    unit: str = ""
    models: dict[str, BenchmarkModel]
