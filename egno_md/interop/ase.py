"""An ASE dynamics that moves by windows; the atoms' own calculator checks them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from egno_md.core.errors import DataError, PotentialError, SpecError
from egno_md.core.ports import Refiner
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.units import NANOMETRE_PER_ANGSTROM, whole_multiple
from egno_md.interop.walker import (
    Statistics,
    Surroundings,
    Walker,
    Watch,
    bind,
    load_window_operator,
)
from egno_md.nn.card import DynamicsCard
from egno_md.nn.device import resolve_device
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.event import Event
from egno_md.propagate.policy import Policy

try:
    from ase import Atoms, units
    from ase.md.md import MolecularDynamics
except ImportError:
    raise SpecError("WindowDynamics needs ASE. Run: pip install 'egno-md[ase]'") from None

PICOSECOND = 1000 * units.fs
SPEED = NANOMETRE_PER_ANGSTROM * PICOSECOND
"""nm/ps of one Å per ASE unit of time."""

ENERGY = units.mol / units.kJ
"""kJ/mol of one eV."""

FORCE = ENERGY / NANOMETRE_PER_ANGSTROM


class WindowDynamics(MolecularDynamics):
    """Moves `atoms` by windows; one step of ASE is one window.

    Observers, trajectories and log files count windows, `get_time` is in ASE units
    as ever. The calculator of `atoms` gives the forces that windows start from,
    judges their ends and, with velocity Verlet at `timestep`, replaces those that
    are not believed. It must be the potential the operator was trained on. A
    change of positions or momenta between runs is taken over.

    Args:
        atoms: with a calculator; periodic along all axes or none, without constraints.
        operator: folder of a bundle, ``SYSTEM/NAME`` of a shipped one, or one that is loaded.
        timestep: of the calculator's own dynamics, ASE units.
        temperature_K: of the thermostat; NVE where it is None.
        friction: 1 / ASE time.
        policy: what to do with a bad window; `refine` is not known here.
        tolerances: when it is bad: keys and values of a protocol's `tolerances`.
        check_every: windows between checks.
        relaxation: of the adaptive thermostat, ASE units; None for plain kicks.
        seed: of the thermostat.
        device: ``auto``, ``cpu`` or ``gpu``, for the network.
        **kwargs: of ASE's `MolecularDynamics`: trajectory, logfile, loginterval …

    Raises:
        BundleMismatch: elements or masses are not the operator's.
        SpecError: atoms that windows do not know, or no calculator.
        WindowMismatch: a time point is no whole number of timesteps.
    """

    def __init__(
        self,
        atoms: Atoms,
        operator: str | Path | WindowOperator,
        timestep: float = 0.5 * units.fs,
        *,
        temperature_K: float | None = None,
        friction: float = 0.005 / units.fs,
        policy: Policy = "fallback",
        tolerances: Mapping[str, object] | None = None,
        check_every: int = 1,
        relaxation: float | None = 300 * units.fs,
        seed: int = 0,
        device: str = "auto",
        **kwargs: Any,
    ) -> None:
        network = load_window_operator(operator).to(resolve_device(device))
        card = network.card
        _check_atoms(atoms, policy)
        system = _describe(atoms, card)
        bound = bind(network, system, temperature_K)
        watch = Watch.of(
            policy,
            tolerances,
            None,
            check_every,
            None if relaxation is None else relaxation / PICOSECOND,
        )
        step = float(f"{timestep / PICOSECOND:.12g}")
        self._reference = CalculatorReference(atoms, step)
        around = Surroundings(
            timestep=step,
            kelvin=temperature_K,
            friction=None if temperature_K is None else friction * PICOSECOND,
            seed=seed,
            refiner=_no_refiner,
        )
        self._walker = Walker(system, bound, self._reference, watch, around)
        self._shown: tuple[np.ndarray, ...] | None = None
        super().__init__(atoms, card.window.length * PICOSECOND, **kwargs)

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened to each window, the latest 100,000."""
        return tuple(self._walker.events)

    @property
    def statistics(self) -> Statistics:
        """Counts, temperatures (K), errors (kJ/mol) and net speed so far."""
        return self._walker.statistics

    def todict(self) -> dict[str, Any]:
        """For ASE's trajectory."""
        return {**super().todict(), "operator": self._walker.card.subject}

    def save_checkpoint(self, path: str | Path) -> None:
        """Write everything that is needed to go on bit for bit, but for the calculator's own memory."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(self._walker.pack())
        partial.replace(path)

    def load_checkpoint(self, path: str | Path) -> None:
        """Go on from what `save_checkpoint` wrote, with the same atoms, operator and options.

        Raises:
            DataError: damaged, or of other atoms.
        """
        try:
            self._walker.unpack(Path(path).read_bytes())
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: no checkpoint of a WindowDynamics ({type(error).__name__}). Load one that "
                "its save_checkpoint wrote."
            ) from None
        if len(self._walker.frame.positions) != len(self.atoms):
            raise DataError(f"{path}: a checkpoint of other atoms. Load it with those.")
        self.nsteps = self._walker.windows
        self._show()

    def step(self) -> None:
        """Move by one window."""
        atoms = self.atoms
        moment = self.nsteps * self._walker.length
        if self._shown is None or not all(map(np.array_equal, _state(atoms), self._shown)):
            self._walker.place(_frame(atoms, moment))
        self._walker.window()
        self._show()

    def _show(self) -> None:
        """Make the walker's frame that of the atoms."""
        end = self._walker.frame
        self.atoms.set_positions(end.positions / NANOMETRE_PER_ANGSTROM)
        self.atoms.set_velocities(end.velocities / SPEED)
        self._shown = _state(self.atoms)


