"""`init`: files to begin with, every key explained."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from egno_md.core.errors import DataError, EgnoMDError, OutputError, PotentialError
from egno_md.md.build import BuiltSystem, build_system
from egno_md.md.prepare.molecule import LARGEST_FOR_XTB
from egno_md.registry import MODELS
from egno_md.spec.base import Spec
from egno_md.spec.files import find_protocol, read_spec
from egno_md.spec.system import SystemSpec
from egno_md.spec.template import commented_yaml

COMMANDS = {"benchmark": "benchmark TABLE", "stress": "benchmark stress"}
"""Commands that take a protocol of another name than their own."""

_PROTEIN = {"kind": "forcefield", "files": ["amber14/protein.ff14SB.xml"]}
_SOLUTION = {
    "kind": "forcefield",
    "files": ["amber14-all.xml", "amber14/tip3pfb.xml"],
    "cutoff": "0.9 nm",
}


def init_protocol(verb: str, out: Path, like: str) -> Path:
    """Write a commented protocol.

    Args:
        verb: ``generate``, ``train`` or ``propagate``.
        out: the file, which must not exist.
        like: shipped name or file whose values it takes.

    Raises:
        SpecError: no such protocol.
        OutputError: the file exists or cannot be written.
    """
    path = find_protocol(verb, like)
    spec: Spec = read_spec(path, MODELS[verb])
    command = COMMANDS.get(verb, verb)
    header = (
        f"Protocol for 'egno-md {command}', with the values of {path.stem}. Quantities carry their "
        f"unit. Use it with: egno-md {command} … --protocol {out.name}"
    )
    _write(out, commented_yaml(spec, header))
    return out


def init_system(structure: Path, out: Path) -> BuiltSystem:
    """Write a system's folder: the structure and a commented system.yaml.

    The potential is the first of these that can be built for the structure:
    amber14 with OBC2 water (proteins), amber14 with TIP3P-FB water (with a
    box), GFN2-xTB (small molecules).

    Args:
        structure: PDB or PDBx/mmCIF with all hydrogens.
        out: the folder, which must not exist.

    Returns:
        The system as built from the new folder.

    Raises:
        DataError: the structure cannot be read, or lacks hydrogens or bonds.
        PotentialError: no potential can be built for it; says what each lacks.
        OutputError: the folder exists or cannot be written.
    """
    if out.exists():
        raise OutputError(f"{out}: exists already. Choose another folder with --out.")
    spec = _spec(structure)
    try:
        out.mkdir(parents=True)
        shutil.copyfile(structure, out / structure.name)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror}.") from None
    header = (
        "How the atoms of the structure interact. Quantities carry their unit. "
        f"Use it with: egno-md generate {out} --out runs/data"
    )
    _write(out / "system.yaml", commented_yaml(spec, header))
    return build_system(spec, out)


def _spec(structure: Path) -> SystemSpec:
    """The first potential that can be built."""
    problems = []
    for name, potential in (
        ("amber14 with OBC2 water", {**_PROTEIN, "implicit_solvent": "obc2"}),
        ("amber14 with TIP3P-FB water", _SOLUTION),
        ("GFN2-xTB", {"kind": "xtb"}),
    ):
        spec = _with_potential(structure, potential)
        try:
            built = build_system(spec, structure.parent)
        except DataError:
            raise
        except EgnoMDError as error:
            problems.append(f"{name}: {str(error.args[0])[:140]}")
            continue
        if potential["kind"] != "xtb":
            return spec
        _check_complete(structure, built)
        if built.system.n_atoms <= LARGEST_FOR_XTB:
            unpaired = int(built.system.atomic_numbers.sum()) % 2
            return _with_potential(structure, {**potential, "unpaired_electrons": unpaired})
        problems.append(f"{name}: {built.system.n_atoms} atoms are too slow")
    raise PotentialError(
        f"{structure}: no potential can be built for it ({'; '.join(problems)}). Add what is "
        "missing, hydrogens for instance, or write a system.yaml by hand."
    )


def _check_complete(structure: Path, built: BuiltSystem) -> None:
    """Refuse missing hydrogens and bonds, which GFN2-xTB would accept."""
    system = built.system
    has_residues = any(r.is_protein or r.is_nucleic for r in system.topology.residues)
    if has_residues and "H" not in system.elements:
        raise DataError(
            f"{structure}: residues without hydrogens. Add them, with PDBFixer or OpenMM's "
            "Modeller.addHydrogens for instance."
        )
    if system.n_atoms > 1 and len(system.bonds) == 0:
        raise DataError(
            f"{structure}: names no bonds, by which windows are judged. Add CONECT records."
        )


def _with_potential(structure: Path, potential: Mapping[str, object]) -> SystemSpec:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", structure.stem).strip("-._") or "system"
    return SystemSpec.model_validate(
        {"name": name, "structure": structure.name, "potential": potential}
    )


def _write(path: Path, text: str) -> None:
    """Create a file that does not exist yet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise OutputError(f"{path}: exists already. Choose another name with --out.") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}.") from None
