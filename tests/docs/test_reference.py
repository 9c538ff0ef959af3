"""Generated reference pages hold what the code holds."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from egno_md.spec.describe import dotted_keys
from tests.docs.blocks import ROOT

HOOKS = ROOT / "docs" / "hooks"


def hook(name: str) -> ModuleType:
    sys.path.insert(0, str(HOOKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(HOOKS))


def test_every_error_class_has_its_section() -> None:
    errors = hook("errors_reference")
    page = errors.page()
    assert len(errors.error_classes()) >= 7
    for error in errors.error_classes():
        assert f"## {error.__name__}" in page


def test_every_message_of_the_code_has_a_cause() -> None:
    errors = hook("errors_reference")
    entries = errors.entries()
    bare = [m for m in errors.messages() if not any(e.covers(m) for e in entries)]
    listed = "\n".join(f"{m.file}: {m.text}" for m in bare)
    assert not bare, f"add these to docs/hooks/troubleshooting.yaml:\n{listed}"


def test_every_quoted_message_is_raised_somewhere() -> None:
    errors = hook("errors_reference")
    texts = [m.text for m in errors.messages()]
    for entry in errors.entries():
        for part in entry.says:
            assert any(part in text for text in texts), f"nothing raises {part!r}"


def test_messages_of_real_errors_are_found_by_their_template(tmp_path: Path) -> None:
    from egno_md.core.errors import EgnoMDError
    from egno_md.core.units import parse_quantity
    from egno_md.data.store import Store

    errors = hook("errors_reference")
    patterns = [
        re.compile(".*".join(re.escape(p) for p in m.text.split(errors.HOLE)), re.DOTALL)
        for m in errors.messages()
    ]
    for act in (lambda: parse_quantity("2.0", "time"), lambda: Store(tmp_path / "none")):
        with pytest.raises(EgnoMDError) as caught:
            act()
        assert any(p.fullmatch(str(caught.value.args[0])) for p in patterns)


def test_the_protocol_reference_names_every_key_once_a_table() -> None:
    reference = hook("protocols_reference")
    page = reference.page()
    for model in reference.ROOTS.values():
        for key in dotted_keys(model):
            if not key.endswith(".kind"):
                assert f"| `{key}` |" in page, key


def test_result_tables_are_the_numbers_of_the_files() -> None:
    results = hook("results_tables")
    page = results.page()
    content = json.loads((ROOT / "benchmarks" / "results" / "ethanol.json").read_text())
    rollout = content["rollouts"]["8 fs checked"]
    assert f"{rollout['speed_up']:.2g}×" in page
    assert f"{rollout['temperature_mean']:.1f}" in page
    operator = content["operators"]["8fs"]["held out"]["fresh data"]["by_time"][-1]
    assert f"{operator['velocity_error']['operator']:.1%}" in page
    assert f"{operator['position_rmse']['operator']:.4f}" in page  # Å, as the file has it


def test_a_benchmark_shows_failed_seeds_and_no_motion_where_it_is_known() -> None:
    results = hook("results_tables")
    row = {
        "title": "Ours", "f_mse": 0.02, "f_mse_by_seed": [0.01, None, 0.03], "f_mse_deviation": None,
        "a_mse": None, "published": None, "epochs": [1, 0, 1], "seconds": [60, 0, 60],
        "parameters": 7, "device": "cpu",
    }  # fmt: skip
    content = {"unit": "", "rows": [row], "data": {"source": "made up"}}
    before = results.benchmark(content)
    assert "0.01, –, 0.03" in before[-1]
    after = results.benchmark(content | {"still": {"f_mse": 0.5, "a_mse": None}})
    assert after[:-1] == before
    assert "no motion" in after[-1]
    assert "0.5" in after[-1]


def test_pages_without_generated_parts_hold_no_result_tables() -> None:
    text = (ROOT / "docs" / "results.md").read_text()
    assert not re.search(r"^\|", text, re.MULTILINE)


def test_every_public_function_is_in_the_python_reference() -> None:
    from egno_md import api

    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    for name in api.__all__:
        assert re.search(rf"^::: egno_md\.[\w.]*\b{name}$", page, re.MULTILINE), name


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in config
