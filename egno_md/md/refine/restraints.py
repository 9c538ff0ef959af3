"""Forces beside a force field that hold a structure while it is repaired."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openmm
from jaxtyping import Float, Int

from egno_md.geometry.stereocentres import Stereochemistry, signed_volumes
from egno_md.geometry.torsions import torsion_cosines

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


@dataclass(frozen=True, eq=False)
class Guards:
    """Walls against inverting a stereocentre and turning a peptide bond around.

    They vanish for a sound structure.

    Attributes:
        stereo: the centres and the peptide bonds.
        wall: of the stereocentres.
        turn: of the peptide bonds.
    """

    stereo: Stereochemistry
    wall: openmm.CustomCompoundBondForce
    turn: openmm.CustomTorsionForce

    @classmethod
    def add(cls, system: openmm.System, stereo: Stereochemistry) -> Guards:
        """Add both forces to a system, which is changed in place.

        Args:
            system: whose atoms they act on.
            stereo: of that system.
        """
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (
            [f"({axis}{i}-{axis}4)" for axis in "xyz"] for i in (1, 2, 3)
        )
        volume = (
            f"({ax}*({by}*{cz}-{bz}*{cy})+{ay}*({bz}*{cx}-{bx}*{cz})+{az}*({bx}*{cy}-{by}*{cx}))"
        )
        wall = openmm.CustomCompoundBondForce(
            4, f"{CHIRAL_STIFFNESS}*max(0, {CHIRAL_VOLUME} - sign*{volume})^2"
        )
        wall.addPerBondParameter("sign")
        for atoms in stereo.centres.tolist():
            wall.addBond(atoms, [1.0])
        turn = openmm.CustomTorsionForce(f"{PEPTIDE_STIFFNESS}*max(0, 0.5 - cosine*cos(theta))^2")
        turn.addPerTorsionParameter("cosine")
        for atoms in stereo.peptides.tolist():
            turn.addTorsion(*atoms, [-1.0])
        system.addForce(wall)
        system.addForce(turn)
        return cls(stereo, wall, turn)

    def keep(self, context: openmm.Context, positions: Float[Array, "atoms 3"]) -> None:
        """Keep the stereochemistry of `positions`, nm."""
        centres, peptides = self.stereo.centres, self.stereo.peptides
        signs = np.where(signed_volumes(positions, centres) > 0, 1.0, -1.0)
        for index, (atoms, sign) in enumerate(zip(centres.tolist(), signs, strict=True)):
            self.wall.setBondParameters(index, atoms, [sign])
        cosines = np.where(torsion_cosines(positions, peptides) > 0, 1.0, -1.0)
        for index, (atoms, cosine) in enumerate(zip(peptides.tolist(), cosines, strict=True)):
            self.turn.setTorsionParameters(index, *atoms, [cosine])
        for force in (self.wall, self.turn):
            force.updateParametersInContext(context)
