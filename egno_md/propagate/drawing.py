"""The sampler as a proposer of windows: draws of heavy atoms, lifted to all atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from egno_md.core.seen import SeenAtoms
from egno_md.core.state import Frame
from egno_md.geometry.lift import Lift
from egno_md.nn.sampler import SamplerOperator
from egno_md.spec.propagate import Draws

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Drawer:
    """Draws windows after many frames in one batch; every replica has its own noise.

    Attributes:
        operator: on the device where it runs.
        seen: the atoms it sees.
        lift: from those to all atoms.
        draws: steps and solver.
    """

    operator: SamplerOperator
    seen: SeenAtoms
    lift: Lift
    draws: Draws

    @property
    def length(self) -> float:
        """ΔT, ps."""
        return self.operator.card.window.length

    @property
    def time_points(self) -> tuple[float, ...]:
        """Ps after a window's start."""
        return self.operator.card.time_points

    def draw(
        self, frames: Sequence[Frame], random: Sequence[np.random.Generator]
    ) -> Float[Array, "frames points seen 3"]:
        """One window after every frame, nm.

        Args:
            frames: starts.
            random: of each frame; one draw of noise is taken from it.
        """
        parameter = next(self.operator.parameters())
        shape = (len(self.time_points), len(self.seen.atoms), 3)
        noise = np.stack([r.standard_normal(shape) for r in random])
        start = np.stack([f.positions[self.seen.atoms] for f in frames])
        # about the centre: float32 keeps its digits however far a molecule has gone
        centre = start.mean(1, keepdims=True)

        def tensor(values: Array) -> torch.Tensor:
            return torch.from_numpy(values).to(device=parameter.device, dtype=parameter.dtype)

        window = self.operator.draw(
            tensor(start - centre), tensor(noise), self.draws.steps, self.draws.solver
        )
        return window.double().cpu().numpy() + centre[:, None]
