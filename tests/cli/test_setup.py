"""doctor, init and completion, and the exit codes of all verbs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from egno_md.cli import doctor, main, setup
from egno_md.cli.doctor import Finding, contained, run_doctor
from egno_md.core.errors import EgnoMDError
from egno_md.md.build import load_system
from egno_md.registry import MODELS
from egno_md.spec.files import find_protocol, read_spec, shipped
from egno_md.spec.system import SystemSpec
from tests.cli.test_verbs import egno

SHIPPED = [
    (verb, path.stem) for verb in MODELS for path in (shipped("protocols") / verb).glob("*.yaml")
]


def completions(*words: str) -> list[str]:
    *before, typed = words
    shell = ShellComplete(main, {}, "egno-md", "_EGNO_MD_COMPLETE")
    return [item.value for item in shell.get_completions(list(before), typed)]


@pytest.mark.parametrize(("verb", "name"), SHIPPED)
def test_a_written_protocol_says_the_same_as_the_one_it_is_from(
    verb: str, name: str, tmp_path: Path
) -> None:
    out = tmp_path / "mine.yaml"
    egno("init", verb, "--from", name, "--out", out)
    assert read_spec(out, MODELS[verb]) == read_spec(find_protocol(verb, name), MODELS[verb])
    assert max(len(line) for line in out.read_text().splitlines()) <= 100


def test_every_verb_with_protocols_can_begin_with_init() -> None:
    assert set(setup.init.commands) == {*MODELS, "system"}
    tables = main.commands["benchmark"].commands
    commands = {**main.commands, **tables, "benchmark": tables["nbody"]}
    for verb in MODELS:
        defaults = {p.name: p.default for p in commands[verb].params}
        begun = {p.name: p.default for p in setup.init.commands[verb].params}
        assert begun["like"] == defaults["protocol"], verb


def test_init_names_its_files_after_the_verb_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    egno("init", "train")
    before = (tmp_path / "train.yaml").read_text()
    assert "train.yaml: exists already" in egno("init", "train", code=2).stderr
    assert (tmp_path / "train.yaml").read_text() == before


@pytest.mark.parametrize(
    ("name", "potential"), [("ala2", "protein.ff14SB + OBC2"), ("aspirin", "GFN2-xTB")]
)
def test_init_system_finds_a_potential_for_the_structure(
    name: str, potential: str, tmp_path: Path
) -> None:
    structure = shipped("systems") / name / f"{name}.pdb"
    out = tmp_path / "mine"
    assert potential in egno("init", "system", structure, "--out", out).output
    assert load_system(str(out)).system.digest == load_system(name).system.digest
    assert "charge:" in (out / "system.yaml").read_text()
    assert "exists already" in egno("init", "system", structure, "--out", out, code=2).stderr


def test_init_system_says_what_a_structure_lacks(tmp_path: Path) -> None:
    def fails(name: str, lines: list[str]) -> str:
        (tmp_path / name).write_text("\n".join([*lines, "END"]))
        message = egno("init", "system", tmp_path / name, "--out", tmp_path / "o", code=2).stderr
        assert not (tmp_path / "o").exists()
        return message

    ala2 = (shipped("systems") / "ala2" / "ala2.pdb").read_text().splitlines()
    atoms = [line for line in ala2 if line.startswith("ATOM")]
    heavy = [line for line in atoms if "H" not in line[12:16]]
    assert "residues without hydrogens" in fails("bare.pdb", heavy)
    ethanol = (shipped("systems") / "ethanol" / "ethanol.pdb").read_text().splitlines()
    unbound = [line for line in ethanol if line.startswith(("ATOM", "HETATM"))]
    assert "names no bonds" in fails("unbound.pdb", unbound)
    oxygen = "HETATM{:5d}  O   UNL A{:4d}    {:8.3f}   0.000   0.000  1.00  0.00           O"
    many = [oxygen.format(i + 1, i + 1, 4.0 * i) for i in range(201)]
    message = fails("many.pdb", [*many, "CONECT    1    2"])
    assert message.startswith("PotentialError")
    assert "201 atoms are too slow" in message


def test_an_odd_number_of_electrons_leaves_one_unpaired(tmp_path: Path) -> None:
    atom = "HETATM{:5d}  {}   UNL A   1    {:8.3f}   0.000   0.000  1.00  0.00           {}"
    radical = [atom.format(1, "O", 0.0, "O"), atom.format(2, "H", 0.97, "H"), "CONECT    1    2"]
    (tmp_path / "radical.pdb").write_text("\n".join(radical))
    egno("init", "system", tmp_path / "radical.pdb", "--out", tmp_path / "o")
    spec = read_spec(tmp_path / "o" / "system.yaml", SystemSpec)
    assert spec.potential.unpaired_electrons == 1  # type: ignore[union-attr]


def test_doctor_finds_this_environment_healthy() -> None:
    content = json.loads(egno("doctor", "--json").stdout)
    assert content["healthy"] is True
    assert {f["check"] for f in content["findings"]} >= {"Python", "packages", "OpenMM", "xTB"}
    assert any("ns/day" in f["text"] for f in content["findings"] if f["check"] == "OpenMM")


def test_a_failing_check_is_a_finding_and_ends_in_exit_code_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explodes() -> Iterator[Finding]:
        yield Finding("xTB", "ok", "so far")
        raise OSError("no libtblite")

    def fine() -> Iterator[Finding]:
        yield Finding("disk", "ok", "fine")

    monkeypatch.setattr(doctor, "CHECKS", {"xTB": explodes, "disk": fine})
    result = egno("doctor", code=1)
    assert "no libtblite" in result.output
    assert "pip install tblite" in result.output
    assert "disk      fine" in result.output
    assert not run_doctor().is_healthy


def test_doctor_names_packages_that_are_missing_or_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {"tblite": None, "click": "7.0"}
    monkeypatch.setattr(doctor, "installed_version", lambda name: found.get(name, "9999"))
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["tblite>=0.4", "click>=8.1"])
    findings = contained("packages", doctor.CHECKS["packages"])
    assert [f.status for f in findings] == ["problem", "problem", "ok"]
    assert "pip install 'tblite>=0.4'" in findings[0].remedy
    assert "click 7.0 is installed, >=8.1 is needed" in findings[1].text


def test_doctor_warns_of_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert [f.status for f in contained("threads", doctor.CHECKS["threads"])] == ["warning"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_calls_back(shell: str) -> None:
    script = egno("completion", shell).output
    assert f"_EGNO_MD_COMPLETE={shell}_complete" in script
    assert "egno-md" in script


def test_names_and_folders_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, verb in (("data", "generate"), ("operator", "train")):
        (tmp_path / "runs" / folder).mkdir(parents=True)
        (tmp_path / "runs" / folder / "run.json").write_text(json.dumps({"verb": verb}))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "system.yaml").write_text("")
    (tmp_path / "special.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert completions("prop") == ["propagate"]
    assert {"ala2", "ethanol", "mine"} <= set(completions("generate", ""))
    assert "nve-500k" in completions("generate", "ethanol", "--protocol", "nve")
    assert "special.yaml" in completions("train", "x", "--protocol", "sp")
    assert completions("propagate", "ethanol", "--operator", "egno-8") == ["egno-8fs-500k"]
    assert "ethanol/egno-8fs-500k" in completions("card", "etha")
    assert completions("train", "runs/") == ["runs/data"]
    assert completions("report", "runs/o") == ["runs/operator"]
    assert "sampling.length=" in completions("generate", "ethanol", "--set", "sampling.l")
    assert "adaptive-langevin" not in completions("generate", "ethanol", "--set", "")
    assert completions("init", "sys") == ["system"]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["propogate"], "Did you mean 'propagate'?"),
        (["init", "systems"], "Did you mean 'system'?"),
        (["generate", "ethanol", "--protocl", "x"], "Did you mean '--protocol'?"),
        (["generate", "ethanool", "--out", "x"], "Did you mean 'ethanol'?"),
        (["generate", "ethanol", "--protocol", "nve500k", "--out", "x"], "'nve-500k'?"),
        (["generate", "ethanol", "--set", "platform=CUDAA", "--out", "x"], "'CUDA'?"),
        (["generate", "ethanol", "--set", "sampling.kind=nvtt", "--out", "x"], "'nvt'?"),
        (["generate", "ethanol", "--set", "frictoin='1 /ps'", "--out", "x"], "'friction'?"),
        (["propagate", "ethanol", "--operator", "egno-8fs", "--out", "x"], "'egno-8fs-500k'?"),
    ],
)
def test_every_misspelling_is_met_with_the_nearest_name(arguments: list[str], meant: str) -> None:
    result = egno(*arguments, code=2)
    assert meant in result.stderr


def test_exit_codes_are_those_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()

    def code_when(error: BaseException) -> int:
        def fails(*_: object) -> None:
            raise error

        monkeypatch.setattr("egno_md.cli.systems.list_systems", fails)
        return runner.invoke(main, ["systems"]).exit_code

    assert runner.invoke(main, ["systems", "--json"]).exit_code == 0
    assert code_when(EgnoMDError("no")) == 2
    assert code_when(KeyboardInterrupt()) == 130
    assert code_when(ZeroDivisionError()) == 1
    assert runner.invoke(main, ["systems", "--no-such-option"]).exit_code == 2
    assert setup.CHECK_FAILED == 1
