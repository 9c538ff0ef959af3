"""The golden runs: one function each, through public entry points alone.

All are tiny, all run on OpenMM's Reference platform, which has no threads, and none decides
anything by a clock. Operators are shipped ones or files of `bundles`, never drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from egno_md import api as em
from tests.golden import adaptors
from tests.golden.content import Content, of_rollout, of_store, untimed
from tests.golden.killing import Here

BUNDLES = Path(__file__).resolve().parent / "bundles"
SYSTEMS = Path(__file__).resolve().parent / "systems"
SHIPPED = "egno-8fs-500k"
SHORT = {"reference_steps": 10, "platform": "Reference"}

Mode = Literal["new", "resume", "checkpoint"]
Restart = Literal["kill", "checkpoint", "again"]
Run = Callable[[Path, Mode], Content]


@dataclass(frozen=True)
class Scenario:
    """One golden run.

    Attributes:
        name: of its record.
        run: into a folder that does not exist yet.
        restart: how it is interrupted: killed between two checkpoints and resumed; continued by
            a new object from a checkpoint; or only run again.
        flush: windows between two checkpoints where it is killed.
        depends_on_flushes: whether a checkpoint changes what is stored: the last bits, since a
            self-consistent potential then begins cold; or energies and forces, of which a shard
            without any takes all from its chain. What is killed is then compared with a run
            of as many checkpoints.
    """

    name: str
    run: Run
    restart: Restart = "kill"
    flush: int = 3
    depends_on_flushes: bool = False


SCENARIOS: dict[str, Scenario] = {}


def scenario(**settings: Any) -> Callable[[Run], Run]:
    """Register a run under the name of its function."""

    def register(run: Run) -> Run:
        name = run.__name__.replace("_", "-")
        SCENARIOS[name] = Scenario(name, run, **settings)
        return run

    return register


def propagate(
    system: str,
    bundle: Path | str,
    protocol: str,
    out: Path,
    mode: Mode,
    changes: dict[str, object],
    **options: Any,
) -> Content:
    """A rollout through the function behind the verb."""
    spec = em.protocol("propagate", protocol, {**SHORT, **changes})
    done = em.propagate(
        system, bundle, spec, out, seed=11, device="cpu",
        mode="resume" if mode == "resume" else "new", **options,
    )  # fmt: skip
    return of_rollout(out, done.store)


ETHANOL = {"length": "64 fs", "equilibration": "20 fs", "replicas": 2}


def ethanol(out: Path, mode: Mode, /, *, protocol: str = "nvt-500k", **changes: object) -> Content:
    """Eight windows of the shipped operator; keys with `__` for a dot."""
    keys = {k.replace("__", "."): v for k, v in changes.items()}
    return propagate("ethanol", SHIPPED, protocol, out, mode, ETHANOL | keys)


@scenario(depends_on_flushes=True)
def ethanol_off(out: Path, mode: Mode) -> Content:
    return ethanol(out, mode, policy="off", save="points")


@scenario(depends_on_flushes=True)
def ethanol_monitor(out: Path, mode: Mode) -> Content:
    """One replica stops, and the other goes on."""
    return ethanol(out, mode, policy="monitor", tolerances__bond="0.0028 nm")


@scenario(depends_on_flushes=True)
def ethanol_refine(out: Path, mode: Mode) -> Content:
    return ethanol(out, mode, policy="refine", tolerances__energy=0.0025, length="40 fs")


@scenario(depends_on_flushes=True)
def ethanol_fallback(out: Path, mode: Mode) -> Content:
    return ethanol(out, mode, tolerances__energy=0.0022, tolerances__bond="0.007 nm", save="points")


@scenario(depends_on_flushes=True)
def ethanol_retry(out: Path, mode: Mode) -> Content:
    """Where a prefix of a window holds, the operator tries the rest again."""
    return ethanol(out, mode, tolerances__energy=0.0022, retry_prefix=True)


@scenario(depends_on_flushes=True)
def ethanol_strict(out: Path, mode: Mode) -> Content:
    return ethanol(
        out, mode, policy="strict", tolerances__energy=0.005, tolerances__bond="0.012 nm"
    )


@scenario(depends_on_flushes=True)
def ethanol_untrained_fallback(out: Path, mode: Mode) -> Content:
    changes = {**ETHANOL, "tolerances.energy": 2.0, "tolerances.force": "1e5 kJ/mol/nm"}
    return propagate("ethanol", BUNDLES / "ethanol", "nvt-500k", out, mode, changes)


@scenario(depends_on_flushes=True)
def ethanol_nve(out: Path, mode: Mode) -> Content:
    """Windows get their energy back."""
    thermostat = {"kind": "none", "keep_energy": True}
    return ethanol(
        out, mode, protocol="nve", temperature="300 K", thermostat=thermostat,
        tolerances__energy=0.002,
    )  # fmt: skip


@scenario(depends_on_flushes=True)
def ethanol_rescaling(out: Path, mode: Mode) -> Content:
    thermostat = {"kind": "velocity-rescaling", "relaxation": "20 fs"}
    return ethanol(out, mode, thermostat=thermostat, tolerances__energy=0.0025)


@scenario(depends_on_flushes=True)
def ethanol_langevin(out: Path, mode: Mode) -> Content:
    """Every second window is checked."""
    thermostat = {"kind": "langevin", "friction": "20 /ps"}
    return ethanol(out, mode, thermostat=thermostat, check_every=2, tolerances__energy=0.0025)


def of_workers(out: Path, mode: Mode, workers: int) -> Content:
    """Three replicas, whose energies come from so many processes."""
    return ethanol(out, mode, replicas=3, workers=workers, length="24 fs", tolerances__energy=0.005)


@scenario(depends_on_flushes=True, flush=1)
def ethanol_workers(out: Path, mode: Mode) -> Content:
    """In one process; the test of processes asks `of_workers` for the same record."""
    return of_workers(out, mode, 1)


@scenario(depends_on_flushes=True, flush=1)
def ethanol_batches(out: Path, mode: Mode) -> Content:
    changes = {
        "length": "24 fs", "equilibration": "20 fs", "replicas": 4, "batch": 2,
        "tolerances.energy": 0.005,
    }  # fmt: skip
    return propagate("ethanol", SHIPPED, "nvt-500k", out, mode, changes, executor=Here())


WATER = {
    "equilibration": "4 fs",
    "length": "12 fs",
    "tolerances.energy": 0.1,
    "tolerances.temperature": 0.9,  # hardly equilibrated, it is far from its temperature
}


@scenario(flush=1)
def waterbox_npt(out: Path, mode: Mode) -> Content:
    """Flexible water whose volume moves after every window."""
    changes = {**WATER, "barostat_every": 1}
    return propagate("waterbox", BUNDLES / "waterbox", "npt-300k", out, mode, changes)


@scenario(flush=1)
def water_rigid(out: Path, mode: Mode) -> Content:
    """Constraints in a box, from a structure that needs no minimiser."""
    system, bundle = SYSTEMS / "waterbox-rigid", BUNDLES / "waterbox-rigid"
    return propagate(
        str(system), bundle, "nvt-300k", out, mode, WATER | {"tolerances.energy": 0.15}
    )


def draws(out: Path, mode: Mode, protocol: str = "sampler-300k", **changes: object) -> Content:
    """A few windows of the sampler; keys with `__` for a dot."""
    keys = {
        "length": "2.4 ps", "equilibration": "40 fs", "replicas": 2, "draws.steps": 3,
        "refinement.dynamics": "20 fs", "timestep": "2 fs",
    }  # fmt: skip
    keys |= {k.replace("__", "."): v for k, v in changes.items()}
    return propagate("ala2/hmr", BUNDLES / "ala2-sampler", protocol, out, mode, keys)


@scenario(flush=2, depends_on_flushes=True)
def ala2_sampler_refined(out: Path, mode: Mode) -> Content:
    """Every second end is refined."""
    return draws(out, mode, refine_every=2, draws__redraws=1, tolerances__bond="0.028 nm")


@scenario(flush=2, depends_on_flushes=True)
def ala2_sampler_unrefined(out: Path, mode: Mode) -> Content:
    return draws(out, mode, refine_every=None, draws__redraws=1, tolerances__bond="0.028 nm")


@scenario(flush=2, depends_on_flushes=True)
def ala2_sampler_points(out: Path, mode: Mode) -> Content:
    return draws(
        out, mode, refine_every=3, draws__redraws=1, save="points", tolerances__bond="0.034 nm",
        draws__solver="heun",
    )  # fmt: skip


@scenario(flush=2)
def ala2_metropolis(out: Path, mode: Mode) -> Content:
    return draws(
        out, mode, "sampler-exact-300k", length="0.6 ps", correction__dynamics="0.1 ps",
        correction__draws=2,
    )  # fmt: skip


PROTEIN = {"length": "2400 fs", "equilibration": "40 fs"}


@scenario(flush=1)
def chignolin_backbone(out: Path, mode: Mode) -> Content:
    """The other atoms are lifted, and every window's end is refined."""
    bundle = BUNDLES / "chignolin-backbone"
    return propagate("chignolin", bundle, "protein-300k", out, mode, PROTEIN)


