"""`systems`: what is shipped."""

from __future__ import annotations

from dataclasses import dataclass

from egno_md.md.build import load_system
from egno_md.spec.files import shipped_systems

NEEDS = {
    "xtb": "tblite",
    "forcefield": "openmm",
    "openmm-xml": "openmm",
    "openmm-ml": "openmmml",
    "torchmd-net": "torchmd-net",
}
"""What each kind of potential runs on."""


@dataclass(frozen=True)
class SystemRow:
    """One shipped system in short."""

    name: str
    atoms: int
    potential: str
    needs: str
    description: str


def list_systems() -> list[SystemRow]:
    """Every shipped system, built to be sure that it can be."""
    rows = []
    for name in shipped_systems():
        built = load_system(name)
        rows.append(
            SystemRow(
                name,
                built.system.n_atoms,
                built.system.potential,
                NEEDS[built.spec.potential.kind],
                built.spec.description,
            )
        )
    return rows
