"""Metropolis moves of torsions, proposed out of a sampler's draws whose density nobody knows.

Draws S from a state x give a proposal q(θ'|S) that can be evaluated; draws S' from the
proposed state weigh the way back. With Q_x the unknown density of the draws, the move

    x → S ~ Q_x → θ' ~ q(·|S) → x' → S' ~ Q_x',  accepted with
    min(1, exp(-(U(x') - U(x))/k_B T) q(θ(x)|S') / q(θ'|S)),

has forward and backward fluxes π(x)Q_x(S)q(θ'|S)Q_x'(S') and π(x')Q_x'(S')q(θ|S')Q_x(S), in
which the Q's cancel: π stays exactly, whatever the sampler has learned (Tierney 1998; Storvik
2011). It needs every draw to have fresh noise, and none to be drawn again because of its looks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ive

Array = np.ndarray
LOG_TURN = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Kernels:
    """Von Mises kernels about the torsions of draws, and a uniform floor: q(·|S).

    Centres whose torsions are not finite count as uniform.

    Attributes:
        concentration: κ, about 1/σ².
        uniform: weight of the floor, in [0, 1].
    """

    concentration: float
    uniform: float

    def log_density(
        self, angles: Float[Array, " torsions"], centres: Float[Array, "centres torsions"]
    ) -> float:
        """Of the proposal at `angles`, per radian of each torsion."""
        flat = -len(angles) * LOG_TURN
        if self.uniform == 1:
            return flat
        # κ(cos - 1) and the scaled Bessel function: nothing overflows
        away = self.concentration * (np.cos(angles - centres) - 1).sum(axis=1)
        logs = np.where(np.isfinite(away), self._height(len(angles)) + away, flat)
        most = logs.max()
        return self._mixed(float(most + np.log(np.exp(logs - most).mean())), flat)

    def log_bound(self, torsions: int) -> float:
        """What no log density of so many torsions exceeds, whatever the centres."""
        return self._mixed(self._height(torsions), -torsions * LOG_TURN)

    def draw(
        self, centres: Float[Array, "centres torsions"], random: np.random.Generator
    ) -> Float[Array, " torsions"]:
        """Torsions in radians."""
        torsions = centres.shape[1]
        if random.random() < self.uniform:
            return random.uniform(-np.pi, np.pi, torsions)
        centre = centres[random.integers(len(centres))]
        if not np.isfinite(centre).all():
            return random.uniform(-np.pi, np.pi, torsions)
        return random.vonmises(centre, self.concentration)

    def _height(self, torsions: int) -> float:
        """Log density of a kernel at its centre."""
        return -torsions * (LOG_TURN + float(np.log(ive(0, self.concentration))))

    def _mixed(self, kernels: float, flat: float) -> float:
        """Log density, from those of the mean kernel and of the floor."""
        with np.errstate(divide="ignore"):  # log 0 of a part that is not there
            near, floor = np.log1p(-self.uniform), np.log(self.uniform)
        return float(np.logaddexp(near + kernels, floor + flat))


@dataclass(frozen=True)
class Weighing:
    """The test of one move, its random number drawn before the way back is known.

    Attributes:
        cost: (U(x') - U(x))/k_B T.
        forward: log q(θ'|S).
        threshold: log of a uniform random number.
    """

    cost: float
    forward: float
    threshold: float

    def accepts(self, backward: float) -> bool:
        """Whether the move is made.

        Args:
            backward: log q(θ|S'); where even a bound of it is refused, the draws S' need
                not be made.
        """
        return bool(np.isfinite(self.cost)) and (
            self.threshold < backward - self.forward - self.cost
        )
