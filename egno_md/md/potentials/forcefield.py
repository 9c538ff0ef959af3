"""OpenMM force fields, with the native GBSA-OBC2 implicit solvent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from egno_md.core.errors import PotentialError
from egno_md.geometry.images import smallest_height
from egno_md.spec.system import ForceFieldPotential

DEFAULT_CUTOFF = 0.9
"""nm, default for direct interactions."""


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
        PotentialError: a missing file, a residue without a template, or a
            nonbonded method that does not fit the box.
    """
    method = _nonbonded_method(topology, potential)
    is_rigid = constraints == "h-bonds" if potential.rigid_water is None else potential.rigid_water
    try:
        files = [str(folder / f) if (folder / f).is_file() else f for f in potential.files]
        forcefield = app.ForceField(*files)
        system = forcefield.createSystem(
            topology,
            nonbondedMethod=method,
            nonbondedCutoff=(potential.cutoff or DEFAULT_CUTOFF) * unit.nanometer,
            constraints=app.HBonds if constraints == "h-bonds" else None,
            rigidWater=is_rigid,
            ewaldErrorTolerance=potential.ewald_tolerance,
            hydrogenMass=None if hydrogen_mass is None else hydrogen_mass * unit.dalton,
        )
    except Exception as error:  # OpenMM raises bare ones for files it cannot parse
        detail = " ".join(str(error).split())[:240]
        files = ", ".join(potential.files)
        if "No template found" in detail:
            raise PotentialError(
                f"force field {files}: {detail} Complete a protein with 'egno-md prepare "
                "STRUCTURE --out FOLDER'."
            ) from None
        raise PotentialError(f"force field {files}: {detail}") from None
    if potential.implicit_solvent == "obc2":
        is_cut = method is app.CutoffNonPeriodic
        cutoff = (potential.cutoff or DEFAULT_CUTOFF) if is_cut else None
        system.addForce(_obc2(system, topology, cutoff))
    return system


def _nonbonded_method(topology: app.Topology, potential: ForceFieldPotential) -> object:
    vectors = topology.getPeriodicBoxVectors()
    treatment = potential.nonbonded
    if vectors is None:
        if treatment == "pme":
            raise PotentialError(
                "nonbonded: pme needs a periodic box, and the structure has none. Add its CRYST1 "
                "record (PDB) or cell (CIF), or set nonbonded: no-cutoff."
            )
        is_cut = treatment == "cutoff" or (treatment == "auto" and potential.cutoff is not None)
        return app.CutoffNonPeriodic if is_cut else app.NoCutoff
    if treatment == "no-cutoff":
        raise PotentialError(
            "nonbonded: no-cutoff in a periodic box. Set nonbonded: pme, or remove the box "
            "(CRYST1) from the structure."
        )
    if potential.implicit_solvent != "none":
        raise PotentialError("implicit solvent in a periodic box. Remove one of the two.")
    cutoff = potential.cutoff or DEFAULT_CUTOFF
    height = smallest_height(np.array(vectors.value_in_unit(unit.nanometer)))
    if 2 * cutoff > height:
        raise PotentialError(
            f"a cutoff of {cutoff:g} nm is beyond half the box, which is {height:.4g} nm across. "
            f"Set potential.cutoff to at most {np.floor(50 * height) / 100:g} nm, or use a "
            "larger box."
        )
    return app.PME if treatment in ("auto", "pme") else app.CutoffPeriodic


def _obc2(
    system: openmm.System, topology: app.Topology, cutoff: float | None
) -> openmm.GBSAOBCForce:
    from openmm.app.internal.customgbforces import GBSAOBC2Force

    forces = [f for f in system.getForces() if isinstance(f, openmm.NonbondedForce)]
    if not forces:
        raise PotentialError("obc2 needs a force field with charges. Set implicit_solvent: none.")
    nonbonded = forces[0]
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
