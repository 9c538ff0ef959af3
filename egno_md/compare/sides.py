"""The two sides of a comparison, and a first pass over each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from egno_md.compare.observable import Mode, Sampling
from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory, is_evenly_spaced
from egno_md.core.system import System

Array = np.ndarray

FIELDS = ("velocities", "potential_energy", "forces")
SAME_MASS = 1e-3
"""Relative difference within which tables of atomic weights agree."""
SAMPLE_FRAMES = 1000
SAMPLE_BYTES = 2**25
"""The mean structure comes from so many evenly chosen frames, or so much memory."""


@dataclass(frozen=True, eq=False)
class Side:
    """A system and its frames.

    Attributes:
        system: topology, masses and degrees of freedom.
        chains: its contiguous stretches: trajectories, or iterables that give their
            consecutive parts anew on each iteration.
        has_times: whether the frames' times are known.
        mode: sampler where consecutive frames are not dynamics.
        kelvin: temperature of the thermostat, if known.
        seconds: wall time of the run, if known.
        has_masses: whether masses and degrees of freedom are those of the dynamics, not just
            the elements' and those of free atoms.
        has_freedom: whether it is known how many degrees of freedom constraints leave.
        molecules: number of the molecule per atom; by the system's bonds if None. Chosen
            atoms may be one molecule without bonds between them.
    """

    system: System
    chains: Sequence[Trajectory | Iterable[Trajectory]]
    has_times: bool = True
    mode: Mode = "dynamics"
    kelvin: float | None = None
    seconds: float | None = None
    has_masses: bool = True
    has_freedom: bool = True
    molecules: Int[Array, " atoms"] | None = None

    @property
    def molecule(self) -> Int[Array, " atoms"]:
        """Number of the molecule per atom."""
        return self.system.molecules if self.molecules is None else self.molecules

    @property
    def has_several_molecules(self) -> bool:
        """Whether not all atoms are one molecule."""
        return len(np.unique(self.molecule)) > 1

    def parts(self) -> Iterator[Iterator[Trajectory]]:
        """Every chain, as consecutive parts."""
        for chain in self.chains:
            yield iter([chain] if isinstance(chain, Trajectory) else chain)


@dataclass(frozen=True, eq=False)
class Survey:
    """Summary of a first pass over a side.

    Attributes:
        side: the side.
        lengths: frames of each chain.
        spans: ps from the first to the last frame of each chain.
        spacing: ps between frames; None where they are not even, or differ.
        lacking: fields that some frame does not hold.
        sample: evenly chosen frames, nm.
    """

    side: Side
    lengths: tuple[int, ...]
    spans: tuple[float, ...]
    spacing: float | None
    lacking: frozenset[str]
    sample: Float[Array, "frames atoms 3"]

    @property
    def frames(self) -> int:
        """Over all chains."""
        return sum(self.lengths)

    @property
    def has_box(self) -> bool:
        """Whether every frame has a periodic box."""
        return "box" not in self.lacking

    @property
    def sampling(self) -> Sampling:
        """Frames, chains and simulated time."""
        return Sampling(self.frames, len(self.lengths), float(sum(self.spans)))


@dataclass
class _Tally:
    frames: int = 0
    lengths: list[int] = field(default_factory=list)
    spans: list[float] = field(default_factory=list)
    gaps: list[float | None] = field(default_factory=list)
    lacking: set[str] = field(default_factory=set)
    sample: list[Array] = field(default_factory=list)
    stride: int = 1


def survey(side: Side, name: str, watch: Callable[[int], None] | None = None) -> Survey:
    """Read every frame once.

    Args:
        side: to read.
        name: of the side in errors.
        watch: called with the number of frames read so far.

    Raises:
        DataError: a chain without frames, or positions that are not finite.
    """
    tally = _Tally()
    most = int(np.clip(SAMPLE_BYTES // (12 * side.system.n_atoms), 8, SAMPLE_FRAMES))
    for parts in side.parts():
        times: list[Array] = []
        for part in parts:
            _add_part(part, name, tally, most)
            times.append(np.asarray(part.times, np.float64))
            if watch is not None:
                watch(tally.frames)
        if not times or not sum(map(len, times)):
            raise DataError(f"{name} holds no frames. Compare a run that has written some.")
        _end_chain(np.concatenate(times), tally)
    if not tally.lengths:
        raise DataError(f"{name} holds no frames. Compare a run that has written some.")
    gaps = {g for g in tally.gaps if g is not None}
    even = side.has_times and None not in tally.gaps and len(gaps) == 1
    return Survey(
        side,
        tuple(tally.lengths),
        tuple(tally.spans),
        gaps.pop() if even else None,
        frozenset(tally.lacking),
        np.array(tally.sample),
    )


def _add_part(part: Trajectory, name: str, tally: _Tally, most: int) -> None:
    bad = np.flatnonzero(~np.isfinite(part.positions).all(axis=(1, 2)))
    if len(bad):
        raise DataError(
            f"{name}: positions at {part.times[bad[0]]:g} ps are not finite. "
            "Cut the trajectory before that time."
        )
    for field_name in FIELDS:
        values = getattr(part, field_name)
        if values is None or not np.isfinite(values).all():
            tally.lacking.add(field_name)
    if part.box is None:
        tally.lacking.add("box")
    first = -tally.frames % tally.stride
    tally.sample.extend(np.array(x) for x in part.positions[first :: tally.stride])
    tally.frames += len(part)
    while len(tally.sample) > 2 * most:
        tally.sample = tally.sample[::2]
        tally.stride *= 2


def _end_chain(times: Array, tally: _Tally) -> None:
    tally.lengths.append(len(times))
    tally.spans.append(float(times[-1] - times[0]))
    if len(times) > 1:
        spacing = float(f"{tally.spans[-1] / (len(times) - 1):.6g}")
        tally.gaps.append(spacing if is_evenly_spaced(times) and spacing > 0 else None)


@dataclass(frozen=True, eq=False)
class Pair:
    """A reference and a rollout of the same atoms."""

    reference: Survey
    rollout: Survey

    @property
    def system(self) -> System:
        """Of the reference."""
        return self.reference.side.system

    def missing(self, field_name: str) -> str | None:
        """Why a field cannot be compared; None where both sides have it."""
        lacking = [n for n in ("reference", "rollout") if field_name in getattr(self, n).lacking]
        if not lacking:
            return None
        words = field_name.replace("_", " ").replace("energy", "energies")
        return f"no {words} in the {' and the '.join(lacking)}."

    def no_images(self) -> str | None:
        """Why distances between molecules cannot be compared; None where they can."""
        return self.missing("box") if self._has_images else None

    def no_extent(self) -> str | None:
        """Why RMSD and extent are not defined; None where they are."""
        if not self._has_images:
            return None
        return (
            "the molecules in a periodic box have many images, and which of them are stored means "
            "nothing. Choose one molecule with '--select'; how they lie to one another is compared "
            "by g(r)."
        )

    @property
    def _has_images(self) -> bool:
        """Whether a box holds several molecules."""
        has_box = self.reference.has_box or self.rollout.has_box
        return has_box and self.reference.side.has_several_molecules

    def no_masses(self) -> str | None:
        """Why mass-weighted velocities cannot be compared; None where they can."""
        masses = [s.side.system.masses for s in (self.reference, self.rollout)]
        if np.allclose(*masses, rtol=SAME_MASS):
            return None
        return self._assumed("masses", "'s are not the elements'")

    def no_temperature(self) -> str | None:
        """Why temperatures cannot be compared; None where they can."""
        for name in ("reference", "rollout"):
            if not getattr(self, name).side.has_freedom:
                return (
                    "how many degrees of freedom the constraints leave to the chosen atoms of the "
                    f"{name} is not known. Compare all atoms."
                )
        freedom = [s.side.system.internal_freedom for s in (self.reference, self.rollout)]
        if freedom[0] == freedom[1]:
            return self.no_masses()
        return self.no_masses() or self._assumed("constraints", " has some")

    def _assumed(self, what: str, other: str) -> str | None:
        """Why sides differ in what only one of their files states; None where both state it."""
        has_masses = [s.side.has_masses for s in (self.reference, self.rollout)]
        if has_masses[0] == has_masses[1]:
            return None
        return (
            f"the file of the {'rollout' if has_masses[0] else 'reference'} does not say its {what}, "
            f"and the other side{other}. Compare folders of ours."
        )

    def no_kinetics(self) -> str | None:
        """Why kinetics cannot be compared; None where they can."""
        for name in ("reference", "rollout"):
            side: Survey = getattr(self, name)
            if side.side.mode == "sampler":
                return (
                    f"the {name} is a sampler: its frames sample an ensemble, and the time between "
                    "them is not physical time."
                )
        for name in ("reference", "rollout"):
            side = getattr(self, name)
            if not side.side.has_times:
                return f"the times of the {name}'s frames are not known. Give '--spacing'."
            if side.spacing is None:
                return f"the frames of the {name} are not evenly spaced in time."
        return None


def check_same_atoms(a: System, b: System, a_name: str, b_name: str) -> None:
    """Refuse two systems whose atoms differ.

    Raises:
        DataError: names the first atom that differs.
    """
    remedy = "Compare trajectories of the same atoms in the same order, or choose with '--select'."
    for i, (left, right) in enumerate(zip(a.elements, b.elements, strict=False)):
        if left != right:
            raise DataError(f"atom {i} is {left} in {a_name} and {right} in {b_name}. {remedy}")
    if a.n_atoms != b.n_atoms:
        raise DataError(
            f"{a_name} has {a.n_atoms} atoms and {b_name} {b.n_atoms}: "
            f"atom {min(a.n_atoms, b.n_atoms)} exists in only one. {remedy}"
        )
