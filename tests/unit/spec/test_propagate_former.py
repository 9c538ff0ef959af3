"""Protocols of egno-md 0.1: what they say in today's form, and that they say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from egno_md.core.errors import SpecError
from egno_md.spec.files import find_protocol, read_spec, validate
from egno_md.spec.propagate import PropagateProtocol
from egno_md.spec.propagate_former import RENAMED, modern_form

FORMER = sorted((Path(__file__).parent / "former").glob("*.yaml"))
"""The protocols that egno-md 0.1 shipped, as they were."""

OLD: dict[str, Any] = {
    "length": "1 ps",
    "temperature": "300 K",
    "timestep": "1 fs",
    "thermostat": {"kind": "langevin", "friction": "2 /ps"},
}
TOLERANCES = {"energy": 0.3, "temperature": 0.4, "force": "9000 kJ/mol/nm", "bond": "0.02 nm"}
REFINEMENT = {"max_blocks": 7, "dynamics": "40 fs"}
DRAWS = {"steps": 24, "solver": "heun", "redraws": 6}
CORRECTION = {"kind": "metropolis", "draws": 2, "uniform": 0.5, "dynamics": "2 ps"}


def modern(**old: Any) -> PropagateProtocol:
    content = modern_form(OLD | old)
    assert content is not None
    assert RENAMED.keys().isdisjoint(content)
    return validate(content, PropagateProtocol, "x.yaml")


@pytest.mark.parametrize("every", [None, 1, 3])
@pytest.mark.parametrize("kind", ["operator", "sampler", "metropolis"])
@pytest.mark.parametrize("policy", [None, "off", False, "monitor", "refine", "fallback", "strict"])
def test_every_combination_reads_and_means_the_same(
    policy: str | bool | None, kind: str, every: int | None
) -> None:
    old: dict[str, Any] = {"tolerances": TOLERANCES, "refinement": REFINEMENT}
    if policy is not None:
        old["policy"] = policy
    if every is not None:
        old["refine_every"] = every
    if kind != "operator":
        old["draws"] = DRAWS
    if kind == "metropolis":
        old["correction"] = CORRECTION
    found = modern(**old)
    assert found.source.kind == kind
    if kind != "operator":
        assert (found.source.steps, found.source.solver) == (24, "heun")
    if kind == "metropolis":
        moves = found.source
        assert (moves.draws, moves.uniform, moves.dynamics, moves.concentration) == (
            2,
            0.5,
            2.0,
            15,
        )
    is_off = policy in ("off", False)
    if is_off:
        assert (found.judge.kind, found.correct) == ("none", None)
    else:
        assert found.judge.kind == ("energy" if kind == "operator" else "shape")
        assert found.judge.strict is (policy == "strict")
        limits = found.judge.tolerances
        assert (limits.force, limits.bond, limits.contact) == (9000.0, 0.02, 0.1)
        if kind == "operator":
            assert (limits.energy, limits.temperature) == (0.3, 0.4)
    corrects = {None: "fallback", "strict": "fallback"}
    if not is_off:
        wanted = corrects.get(policy, policy) if kind == "operator" else "redraw"
        assert found.correct.kind == wanted
        if kind != "operator":
            assert found.correct.redraws == 6
    # settings of a refinement that nothing asked for meant nothing
    if every is None and policy != "refine":
        assert found.refine is None
    else:
        assert (found.refine.every, found.refine.max_blocks) == (every, 7)
        assert found.refine.dynamics == 0.04


@pytest.mark.parametrize(
    ("key", "value", "place", "meant"),
    [
        ("check_every", 5, "judge.every", 5),
        ("retry_prefix", True, "correct.retry_prefix", True),
        ("retry_prefix", False, "correct.retry_prefix", False),
        ("save", "points", "record.save", "points"),
        ("reference_steps", 40, "record.reference_steps", 40),
        ("refine_every", 4, "refine.every", 4),
        ("refine_every", None, "refine", None),
        ("pressure", "2 bar", "boundary.barostat.every", 10),
        ("barostat_every", 3, "boundary.barostat", None),
        ("correction", None, "source.kind", "operator"),
        ("draws", {"redraws": 0}, "correct.redraws", 0),
        ("draws", {"steps": 3}, "source.steps", 3),
        ("policy", "refine", "refine", None),
    ],
)
def test_each_former_key_has_its_place(key: str, value: Any, place: str, meant: Any) -> None:
    found: Any = modern(**{key: value})
    for name in place.split("."):
        found = getattr(found, name)
    assert found == meant


def test_a_pressure_has_the_pace_of_its_barostat() -> None:
    boundary: Any = modern(pressure="2 bar", barostat_every=3).boundary
    assert (boundary.kind, boundary.friction, boundary.barostat.every) == ("langevin", 2.0, 3)
    assert boundary.barostat.pressure == pytest.approx(
        modern(pressure="2 bar").boundary.barostat.pressure
    )


@pytest.mark.parametrize(
    "thermostat",
    [
        {"kind": "none", "keep_energy": False},
        {"kind": "adaptive-langevin", "friction": "1 /ps", "relaxation": "0.5 ps"},
        {"kind": "velocity-rescaling", "relaxation": "0.2 ps"},
    ],
)
def test_every_thermostat_is_the_boundary_it_was(thermostat: dict[str, Any]) -> None:
    found = modern(thermostat=thermostat).boundary.model_dump(mode="json")
    wanted = PropagateProtocol.model_validate(
        {k: v for k, v in OLD.items() if k != "thermostat"} | {"boundary": thermostat}
    )
    assert found == wanted.boundary.model_dump(mode="json")


def test_keys_that_are_the_same_today_stay() -> None:
    same = {"replicas": 4, "batch": 2, "equilibration": "2 ps", "platform": "CPU", "workers": 3}
    found = modern(**same)
    assert (found.replicas, found.batch, found.equilibration) == (4, 2, 2.0)
    assert (found.platform, found.workers, found.length) == ("CPU", 3, 1.0)


def test_today_s_protocols_have_no_former_form() -> None:
    content = yaml.safe_load(find_protocol("propagate", "nvt-500k").read_text(encoding="utf-8"))
    assert modern_form(content) is None


@pytest.mark.parametrize("path", FORMER, ids=lambda p: p.stem)
def test_a_former_protocol_is_refused_with_its_form_of_today_to_copy(
    path: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(path, PropagateProtocol)
    said, (text,) = caught.value.args[0], caught.value.__notes__
    assert (
        said == f"{path}: written for an earlier egno-md. Copy today's form, which says the same:"
    )
    copied = tmp_path / "x.yaml"
    copied.write_text(text, encoding="utf-8")
    today = find_protocol("propagate", path.stem)
    assert read_spec(copied, PropagateProtocol) == read_spec(today, PropagateProtocol)


@pytest.mark.parametrize("value", [None, 3, "x", [1], {"a": {"b": 1}}])
@pytest.mark.parametrize("key", sorted(RENAMED))
def test_nonsense_under_a_former_key_ends_in_the_same_message(key: str, value: Any) -> None:
    with pytest.raises(SpecError, match="written for an earlier egno-md") as caught:
        validate({"length": "1 ps", key: value}, PropagateProtocol, "x.yaml")
    (text,) = caught.value.__notes__
    assert isinstance(yaml.safe_load(text), dict)
