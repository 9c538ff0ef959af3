"""`prepare`: a user's protein structure or small molecule as a system."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from openmm import app

from egno_md.core.errors import OutputError, SpecError
from egno_md.core.progress import Progress, Silent
from egno_md.data.store import write_json
from egno_md.md.build import BuiltSystem, build_system, load_system
from egno_md.md.potentials.mmff94 import write_mmff94
from egno_md.md.prepare.build import (
    SOLUTE_FILES,
    WATER_FILES,
    Prepared,
    Relaxed,
    complete,
    relax,
    solvate,
    write_pdb,
)
from egno_md.md.prepare.checks import Choices, Protein, check_structure
from egno_md.md.prepare.molecule import MOLFILES, Molecule, read_molecule
from egno_md.md.prepare.records import Structure, read_records
from egno_md.spec.files import validate
from egno_md.spec.prepare import Preparation
from egno_md.spec.system import SystemSpec

STRUCTURE, RECIPE = "structure.pdb", "recipe.json"

HEAVY_HYDROGEN = 4.0
"""Da: with rigid bonds to hydrogen it allows steps of 4 fs (Feenstra et al. 1999)."""

RELAXED_FORCE = 1000.0
"""kJ/mol/nm, to which minimisation goes; dynamics begins well below 2 × 10⁴."""


HEADER = """\
# Written by 'egno-md prepare'; recipe.json says how. Rigid bonds to hydrogen and heavy hydrogens
# allow steps of 4 fs; refinement moves the same atoms without constraints.
"""


@dataclass(frozen=True, eq=False)
class PreparedSystem:
    """A system that was made.

    Attributes:
        folder: with system.yaml, structure and recipe.
        built: the system as built from it.
        recipe: what recipe.json says.
        summary: what was made, in one line.
        protocol: shipped one of `generate` to begin with.
    """

    folder: Path
    built: BuiltSystem
    recipe: dict[str, Any]
    summary: str
    protocol: str


def run_prepare(
    source: Path | str,
    out: Path | str,
    options: dict[str, object] | None = None,
    *,
    seed: int = 0,
    name: str | None = None,
    origin: str = "",
    progress: Progress | None = None,
) -> PreparedSystem:
    """Make a system of a protein's PDB or PDBx/mmCIF file, or of a small molecule's file.

    Missing heavy atoms, termini or caps and hydrogens of a protein are added, what is
    no protein is left out, and every choice is kept in recipe.json. What cannot be
    prepared, or not without a choice of yours, is refused with the residue's name.

    A small molecule (PDB with CONECT records, SDF or MDL mol, with all hydrogens) is
    taken as it is, with GFN2-xTB in system.yaml and MMFF94 in mmff94.yaml.

    Args:
        source: the structure.
        out: folder of the system, which must not exist.
        options: keys of `Preparation`, such as ``{"ph": 6.5, "caps": True}``.
        seed: of what is built.
        name: of the system; the folder's by default.
        origin: where the structure is from, for the recipe.
        progress: receives progress and notes.

    Raises:
        DataError: the structure cannot be prepared as it is.
        PotentialError: OpenMM cannot complete or relax it, or MMFF94 lacks parameters.
        OutputError: the folder exists or cannot be written.
        SpecError: an unknown option, or a value that is not allowed.
    """
    source, out, progress = Path(source), Path(out), progress or Silent()
    preparation = validate(options or {}, Preparation, "prepare")
    if out.exists():
        raise OutputError(f"{out}: exists already. Choose another folder with --out.")
    structure = None if source.suffix in MOLFILES else read_records(source, preparation.model)
    name = _system_name(name or out.resolve().name)
    if structure is None or structure.is_molecule:
        _check_options(source, preparation)
        molecule = read_molecule(source)
        with _new_folder(out):
            return _write_molecule(out, name, source, molecule, origin)
    protein = check_structure(structure, _choices(preparation))
    progress.note(f"{len(protein.residues)} residues of {source.name}")
    prepared = complete(
        structure, protein, caps=preparation.caps, acidity=preparation.ph, seed=seed
    )
    if preparation.solvent == "water":
        prepared = solvate(prepared, preparation.padding, preparation.salt, seed)
    spec = _spec(name, source, preparation)
    with _new_folder(out):
        return _write(out, spec, structure, protein, prepared, preparation, seed, origin)


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    """A folder that is removed again where its content cannot be made."""
    try:
        out.mkdir(parents=True)
        yield
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror}.") from None
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def _system_name(name: str) -> str:
    """With the characters that names of systems have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._") or "system"


def _check_options(source: Path, options: Preparation) -> None:
    """Refuse options that do nothing for a small molecule."""
    plain = Preparation(minimise=options.minimise)
    for key, value in options:
        if value != getattr(plain, key):
            raise SpecError(
                f"{key}: is for proteins, and {source.name} is a small molecule. Leave it out."
            )


