"""What `prepare` may be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.spec.base import Length, Positive, Spec


class Preparation(Spec):
    """How a protein's structure becomes a system.

    Attributes:
        ph: by which residues are protonated, each as if alone in water.
        chains: to keep; null where there is only one.
        model: of a file with several, counted from 1.
        altloc: alternate location to keep, or `highest` for the most occupied.
        caps: ACE and NME at chain ends instead of charged termini.
        build_loops: model up to 12 missing residues in a row by their SEQRES.
        replace_nonstandard: put standard residues in the place of modified ones.
        remove_ligands: leave out ligands and ions; crystal water always is.
        solvent: `obc2` is implicit, `water` a box of TIP3P-FB.
        padding: of water between the protein and its box.
        salt: mol/l of NaCl beyond the ions that neutralise; with water only.
        minimise: relax the structure with the atoms of the file held.
    """

    ph: Annotated[float, Field(ge=0, le=14)] = 7.0
    chains: tuple[str, ...] | None = None
    model: Positive = 1
    altloc: str | None = None
    caps: bool = False
    build_loops: bool = False
    replace_nonstandard: bool = False
    remove_ligands: bool = False
    solvent: Literal["obc2", "water"] = "obc2"
    padding: Length = 1.0
    salt: Annotated[float, Field(ge=0, le=5)] = 0.0
    minimise: bool = True

    @model_validator(mode="after")
    def _salt_needs_water(self) -> Preparation:
        if self.salt > 0 and self.solvent == "obc2":
            raise ValueError("salt needs a box of water. Add --solvent water, or leave it out.")
        return self
