"""Allowed regions of backbone torsions.

The regions come from the Top500 set of Lovell et al. 2003 (Proteins 50, 437), on
a grid of 10 degrees: see ramachandran.txt.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Bool, Float

from egno_md.core.system import System
from egno_md.geometry.peptide import Peptide

Array = np.ndarray

CELLS = 36


@cache
def allowed_regions() -> dict[str, Bool[Array, "phi psi"]]:
    """Allowed cells of 10 degrees from -180 on, by class of residue."""
    text = (
        files("egno_md.compare.observables")
        .joinpath("ramachandran.txt")
        .read_text(encoding="utf-8")
    )
    regions: dict[str, list[list[bool]]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            regions[name] = []
        elif name:
            regions[name].append([c == "#" for c in line])
    return {k: np.array(v) for k, v in regions.items()}


def residue_class(name: str, following: str) -> str:
    """Class of a residue by its name and that of the next one."""
    if name == "GLY":
        return "glycine"
    if name == "PRO":
        return "proline"
    return "preproline" if following == "PRO" else "general"


def is_allowed(kind: str, phi: Array, psi: Array) -> Array:
    """Whether torsions in radians lie in the allowed region of a class."""
    cells = [
        np.floor((np.asarray(a) / np.pi + 1) / 2 * CELLS).astype(int) % CELLS for a in (phi, psi)
    ]
    return allowed_regions()[kind][cells[0], cells[1]]


def outlier_shares(
    system: System, peptide: Peptide, positions: Float[Array, "frames atoms 3"]
) -> Float[Array, " frames"]:
    """Share of the residues with φ and ψ outside their allowed region, per frame."""
    torsions = peptide.phi_psi(positions)
    names = [r.name for r in system.topology.residues]
    outside = [
        ~is_allowed(residue_class(names[i], names[i + 1]), *torsions[:, k].T)
        for k, i in enumerate(peptide.ramachandran_residues)
    ]
    return np.mean(outside, axis=0)
