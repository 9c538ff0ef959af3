"""Every verb on a tiny system, as a user would run it."""

from __future__ import annotations

import json
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from click.testing import CliRunner, Result

from egno_md.cli import main

TINY_GENERATE = [
    "--set",
    "equilibration='50 fs'",
    "--set",
    "sampling.segments=10",
    "--set",
    "sampling.segment_length='20 fs'",
    "--set",
    "sampling.decorrelation='10 fs'",
]
TINY_TRAIN = [
    "--set",
    "network.layers=1",
    "--set",
    "network.hidden=8",
    "--set",
    "network.vectors=3",
    "--set",
    "optimisation.max_time=null",
    "--set",
    "optimisation.max_steps=30",
    "--set",
    "optimisation.validate_every=10",
]


def egno(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output + result.stderr
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """generate, train, propagate with and without checks, reference: once for all tests."""
    root = tmp_path_factory.mktemp("runs")
    egno("generate", "ethanol", *TINY_GENERATE, "--out", root / "data", "--quiet")
    egno(
        "generate",
        "ethanol",
        "--protocol",
        "nvt-500k",
        "--set",
        "equilibration='50 fs'",
        "--set",
        "sampling.length='160 fs'",
        "--out",
        root / "reference",
        "--quiet",
    )
    egno("train", root / "data", *TINY_TRAIN, "--out", root / "operator", "--quiet")
    for name, policy in (("checked", "fallback"), ("unchecked", "off")):
        egno(
            "propagate",
            "ethanol",
            "--operator",
            root / "operator" / "bundle",
            "--length",
            "80 fs",
            "--policy",
            policy,
            "--start",
            root / "data",
            "--set",
            "record.reference_steps=10",
            "--replicas",
            2,
            "--out",
            root / name,
            "--quiet",
        )
    return root


def test_help_of_every_verb_reads_as_sentences() -> None:
    listing = egno("--help").output
    for verb in main.commands:
        assert verb in listing
        page = egno(verb, "--help").output
        assert "Usage:" in page
        assert len(page.splitlines()) > 5


def test_systems_lists_atoms_and_potentials() -> None:
    output = egno("systems").output
    for word in ("ethanol", "aspirin", "ala2", "GFN2-xTB", "OBC2"):
        assert word in output
    rows = json.loads(egno("systems", "--json").output)["systems"]
    atoms = {r["name"]: r["atoms"] for r in rows}
    known = {"ethanol": 9, "ethanol/mmff94": 9, "aspirin": 21, "ala2": 22, "waterbox": 648}
    assert atoms.items() >= known.items()


def test_generated_frames_open_in_mdtraj(runs: Path) -> None:
    files = sorted((runs / "data").rglob("*.h5"))
    assert len(files) == 10
    trajectory = mdtraj.load(str(files[0]))
    assert trajectory.n_frames == 41
    assert trajectory.n_atoms == 9
    assert np.allclose(np.diff(trajectory.time), 0.0005, atol=1e-6)


def test_training_leaves_a_bundle_metrics_and_a_plot(runs: Path) -> None:
    for name in (
        "bundle/card.json",
        "bundle/model.safetensors",
        "metrics.csv",
        "loss.png",
        "summary.json",
    ):
        assert (runs / "operator" / name).stat().st_size > 0
    assert (runs / "operator" / "metrics.csv").read_text().count("\n") == 4
    card = json.loads((runs / "operator" / "bundle" / "card.json").read_text())
    assert card["units"]["length"] == "nm"
    assert card["training"]["data"]["frames"] == 410
    assert card["training"]["provenance"]["versions"]["torch"]


def test_training_again_with_one_seed_gives_the_same_weights(runs: Path, tmp_path: Path) -> None:
    egno("train", runs / "data", *TINY_TRAIN, "--out", tmp_path / "again", "--quiet")
    for root in (runs / "operator", tmp_path / "again"):
        assert (root / "bundle" / "model.safetensors").is_file()
    ours, theirs = (
        (r / "bundle" / "model.safetensors").read_bytes()
        for r in (runs / "operator", tmp_path / "again")
    )
    assert ours == theirs


def test_evaluate_prints_the_operator_beside_baselines(runs: Path, tmp_path: Path) -> None:
    operator = runs / "operator" / "bundle"
    result = egno("evaluate", operator, runs / "data", "--out", tmp_path / "evaluation")
    for word in ("operator", "persistence", "ballistic", "½aτ²", "Equivariance", "zero-shot"):
        assert word in result.output
    content = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert max(content["equivariance"].values()) < 1e-4
    assert content["zero_shot"]["points"] == 8
    assert (tmp_path / "evaluation" / "figures" / "errors.png").is_file()


def test_propagate_streams_frames_events_and_an_honest_summary(runs: Path) -> None:
    for name in ("checked", "unchecked"):
        summary = json.loads((runs / name / "summary.json").read_text())
        events = [
            json.loads(line) for line in (runs / name / "events.jsonl").read_text().splitlines()
        ]
        assert len(events) == 20
        assert sum(summary["events"].values()) == 20
        parts = sum(v for k, v in summary["seconds"].items() if k != "total")
        assert 0 < parts <= summary["seconds"]["total"]
        assert summary["speed_up"] == pytest.approx(
            summary["rollout_ns_per_day"] / summary["reference_ns_per_day"]
        )
        frames = mdtraj.load(
            str(runs / name / "replica-001.xtc"), top="systems/ethanol/ethanol.pdb"
        )
        assert frames.n_frames == 10
    checked = json.loads((runs / "checked" / "summary.json").read_text())
    assert checked["events"]["fallback"] + checked["events"]["prefix"] > 0, "30 steps train nobody"


def test_propagate_resumes_a_finished_run_without_doing_it_again(runs: Path) -> None:
    before = (runs / "checked" / "events.jsonl").read_bytes()
    egno(
        "propagate",
        "ethanol",
        "--operator",
        runs / "operator" / "bundle",
        "--length",
        "80 fs",
        "--policy",
        "fallback",
        "--start",
        runs / "data",
        "--set",
        "record.reference_steps=10",
        "--replicas",
        2,
        "--out",
        runs / "checked",
        "--resume",
    )
    assert (runs / "checked" / "events.jsonl").read_bytes() == before


def test_compare_and_report_end_in_one_page(runs: Path, tmp_path: Path) -> None:
    result = egno(
        "compare",
        runs / "reference",
        runs / "checked",
        runs / "unchecked",
        "--out",
        tmp_path / "comparison",
    )
    assert "temperature" in result.output.lower()
    result = egno(
        "report",
        runs / "data",
        runs / "operator",
        runs / "checked",
        runs / "unchecked",
        tmp_path / "comparison",
        "--out",
        tmp_path / "report",
    )
    page = next((tmp_path / "report").glob("*.html")).read_text()
    assert "ethanol" in page
    assert 'src="http' not in page
    assert "unchecked" in page


def test_json_goes_to_stdout_alone(runs: Path, tmp_path: Path) -> None:
    result = egno(
        "evaluate", runs / "operator" / "bundle", runs / "data", "--out", tmp_path / "e", "--json"
    )
    assert json.loads(result.stdout)["system"] == "ethanol"


def load_md17(shared_data: Path, folder: Path) -> Result:
    source = shared_data / "md17" / "md17_ethanol_first2000.npz"
    velocities = ["--velocities", "finite-difference"]
    return egno("load", source, "--system", "ethanol", *velocities, "--out", folder / "md17")


def test_real_files_load_through_the_command_line(shared_data: Path, tmp_path: Path) -> None:
    result = load_md17(shared_data, tmp_path)
    assert "1,998 frames of 9 atoms, 0.5 fs apart" in result.output
    result = egno(
        "load",
        shared_data / "adk" / "adk_dims.dcd",
        "--topology",
        shared_data / "adk" / "adk.psf",
        "--spacing",
        "1 ps",
        "--velocities",
        "none",
        "--selection",
        "backbone",
        "--out",
        tmp_path / "adk",
    )
    assert "98 frames of 856 atoms" in result.output
    result = egno(
        "load",
        shared_data / "rmd17" / "rmd17_ethanol.npz",
        "--velocities",
        "none",
        "--out",
        tmp_path / "rmd17",
    )
    assert "not contiguous" in result.output
    result = egno("train", tmp_path / "rmd17", *TINY_TRAIN, "--out", tmp_path / "t", code=2)
    assert "not contiguous" in result.stderr


def test_loaded_md17_frames_train_an_operator(shared_data: Path, tmp_path: Path) -> None:
    load_md17(shared_data, tmp_path)
    result = egno("train", tmp_path / "md17", *TINY_TRAIN, "--out", tmp_path / "operator")
    assert "Operator:" in result.output


def test_a_rollout_nobody_checked_can_still_be_compared(runs: Path, tmp_path: Path) -> None:
    egno(
        "train", runs / "data", *TINY_TRAIN, "--set", "network.force_channel=false",
        "--out", tmp_path / "operator", "--quiet",
    )  # fmt: skip
    egno(
        "propagate", "ethanol", "--operator", tmp_path / "operator" / "bundle", "--length", "160 fs",
        "--policy", "off", "--start", runs / "data", "--set", "record.reference_steps=10",
        "--out", tmp_path / "blind", "--quiet",
    )  # fmt: skip
    result = egno("compare", runs / "reference", tmp_path / "blind", "--out", tmp_path / "c")
    assert "Temperature" in result.output


def test_the_card_of_a_shipped_operator_says_what_it_knows() -> None:
    told = egno("card", "ethanol/egno-8fs-500k").stdout
    assert "8 fs, decoded at 2, 4, 6, 8 fs" in told
    assert "up to 550 K" in told
    content = json.loads(egno("card", "ethanol/egno-8fs-500k", "--json").stdout)
    assert content["validity"]["system"]["name"] == "ethanol"
    assert "egno-8fs-500k" in egno("card", "ethanol/nothing", code=2).output
