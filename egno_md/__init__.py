"""Learned molecular-dynamics windows inside OpenMM's world."""

from importlib.metadata import version

__version__ = version("egno-md")
