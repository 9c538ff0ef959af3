"""Checks of a structure before preparation: every refusal names the residue and the remedy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.spatial import KDTree

from egno_md.core.errors import DataError
from egno_md.geometry.stereocentres import signed_volumes
from egno_md.md.prepare.records import CAPS, NUCLEIC, STANDARD, Atom, Residue, Structure

LONGEST_BOND = 2.0
"""Å between C and the next residue's N above which a chain is broken."""

LONGEST_LOOP = 12
"""Missing residues in a row that may be modelled; longer ones cannot be predicted."""

OVERLAP = 0.8
"""Å between heavy atoms below which they overlap."""


@dataclass(frozen=True)
class Choices:
    """A user's choices about a structure.

    Attributes:
        chains: to keep; None where there is only one.
        altloc: alternate location to keep, or ``highest`` for the most occupied.
        build_loops: model missing residues inside a chain by its SEQRES.
        replace_nonstandard: put standard residues in the place of modified ones.
        remove_ligands: leave out ligands and ions.
    """

    chains: tuple[str, ...] | None = None
    altloc: str | None = None
    build_loops: bool = False
    replace_nonstandard: bool = False
    remove_ligands: bool = False


@dataclass(frozen=True)
class Protein:
    """The protein to prepare.

    Attributes:
        residues: of the protein alone, without hydrogens and caps.
        nonstandard: modified residue and its standard replacement.
        removed: how many residues of which name were left out.
        altlocs: residues with a chosen location.
        gaps: residues on both sides of missing ones to model.
    """

    residues: tuple[Residue, ...]
    nonstandard: dict[str, str]
    removed: dict[str, int]
    altlocs: tuple[str, ...]
    gaps: tuple[str, ...]


def check_structure(structure: Structure, choices: Choices) -> Protein:
    """The protein of a structure, or the reason why it cannot be prepared.

    Raises:
        DataError: naming the residue and the remedy.
    """
    structure = _one_chain_or_chosen(structure, choices)
    structure, altlocs = _one_location(structure, choices)
    residues, removed = _without_the_rest(structure, choices)
    nonstandard = _nonstandard(structure, residues, choices)
    _check_backbones(structure, residues)
    _check_overlaps(structure, residues)
    gaps = tuple(_gaps(structure, residues, choices))
    _check_chirality(structure, residues)
    return Protein(residues, nonstandard, removed, altlocs, gaps)


def _one_chain_or_chosen(structure: Structure, choices: Choices) -> Structure:
    path = structure.path
    proteins = list(dict.fromkeys(r.chain for r in structure.residues if r.is_amino_acid))
    nucleic = [r for r in structure.residues if r.name in NUCLEIC]
    if not proteins and nucleic:
        raise DataError(
            f"{path}: {nucleic[0]} is nucleic acid, and there is no protein. Only proteins are "
            "prepared; write a system.yaml with a force field for it by hand."
        )
    if not proteins:
        names = sorted({r.name for r in structure.residues})[:6]
        raise DataError(
            f"{path}: holds no protein, only {', '.join(names)}. Make a system of "
            "water, with all its hydrogens, by 'egno-md init system'."
        )
    if choices.chains is None and len(proteins) > 1:
        raise DataError(
            f"{path}: has {len(proteins)} protein chains: {', '.join(proteins)}. Choose with "
            f"--chains {proteins[0]}, or keep all with --chains {','.join(proteins)}."
        )
    chosen = tuple(proteins) if choices.chains is None else choices.chains
    unknown = [c for c in chosen if c not in proteins]
    if unknown:
        raise DataError(
            f"{path}: has no protein chain '{unknown[0]}'. It has: {', '.join(proteins)}."
        )
    unprepared = [r for r in nucleic if choices.chains is None or r.chain in chosen]
    if unprepared:
        raise DataError(
            f"{path}: {unprepared[0]} is nucleic acid, which is not prepared. Keep the protein alone "
            f"with --chains {','.join(proteins)}."
        )
    if choices.chains is None:
        return structure
    return replace(structure, atoms=tuple(a for a in structure.atoms if a.chain in chosen))


def _one_location(structure: Structure, choices: Choices) -> tuple[Structure, tuple[str, ...]]:
    """Every atom at one location."""
    places: dict[tuple[str, int, str], list[Atom]] = {}
    for atom in structure.atoms:
        if atom.altloc and not Residue(atom.residue, "", 0, "", ()).is_water:
            places.setdefault((atom.chain, atom.number, atom.insertion), []).append(atom)
    if not places:
        return structure, ()
    several = {k: v for k, v in places.items() if len({a.altloc for a in v}) > 1}
    if several and choices.altloc is None:
        (chain, number, insertion), atoms = next(iter(several.items()))
        available = sorted({a.altloc for a in atoms})
        name = str(Residue(atoms[0].residue, chain, number, insertion, ()))
        raise DataError(
            f"{structure.path}: {name} has alternate locations {', '.join(available)} ({len(several)} "
            f"residues have). Choose with --altloc {available[0]}, or --altloc highest."
        )
    letters = {key: _letter(atoms, choices.altloc) for key, atoms in places.items()}
    missing = [k for k in several if letters[k] not in {a.altloc for a in several[k]}]
    if missing:
        chain, number, insertion = missing[0]
        atoms = several[missing[0]]
        name = str(Residue(atoms[0].residue, chain, number, insertion, ()))
        raise DataError(
            f"{structure.path}: {name} has no location '{choices.altloc}', only "
            f"{', '.join(sorted({a.altloc for a in atoms}))}. Use --altloc highest."
        )

    def stays(atom: Atom) -> bool:
        key = (atom.chain, atom.number, atom.insertion)
        return not atom.altloc or key not in several or atom.altloc == letters[key]

    names = tuple(
        f"{v[0].residue} {n}{i} of chain {c}: {letters[c, n, i]}"
        for (c, n, i), v in several.items()
    )
    return replace(structure, atoms=tuple(a for a in structure.atoms if stays(a))), names


