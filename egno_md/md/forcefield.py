"""OpenMM force fields, with the native GBSA-OBC2 implicit solvent."""

from __future__ import annotations

from pathlib import Path

import openmm
from openmm import app, unit

from egno_md.core.errors import PotentialError
from egno_md.spec.system import ForceFieldPotential


def build_forcefield(
    topology: app.Topology,
    potential: ForceFieldPotential,
    constraints: str,
    hydrogen_mass: float | None,
    folder: Path,
) -> openmm.System:
    """An OpenMM System from force-field files.

    Implicit solvent uses `GBSAOBCForce`, OpenMM's native OBC2 (Onufriev,
    Bashford, Case 2004): the same energy as implicit/obc2.xml, whose
    CustomGBForce is an order of magnitude slower on CPU.

    Raises:
        PotentialError: a missing file, or a residue without a template.
    """
    is_periodic = topology.getPeriodicBoxVectors() is not None
    if potential.cutoff is None:
        method = app.PME if is_periodic else app.NoCutoff
    else:
        method = app.PME if is_periodic else app.CutoffNonPeriodic
    if is_periodic and potential.implicit_solvent != "none":
        raise PotentialError("implicit solvent in a periodic box. Remove one of the two.")
    try:
        files = [str(folder / f) if (folder / f).is_file() else f for f in potential.files]
        forcefield = app.ForceField(*files)
        system = forcefield.createSystem(
            topology,
            nonbondedMethod=method,
            nonbondedCutoff=(potential.cutoff or 0.9) * unit.nanometer,
            constraints=app.HBonds if constraints == "h-bonds" else None,
            rigidWater=constraints == "h-bonds",
            hydrogenMass=None if hydrogen_mass is None else hydrogen_mass * unit.dalton,
        )
    except Exception as error:  # OpenMM raises bare ones for files it cannot parse
        detail = " ".join(str(error).split())[:240]
        raise PotentialError(f"force field {', '.join(potential.files)}: {detail}") from None
    if potential.implicit_solvent == "obc2":
        system.addForce(_obc2(system, topology, potential.cutoff))
    return system


def _obc2(
    system: openmm.System, topology: app.Topology, cutoff: float | None
) -> openmm.GBSAOBCForce:
    from openmm.app.internal.customgbforces import GBSAOBC2Force

    found = [f for f in system.getForces() if isinstance(f, openmm.NonbondedForce)]
    if not found:
        raise PotentialError("obc2 needs a force field with charges. Set implicit_solvent: none.")
    nonbonded = found[0]
    force = openmm.GBSAOBCForce()
    force.setSolventDielectric(78.5)
    force.setSoluteDielectric(1.0)
    for index, (radius, scale) in enumerate(GBSAOBC2Force.getStandardParameters(topology)):
        charge, _, _ = nonbonded.getParticleParameters(index)
        force.addParticle(charge, radius, scale)
    if cutoff is None:
        force.setNonbondedMethod(openmm.GBSAOBCForce.NoCutoff)
    else:
        force.setNonbondedMethod(openmm.GBSAOBCForce.CutoffNonPeriodic)
        force.setCutoffDistance(cutoff)
    # The energy with a reaction field would differ from the generalised Born one.
    nonbonded.setReactionFieldDielectric(1.0)
    return force
