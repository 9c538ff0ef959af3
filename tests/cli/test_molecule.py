"""`prepare` of a small molecule, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from rdkit import Chem
from rdkit.Chem import AllChem

from egno_md.cli import main
from egno_md.spec.files import shipped

ETHANOL = shipped("systems") / "ethanol" / "ethanol.pdb"
BENZENE = shipped("systems") / "benzene" / "benzene.pdb"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def molfile(smiles: str, *, hydrogens: bool = True, embedded: bool = True) -> str:
    molecule = Chem.MolFromSmiles(smiles)
    molecule = Chem.AddHs(molecule) if hydrogens else molecule
    if embedded:
        AllChem.EmbedMolecule(molecule, randomSeed=1, useRandomCoords=True)
    return Chem.MolToMolBlock(molecule)


def lines(path: Path, drop: Callable[[str], bool]) -> str:
    return "\n".join(x for x in path.read_text().splitlines() if not drop(x)) + "\n"


def test_a_molecule_becomes_a_system_that_both_potentials_move(tmp_path: Path) -> None:
    source, out = tmp_path / "glycol.sdf", tmp_path / "glycol"
    source.write_text(molfile("OCCO") + "$$$$\n")
    code, text = run("prepare", str(source), "--out", str(out))
    assert code == 0, text
    assert "10 atoms, OCCO, charge 0, GFN2-xTB" in text
    names = {"system.yaml", "structure.pdb", "recipe.json", "mmff94.xml", "mmff94.yaml"}
    assert {p.name for p in out.iterdir()} == names
    settings = ("replicas=1", "equilibration=5 fs", "sampling.segments=1",
                "sampling.segment_length=5 fs", "sampling.decorrelation=5 fs")  # fmt: skip
    changes = [word for setting in settings for word in ("--set", setting)]
    for system in (out, out / "mmff94.yaml"):
        data = str(tmp_path / f"data-{system.name}")
        words = ("generate", str(system), "--protocol", "nve-500k", "--out", data)
        code, text = run(*words, *changes)
        assert code == 0, text


def test_a_pdb_file_is_taken_by_its_conect_records(tmp_path: Path) -> None:
    code, text = run("prepare", str(ETHANOL), "--out", str(tmp_path / "mine"), "--json")
    assert code == 0, text
    recipe = json.loads(text.splitlines()[0])
    assert (recipe["smiles"], recipe["formula"], recipe["charge"]) == ("CCO", "C2H6O", 0)
    ours = (tmp_path / "mine" / "structure.pdb").read_text()
    assert ours.splitlines()[:9] == ETHANOL.read_text().splitlines()[1:10]


REFUSED: dict[str, tuple[str, Callable[[], str], tuple[str, ...]]] = {
    "no parameters": ("a.sdf", lambda: molfile("CB(O)O"), ("CH5BO2, which has B", "init system")),
    "no types": ("a.mol", lambda: molfile("[C-]#[O+]"), ("no parameters for CO",)),
    "no hydrogens": (
        "a.sdf",
        lambda: molfile("CCO", hydrogens=False),
        ("atom C1 lacks 3 hydrogens", "AddHs"),
    ),
    "no hydrogens in a PDB file": (
        "a.pdb",
        lambda: lines(BENZENE, lambda x: x[76:78] == " H"),
        ("has no hydrogens", "obabel"),
    ),
    "one hydrogen less": (
        "a.pdb",
        lambda: lines(ETHANOL, lambda x: x.startswith(("HETATM    9", "CONECT    9"))),
        ("no bond orders fit", "formal charges"),
    ),
    "no bonds": ("a.pdb", lambda: lines(ETHANOL, lambda x: "CONECT" in x), ("names no bonds",)),
    "two molecules": ("a.sdf", lambda: molfile("CCO.O"), ("12 atoms in 2 molecules",)),
    "two records": ("a.sdf", lambda: (molfile("CCO") + "$$$$\n") * 2, ("holds 2 molecules",)),
    "a radical": ("a.sdf", lambda: molfile("[CH3]"), ("C1 has an unpaired electron",)),
    "a drawing": ("a.mol", lambda: molfile("CCO", embedded=False), ("flat drawing", "--gen3d")),
    "too large": ("a.mol", lambda: molfile("C" * 70), ("212 atoms", "at most 200")),
    "no molfile": ("a.sdf", lambda: "nonsense\n", ("cannot be read as a structure",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_complete_molecule_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    name, make, words = REFUSED[case]
    (tmp_path / name).write_text(make())
    code, text = run("prepare", str(tmp_path / name), "--out", str(tmp_path / "out"))
    assert code == 2
    assert text.strip().count("\n") == 0
    assert all(word in text for word in words), text
    assert not (tmp_path / "out").exists()


def test_options_for_proteins_are_refused_for_a_molecule(tmp_path: Path) -> None:
    words = ("prepare", str(ETHANOL), "--out", str(tmp_path / "out"), "--caps")
    code, text = run(*words)
    assert code == 2
    assert "caps: is for proteins, and ethanol.pdb is a small molecule" in text
