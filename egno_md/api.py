"""The public names, flat: ``import egno_md as em``, or ``from egno_md import api as em``."""

from typing import TYPE_CHECKING, Any

from egno_md.compare.run import run_compare as compare
from egno_md.core.errors import (
    BundleMismatch,
    ContractError,
    DataError,
    EgnoMDError,
    EnsembleError,
    OutputError,
    PotentialError,
    SpecError,
    TrainingError,
    WindowMismatch,
)
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.data.store import Store
from egno_md.interop.openmm import SurrogateSimulation
from egno_md.md.build import load_system
from egno_md.md.engine import OpenMMEngine
from egno_md.md.generate.run import run_generate as generate
from egno_md.md.load import run_load as load
from egno_md.md.prepare.run import run_prepare as prepare
from egno_md.nn.operator import Operator
from egno_md.paper.run import run_benchmark as benchmark
from egno_md.propagate.assemble import Parts, Rules, assemble
from egno_md.propagate.boundary import AdaptFriction, ChangeVolume, Kick
from egno_md.propagate.ensemble import run_ensemble as propagate
from egno_md.propagate.judge import EnergyJudge, ShapeJudge, Unjudged
from egno_md.propagate.parareal.run import run_parareal as parareal
from egno_md.propagate.rollout import Rollout
from egno_md.propagate.run import run
from egno_md.propagate.source import ExactWindows, FunctionWindows
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import WindowMove
from egno_md.propagate.summary import RolloutSummary
from egno_md.registry import protocol
from egno_md.report.run import run_report as report
from egno_md.spec.files import find_operator
from egno_md.spec.propagate import PropagateProtocol
from egno_md.train.evaluate import run_evaluate as evaluate
from egno_md.train.fit_potential import run_fit_potential as fit_potential
from egno_md.train.run import run_train as train

if TYPE_CHECKING:
    from egno_md.interop.ase import WindowDynamics

__all__ = [
    "AdaptFriction",
    "BundleMismatch",
    "ChangeVolume",
    "ContractError",
    "DataError",
    "EgnoMDError",
    "EnergyJudge",
    "EnsembleError",
    "ExactWindows",
    "Frame",
    "FunctionWindows",
    "Kick",
    "OpenMMEngine",
    "Operator",
    "OutputError",
    "Parts",
    "PotentialError",
    "PropagateProtocol",
    "ReplicaState",
    "Rollout",
    "RolloutSummary",
    "Rules",
    "ShapeJudge",
    "SpecError",
    "Store",
    "SurrogateSimulation",
    "System",
    "TrainingError",
    "Trajectory",
    "Unjudged",
    "Window",
    "WindowDynamics",
    "WindowMismatch",
    "WindowMove",
    "assemble",
    "benchmark",
    "compare",
    "evaluate",
    "find_operator",
    "fit_potential",
    "generate",
    "load",
    "load_system",
    "parareal",
    "prepare",
    "propagate",
    "protocol",
    "report",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    """`WindowDynamics` when asked for: ASE is an extra."""
    if name != "WindowDynamics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from egno_md.interop.ase import WindowDynamics

    return WindowDynamics
