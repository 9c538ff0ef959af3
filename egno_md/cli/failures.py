"""One-line messages for failures of disk, memory and permissions."""

from __future__ import annotations

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
GOES_ON = "Free some, then give the same command with --resume."


def explain(error: BaseException) -> str | None:
    """One line about a failure of the machine, or None for one of the program.

    Libraries that write through C say in text alone that the disk is full.
    """
    text = " ".join(str(error).split())
    if isinstance(error, RecursionError):
        return "DataError: a file is nested too deeply to be read. Fetch or make it again."
    refused = "can't allocate memory" in text
    if isinstance(error, MemoryError) or refused or type(error).__name__ == "OutOfMemoryError":
        return _memory(text)
    if isinstance(error, OSError) and error.errno != errno.EPIPE and error.errno is not None:
        where = error.filename or "the disk"
        if error.errno in FULL:
            return f"OutputError: {where}: no space is left to write results. {GOES_ON}"
        reason = (error.strerror or type(error).__name__).lower()
        return (
            f"OutputError: {where}: cannot be read or written: {reason}. "
            "Mend that or choose another --out, then give the same command with --resume."
        )
    if isinstance(error, RuntimeError) and _is_write_failure(error, text):
        return f"OutputError: a file could not be written whole, as on a full disk. {GOES_ON}"
    return None


def _memory(text: str) -> str:
    if "CUDA" in text:
        return (
            "TrainingError: the GPU's memory is too small for this batch. Lower "
            "optimisation.batch_size and raise optimisation.accumulate, or lower replicas, "
            "or use --device cpu."
        )
    return (
        "DataError: the memory of this machine is too small for that. Lower "
        "optimisation.batch_size, replicas or workers, or read fewer frames (--stride)."
    )


def _is_write_failure(error: RuntimeError, text: str) -> bool:
    if "PytorchStreamWriter failed" in text or "file write failed" in text:
        return True
    return type(error).__name__ == "HDF5ExtError" and "write" in text.lower()
