"""Arrays of an .npz file, without ever opening pickles."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from egno_md.core.errors import DataError

Array = np.ndarray


def read_npz(
    path: Path, kind: str, choose: Callable[[list[str]], Sequence[str]]
) -> dict[str, Array]:
    """Read some arrays of a file.

    Args:
        path: the file.
        kind: what the file should be, such as "an MD17 .npz file", for messages.
        choose: takes the names of all arrays, returns those wanted; raises where
            one is missing.

    Raises:
        DataError: missing, truncated, no .npz file, or holding pickles.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of {kind}.")
    try:
        with path.open("rb") as raw, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of Python 2 are read with a remark
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: holds a single array. Give {kind}.")
            return {k: file[k] for k in choose(file.files)}
    except (DataError, MemoryError):
        raise
    except (ValueError, TypeError, AttributeError) as error:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: truncated or no .npz file. Fetch it again.") from None
        if "pickle" in str(error) or "Object array" in str(error):
            raise DataError(
                f"{path}: holds pickled objects, which can run code and are never opened. "
                "Save plain arrays of numbers."
            ) from None
        raise DataError(f"{path}: truncated or no .npz file. Fetch it again.") from None
    except Exception:  # zip, its decompressors and NumPy's tokenizer have errors of their own
        raise DataError(f"{path}: truncated or no .npz file. Fetch it again.") from None
