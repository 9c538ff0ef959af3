"""The atoms of a structure file as it lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

import gemmi
import numpy as np

from egno_md.core.errors import DataError

STANDARD = frozenset(
    [
        "ALA",
        "ARG",
        "ASN",
        "ASP",
        "CYS",
        "GLN",
        "GLU",
        "GLY",
        "HIS",
        "ILE",
        "LEU",
        "LYS",
        "MET",
        "PHE",
        "PRO",
        "SER",
        "THR",
        "TRP",
        "TYR",
        "VAL",
    ]
)
PROTONATION = {
    **dict.fromkeys(("HSD", "HSE", "HSP", "HID", "HIE", "HIP"), "HIS"),
    **dict.fromkeys(("CYX", "CYM"), "CYS"),
    "ASH": "ASP",
    "GLH": "GLU",
    "LYN": "LYS",
}
"""Protonation states by their names in other force fields; the pH decides about them here."""

CAPS = frozenset({"ACE", "NME", "NMA"})
WATER = frozenset({"HOH", "WAT", "TIP3", "TIP", "SOL", "DOD", "H2O"})
NUCLEIC = frozenset(["A", "C", "G", "U", "I", "DA", "DC", "DG", "DT", "DU", "DI"])
Sequences = dict[str, tuple[str, ...]]
"""Residue names by chain, as they were in the sample."""

_RENAMED = {("ILE", "CD"): "CD1"}
_TERMINAL = {"OT1": "O", "OT2": "OXT", "OC1": "O", "OC2": "OXT"}


@dataclass(frozen=True)
class Atom:
    """One atom of a file.

    Attributes:
        name: of the atom.
        altloc: of its alternate location; empty for none.
        residue: name of its residue.
        chain: of its residue.
        number: of its residue.
        insertion: code after the number; empty for none.
        place: Å.
        occupancy: of this location.
        element: symbol, upper case.
    """

    name: str
    altloc: str
    residue: str
    chain: str
    number: int
    insertion: str
    place: tuple[float, float, float]
    occupancy: float
    element: str

    @property
    def residue_key(self) -> tuple[str, int, str, str]:
        """Identifies its residue."""
        return self.chain, self.number, self.insertion, self.residue


@dataclass(frozen=True)
class Residue:
    """Atoms of one residue, one location each.

    Attributes:
        name: standard where there is a standard name for it.
        chain: identifier.
        number: as in the file.
        insertion: code.
        atoms: in the order of the file.
    """

    name: str
    chain: str
    number: int
    insertion: str
    atoms: tuple[Atom, ...]

    def __str__(self) -> str:
        chain = f" of chain {self.chain}" if self.chain else ""
        return f"{self.name} {self.number}{self.insertion}{chain}"

    def place(self, name: str) -> np.ndarray | None:
        """Where an atom is, Å; None where it is not."""
        place = next((a.place for a in self.atoms if a.name == name), None)
        return None if place is None else np.array(place)

    @property
    def is_amino_acid(self) -> bool:
        """Whether it has a place in a protein chain: by its name, or its backbone atoms."""
        names = {a.name for a in self.atoms}
        return self.name in STANDARD or {"N", "CA", "C"} <= names

    @property
    def is_water(self) -> bool:
        """Whether it is a water molecule."""
        return self.name in WATER


@dataclass(frozen=True)
class Structure:
    """The chosen model of a file.

    Attributes:
        path: of the file.
        atoms: all locations of all atoms.
        models: how many the file has.
        sequences: residue names per chain as the file says they were in the sample.
    """

    path: Path
    atoms: tuple[Atom, ...]
    models: int
    sequences: Sequences

    @property
    def residues(self) -> tuple[Residue, ...]:
        """In the order of the file; hydrogens are left out, the first location of an atom kept."""
        residues: dict[tuple[str, int, str, str], dict[str, Atom]] = {}
        for atom in self.atoms:
            if atom.element not in ("H", "D"):
                residues.setdefault(atom.residue_key, {}).setdefault(atom.name, atom)
        return tuple(
            Residue(name, chain, number, insertion, tuple(atoms.values()))
            for (chain, number, insertion, name), atoms in residues.items()
        )

    @property
    def is_molecule(self) -> bool:
        """Whether it holds neither protein nor nucleic acid, nor water alone."""
        residues = self.residues
        return not any(r.is_amino_acid or r.name in NUCLEIC for r in residues) and not all(
            r.is_water for r in residues
        )


def read_records(path: Path, model: int = 1) -> Structure:
    """Read a PDB or PDBx/mmCIF file.

    Args:
        path: of the file.
        model: which one, counted from 1.

    Raises:
        DataError: missing, empty, damaged, or without that model.
    """
    if path.suffix not in {".pdb", ".ent", ".cif"}:
        raise DataError(f"{path}: structure must be a .pdb or .cif file.")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise DataError(f"{path}: no such structure file.") from None
    if not text.strip():
        raise DataError(f"{path}: holds no atoms: the file is empty.")
    if path.suffix != ".cif":
        _check_lines(path, text)
    try:
        structure, sequences = (_read_cif if path.suffix == ".cif" else _read_pdb)(text)
        models = [atoms for atoms in (tuple(_atoms(m)) for m in structure) if atoms]
    except Exception as error:  # gemmi raises many kinds
        detail = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: cannot be read as a structure: {detail}.") from None
    if not models:
        raise DataError(f"{path}: holds no atoms: it has no ATOM records. Give a structure.")
    if not 1 <= model <= len(models):
        raise DataError(f"{path}: has no model {model}: it has {len(models)}. Choose with --model.")
    for atom in models[model - 1]:
        if not np.isfinite(atom.place).all():
            raise DataError(
                f"{path}: {atom.residue} {atom.number}: atom {atom.name} has no place: "
                f"{atom.place}. Fill in its coordinates."
            )
    return Structure(path, models[model - 1], len(models), sequences)


def _check_lines(path: Path, text: str) -> None:
    """Refuse malformed numbers of a PDB file, which gemmi reads as zero."""
    for number, line in enumerate(text.splitlines(), 1):
        if line[:6].strip() not in ("ATOM", "HETATM"):
            continue
        try:
            int(line[22:26])
            for column in (line[30:38], line[38:46], line[46:54], line[54:60].strip() or "1"):
                float(column)
        except ValueError:
            raise DataError(
                f"{path}: line {number} is no atom record: {line[:60].strip()!r}. Columns 31 "
                "to 54 hold coordinates, 23 to 26 the residue's number."
            ) from None


def _read_pdb(text: str) -> tuple[gemmi.Structure, Sequences]:
    structure = gemmi.read_pdb_string(text)
    for chain in (c for model in structure for c in model if len(c.name) == 2):
        for residue in chain:  # the fourth letter of TIP3 is in the column before the chain's
            residue.name += chain.name[0]
        chain.name = chain.name[1]
    return structure, {e.name: tuple(e.full_sequence) for e in structure.entities}


def _read_cif(text: str) -> tuple[gemmi.Structure, Sequences]:
    block = gemmi.cif.read_string(text)[0]
    sequences: Sequences = {}
    for chain, residue in block.find("_pdbx_poly_seq_scheme.", ["pdb_strand_id", "mon_id"]):
        sequences[chain] = (*sequences.get(chain, ()), residue)
    return gemmi.make_structure_from_block(block), sequences


def _atoms(model: gemmi.Model) -> Iterator[Atom]:
    """With the usual names of residues and atoms."""
    for site in model.all():
        residue = PROTONATION.get(site.residue.name, site.residue.name)
        name = _RENAMED.get((residue, site.atom.name), site.atom.name)
        element = site.atom.element.name.upper()
        if residue in STANDARD:
            name = _TERMINAL.get(name, name)
            element = name.lstrip(digits)[:1].upper()  # HG is not mercury, CA not calcium
        number = site.residue.seqid
        if number.num is None:
            raise ValueError(f"{residue} has no number")
        yield Atom(
            name=name,
            altloc=site.atom.altloc.strip("\0"),
            residue=residue,
            chain=site.chain.name,
            number=number.num,
            insertion=number.icode.strip(),
            place=tuple(site.atom.pos.tolist()),
            occupancy=site.atom.occ,
            element=element,
        )


def pdb_text(residues: tuple[Residue, ...], sequences: Sequences) -> str:
    """Residues as a PDB file of one model, with the sequences of their chains.

    Chains are in the order of `residues`. Where a name has more than one letter, as in mmCIF
    files, which have room for it, all of them are called A, B, … instead.
    """
    lines = []
    chains = list(dict.fromkeys(r.chain for r in residues))
    letters = {c: c or " " for c in chains}
    if any(len(c) > 1 for c in chains):
        letters = dict(zip(chains, cycle(ascii_uppercase + ascii_lowercase + digits), strict=False))
    for chain in chains:
        names = sequences.get(chain, ())
        for row in range(0, len(names), 13):
            part = " ".join(f"{n:>3s}" for n in names[row : row + 13])
            lines.append(f"SEQRES {row // 13 + 1:3d} {letters[chain]} {len(names):4d}  {part}")
    serial = 0
    for chain in chains:
        for residue in (r for r in residues if r.chain == chain):
            for atom in residue.atoms:
                serial += 1
                name = atom.name if len(atom.name) == 4 else f" {atom.name:<3s}"
                place = "".join(f"{x:8.3f}" for x in atom.place)
                lines.append(
                    f"ATOM  {serial % 100000:5d} {name} {residue.name:>3s} {letters[chain]}"
                    f"{residue.number:4d}{residue.insertion or ' '}   {place}  1.00  0.00"
                    f"          {atom.element:>2s}"
                )
        lines.append("TER")
    return "\n".join([*lines, "END", ""])
