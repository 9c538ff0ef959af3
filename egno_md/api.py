"""The verbs of the command line as functions, and the simulations of other programs.

from egno_md import api as em
"""

from typing import TYPE_CHECKING, Any

from egno_md.md.build import load_system
from egno_md.spec.files import find_operator
from egno_md.workflows.benchmark import run_benchmark as benchmark
from egno_md.workflows.compare import run_compare as compare
from egno_md.workflows.ensemble import run_ensemble as propagate
from egno_md.workflows.evaluate import run_evaluate as evaluate
from egno_md.workflows.fit_potential import run_fit_potential as fit_potential
from egno_md.workflows.generate import run_generate as generate
from egno_md.workflows.load import run_load as load
from egno_md.workflows.parareal import run_parareal as parareal
from egno_md.workflows.prepare import run_prepare as prepare
from egno_md.workflows.protocol import protocol
from egno_md.workflows.report import run_report as report
from egno_md.workflows.simulation import SurrogateSimulation
from egno_md.workflows.train import run_train as train

if TYPE_CHECKING:
    from egno_md.workflows.ase_dynamics import WindowDynamics

__all__ = [
    "SurrogateSimulation",
    "WindowDynamics",
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
    "train",
]


def __getattr__(name: str) -> Any:
    """`WindowDynamics` when asked for: ASE is an extra."""
    if name != "WindowDynamics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from egno_md.workflows.ase_dynamics import WindowDynamics

    return WindowDynamics
