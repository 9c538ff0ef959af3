"""Learned molecular-dynamics windows inside OpenMM's world.

The verbs of the command line are functions here: `generate`, `load`, `train`,
`evaluate`, `propagate`, `compare`, `report`; `protocol` reads a shipped or your
own protocol. They are imported when first used.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("egno-md")

if TYPE_CHECKING:
    from egno_md.workflows.compare import run_compare as compare
    from egno_md.workflows.evaluate import run_evaluate as evaluate
    from egno_md.workflows.generate import run_generate as generate
    from egno_md.workflows.load import run_load as load
    from egno_md.workflows.propagate import run_propagate as propagate
    from egno_md.workflows.protocol import protocol
    from egno_md.workflows.report import run_report as report
    from egno_md.workflows.train import run_train as train

_VERBS = ("generate", "load", "train", "evaluate", "propagate", "compare", "report")

__all__ = ["compare", "evaluate", "generate", "load", "propagate", "protocol", "report", "train"]


def __getattr__(name: str) -> Any:
    if name == "protocol":
        return import_module("egno_md.workflows.protocol").protocol
    if name in _VERBS:
        return getattr(import_module(f"egno_md.workflows.{name}"), f"run_{name}")
    raise AttributeError(f"module 'egno_md' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
