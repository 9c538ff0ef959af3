"""Forces beside a force field that hold a structure while it is repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Guards:
    """Walls against turning a centre inside out and a peptide bond around.

    They vanish for a sound structure.

    Attributes:
        wall: of the stereocentres.
        turn: of the peptide bonds.
    """

    wall: openmm.CustomCompoundBondForce
    turn: openmm.CustomTorsionForce

    @classmethod
    def add(
        cls,
        system: openmm.System,
        centres: Int[Array, "centres 4"],
        peptides: Int[Array, "peptides 4"],
    ) -> Guards:
        """Add both forces to a system, which is changed in place.

        Args:
            system: whose atoms they act on.
            centres: three neighbours of each stereocentre, and the centre itself last.
            peptides: CA, C, N, CA of each peptide bond.
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
        for atoms in centres.tolist():
            wall.addBond(atoms, [1.0])
        turn = openmm.CustomTorsionForce(f"{PEPTIDE_STIFFNESS}*max(0, 0.5 - cosine*cos(theta))^2")
        turn.addPerTorsionParameter("cosine")
        for atoms in peptides.tolist():
            turn.addTorsion(*atoms, [-1.0])
        system.addForce(wall)
        system.addForce(turn)
        return cls(wall, turn)

    def keep(self, context: openmm.Context, positions: Float[Array, "atoms 3"]) -> None:
        """Keep the stereochemistry of `positions`, nm."""
        for index in range(self.wall.getNumBonds()):
            atoms, _ = self.wall.getBondParameters(index)
            sign = 1.0 if _volume(positions, atoms) > 0 else -1.0
            self.wall.setBondParameters(index, atoms, [sign])
        for index in range(self.turn.getNumTorsions()):
            *atoms, _ = self.turn.getTorsionParameters(index)
            cosine = 1.0 if _turn(positions, atoms) > 0 else -1.0
            self.turn.setTorsionParameters(index, *atoms, [cosine])
        for force in (self.wall, self.turn):
            force.updateParametersInContext(context)

    def broken(self, positions: Float[Array, "atoms 3"]) -> int:
        """How many centres and peptide bonds are not as `keep` was told."""
        count = 0
        for index in range(self.wall.getNumBonds()):
            atoms, (sign,) = self.wall.getBondParameters(index)
            count += sign * _volume(positions, atoms) < 0
        for index in range(self.turn.getNumTorsions()):
            *atoms, (cosine,) = self.turn.getTorsionParameters(index)
            count += cosine * _turn(positions, atoms) < 0
        return int(count)


def _volume(positions: Array, atoms: Sequence[int]) -> float:
    """Triple product of three neighbours about their centre, the last."""
    a, b, c = (positions[i] - positions[atoms[3]] for i in atoms[:3])
    return float(np.dot(a, np.cross(b, c)))


def _turn(positions: Array, atoms: Sequence[int]) -> float:
    """A number with the sign of the cosine of a torsion."""
    p, q, r, s = (positions[i] for i in atoms)
    return float(np.dot(np.cross(q - p, r - q), np.cross(r - q, s - r)))
