"""Learned molecular-dynamics windows inside OpenMM's world; see `egno_md.api`."""

from importlib.metadata import version

__version__ = version("egno-md")