class CalculatorReference:
    """An ASE calculator as the exact side of a rollout.

    Args:
        atoms: with the calculator; left as they are.
        timestep: ps, of velocity Verlet.
    """

    def __init__(self, atoms: Atoms, timestep: float) -> None:
        self.atoms, self.timestep = atoms.copy(), timestep
        self.atoms.calc = atoms.calc
        self.masses = atoms.get_masses()[:, None]

    def evaluate(self, frame: Frame) -> Frame:
        """The same frame with forces and potential energy.

        Raises:
            PotentialError: the calculator gives none there.
        """
        self.atoms.set_positions(frame.positions / NANOMETRE_PER_ANGSTROM)
        if frame.box is not None:
            self.atoms.set_cell(frame.box / NANOMETRE_PER_ANGSTROM)
        try:
            forces = self.atoms.get_forces() * FORCE
            energy = float(self.atoms.get_potential_energy()) * ENERGY
        except (RuntimeError, ValueError, ArithmeticError) as error:
            raise PotentialError(f"the calculator failed: {error}.") from None
        return replace(frame, forces=forces, potential_energy=energy)

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        """Frames of many replicas; the energy is NaN where there is none."""
        found = {}
        for index, frame in frames.items():
            try:
                found[index] = self.evaluate(frame)
            except PotentialError:
                found[index] = replace(frame, potential_energy=np.nan)
        return found

    def project(self, frame: Frame) -> Frame:
        """The frame itself: there are no constraints here."""
        return frame

    def window(self, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        """Velocity Verlet from `frame`, recorded after the times `elapsed`.

        Raises:
            WindowMismatch: a time is no whole number of timesteps.
        """
        stops = [whole_multiple(t, self.timestep, "the time point", "timesteps") for t in elapsed]
        now = frame if frame.forces is not None else self.evaluate(frame)
        frames = []
        for step in range(1, stops[-1] + 1):
            assert now.forces is not None
            half = now.velocities + 0.5 * self.timestep * now.forces / self.masses
            ahead = replace(now, positions=now.positions + self.timestep * half)
            now = self.evaluate(ahead)
            assert now.forces is not None
            now = replace(now, velocities=half + 0.5 * self.timestep * now.forces / self.masses)
            if step in stops:
                frames.append(now)
        return replace(Trajectory.of(frames), times=frame.time + np.asarray(elapsed))


def _check_atoms(atoms: Atoms, policy: str) -> None:
    if atoms.calc is None:
        raise SpecError("the atoms have no calculator to check windows against. Set atoms.calc.")
    if atoms.constraints:
        name = type(atoms.constraints[0]).__name__
        raise SpecError(
            f"the atoms have a {name} constraint, and a calculator cannot bring windows back onto "
            "it. Remove it, or use SurrogateSimulation, whose System keeps constraints."
        )
    if atoms.pbc.any() and not atoms.pbc.all():
        raise SpecError(
            f"the atoms are periodic along some axes alone (pbc {atoms.pbc.tolist()}), which "
            "operators do not know. Set pbc of all three, or of none."
        )
    if policy == "refine":
        raise SpecError("policy 'refine' needs OpenMM. Use 'fallback', or SurrogateSimulation.")


def _describe(atoms: Atoms, card: DynamicsCard) -> System:
    """The atoms with the operator's bonds: ASE has none."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for index, number in enumerate(atoms.numbers):
        element = mdtraj.element.Element.getByAtomicNumber(int(number))
        topology.add_atom(f"{element.symbol}{index + 1}", element, residue)
    if card.one is not None and len(atoms) == len(card.one.atomic_numbers):
        members = list(topology.atoms)
        for a, b in card.one.bonds:
            topology.add_bond(members[a], members[b])
    return System(
        name="the Atoms object",
        topology=topology,
        masses=atoms.get_masses(),
        positions=atoms.get_positions() * NANOMETRE_PER_ANGSTROM,
        degrees_of_freedom=3 * len(atoms) - 3,
        box=_box(atoms),
    )


def _frame(atoms: Atoms, moment: float) -> Frame:
    return Frame(
        atoms.get_positions() * NANOMETRE_PER_ANGSTROM,
        atoms.get_velocities() * SPEED,
        moment,
        box=_box(atoms),
    )


def _box(atoms: Atoms) -> np.ndarray | None:
    """Box vectors as rows, nm; None without periodic boundaries."""
    return np.array(atoms.cell) * NANOMETRE_PER_ANGSTROM if atoms.pbc.all() else None


def _state(atoms: Atoms) -> tuple[np.ndarray, ...]:
    """What a walker was left at, to see whether the caller changes it."""
    return atoms.get_positions(), atoms.get_momenta(), np.array(atoms.cell)


def _no_refiner() -> Refiner:
    raise SpecError("policy 'refine' needs OpenMM. Use 'fallback', or SurrogateSimulation.")
