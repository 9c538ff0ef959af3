"""What a `train` protocol says of a sampler: a stochastic operator of long windows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from egno_md.spec.base import Length, Positive, Spec


class Sampler(Spec):
    """A stochastic operator: one draw is one possible window, not the mean of all.

    An EGNO is the velocity field of flow matching (Lipman et al. 2023) over all time
    points at once, from noise about the start frame to the windows that MD took from
    there. It learns from positions alone, of any thermostatted MD, and its windows
    may be longer than the decorrelation time. Their time is not kinetics.

    Attributes:
        atoms: which atoms it sees and moves; hydrogens are rebuilt from the heavy ones.
        layers: blocks of temporal convolution and message passing.
        hidden: scalar channels per node and time point.
        vectors: equivariant vector channels per node and time point.
        modes: Fourier modes kept by the temporal convolutions.
        cutoff: pairs of atoms whose mean distance in the training data is larger are not
            joined by an edge, unless few bonds lie between them; null joins all pairs.
            For proteins, which cost too much with every pair.
        noise: standard deviation of the noise about the start frame, per coordinate.
        time_reversal: learn half of the windows run backwards, which equilibrium MD
            takes just as often.
    """

    kind: Literal["sampler"]
    atoms: Literal["heavy", "all"] = "heavy"
    layers: Positive = 3
    hidden: Positive = 48
    vectors: Annotated[int, Field(ge=3)] = 8
    modes: Annotated[int, Field(ge=0)] = 3
    cutoff: Length | None = None
    noise: Length = 0.1
    time_reversal: bool = True
