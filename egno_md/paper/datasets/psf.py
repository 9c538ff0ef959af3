"""Atom names and partial charges of a PSF file (CHARMM, X-PLOR), which MDTraj leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from egno_md.core.errors import DataError

NAME, CHARGE = 4, 6
"""Columns of an atom's line, after serial number, segment, residue number and name."""


def read_charges(path: Path) -> tuple[list[str], Float[np.ndarray, " atoms"]]:
    """Names as the file has them, and charges in e.

    MDTraj's own reader renames atoms, CHARMM's terminal OT1 to O for instance, and
    keeps no charges.

    Raises:
        DataError: no PSF file, or a damaged one.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of a PSF file.")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    head = [i for i, line in enumerate(lines) if "!NATOM" in line]
    try:
        first = head[0] + 1
        count = int(lines[head[0]].split()[0])
        words = [line.split() for line in lines[first : first + count]]
        names = [w[NAME] for w in words]
        charges = np.array([float(w[CHARGE]) for w in words])
        if not 0 < count <= len(words) or not np.isfinite(charges).all():
            raise ValueError
    except (IndexError, ValueError):
        raise DataError(
            f"{path}: has no section !NATOM with a name and a charge per atom. Give a PSF file, "
            "whole."
        ) from None
    return names, charges
