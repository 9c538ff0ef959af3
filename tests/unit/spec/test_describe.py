"""Every key that YAML may hold is documented, and described as it is checked."""

from __future__ import annotations

import pytest
import yaml
from pydantic import BaseModel

from egno_md.registry import MODELS
from egno_md.spec.describe import FieldDoc, describe, dotted_keys, field_meanings, summary
from egno_md.spec.files import find_protocol, read_spec, shipped
from egno_md.spec.generate import GenerateProtocol, Nvt
from egno_md.spec.propagate import PropagateProtocol, Tolerances
from egno_md.spec.system import SystemSpec
from egno_md.spec.template import commented_yaml
from egno_md.spec.train import Optimisation

ROOTS = (*MODELS.values(), SystemSpec)


def all_models() -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {}
    waiting: list[type[BaseModel]] = list(ROOTS)
    while waiting:
        model = waiting.pop()
        found[model] = None
        waiting += [m for f in describe(model) for m in f.models if m not in found]
    return list(found)


@pytest.mark.parametrize("model", all_models(), ids=lambda m: m.__name__)
def test_every_key_says_what_it_means(model: type[BaseModel]) -> None:
    assert summary(model)
    undocumented = [f.name for f in describe(model) if not f.meaning]
    assert not undocumented, f"{model.__name__}: add {undocumented} to its Attributes"
    unknown = set(field_meanings(model)) - set(model.model_fields)
    assert not unknown, f"{model.__name__} documents {unknown}, which it does not have"


def field(model: type[BaseModel], name: str) -> FieldDoc:
    return next(f for f in describe(model) if f.name == name)


def test_kinds_name_dimension_bound_and_choices() -> None:
    assert field(GenerateProtocol, "equilibration").kind == "time ≥ 0"
    assert field(GenerateProtocol, "timestep").kind == "time > 0"
    assert field(Optimisation, "max_time").kind == "wall time > 0 or null"
    assert field(Optimisation, "weight_average").kind == "number > 0, < 1 or null"
    assert field(GenerateProtocol, "sampling").kind == "keys; kind is one of: nve-segments, nvt"
    assert field(Nvt, "integrator").kind == "one of: langevin, langevin-middle"
    assert field(Tolerances, "bond").default == "0.05 nm"
    assert field(GenerateProtocol, "timestep").is_required
    assert "sampling.segment_length" in dotted_keys(GenerateProtocol)


def test_an_alternative_can_be_used_by_uncommenting_it() -> None:
    spec = read_spec(find_protocol("propagate", "nvt-500k"), PropagateProtocol)
    lines = commented_yaml(spec, "").splitlines()
    start = lines.index(next(line for line in lines if line.startswith("# boundary:")))
    text = "\n".join(line.removeprefix("# ") for line in lines[start : start + 2])
    assert yaml.safe_load(text) == {"boundary": {"kind": "none"}}


def test_shipped_systems_survive_being_written_with_comments() -> None:
    for path in shipped("systems").glob("*/system.yaml"):
        spec = read_spec(path, SystemSpec)
        again = SystemSpec.model_validate(yaml.safe_load(commented_yaml(spec, "x")))
        assert again == spec
