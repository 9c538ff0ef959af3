"""Forces beside a force field that hold a structure while it is repaired."""

from __future__ import annotations

import mdtraj
import numpy as np
import openmm
from jaxtyping import Float, Int

Array = np.ndarray

CHIRAL_VOLUME = 1.0e-3
"""nm³: a third of a tetrahedral centre's triple product; below it the guard acts."""

CHIRAL_STIFFNESS = 2.0e8
"""kJ/mol/nm⁶: 200 kJ/mol against a flat centre, 2 × 10³ at an inverted one."""

PEPTIDE_STIFFNESS = 100.0
"""kJ/mol on top of the force field's own barrier between trans and cis."""


def add_position_restraints(
    system: openmm.System, atoms: Int[Array, " atoms"], stiffness: float, is_periodic: bool
) -> openmm.CustomExternalForce:
    """Springs to places that `set_reference` gives.

    Args:
        system: changed in place.
        atoms: that are held.
        stiffness: kJ/mol/nm²; the context's parameter ``restraint``.
        is_periodic: measure to the nearest image.
    """
    distance = "periodicdistance(x, y, z, x0, y0, z0)^2"
    free = "((x-x0)^2 + (y-y0)^2 + (z-z0)^2)"
    force = openmm.CustomExternalForce(f"0.5*restraint*{distance if is_periodic else free}")
    force.addGlobalParameter("restraint", stiffness)
    for name in ("x0", "y0", "z0"):
        force.addPerParticleParameter(name)
    for atom in atoms:
        force.addParticle(int(atom), [0.0, 0.0, 0.0])
    system.addForce(force)
    return force


def set_reference(
    force: openmm.CustomExternalForce, context: openmm.Context, places: Float[Array, "atoms 3"]
) -> None:
    """Where the springs of `add_position_restraints` pull to, nm."""
    for index, place in enumerate(np.asarray(places, dtype=np.float64)):
        atom, _ = force.getParticleParameters(index)
        force.setParticleParameters(index, atom, place.tolist())
    force.updateParametersInContext(context)


def add_guards(
    system: openmm.System,
    centres: Int[Array, "centres 4"],
    signs: Float[Array, " centres"],
    peptides: Int[Array, "peptides 4"],
    cosines: Float[Array, " peptides"],
) -> None:
    """Walls against turning a centre inside out and a peptide bond around.

    They vanish for a sound structure, and with the context's parameter ``guard``
    at 0.

    Args:
        system: changed in place.
        centres: three neighbours of a stereocentre, and the centre itself last.
        signs: of the triple product of the neighbours about it.
        peptides: CA, C, N, CA.
        cosines: of ω as it must stay: -1 for trans, 1 for cis.
    """
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (
        [f"({axis}{i}-{axis}4)" for axis in "xyz"] for i in (1, 2, 3)
    )
    volume = (
        f"({ax}*({by}*{cz}-{bz}*{cy})+{ay}*({bz}*{cx}-{bx}*{cz})+{az}*({bx}*{cy}-{by}*{cx}))"
    )
    wall = openmm.CustomCompoundBondForce(
        4, f"guard*{CHIRAL_STIFFNESS}*max(0, {CHIRAL_VOLUME} - sign*{volume})^2"
    )
    wall.addGlobalParameter("guard", 1.0)
    wall.addPerBondParameter("sign")
    for atoms, sign in zip(centres.tolist(), signs.tolist(), strict=True):
        wall.addBond(atoms, [sign])
    system.addForce(wall)
    turn = openmm.CustomTorsionForce(
        f"guard*{PEPTIDE_STIFFNESS}*max(0, 0.5 - cosine*cos(theta))^2"
    )
    turn.addGlobalParameter("guard", 1.0)
    turn.addPerTorsionParameter("cosine")
    for atoms, cosine in zip(peptides.tolist(), cosines.tolist(), strict=True):
        turn.addTorsion(*atoms, [cosine])
    system.addForce(turn)
