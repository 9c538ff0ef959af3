"""Errors of ours are one line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from egno_md.core.errors import EgnoMDError


@contextmanager
def fine_or_one_line(longest: float = math.inf) -> Iterator[None]:
    """Lets pass what ends well or in one line of ours, and fails for all else.

    Too little memory is for the command line to say: a header may claim any size.
    """
    message = ""
    try:
        yield
    except EgnoMDError as error:
        message = str(error)
    except MemoryError:
        pass
    assert len(message.splitlines()) <= 1
    assert len(message) < longest
