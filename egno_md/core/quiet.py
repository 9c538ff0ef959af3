"""Libraries imported without what they say while they are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def hush_warp() -> None:
    """TorchMD-Net's kernels would greet on stdout, where results go."""
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
    """Libraries that still use `torch.jit`, which torch 2.13 deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        yield
