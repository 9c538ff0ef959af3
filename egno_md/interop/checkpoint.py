"""The checkpoint of a SurrogateSimulation: one npz file, never a pickle."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory

FORMAT = "egno-md simulation 2"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that is needed to go on bit for bit.

    Attributes:
        digest: of the system.
        walker: what `Walker.pack` gave.
        context: OpenMM's own checkpoint.
        structure: whose bonds are the reference lengths, nm.
        pending: a window under way, and how many steps of it are behind.
    """

    digest: str
    walker: bytes
    context: bytes
    structure: np.ndarray
    pending: tuple[Trajectory, int] | None


def write_checkpoint(file: Any, checkpoint: Checkpoint) -> None:
    """Write to a name, in one move, or to a binary file."""
    text = {"format": FORMAT, "digest": checkpoint.digest}
    arrays = {
        "text": np.frombuffer(json.dumps(text).encode(), dtype=np.uint8),
        "walker": np.frombuffer(checkpoint.walker, dtype=np.uint8),
        "context": np.frombuffer(checkpoint.context, dtype=np.uint8),
        "structure": checkpoint.structure,
    }
    if checkpoint.pending is not None:
        window, offset = checkpoint.pending
        arrays |= {
            "window.positions": window.positions,
            "window.velocities": np.asarray(window.velocities),
            "window.times": window.times,
            "window.offset": np.array(offset),
        }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    if isinstance(file, (str, Path)):
        partial = Path(f"{file}.partial")
        partial.write_bytes(buffer.getvalue())
        partial.replace(file)
    else:
        file.write(buffer.getvalue())


def read_checkpoint(file: Any, digest: str) -> Checkpoint:
    """Read from a name or a binary file.

    Raises:
        DataError: damaged, or of another system than that with `digest`.
    """
    try:
        content = Path(file).read_bytes() if isinstance(file, (str, Path)) else file.read()
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {k: stored[k] for k in stored.files}
        text = json.loads(bytes(arrays["text"]))
        if text["format"] != FORMAT:
            raise ValueError(text["format"])
        pending = None
        if "window.offset" in arrays:
            window = Trajectory(
                arrays["window.positions"], arrays["window.times"], arrays["window.velocities"]
            )
            pending = window, int(arrays["window.offset"])
        found = Checkpoint(
            text["digest"],
            bytes(arrays["walker"]),
            bytes(arrays["context"]),
            arrays["structure"],
            pending,
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise damaged(file, error) from None
    if found.digest != digest:
        raise DataError(f"{file}: a checkpoint of another system. Load it with that one.")
    return found


def damaged(file: Any, error: Exception) -> DataError:
    """What to say of a file that is no checkpoint."""
    name = file if isinstance(file, (str, Path)) else "the file"
    return DataError(
        f"{name}: no checkpoint of a SurrogateSimulation ({type(error).__name__}). "
        "Load one that its saveCheckpoint wrote."
    )
