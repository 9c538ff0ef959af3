"""What a `stress` protocol may say: questions that the EGNO paper leaves open, and who is asked."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from egno_md.paper.spec import TaskBudget
from egno_md.spec.base import Positive, Spec
from egno_md.spec.network import Egno, PublishedEgno
from egno_md.spec.train import Steps

Amount = Annotated[float, Field(gt=0)]
FINE_POINTS = 64
"""Frames of the n-body window at which the truth is known."""


class StressSizes(Spec):
    """How many trajectories each training sees; charged particles and spheres alike.

    Attributes:
        train: trajectories to learn from.
        validation: trajectories that choose the weights.
        test: trajectories that are measured.
        seed: of the trajectories; the same for every training seed.
    """

    train: Positive = 1000
    validation: Positive = 200
    test: Positive = 500
    seed: Annotated[int, Field(ge=0)] = 43


class StressModel(Spec):
    """One operator that is questioned.

    Attributes:
        title: in figure, tables and findings.
        network: which operator; its `modes` count in all questions but the one about them.
        steps: of the optimiser.
        supervise_velocities: weight of the velocity error beside the position error.
    """

    title: str
    network: Annotated[Egno | PublishedEgno, Field(discriminator="kind")]
    steps: Steps = Steps()
    supervise_velocities: Annotated[float, Field(ge=0)] = 0.0


class EquivarianceQuestion(Spec):
    """How exactly trained operators commute with large rotations and translations.

    Attributes:
        angles: of rotations about random axes, in radians; π - 1e-6, π and π about each
            coordinate axis come on top.
        translations: in system sizes (root mean squared distances from the centre).
        windows: of the test trajectories that are turned and moved.
    """

    angles: tuple[Amount, ...] = (0.1, 0.3, 1.0, 2.0, 3.0)
    translations: tuple[Amount, ...] = (1.0, 10.0, 100.0, 1000.0, 10000.0)
    windows: Positive = 20


class ResolutionQuestion(Spec):
    """How good other time points are than those an operator was trained at.

    Attributes:
        points: numbers of even time points that are asked for; divisors of 64.
        uneven: 64ths of the window that are asked for at once, uneven in time.
    """

    points: tuple[Positive, ...] = (2, 4, 8, 16, 32, 64)
    uneven: tuple[Positive, ...] = (1, 2, 4, 8, 16, 32, 64)

    @model_validator(mode="after")
    def _truth_is_known(self) -> ResolutionQuestion:
        for points in self.points:
            if FINE_POINTS % points:
                raise ValueError(f"points: {points} does not divide {FINE_POINTS}.")
        if any(b <= a for a, b in zip(self.uneven, self.uneven[1:], strict=False)) or (
            self.uneven and self.uneven[-1] > FINE_POINTS
        ):
            raise ValueError(f"uneven: give increasing numbers up to {FINE_POINTS}.")
        return self


class SpheresQuestion(Spec):
    """Spheres that bounce, repel softly or pass through each other: what collisions cost.

    Units: mass 1, thermal energy 1, and the frequency of the attraction 1, so that
    a sphere would swing once in 2π.

    Attributes:
        diameter: of a sphere.
        stiffness: of the soft repulsion, per squared length.
        length: ΔT.
        points: P, in the ladder of windows too.
    """

    diameter: Amount = 1.25
    stiffness: Amount = 20.0
    length: Amount = 0.4
    points: Positive = 4


class LadderQuestion(Spec):
    """Windows from short to far past the velocity decorrelation time of hard spheres.

    Attributes:
        multiples: ΔT in decorrelation times, ascending.
    """

    multiples: tuple[Amount, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)


class ModesQuestion(Spec):
    """How many Fourier modes the temporal convolutions need.

    Attributes:
        counts: numbers of modes I that are trained, ascending; P/2 + 1 are all there are.
    """

    counts: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 3, 4, 5)


class StressProtocol(TaskBudget):
    """Questions that the paper leaves open, each measured on small trained operators.

    Attributes:
        sizes: of the training, validation and test sets.
        points: P of the operators on charged particles; a divisor of 64.
        equivariance: how exact, under how large motions.
        resolution: at other time points than the trained ones.
        spheres: with and without collisions.
        ladder: from short windows to long ones.
        modes: how many.
        models: operators by name.
    """

    sizes: StressSizes = StressSizes()
    points: Positive = 8
    equivariance: EquivarianceQuestion = EquivarianceQuestion()
    resolution: ResolutionQuestion = ResolutionQuestion()
    spheres: SpheresQuestion = SpheresQuestion()
    ladder: LadderQuestion = LadderQuestion()
    modes: ModesQuestion = ModesQuestion()
    models: dict[str, StressModel]

    @model_validator(mode="after")
    def _truth_is_known(self) -> StressProtocol:
        if FINE_POINTS % self.points:
            raise ValueError(f"points: {self.points} does not divide {FINE_POINTS}.")
        largest = self.points // 2 + 1
        if not self.modes.counts or max(self.modes.counts) > largest:
            raise ValueError(
                f"modes.counts: {self.points} points have {largest} modes. Give counts up to that."
            )
        return self