def _write_molecule(
    out: Path, name: str, source: Path, molecule: Molecule, origin: str
) -> PreparedSystem:
    """The folder of a small molecule: GFN2-xTB, and MMFF94 beside it."""
    potential = {"kind": "xtb", "method": "GFN2-xTB", "accuracy": 0.1, "charge": molecule.charge}
    content = {
        "name": name,
        "description": f"{molecule.formula} in vacuum, quantum chemistry by GFN2-xTB.",
        "structure": STRUCTURE,
        "potential": potential,
        "constraints": "none",
    }
    _write_structure(out, molecule.topology, molecule.positions)
    write_mmff94(out, SystemSpec.model_validate(content), molecule.graph)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    (out / "system.yaml").write_text(text, encoding="utf-8")
    recipe = {
        "source": {"file": source.name, "sha256": _checksum(source), "origin": origin},
        "smiles": molecule.smiles,
        "formula": molecule.formula,
        "charge": molecule.charge,
        "atoms": molecule.graph.GetNumAtoms(),
        "structure_sha256": _checksum(out / STRUCTURE),
        "versions": {p: version(p) for p in ("openmm", "rdkit", "egno-md")},
    }
    write_json(out / RECIPE, recipe)
    built = load_system(str(out))
    summary = (
        f"{recipe['atoms']} atoms, {molecule.smiles}, charge {molecule.charge}, "
        f"{built.system.potential}; MMFF94 in mmff94.yaml."
    )
    return PreparedSystem(out, built, recipe, summary, "nve-500k")


def _choices(options: Preparation) -> Choices:
    return Choices(
        chains=options.chains,
        altloc=options.altloc,
        build_loops=options.build_loops,
        replace_nonstandard=options.replace_nonstandard,
        remove_ligands=options.remove_ligands,
    )


def _spec(name: str, source: Path, options: Preparation) -> SystemSpec:
    is_wet = options.solvent == "water"
    potential: dict[str, object] = {"kind": "forcefield", "files": list(SOLUTE_FILES)}
    if is_wet:
        potential |= {"files": list(WATER_FILES), "nonbonded": "pme", "cutoff": "0.9 nm"}
    else:
        potential["implicit_solvent"] = "obc2"
    around = "TIP3P-FB water" if is_wet else "native GBSA-OBC2"
    return SystemSpec.model_validate(
        {
            "name": name,
            "description": f"{source.name} with amber14 and {around}.",
            "structure": STRUCTURE,
            "potential": potential,
            "constraints": "h-bonds",
            "hydrogen_mass": f"{HEAVY_HYDROGEN:g} Da",
        }
    )


def _write(
    out: Path,
    spec: SystemSpec,
    structure: Structure,
    protein: Protein,
    prepared: Prepared,
    options: Preparation,
    seed: int,
    origin: str,
) -> PreparedSystem:
    _write_structure(out, prepared.topology, prepared.positions)
    built = build_system(spec, out)
    relaxed = None
    if options.minimise:
        relaxed = relax(built, prepared.file_atoms, RELAXED_FORCE)
        _write_structure(out, prepared.topology, relaxed.positions)
    content = spec.model_dump(mode="json", exclude_defaults=True)
    text = HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    (out / "system.yaml").write_text(text, encoding="utf-8")
    recipe = _recipe(out, structure, protein, prepared, relaxed, options, seed, origin)
    write_json(out / RECIPE, recipe)
    system = load_system(str(out))
    added = sum(map(len, prepared.built.values()))
    removed = ", ".join(f"{n} {r}" for r, n in protein.removed.items()) or "nothing"
    summary = (
        f"{system.system.n_atoms:,} atoms, {len(protein.residues)} residues, "
        f"{system.system.potential}; {added} heavy atoms built, left out: {removed}."
    )
    return PreparedSystem(out, system, recipe, summary, "protein-300k")


def _write_structure(out: Path, topology: app.Topology, positions: np.ndarray) -> None:
    text = io.StringIO()
    write_pdb(text, topology, positions)
    lines = [x for x in text.getvalue().splitlines() if not x.startswith("REMARK")]
    (out / STRUCTURE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _recipe(
    out: Path,
    structure: Structure,
    protein: Protein,
    prepared: Prepared,
    relaxed: Relaxed | None,
    options: Preparation,
    seed: int,
    origin: str,
) -> dict[str, Any]:
    """Everything by which the same system can be made again."""
    return {
        "source": {
            "file": structure.path.name,
            "sha256": _checksum(structure.path),
            "origin": origin,
            "models": structure.models,
        },
        "options": options.model_dump(mode="json"),
        "seed": seed,
        "residues": len(protein.residues),
        "atoms": prepared.topology.getNumAtoms(),
        "atoms_of_the_file": len(prepared.file_atoms),
        "left_out": protein.removed,
        "altlocs": list(protein.altlocs),
        "replaced": protein.nonstandard,
        "residues_modelled": list(prepared.missing),
        "residues_missing_at_ends": prepared.ends,
        "heavy_atoms_built": prepared.built,
        "protonation": prepared.protonation,
        "disulfides": list(prepared.disulfides),
        "relaxation": None
        if relaxed is None
        else {k: v for k, v in asdict(relaxed).items() if k != "positions"},
        "structure_sha256": _checksum(out / STRUCTURE),
        "versions": {p: version(p) for p in ("openmm", "pdbfixer", "egno-md")},
    }


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
