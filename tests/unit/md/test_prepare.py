"""Structures become systems, or are refused with the residue's name and the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from egno_md.core.errors import DataError, EgnoMDError, OutputError, SpecError
from egno_md.md.build import load_system
from egno_md.md.prepare.checks import Choices, check_structure
from egno_md.md.prepare.records import read_records
from egno_md.md.prepare.run import run_prepare
from egno_md.spec.files import shipped

SOURCE = shipped("systems") / "chignolin" / "5awl.pdb"
Lines = list[str]


def atoms(keep: Callable[[str], bool] = lambda line: True) -> Lines:
    return [x for x in SOURCE.read_text().splitlines() if x.startswith("ATOM") and keep(x)]


def number(line: str) -> int:
    return int(line[22:26])


def moved(line: str, *, name: str | None = None, chain: str | None = None, **columns) -> str:
    """A line with another residue name, chain, alternate location or place."""
    line = line if name is None else line[:17] + f"{name:>3s}" + line[20:]
    line = line if chain is None else line[:21] + chain + line[22:]
    if "altloc" in columns:
        line = line[:16] + columns["altloc"] + line[17:]
    if "place" in columns:
        line = line[:30] + "".join(f"{v:8.3f}" for v in columns["place"]) + line[54:]
    return line


def hetero(name: str, residue: int = 90, place: tuple[float, float, float] = (0, 0, 0)) -> str:
    xyz = "".join(f"{v:8.3f}" for v in place)
    return f"HETATM  900  {name:<3s} {name:>3s} A{residue:4d}    {xyz}  1.00  0.00           C  "


def nucleic() -> Lines:
    return [
        f"ATOM  {i:5d}  {a:<3s}  DA B{5:4d}    {i:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00           {a[0]}  "
        for i, a in enumerate(("P", "O5'", "C5'", "C4'"), 1)
    ]


def sequence(names: str) -> str:
    return f"SEQRES   1 A   10  {names}"


FULL = "TYR TYR ASP PRO GLU THR GLY THR TRP TYR"
NEARBY = (24.0, 20.0, 9.9)


def with_altlocs() -> Lines:
    lines = []
    for line in atoms():
        if number(line) == 3 and line[12:16].strip() == "CB":
            lines += [moved(line, altloc="A"), moved(line, altloc="B", place=(17.7, 21.8, 9.8))]
        else:
            lines.append(line)
    return lines


def mirrored() -> Lines:
    def mirror(line: str) -> str:
        x, y, z = (float(line[i : i + 8]) for i in (30, 38, 46))
        return moved(line, place=(-x, y, z))

    return [mirror(line) for line in atoms()]


def far_apart() -> Lines:
    def pull(line: str) -> str:
        x, y, z = (float(line[i : i + 8]) for i in (30, 38, 46))
        return moved(line, place=(x + 30 * (number(line) > 5), y, z))

    return [pull(line) for line in atoms()]


BAD: dict[str, tuple[Callable[[], Lines], str, str]] = {
    "empty file": (list, "the file is empty", "holds no atoms"),
    "no atom records": (lambda: ["REMARK nothing here"], "no ATOM records", "Give a structure"),
    "broken record": (lambda: ["ATOM      1  N   TYR A   x  nonsense"], "line 1", "Columns 31"),
    "no coordinates": (
        lambda: [x[:30] + "     nan     nan     nan" + x[54:] for x in atoms()],
        "TYR 1: atom N has no place",
        "Fill in",
    ),
    "two chains": (
        lambda: atoms() + [moved(x, chain="B") for x in atoms()],
        "2 protein chains: A, B",
        "--chains A",
    ),
    "alternate locations": (with_altlocs, "ASP 3 of chain A", "--altloc A"),
    "gap without sequence": (
        lambda: atoms(lambda x: number(x) not in (5, 6)),
        "2 residues are missing between PRO 4 of chain A and GLY 7 of chain A",
        "no SEQRES",
    ),
    "gap with sequence": (
        lambda: [sequence(FULL), *atoms(lambda x: number(x) not in (5, 6))],
        "2 residues are missing between PRO 4 of chain A and GLY 7 of chain A",
        "--build-loops",
    ),
    "broken chain": (far_apart, "the chain is broken between GLU 5", "Mend the file"),
    "modified residue": (
        lambda: [moved(x, name="PTR") if number(x) == 2 else x for x in atoms()],
        "PTR 2 of chain A is not a standard residue",
        "--replace-nonstandard",
    ),
    "unknown residue": (
        lambda: [moved(x, name="UNX") if number(x) == 2 else x for x in atoms()],
        "UNX 2 of chain A",
        "amber14 does not know",
    ),
    "ligand": (lambda: [*atoms(), hetero("ATP")], "ATP 90 of chain A", "--remove-ligands"),
    "ion": (lambda: [*atoms(), hetero("ZN")], "ZN 90 of chain A", "--remove-ligands"),
    "nucleic acid alone": (nucleic, "DA 5 of chain B is nucleic acid", "system.yaml"),
    "nucleic acid beside": (
        lambda: [*atoms(), *nucleic()],
        "DA 5 of chain B is nucleic acid",
        "--chains A",
    ),
    "no protein": (lambda: [hetero("HOH")], "holds no protein, only HOH", "init system"),
    "alpha carbons alone": (
        lambda: atoms(lambda x: x[12:16].strip() == "CA"),
        "TYR 1 of chain A has its CA atom alone",
        "heavy atoms",
    ),
    "no backbone nitrogen": (
        lambda: atoms(lambda x: not (number(x) == 6 and x[12:16].strip() == "N")),
        "THR 6 of chain A lacks its backbone atoms N",
        "model the residue",
    ),
    "atoms in one place": (
        lambda: [
            moved(x, place=(23.729, 20.558, 9.852))
            if number(x) == 9 and x[12:16].strip() == "CZ2"
            else x
            for x in atoms()
        ],
        "C of TYR 1 of chain A and CZ2 of TRP 9 of chain A stand in one place",
        "Take one",
    ),
    "mirror image": (mirrored, "TYR 1 of chain A is a D-amino acid", "Mirror it"),
}


def written(folder: Path, lines: Lines) -> Path:
    path = folder / "my.pdb"
    path.write_text("\n".join([*lines, "END", ""]) if lines else "")
    return path


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_prepared_is_refused_by_name(case: str, tmp_path: Path) -> None:
    make, names, remedy = BAD[case]
    with pytest.raises(DataError) as caught:
        run_prepare(written(tmp_path, make()), tmp_path / "out")
    message = str(caught.value)
    assert names in message
    assert remedy in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such structure file"):
        run_prepare(tmp_path / "gone.pdb", tmp_path / "out")
    with pytest.raises(DataError, match=r"must be a \.pdb or \.cif"):
        run_prepare(tmp_path / "my.gro", tmp_path / "out")
    bad = tmp_path / "bad.cif"
    bad.write_text("this is no CIF\n")
    with pytest.raises(DataError, match="cannot be read as a structure"):
        run_prepare(bad, tmp_path / "out")
    with pytest.raises(DataError, match="has no model 3"):
        run_prepare(SOURCE, tmp_path / "out", {"model": 3})


@pytest.mark.parametrize(
    ("columns", "text"), [((30, 38), "   x.xxx"), ((22, 26), "  xx"), ((54, 60), "  one ")]
)
def test_numbers_that_are_none_are_refused_by_their_line(
    columns: tuple[int, int], text: str, tmp_path: Path
) -> None:
    first, last = columns
    lines = atoms()
    lines[3] = lines[3][:first] + text + lines[3][last:]
    with pytest.raises(DataError, match="line 4 is no atom record"):
        read_records(written(tmp_path, lines))


def test_models_that_share_a_number_are_refused_in_one_line(tmp_path: Path) -> None:
    model = ["MODEL        1", *atoms(), "ENDMDL"]
    with pytest.raises(DataError, match="cannot be read as a structure: .*duplicate MODEL"):
        read_records(written(tmp_path, [*model, *model]))
    second = [model[0].replace("1", "2"), *atoms(lambda x: number(x) > 1), "ENDMDL"]
    structure = read_records(written(tmp_path, [*model, *second]), model=2)
    assert structure.models == 2
    assert str(structure.residues[0]) == "TYR 2 of chain A"


def test_elements_that_a_file_leaves_out_are_those_of_its_residues(tmp_path: Path) -> None:
    """Names that begin in the column of metals are no metals in a standard residue."""
    bare = [x[:12] + f"{x[12:16].strip():<4s}" + x[16:66] for x in atoms()]
    zinc, water = hetero("ZN")[:66].replace(" ZN  ", "ZN   ", 1), hetero("HOH", 91)[:66]
    water = water[:12] + " O   TIP3A" + water[22:]
    structure = read_records(written(tmp_path, [*bare, zinc, water]))
    assert {a.element for a in structure.atoms[: len(bare)]} == {"C", "N", "O"}
    residues = structure.residues
    assert [str(r) for r in residues[-2:]] == ["ZN 90 of chain A", "TIP3 91 of chain A"]
    assert residues[-2].atoms[0].element == "ZN"
    assert residues[-1].is_water


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="salt needs a box of water"):
        run_prepare(SOURCE, tmp_path / "out", {"salt": 0.1})
    with pytest.raises(DataError, match="no protein chain 'Q'"):
        run_prepare(SOURCE, tmp_path / "out", {"chains": ("Q",)})
    with pytest.raises(DataError, match="no location 'C'"):
        run_prepare(written(tmp_path, with_altlocs()), tmp_path / "out", {"altloc": "C"})
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        run_prepare(SOURCE, tmp_path / "there")


def test_choices_are_followed(tmp_path: Path) -> None:
    path = written(tmp_path, [*with_altlocs(), hetero("ATP"), hetero("HOH", 91)])
    choices = Choices(altloc="B", remove_ligands=True)
    protein = check_structure(read_records(path), choices)
    asp = protein.residues[2]
    np.testing.assert_allclose(asp.place("CB"), (17.7, 21.8, 9.8))
    assert protein.removed == {"ATP": 1, "HOH": 1}
    assert protein.altlocs == ("ASP 3 of chain A: B",)


def test_a_structure_becomes_a_system_with_its_recipe(tmp_path: Path) -> None:
    """A side chain cut off, a phosphotyrosine, caps and another pH, all in one."""
    side = {"CG", "CD", "OE1", "OE2"}
    lines = [
        moved(x, name="PTR") if number(x) == 2 else x
        for x in atoms(lambda x: not (number(x) == 5 and x[12:16].strip() in side))
    ]
    made = run_prepare(
        written(tmp_path, lines),
        tmp_path / "mine",
        {"caps": True, "ph": 2.0, "replace_nonstandard": True, "minimise": False},
    )
    recipe = json.loads((tmp_path / "mine" / "recipe.json").read_text())
    assert recipe["heavy_atoms_built"]["GLU 5 of chain A"] == ["CD", "CG", "OE1", "OE2"]
    assert recipe["replaced"] == {"PTR 2 of chain A": "TYR"}
    assert set(recipe["protonation"].values()) == {"ASH", "GLH"}
    names = [r.name for r in made.built.system.topology.residues]
    assert names[0] == "ACE"
    assert names[-1] == "NME"
    again = load_system(str(tmp_path / "mine"))
    assert again.system.digest == made.built.system.digest
    assert again.flexible().openmm_system.getNumConstraints() == 0
    assert len(again.system.constraints) > 0


@pytest.mark.slow
def test_a_loop_is_modelled_by_its_sequence(tmp_path: Path) -> None:
    lines = [sequence(FULL), *atoms(lambda x: number(x) not in (5, 6))]
    made = run_prepare(written(tmp_path, lines), tmp_path / "mine", {"build_loops": True})
    assert made.recipe["residues_modelled"] == ["2 between PRO 4 of chain A and GLY 7 of chain A"]
    residues = list(made.built.system.topology.residues)
    assert "".join(r.code for r in residues) == "YYDPETGTWY"
    assert made.built.system.n_atoms == 166


def test_a_cif_file_is_read_like_its_pdb(tmp_path: Path) -> None:
    from openmm import app

    structure = app.PDBFile(str(SOURCE))
    path = tmp_path / "same.cif"
    with path.open("w") as file:
        app.PDBxFile.writeFile(structure.topology, structure.positions, file, keepIds=True)
    ours, theirs = read_records(SOURCE).residues, read_records(path).residues
    assert [str(r) for r in ours] == [str(r) for r in theirs]
    np.testing.assert_allclose(
        [a.place for r in ours for a in r.atoms], [a.place for r in theirs for a in r.atoms],
        atol=1e-3,
    )  # fmt: skip


def test_chains_of_a_cif_file_may_have_names_of_two_letters(tmp_path: Path) -> None:
    from openmm import app

    structure = app.PDBFile(str(SOURCE))
    for chain in structure.topology.chains():
        chain.id = "AA"
    path = tmp_path / "long.cif"
    with path.open("w") as file:
        app.PDBxFile.writeFile(structure.topology, structure.positions, file, keepIds=True)
    options = {"minimise": False}
    ours = run_prepare(path, tmp_path / "ours", options)
    theirs = run_prepare(SOURCE, tmp_path / "theirs", options)
    np.testing.assert_allclose(
        ours.built.system.positions, theirs.built.system.positions, atol=1e-4
    )


def test_a_raw_structure_is_no_system_and_the_message_says_prepare(tmp_path: Path) -> None:
    (tmp_path / "system.yaml").write_text(
        "name: raw\nstructure: raw.pdb\n"
        "potential: {kind: forcefield, files: [amber14/protein.ff14SB.xml]}\n"
    )
    (tmp_path / "raw.pdb").write_text(SOURCE.read_text())
    with pytest.raises(EgnoMDError, match="egno-md prepare"):
        load_system(str(tmp_path))
    with pytest.raises(SpecError, match="egno-md prepare"):
        load_system(str(tmp_path / "raw.pdb"))
