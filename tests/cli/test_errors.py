"""Wrong input: one line that says what to do, exit code 2, nothing written over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from egno_md.core.system import System
from egno_md.data.store import Store
from egno_md.nn.bundle import save_bundle
from tests.cli.test_verbs import TINY_TRAIN, egno
from tests.conftest import make_operator


@pytest.fixture
def bundle(tmp_path: Path, ethanol: System) -> Path:
    save_bundle(tmp_path / "bundle", make_operator(ethanol))
    return tmp_path / "bundle"


def fails(*arguments: object) -> str:
    """The one line a wrong command ends in."""
    result = egno(*arguments, code=2)
    lines = result.stderr.strip().splitlines()
    assert "Traceback" not in result.stderr
    assert lines, "an error says something"
    return lines[-1]


def test_the_installed_command_prints_one_line_and_exits_2(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from egno_md.cli import main; main()"]
    done = subprocess.run(
        [*command, "generate", "etanol", "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("SpecError: no folder 'etanol'")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_unknown_verbs_and_policies_are_met_with_the_known_ones(
    bundle: Path, tmp_path: Path
) -> None:
    assert "Did you mean 'generate'?" in fails("genrate")
    message = fails(
        "propagate", "ethanol", "--operator", bundle, "--policy", "hope", "--out", tmp_path / "o"
    )
    assert "'monitor'" in message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["timestep=2.0"], "timestep: 2.0 has no unit. Write a time such as '2 fs'"),
        (["temprature='300 K'"], "Did you mean 'temperature'?"),
        (["sampling.frame_spacing='0.7 fs'"], "is not a whole number"),
        (["platform=TPU"], "platform: 'TPU' is not one of"),
        (["nonsense"], "write KEY=VALUE"),
    ],
)
def test_wrong_protocol_settings(tmp_path: Path, settings: list[str], words: str) -> None:
    options = [o for s in settings for o in ("--set", s)]
    message = fails("generate", "ethanol", *options, "--out", tmp_path / "out")
    assert words in message
    assert not (tmp_path / "out").exists()


def test_results_are_not_written_over(harmonic_store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter1.tex").write_text("important")
    for flag in ([], ["--overwrite"], ["--resume"]):
        message = fails("train", harmonic_store.root, *TINY_TRAIN, "--out", mine, *flag)
        assert "was not written by egno-md" in message
    assert (mine / "chapter1.tex").read_text() == "important"
    egno("train", harmonic_store.root, *TINY_TRAIN, "--out", tmp_path / "op", "--quiet")
    assert "--resume" in fails("train", harmonic_store.root, *TINY_TRAIN, "--out", tmp_path / "op")
    message = fails(
        "train", harmonic_store.root, *TINY_TRAIN, "--seed", 9, "--out", tmp_path / "op", "--resume"
    )
    assert "different seed" in message
    egno(
        "train",
        harmonic_store.root,
        *TINY_TRAIN,
        "--out",
        tmp_path / "op",
        "--overwrite",
        "--quiet",
    )
    assert "exclude each other" in fails(
        "train", harmonic_store.root, "--out", tmp_path / "op", "--overwrite", "--resume"
    )


def test_missing_or_damaged_stores_and_bundles(
    bundle: Path, tmp_path: Path, harmonic_store: Store
) -> None:
    assert "no trajectory store" in fails("train", tmp_path / "none", "--out", tmp_path / "o")
    damaged = tmp_path / "damaged"
    shutil.copytree(harmonic_store.root, damaged)
    shard = next((damaged / "shards").glob("*.h5"))
    shard.write_bytes(shard.read_bytes()[:2000])
    assert "truncated" in fails("train", damaged, "--out", tmp_path / "o")
    assert "no operator bundle" in fails(
        "propagate", "ethanol", "--operator", tmp_path / "none", "--out", tmp_path / "o"
    )
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "damaged weights" in fails(
        "propagate", "ethanol", "--operator", bundle, "--out", tmp_path / "o"
    )
    (bundle / "card.json").write_text("{")
    assert "damaged card" in fails(
        "propagate", "ethanol", "--operator", bundle, "--out", tmp_path / "o"
    )
    assert not (tmp_path / "o").exists()


def test_an_operator_of_other_atoms_is_refused(bundle: Path, tmp_path: Path) -> None:
    message = fails("propagate", "aspirin", "--operator", bundle, "--out", tmp_path / "o")
    assert "BundleMismatch: the operator moves 9 atoms of ethanol, aspirin has 21" in message


def test_lengths_that_are_no_whole_windows(bundle: Path, tmp_path: Path) -> None:
    message = fails(
        "propagate", "ethanol", "--operator", bundle, "--length", "21 fs", "--out", tmp_path / "o"
    )
    assert "WindowMismatch: the length 21 fs is not a whole number of 8 fs windows" in message
    assert "Use 16 fs or 24 fs" in message


def test_windows_that_do_not_fit_the_frames(harmonic_store: Store, tmp_path: Path) -> None:
    message = fails(
        "train",
        harmonic_store.root,
        *TINY_TRAIN,
        "--set",
        "window.length='8.2 fs'",
        "--out",
        tmp_path / "o",
    )
    assert "frame spacings" in message
    message = fails(
        "train",
        harmonic_store.root,
        *TINY_TRAIN,
        "--set",
        "window.length='80 fs'",
        "--out",
        tmp_path / "o",
    )
    assert "no window of 80 fs fits" in message


def test_nan_in_frames_is_found_before_training(ethanol: System, tmp_path: Path) -> None:
    from egno_md.data.store import StoreWriter, new_manifest
    from tests.conftest import harmonic_trajectory

    writer = StoreWriter(tmp_path / "bad", new_manifest(ethanol, "load", 0.0005), ethanol.topology)
    for index in range(12):
        trajectory = harmonic_trajectory(ethanol, 40, seed=index)
        if index == 3:
            trajectory.velocities[7, 2, 1] = np.nan
        writer.append(trajectory, f"c{index}")
    message = fails("train", tmp_path / "bad", *TINY_TRAIN, "--out", tmp_path / "o")
    assert "velocities of frame 7 hold NaN" in message


def test_a_gpu_that_is_not_there(bundle: Path, harmonic_store: Store, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    message = fails(
        "propagate", "ethanol", "--operator", bundle, "--device", "gpu", "--out", tmp_path / "o"
    )
    assert "Use --device cpu" in message
    message = fails(
        "train", harmonic_store.root, *TINY_TRAIN, "--device", "gpu", "--out", tmp_path / "p"
    )
    assert "Use --device cpu" in message
    message = fails("generate", "ala2", "--device", "gpu", "--out", tmp_path / "q")
    assert "Use --device cpu" in message


def test_velocities_are_never_made_up(tmp_path: Path, shared_data: Path) -> None:
    message = fails(
        "load", shared_data / "md17" / "md17_ethanol_first2000.npz", "--out", tmp_path / "o"
    )
    assert "finite-difference" in message
    assert not (tmp_path / "o").exists()


def test_wrong_structures_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    yaml = "name: mine\nstructure: mine.pdb\npotential: {kind: forcefield, files: [amber14/protein.ff14SB.xml]}\n"
    (folder / "system.yaml").write_text(yaml)
    assert "no such structure file" in fails("generate", folder, "--out", tmp_path / "o")
    (folder / "mine.pdb").write_text("")
    assert "holds no atoms" in fails("generate", folder, "--out", tmp_path / "o")
    (folder / "mine.pdb").write_bytes(Path("systems/ethanol/ethanol.pdb").read_bytes())
    message = fails("generate", folder, "--out", tmp_path / "o")
    assert "PotentialError" in message
    assert "EOH" in message


def test_report_of_a_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert "x" in fails("report", tmp_path / "x", "--out", tmp_path / "o")


def test_damaged_resume_state_is_an_error(bundle: Path, tmp_path: Path) -> None:
    options = [
        "propagate",
        "ethanol",
        "--operator",
        bundle,
        "--length",
        "16 fs",
        "--out",
        tmp_path / "o",
        "--set",
        "equilibration='5 fs'",
        "--set",
        "record.reference_steps=10",
    ]
    egno(*options, "--quiet")
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    (tmp_path / "o" / "run.json").write_text(json.dumps({**record, "status": "running"}))
    (tmp_path / "o" / "state.npz").write_bytes(b"not a state")
    assert "damaged" in fails(*options, "--resume")


def test_overwrite_never_removes_inputs_or_other_verbs(
    bundle: Path, harmonic_store: Store, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(harmonic_store.root, data)
    (data / "run.json").write_text(
        json.dumps({"verb": "generate", "status": "complete", "fingerprint": "", "request": {}})
    )
    kept = sorted(p.name for p in data.rglob("*"))
    message = fails("train", data, *TINY_TRAIN, "--out", data, "--overwrite")
    assert "holds the input" in message
    message = fails(
        "propagate", "ethanol", "--operator", bundle, "--start", data, "--out", data, "--overwrite"
    )
    assert "holds the input" in message
    message = fails("train", harmonic_store.root, *TINY_TRAIN, "--out", data, "--overwrite")
    assert "which 'egno-md train' does not replace" in message
    (tmp_path / "link").symlink_to(data)
    message = fails(
        "train", harmonic_store.root, *TINY_TRAIN, "--out", tmp_path / "link", "--overwrite"
    )
    assert "is a link" in message
    assert sorted(p.name for p in data.rglob("*")) == kept


def test_results_survive_a_command_that_fails(bundle: Path, tmp_path: Path) -> None:
    options = [
        "propagate", "ethanol", "--operator", bundle, "--length", "16 fs", "--out", tmp_path / "o",
        "--set", "equilibration='5 fs'", "--set", "record.reference_steps=10",
    ]  # fmt: skip
    egno(*options, "--quiet")
    assert "no trajectory store" in fails(*options, "--start", tmp_path / "none", "--overwrite")
    assert "cannot be used" in fails(*options, "--set", "platform=CUDA", "--overwrite")
    assert (tmp_path / "o" / "summary.json").is_file()


def test_unusable_out_names_are_one_line(harmonic_store: Store, tmp_path: Path) -> None:
    message = fails("train", harmonic_store.root, *TINY_TRAIN, "--out", tmp_path / ("x" * 300))
    assert "cannot be used" in message
    (tmp_path / "file").write_text("mine")
    assert "OutputError" in fails(
        "train", harmonic_store.root, *TINY_TRAIN, "--out", tmp_path / "file"
    )


def test_infinite_settings_are_refused(harmonic_store: Store, tmp_path: Path) -> None:
    message = fails(
        "train", harmonic_store.root, *TINY_TRAIN, "--set", "optimisation.learning_rate=.inf",
        "--out", tmp_path / "o",
    )  # fmt: skip
    assert "optimisation.learning_rate" in message


def test_operators_without_trained_velocities_do_not_roll_out(
    bundle: Path, ethanol: System, tmp_path: Path
) -> None:
    operator = make_operator(ethanol)
    training = {"protocol": {"supervise_velocities": 0.0}}
    operator.card = operator.card.model_copy(update={"training": training})
    save_bundle(tmp_path / "blind", operator)
    message = fails(
        "propagate", "ethanol", "--operator", tmp_path / "blind", "--out", tmp_path / "o"
    )
    assert "supervise_velocities" in message


def test_a_rollout_that_stops_at_once_is_a_result(bundle: Path, tmp_path: Path) -> None:
    result = egno(
        "propagate", "ethanol", "--operator", bundle, "--length", "16 fs", "--policy", "monitor",
        "--set", "judge.tolerances.bond='1e-9 nm'", "--set", "equilibration='5 fs'",
        "--set", "record.reference_steps=10", "--out", tmp_path / "o",
    )  # fmt: skip
    assert "Stopped: bond off by" in result.output
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert summary["windows"] == 0


def test_force_field_files_lie_beside_the_system(tmp_path: Path) -> None:
    from egno_md.md.build import load_system

    ala2 = load_system("ala2")
    folder = tmp_path / "mine"
    shutil.copytree(ala2.folder, folder)
    text = (folder / "system.yaml").read_text()
    (folder / "system.yaml").write_text(text.replace("amber14/protein.ff14SB.xml", "mine.xml"))
    (folder / "mine.xml").write_text("<not a force field")
    message = fails("generate", folder, "--out", tmp_path / "o")
    assert message.startswith("PotentialError: force field mine.xml")


def test_a_store_without_its_checkpoint_is_not_continued(tmp_path: Path) -> None:
    options = [
        "generate", "ala2", "--protocol", "nvt-300k", "--set", "equilibration='50 fs'",
        "--set", "sampling.length='400 fs'", "--out", tmp_path / "o",
    ]  # fmt: skip
    egno(*options, "--quiet")
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    (tmp_path / "o" / "run.json").write_text(json.dumps({**record, "status": "running"}))
    next((tmp_path / "o").rglob("*.chk")).unlink()
    assert "missing, so" in fails(*options, "--resume")


def test_points_after_a_fallback_have_their_own_times(ethanol: System) -> None:
    """EGNO-L windows: MD must be recorded at the uneven time points."""
    import numpy as np

    from egno_md.md.build import load_system
    from egno_md.md.engine import OpenMMEngine

    engine = OpenMMEngine(load_system("ala2"), timestep=5e-4, kelvin=300.0, friction=5.0, seed=1)
    start = engine.start()
    uneven = engine.window(start, [0.0065, 0.007, 0.0075, 0.008])
    even = engine.window(start, [0.0005 * (i + 1) for i in range(16)])
    np.testing.assert_allclose(uneven.positions, even.positions[12:], atol=1e-9)
    np.testing.assert_allclose(uneven.times, [0.0065, 0.007, 0.0075, 0.008])
