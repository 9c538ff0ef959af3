"""Worker processes that do not outlive who started them."""

from __future__ import annotations

import multiprocessing
import os
import threading


def die_with_parent() -> None:
    """End this worker process as soon as its parent is gone, however that went.

    A worker of a killed run would go on writing beside the run that resumes it.
    Whatever it writes must therefore bear a kill at any moment.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()
