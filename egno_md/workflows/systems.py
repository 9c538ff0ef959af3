"""`systems`: what is shipped."""

from __future__ import annotations

from dataclasses import dataclass

from egno_md.md.build import load_system
from egno_md.spec.files import shipped
from egno_md.spec.system import ForceFieldPotential, XtbPotential


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
    for path in sorted(shipped("systems").glob("*/system.yaml")):
        built = load_system(path.parent.name)
        match built.spec.potential:
            case XtbPotential():
                needs = "tblite"
            case ForceFieldPotential():
                needs = "openmm"
            case _:
                needs = "torchmd-net"
        rows.append(
            SystemRow(
                built.spec.name,
                built.system.n_atoms,
                built.system.potential,
                needs,
                built.spec.description,
            )
        )
    return rows
