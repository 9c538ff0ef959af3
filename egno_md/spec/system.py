"""What `system.yaml` may say: atoms, potential, constraints and masses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from egno_md.spec.base import Length, Mass, Spec


class XtbPotential(Spec):
    """Semi-empirical quantum chemistry through tblite (Bannwarth et al. 2019).

    Attributes:
        method: of the GFN family.
        accuracy: of the self-consistent field, smaller is tighter; 0.1 conserves energy.
        charge: of the molecule, in e.
        unpaired_electrons: of the molecule.
    """

    kind: Literal["xtb"]
    method: Literal["GFN2-xTB", "GFN1-xTB"] = "GFN2-xTB"
    accuracy: Annotated[float, Field(gt=0, le=10)] = 0.1
    charge: int = 0
    unpaired_electrons: Annotated[int, Field(ge=0)] = 0


class ForceFieldPotential(Spec):
    """OpenMM force-field XML files, optionally with native GBSA-OBC2.

    Attributes:
        files: OpenMM's own, or beside the system.yaml.
        implicit_solvent: none, or native GBSA-OBC2.
        nonbonded: `auto` takes particle mesh Ewald in a periodic box, else a
            cutoff where one is given, else none.
        cutoff: of direct interactions; 0.9 nm where a method needs one.
        ewald_tolerance: relative error of Ewald forces.
        rigid_water: constrain water molecules; with h-bonds if left out.
    """

    kind: Literal["forcefield"]
    files: Annotated[list[str], Field(min_length=1)]
    implicit_solvent: Literal["none", "obc2"] = "none"
    nonbonded: Literal["auto", "pme", "cutoff", "no-cutoff"] = "auto"
    cutoff: Length | None = None
    ewald_tolerance: Annotated[float, Field(gt=0, lt=0.1)] = 5e-4
    rigid_water: bool | None = None


class TorchMDNetPotential(Spec):
    """A TorchMD-Net model (safetensors weights beside their JSON arguments).

    Attributes:
        model: folder beside system.yaml with model.json and model.safetensors.
        sha256: of the weights, which are refused with another; null for any.
    """

    kind: Literal["torchmd-net"]
    model: str
    sha256: str | None = None


class OpenMMXmlPotential(Spec):
    """A serialised `openmm.System` of native forces, such as a shipped mmff94.xml.

    Attributes:
        file: beside system.yaml.
        sha256: of the file, which is refused with another; null for any.
    """

    kind: Literal["openmm-xml"]
    file: str
    sha256: str | None = None


class OpenMMMLPotential(Spec):
    """A pretrained potential by its name in OpenMM-ML (MACE, ANI, AIMNet2, NequIP, ASE and others).

    Attributes:
        name: as `openmmml.MLPotential` knows it, such as mace-off23-small.
        arguments: of `MLPotential` itself, such as modelPath.
        options: of its `createSystem`.
    """

    kind: Literal["openmm-ml"]
    name: str
    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]
    options: Annotated[dict[str, Any], Field(default_factory=dict)]


Potential = Annotated[
    XtbPotential
    | ForceFieldPotential
    | TorchMDNetPotential
    | OpenMMXmlPotential
    | OpenMMMLPotential,
    Field(discriminator="kind"),
]


class SystemSpec(Spec):
    """One system: a structure file beside the YAML and how its atoms interact.

    Attributes:
        name: as results call it.
        description: one line for people.
        structure: PDB or PDBx/mmCIF file beside system.yaml, all atoms, with bonds.
        potential: how the atoms interact.
        constraints: `h-bonds` fixes bonds to hydrogen; operators need none.
        hydrogen_mass: heavier hydrogens, taken from their neighbours; null for their own.
        operator: which of its shipped operators is used by default.
        states: known structures by name, PDB files beside system.yaml that a rollout
            measures its distance to, such as {open: open.pdb}.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    description: str = ""
    structure: str
    potential: Potential
    constraints: Literal["none", "h-bonds"] = "none"
    hydrogen_mass: Mass | None = None
    operator: str | None = None
    states: Annotated[dict[str, str], Field(default_factory=dict)]