def _letter(atoms: list[Atom], choice: str | None) -> str:
    """The location to keep of one residue."""
    if choice not in (None, "highest"):
        return str(choice)
    letters = sorted({a.altloc for a in atoms})
    return max(letters, key=lambda x: max(a.occupancy for a in atoms if a.altloc == x))


def _without_the_rest(
    structure: Structure, choices: Choices
) -> tuple[tuple[Residue, ...], dict[str, int]]:
    """Amino acids alone, and the numbers of other residues by name."""
    removed: Counter[str] = Counter()
    residues = []
    for residue in structure.residues:
        is_cap_or_water = residue.name in CAPS or residue.is_water
        if residue.is_amino_acid and not is_cap_or_water:
            residues.append(residue)
        elif is_cap_or_water or choices.remove_ligands:
            removed[residue.name] += 1
        else:
            raise DataError(
                f"{structure.path}: {residue} is no part of a protein, and amber14 has no "
                "parameters for it. Leave out ligands and ions with --remove-ligands, or write a "
                "system.yaml with a force field for it by hand."
            )
    return tuple(residues), dict(removed)


def _nonstandard(
    structure: Structure, residues: tuple[Residue, ...], choices: Choices
) -> dict[str, str]:
    from pdbfixer.pdbfixer import substitutions

    replacements = {}
    for residue in (r for r in residues if r.name not in STANDARD):
        standard = substitutions.get(residue.name)
        if standard is None:
            raise DataError(
                f"{structure.path}: {residue} is a residue that amber14 does not know, and that "
                "has no standard residue to take its place. Replace it in the file, or write a "
                "system.yaml with a force field for it by hand."
            )
        if not choices.replace_nonstandard:
            raise DataError(
                f"{structure.path}: {residue} is not a standard residue. Put {standard} in its "
                "place with --replace-nonstandard."
            )
        replacements[str(residue)] = standard
    return replacements


def _check_backbones(structure: Structure, residues: tuple[Residue, ...]) -> None:
    for residue in residues:
        names = {a.name for a in residue.atoms}
        lacking = [n for n in ("N", "CA", "C") if n not in names]
        if not lacking:
            continue
        if names == {"CA"}:
            raise DataError(
                f"{structure.path}: {residue} has its CA atom alone. Give a structure of all heavy "
                "atoms; rebuild one from CA atoms with a program made for it."
            )
        raise DataError(
            f"{structure.path}: {residue} lacks its backbone atoms {', '.join(lacking)}. Side "
            "chains are completed, a backbone is not: model the residue first, or take it out."
        )


def _check_overlaps(structure: Structure, residues: tuple[Residue, ...]) -> None:
    owners = [r for r in residues for _ in r.atoms]
    atoms = [a for r in residues for a in r.atoms]
    pairs = KDTree(np.array([a.place for a in atoms])).query_pairs(OVERLAP, output_type="ndarray")
    if len(pairs):
        i, j = min(map(tuple, pairs.tolist()))
        raise DataError(
            f"{structure.path}: atoms {atoms[i].name} of {owners[i]} and {atoms[j].name} of "
            f"{owners[j]} stand in one place. Take one of them out of the file."
        )


def _gaps(structure: Structure, residues: tuple[Residue, ...], choices: Choices):
    for before, after in pairwise(residues):
        if before.chain != after.chain:
            continue
        c, n = before.place("C"), after.place("N")
        assert c is not None
        assert n is not None
        distance = float(np.linalg.norm(c - n))
        if distance < LONGEST_BOND:
            continue
        count = after.number - before.number - 1
        where = f"between {before} and {after}"
        if count < 1:
            raise DataError(
                f"{structure.path}: the chain is broken {where}: C and N are {distance:.1f} Å "
                "apart and no residue is missing by number. Mend the file, or choose another "
                "model with --model."
            )
        if count > LONGEST_LOOP:
            raise DataError(
                f"{structure.path}: {count} residues are missing {where}, more than the "
                f"{LONGEST_LOOP} that can be modelled. Model the loop with a program made for it."
            )
        if not structure.sequences.get(before.chain):
            raise DataError(
                f"{structure.path}: {count} residues are missing {where}, and there is no SEQRES "
                "to say which. Give the deposited file with SEQRES, or model the loop first."
            )
        if not choices.build_loops:
            raise DataError(
                f"{structure.path}: {count} residues are missing {where}. Model them with "
                "--build-loops, whose conformation is then a guess, or give a complete structure."
            )
        yield f"{count} {where}"


def _check_chirality(structure: Structure, residues: tuple[Residue, ...]) -> None:
    for residue in residues:
        places = [residue.place(n) for n in ("CA", "N", "C", "CB")]
        if any(p is None for p in places):
            continue
        if signed_volumes(np.array(places), np.array([[1, 2, 3, 0]]))[0] < 0:
            raise DataError(
                f"{structure.path}: {residue} is a D-amino acid by its geometry, which amber14 "
                "would move as if it were the L form. Mirror it, or take another model."
            )
