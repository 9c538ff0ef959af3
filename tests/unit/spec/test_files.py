from __future__ import annotations

from pathlib import Path

import pytest

from egno_md.core.errors import SpecError
from egno_md.spec.files import find_operator, find_protocol, find_system, read_spec, shipped
from egno_md.spec.generate import GenerateProtocol
from egno_md.spec.propagate import PropagateProtocol
from egno_md.spec.system import SystemSpec
from egno_md.spec.train import TrainProtocol

MODELS = {"generate": GenerateProtocol, "train": TrainProtocol, "propagate": PropagateProtocol}
GOOD = """
temperature: 300 K
timestep: 2 fs
friction: 1 /ps
equilibration: 1 ps
sampling: {kind: nvt, length: 1 ps, frame_spacing: 10 fs}
"""


@pytest.mark.parametrize(
    ("verb", "name"),
    [(v, p.stem) for v in MODELS for p in sorted((shipped("protocols") / v).glob("*.yaml"))],
)
def test_shipped_protocols_are_valid_and_survive_a_round_trip(verb: str, name: str) -> None:
    spec = read_spec(find_protocol(verb, name), MODELS[verb])
    again = MODELS[verb].model_validate(spec.model_dump(mode="json"))
    assert again == spec


def write(folder: Path, text: str) -> Path:
    path = folder / "nvt.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("timestep: 2 fs", "timestep: 2.0", "nvt.yaml: timestep: 2.0 has no unit. Write a time"),
        ("timestep: 2 fs", "timestepp: 2 fs", "timestepp: unknown key. Did you mean 'timestep'?"),
        ("timestep: 2 fs", "timestep: 2 K", "timestep: '2 K' is not a time"),
        ("timestep: 2 fs", "timestep: -2 fs", "timestep: must be greater than zero"),
        ("timestep: 2 fs\n", "", "timestep: missing"),
        ("kind: nvt", "kind: nve", "sampling.kind: 'nve' is not one of"),
        ("kind: nvt, ", "", "sampling.kind: missing"),
        ("length: 1 ps", "lenght: 1 ps", "sampling.lenght: unknown key. Did you mean 'length'?"),
        (
            "frame_spacing: 10 fs",
            "frame_spacing: 3 fs",
            "sampling.frame_spacing 3 fs is not a whole",
        ),
        ("timestep: 2 fs", "timestep: 3 fs", "is not a whole number of 3 fs timesteps"),
        ("temperature: 300 K", "temperature: [300 K]", "temperature"),
    ],
)
def test_yaml_errors_name_file_key_and_remedy(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in GOOD
    path = write(tmp_path, GOOD.replace(before, after))
    with pytest.raises(SpecError) as error:
        read_spec(path, GenerateProtocol)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "- a\n- b", "a: [1", "just words", "!!python/object:os.system {}"]
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match=r"nvt\.yaml"):
        read_spec(write(tmp_path, text), GenerateProtocol)


def test_missing_file_and_unknown_name_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_spec(tmp_path / "none.yaml", GenerateProtocol)
    with pytest.raises(SpecError, match=r"Did you mean 'nve-500k'\?.*Shipped: "):
        find_protocol("generate", "nve-50k")
    with pytest.raises(SpecError, match=r"Did you mean 'ethanol'\?"):
        find_system("etanol")


def test_overrides_reach_nested_keys(tmp_path: Path) -> None:
    spec = read_spec(write(tmp_path, GOOD), GenerateProtocol, {"sampling.length": "2 ps"})
    assert spec.sampling.length == 2.0
    with pytest.raises(SpecError, match="holds no keys"):
        read_spec(write(tmp_path, GOOD), GenerateProtocol, {"timestep.length": "2 ps"})


def test_a_users_folder_works_like_a_shipped_system(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "system.yaml").write_bytes(find_system("ethanol").read_bytes())
    assert find_system(str(folder)) == folder / "system.yaml"
    assert read_spec(find_system(str(folder)), SystemSpec).name == "ethanol"


def test_training_needs_a_budget(tmp_path: Path) -> None:
    text = (
        "window: {kind: uniform, length: 8 fs, points: 4}\nnetwork: {kind: egno}\noptimisation: {}"
    )
    with pytest.raises(SpecError, match="max_steps: 20000 or max_time"):
        read_spec(write(tmp_path, text), TrainProtocol)


def test_operators_are_found_by_folder_by_name_and_alone(tmp_path: Path) -> None:
    shipped_one = find_operator("ethanol", None)
    assert find_operator("ethanol", shipped_one.name) == shipped_one
    assert find_operator("ethanol", tmp_path) == tmp_path
    assert find_operator("ethanol", tmp_path / "later") == tmp_path / "later"
    with pytest.raises(SpecError, match="None is shipped with it"):
        find_operator("ala2", None)
    with pytest.raises(SpecError, match=rf"no operator 'best'.*{shipped_one.name}"):
        find_operator("ethanol", "best")


def test_shipped_operators_are_small_and_belong_to_their_system() -> None:
    from egno_md.md.build import load_system
    from egno_md.nn.operator import WindowOperator

    bundles = [p.parent for p in shipped("systems").glob("*/operators/*/card.json")]
    assert bundles
    for bundle in bundles:
        assert sum(f.stat().st_size for f in bundle.iterdir()) < 1_500_000
        WindowOperator.load(bundle).bind(load_system(bundle.parents[1].name).system)
