"""Learned molecular-dynamics windows inside OpenMM's world.

``import egno_md as em`` gives flat names: the verbs of the command line as functions
(`em.generate`, `em.train`, `em.propagate`, `em.compare`, ...), operators and systems, the parts of
a rollout, the simulations of other programs, and the errors. They are listed in `egno_md.api` and
imported when they are first asked for.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from egno_md.api import *  # noqa: F403

__version__ = version("egno-md")


def __getattr__(name: str) -> Any:
    """A name of `egno_md.api`."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    api = import_module("egno_md.api")
    if name not in api.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("egno_md.api").__all__})
