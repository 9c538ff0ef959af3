"""What a `fit-potential` protocol may say: network, split, optimisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from egno_md.spec.base import Length, Positive, Spec
from egno_md.spec.train import Optimisation


class TensorNet(Spec):
    """TensorNet (Simeon & De Fabritiis 2023), as TorchMD-Net builds it.

    Attributes:
        layers: interaction layers; one is fastest in dynamics.
        channels: features per atom.
        radial: radial basis functions.
        cutoff: pairs beyond it do not see each other.
    """

    kind: Literal["tensornet"] = "tensornet"
    layers: Annotated[int, Field(ge=0)] = 1
    channels: Annotated[int, Field(ge=2)] = 64
    radial: Positive = 16
    cutoff: Length = 0.5


Frames = Annotated[int, Field(strict=True, ge=1)] | Annotated[float, Field(strict=True, gt=0, lt=1)]


class FrameSplit(Spec):
    """How many frames train and validate, as counts or shares; all others test.

    Frames are drawn at random by the seed: for the frames of one trajectory,
    scattered in time, that is the convention of revised MD17 (950 train, 50
    validate).

    Attributes:
        train: number or share of frames that are fitted.
        validation: number or share that chooses the weights to keep.
    """

    train: Frames = 0.85
    validation: Frames = 0.05


class FitPotentialProtocol(Spec):
    """How a potential is fitted to energies and forces.

    Attributes:
        network: what is fitted.
        split: of the frames.
        optimisation: the budget and how it is spent.
        energy_weight: of the energy term; energies and forces each count in
            units of their standard deviation.
    """

    network: TensorNet = TensorNet()
    split: FrameSplit = FrameSplit()
    optimisation: Optimisation
    energy_weight: Annotated[float, Field(ge=0)] = 0.1
