"""Callable packages, so that `egno_md.propagate(...)` works."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    """A package that passes calls on to one of its functions."""

    _home: str
    _function: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns."""
        return getattr(import_module(self._home), self._function)(*args, **kwargs)


def make_callable(package: str, home: str, function: str) -> None:
    """Let a package be called.

    Args:
        package: its name, for its own `__init__` to pass as `__name__`.
        home: module of the function, imported at the first call.
        function: name in it.
    """
    module = sys.modules[package]
    module.__class__ = _Verb
    module._home, module._function = home, function  # type: ignore[attr-defined]
