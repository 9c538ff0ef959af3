"""Libraries imported without their messages and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def hush_warp() -> None:
    """Keep TorchMD-Net's kernels from printing on stdout, where results go."""
    try:
        import warp
    except ImportError:  # TorchMD-Net before 3 has none
        return
    if hasattr(warp, "LOG_ERROR"):
        warp.config.log_level = warp.LOG_ERROR
    else:
        warp.config.quiet = True  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def no_jit_warnings() -> Iterator[None]:
    """Ignore that libraries still use `torch.jit`, which torch 2.13 deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        yield
