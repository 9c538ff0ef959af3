"""The atoms that a structure file lists, before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

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
"""Names for states of standard residues in other force fields; the pH decides here."""

CAPS = frozenset({"ACE", "NME", "NMA"})
WATER = frozenset({"HOH", "WAT", "TIP3", "TIP", "SOL", "DOD", "H2O"})
NUCLEIC = frozenset(["A", "C", "G", "U", "I", "DA", "DC", "DG", "DT", "DU", "DI"])
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
        is_hetero: not of a standard polymer residue, says the file.
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
    is_hetero: bool

    @property
    def residue_key(self) -> tuple[str, int, str, str]:
        """What tells its residue from others."""
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
        found = next((a.place for a in self.atoms if a.name == name), None)
        return None if found is None else np.array(found)

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
    """What a file holds of its first, or a chosen, model.

    Attributes:
        path: of the file.
        atoms: all locations of all atoms.
        models: how many the file has.
        sequences: residue names per chain as the file says they were in the sample.
    """

    path: Path
    atoms: tuple[Atom, ...]
    models: int
    sequences: dict[str, tuple[str, ...]]

    @property
    def residues(self) -> tuple[Residue, ...]:
        """In the order of the file; hydrogens are left out, the first location of an atom kept."""
        found: dict[tuple[str, int, str, str], dict[str, Atom]] = {}
        for atom in self.atoms:
            if atom.element not in ("H", "D"):
                found.setdefault(atom.residue_key, {}).setdefault(atom.name, atom)
        return tuple(
            Residue(name, chain, number, insertion, tuple(atoms.values()))
            for (chain, number, insertion, name), atoms in found.items()
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
    models, sequences = _read_cif(path) if path.suffix == ".cif" else _read_pdb(path, text)
    if not models or not models[0]:
        raise DataError(f"{path}: holds no atoms: it has no ATOM records. Give a structure.")
    if not 1 <= model <= len(models):
        raise DataError(f"{path}: has no model {model}: it has {len(models)}. Choose with --model.")
    atoms = tuple(_usual(a) for a in models[model - 1])
    for atom in atoms:
        if not np.isfinite(atom.place).all():
            raise DataError(
                f"{path}: {atom.residue} {atom.number}: atom {atom.name} has no place: "
                f"{atom.place}. Fill in its coordinates."
            )
    return Structure(path, atoms, len(models), sequences)


def _usual(atom: Atom) -> Atom:
    """With the usual names of residues and atoms."""
    residue = PROTONATION.get(atom.residue, atom.residue)
    name = _RENAMED.get((residue, atom.name), atom.name)
    if residue in STANDARD:
        name = _TERMINAL.get(name, name)
    return replace(atom, residue=residue, name=name)


def _read_pdb(path: Path, text: str) -> tuple[list[list[Atom]], dict[str, tuple[str, ...]]]:
    models: list[list[Atom]] = [[]]
    sequences: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        kind = line[:6].strip()
        if kind == "MODEL" and models[-1]:
            models.append([])
        elif kind == "SEQRES":
            chain = line[11:12].strip()
            sequences[chain] = (*sequences.get(chain, ()), *line[19:].split())
        elif kind in ("ATOM", "HETATM"):
            try:
                models[-1].append(_pdb_atom(line, kind))
            except ValueError:
                raise DataError(
                    f"{path}: line {number} is no atom record: {line[:60].strip()!r}. Columns 31 "
                    "to 54 hold coordinates, 23 to 26 the residue's number."
                ) from None
    return [m for m in models if m], sequences


def _pdb_atom(line: str, kind: str) -> Atom:
    name = line[12:16].strip()
    element = line[76:78].strip().upper()
    if not element.isalpha():
        element = _guess(name, line[12:14])
    chain = line[21:22].strip()
    return Atom(
        name=name,
        altloc=line[16:17].strip(),
        residue=line[17:20].strip() if line[20:21] == " " else line[17:21].strip(),
        chain=chain,
        number=int(line[22:26]),
        insertion=line[26:27].strip(),
        place=(float(line[30:38]), float(line[38:46]), float(line[46:54])),
        occupancy=float(line[54:60]) if line[54:60].strip() else 1.0,
        element=element,
        is_hetero=kind == "HETATM",
    )


def _guess(name: str, columns: str) -> str:
    """Element by its name: metals begin in column 13, others in column 14."""
    letters = name.lstrip("0123456789")
    if columns.strip().upper() in {"ZN", "MG", "FE", "MN", "NA", "CL", "CU", "NI", "CO", "SE"}:
        return columns.strip().upper()
    return letters[:1].upper()


def _read_cif(path: Path) -> tuple[list[list[Atom]], dict[str, tuple[str, ...]]]:
    from openmm.app.internal.pdbx.reader.PdbxReader import PdbxReader

    blocks: list[Any] = []
    try:
        with path.open(encoding="utf-8") as file:
            PdbxReader(file).read(blocks)
        models: dict[str, list[Atom]] = {}
        for row in _rows(blocks[0].getObj("atom_site")):
            models.setdefault(row.get("pdbx_PDB_model_num", "1"), []).append(_cif_atom(row))
    except Exception as error:  # the reader raises whatever it meets
        detail = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: cannot be read as a structure: {detail}.") from None
    sequences: dict[str, tuple[str, ...]] = {}
    for row in _rows(blocks[0].getObj("pdbx_poly_seq_scheme")):
        chain = row["pdb_strand_id"]
        sequences[chain] = (*sequences.get(chain, ()), row["mon_id"])
    return list(models.values()), sequences


def _rows(table: Any) -> Iterator[dict[str, str]]:
    """Rows of a CIF category by their column's name; none of one that is not there."""
    if table is not None:
        names = table.getAttributeList()
        for index in range(table.getRowCount()):
            yield dict(zip(names, table.getRow(index), strict=True))


def _cif_atom(row: dict[str, str]) -> Atom:
    def known(*keys: str) -> str:
        return next((row[k] for k in keys if row.get(k, "?") not in ("?", ".")), "")

    return Atom(
        name=known("auth_atom_id", "label_atom_id"),
        altloc=known("label_alt_id"),
        residue=known("auth_comp_id", "label_comp_id"),
        chain=known("auth_asym_id", "label_asym_id"),
        number=int(known("auth_seq_id", "label_seq_id")),
        insertion=known("pdbx_PDB_ins_code"),
        place=(float(row["Cartn_x"]), float(row["Cartn_y"]), float(row["Cartn_z"])),
        occupancy=float(known("occupancy") or 1.0),
        element=known("type_symbol").upper(),
        is_hetero=row.get("group_PDB") == "HETATM",
    )


def pdb_text(residues: tuple[Residue, ...], sequences: dict[str, tuple[str, ...]]) -> str:
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
