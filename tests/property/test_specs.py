"""Protocols of every verb, and systems: what is valid survives, all else ends in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from egno_md.core.errors import SpecError
from egno_md.paper.stress.spec import StressProtocol
from egno_md.registry import MODELS
from egno_md.spec.base import Spec
from egno_md.spec.describe import dotted_keys
from egno_md.spec.files import read_spec, shipped, validate
from egno_md.spec.prepare import Preparation
from egno_md.spec.propagate_former import RENAMED
from egno_md.spec.system import SystemSpec
from egno_md.spec.template import commented_yaml
from tests.property.lines import fine_or_one_line
from tests.property.specs import WORDS, content, dimension, json_like, places

ROOTS = {**MODELS, "system": SystemSpec, "prepare": Preparation}
KEYS = sorted({k for m in ROOTS.values() for d in dotted_keys(m) for k in d.split(".")})
DRAWN = {name: content(model) for name, model in ROOTS.items()}
LONGEST_MESSAGE = 4000
"""Characters; a message that names every key of a protocol has about 500."""

FEWER = settings(max_examples=max(settings.default.max_examples // 5, 1))
"""For each of nine verbs."""

every_verb = pytest.mark.parametrize("verb", ROOTS)


def examples(verb: str) -> st.SearchStrategy[dict[str, Any]]:
    """Valid content: what is shipped, and what is drawn."""
    files = sorted((shipped("protocols") / verb).glob("*.yaml"))
    if verb == "system":
        files = sorted(shipped("systems").glob("*/system.yaml"))
    known = [yaml.safe_load(p.read_text(encoding="utf-8")) for p in files]
    return st.one_of(DRAWN[verb], st.sampled_from(known)) if known else DRAWN[verb]


def valid(values: dict[str, Any], model: type[Spec]) -> Spec | None:
    try:
        return validate(values, model, "x.yaml")
    except SpecError:
        return None


def replaced(values: Any, path: tuple[str, ...], change: Any, key: str | None = None) -> Any:
    """A copy with another value, or another key, at a place."""
    first, *rest = path
    if rest:
        return {**values, first: replaced(values[first], tuple(rest), change, key)}
    others = {name: value for name, value in values.items() if name != first}
    return {**others, first if key is None else key: change}


def value_at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values[name]
    return values


def refusal(values: object, model: type[Spec]) -> str:
    with pytest.raises(SpecError) as caught:
        validate(values, model, "x.yaml")
    message = str(caught.value)
    assert message.startswith("SpecError: x.yaml: ")
    assert len(message.splitlines()) == 1
    return message


def is_printable(path: tuple[str, ...]) -> bool:
    return all(name.isprintable() for name in path)


@every_verb
@FEWER
@given(data=st.data())
def test_a_valid_spec_survives_yaml(verb: str, data: st.DataObject) -> None:
    model = ROOTS[verb]
    spec = valid(data.draw(examples(verb)), model)
    assume(spec is not None)
    assert spec is not None
    text = yaml.safe_dump(spec.model_dump(mode="json"))
    assert validate(yaml.safe_load(text), model, "x.yaml") == spec
    explained = commented_yaml(spec, "A header.")
    assert validate(yaml.safe_load(explained), model, "x.yaml") == spec


@every_verb
@FEWER
@given(data=st.data())
def test_a_misspelt_key_is_named_and_the_right_one_suggested(
    verb: str, data: st.DataObject
) -> None:
    model, values = ROOTS[verb], data.draw(examples(verb))
    assume(valid(values, model) is not None)
    known = [(path, field) for path, field in places(model, values) if is_printable(path)]
    assume(known)
    path, _ = data.draw(st.sampled_from(known))
    key, where = path[-1], data.draw(st.integers(0, len(path[-1]) - 1))
    misspelt = key[:where] + key[where] + key[where:]
    wrong = replaced(values, path, value_at(values, path), misspelt)
    dotted = ".".join((*path[:-1], misspelt))
    assert f"{dotted}: unknown key. Did you mean '{key}'?" in refusal(wrong, model)


@every_verb
@FEWER
@given(data=st.data())
def test_a_quantity_without_a_unit_is_refused(verb: str, data: st.DataObject) -> None:
    model, values = ROOTS[verb], data.draw(examples(verb))
    if "max_time" in model.model_fields:
        values = {**values, "max_time": "20 min"}
    assume(valid(values, model) is not None)
    quantities = [p for p, f in places(model, values) if dimension(f) and is_printable(p)]
    assume(quantities)
    path = data.draw(st.sampled_from(quantities))
    number: float = data.draw(st.one_of(st.integers(-(10**9), 10**9), st.floats()))
    for bare in (number, repr(number)):
        message = refusal(replaced(values, path, bare), model)
        assert f"{'.'.join(path)}: " in message
        assert "has no unit. Write a" in message


@every_verb
@FEWER
@given(data=st.data())
def test_no_content_ends_in_anything_but_a_spec_or_one_line(verb: str, data: st.DataObject) -> None:
    model, wrong = ROOTS[verb], data.draw(json_like(KEYS))
    if data.draw(st.booleans()):
        values = data.draw(examples(verb))
        known = [path for path, _ in places(model, values)]
        assume(known)
        wrong = replaced(values, data.draw(st.sampled_from(known)), wrong)
    with fine_or_one_line(LONGEST_MESSAGE):
        assert isinstance(validate(wrong, model, "x.yaml"), model)


@FEWER
@given(text=st.one_of(WORDS, st.lists(st.sampled_from(["a", "\n", " ", "#", "'"])).map("".join)))
def test_any_text_survives_where_every_key_is_explained(text: str) -> None:
    (protocol,) = sorted((shipped("protocols") / "stress").glob("*.yaml"))
    values = yaml.safe_load(protocol.read_text(encoding="utf-8"))
    row = {**next(iter(values["models"].values())), "title": text}
    spec = validate({**values, "models": {text: row, f"2{text}": row}}, StressProtocol, "x.yaml")
    explained = commented_yaml(spec, "A header.")
    assert validate(yaml.safe_load(explained), StressProtocol, "x.yaml") == spec


PIECES = st.sampled_from(
    ["a", "timestep", ": ", "\n", "- ", "  ", "[", "]", "{", "}", "&a ", "*a", "!!int ", "!!float ",
     "!!bool ", "!!timestamp ", "!!binary ", "!!set ", "!!omap ", "''", "<<: ", "? ", "2020-13-45",
     "0001-01-01t00:00:00+23:59", "0x", "1", "f" * 400, "9" * 5000, "#", "|\n", ">\n", "%", "\t",
     "~", ".inf", "=", "---", "1:60", "\x85", "\ufeff", "!!python/object:os.system "]
)  # fmt: skip


@given(text=st.one_of(st.lists(PIECES, max_size=14).map("".join), st.text(max_size=40)))
def test_no_text_ends_in_anything_but_a_spec_or_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8", errors="ignore")
    with pytest.raises(SpecError) as caught:
        read_spec(path, MODELS["generate"])
    assert len(str(caught.value).splitlines()) == 1


@given(width=st.integers(5, 9), depth=st.integers(5, 30), key=st.sampled_from(KEYS))
def test_anchors_that_repeat_each_other_are_refused_at_once(
    tmp_path: Path, width: int, depth: int, key: str
) -> None:
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    path = tmp_path / "x.yaml"
    path.write_text("\n".join([*lines, f"{key}: *a{depth - 1}"]))
    with pytest.raises(SpecError, match=r"x\.yaml: "):
        read_spec(path, MODELS["generate"])


OLD = {"length": "1 ps", "temperature": "300 K", "timestep": "1 fs"}


@given(data=st.data())
def test_former_protocols_end_in_today_s_form_that_is_no_former_one(data: st.DataObject) -> None:
    drawn = st.one_of(json_like(KEYS), st.sampled_from(["off", "strict", 2, {"kind": "none"}]))
    keys = st.sampled_from(sorted(RENAMED))
    values = {**OLD, **data.draw(st.dictionaries(keys, drawn, min_size=1))}
    with pytest.raises(SpecError) as caught:
        validate(values, MODELS["propagate"], "x.yaml")
    assume("more than 300 digits" not in str(caught.value))
    assert "earlier egno-md" in str(caught.value)
    today = yaml.safe_load(caught.value.__notes__[0])
    assert RENAMED.keys().isdisjoint(today)
    assert {key: today[key] for key in OLD} == OLD