@scenario(flush=1)
def chignolin_fallback(out: Path, mode: Mode) -> Content:
    """Some refined ends are not believed."""
    bundle = BUNDLES / "chignolin-backbone"
    changes = {**PROTEIN, "tolerances.force": "4e3 kJ/mol/nm"}
    return propagate("chignolin", bundle, "protein-300k", out, mode, changes)


@scenario(restart="checkpoint")
def surrogate_simulation(out: Path, mode: Mode) -> Content:
    return adaptors.simulate("langevin", mode == "checkpoint")


@scenario(restart="checkpoint")
def surrogate_simulation_nve(out: Path, mode: Mode) -> Content:
    return adaptors.simulate("verlet", mode == "checkpoint")


@scenario(restart="again")
def window_dynamics(out: Path, mode: Mode) -> Content:
    return adaptors.move_atoms(500.0)


@scenario(restart="again")
def window_dynamics_nve(out: Path, mode: Mode) -> Content:
    return adaptors.move_atoms(None)


@scenario(restart="again")
def parareal(out: Path, mode: Mode) -> Content:
    """Never gives up, since that would be decided by a clock."""
    changes = {
        "equilibration": "20 fs", "length": "96 fs", "slab": "16 fs", "width": 4,
        "when_it_does_not_pay": "continue", "platform": "Reference",
    }  # fmt: skip
    spec = em.protocol("parareal", "nve-300k", changes)
    resumed = "resume" if mode == "resume" else "new"
    done = em.parareal("ethanol", SHIPPED, spec, out, seed=11, verify=True, mode=resumed)
    return Content({"result": untimed(done.result)}, of_store(done.store))
