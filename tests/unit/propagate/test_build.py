"""What a protocol leaves open is filled in by what suits its source."""

from __future__ import annotations

from typing import Any

import pytest

from egno_md.propagate.build import _rules
from egno_md.spec.propagate import PropagateProtocol

BASE = {
    "length": "1 ps",
    "temperature": "300 K",
    "timestep": "1 fs",
    "boundary": {"kind": "langevin", "friction": "1 /ps"},
}
EXACT = {"kind": "exact", "window": "8 fs"}


def protocol(**members: Any) -> PropagateProtocol:
    return PropagateProtocol.model_validate(BASE | members)


@pytest.mark.parametrize(
    ("source", "judge", "kind"),
    [
        ({"kind": "operator"}, "energy", "fallback"),
        ({"kind": "operator"}, "shape", "fallback"),
        ({"kind": "operator"}, "none", "monitor"),
        ({"kind": "sampler"}, "shape", "redraw"),
        ({"kind": "sampler"}, "none", "redraw"),
        (EXACT, "energy", "monitor"),
        (EXACT, "none", "monitor"),
    ],
)
def test_a_corrector_that_is_not_named_suits_the_source(
    source: dict[str, str], judge: str, kind: str
) -> None:
    rules = _rules(protocol(source=source, judge={"kind": judge}), keeps_energy=False)
    assert rules.correct is not None
    assert rules.correct.kind == kind


def test_a_corrector_that_is_named_is_kept() -> None:
    named = protocol(correct={"kind": "refine"}, refine={"max_blocks": 3})
    rules = _rules(named, keeps_energy=True)
    assert (rules.judge, rules.correct, rules.refine) == (named.judge, named.correct, named.refine)
    assert (rules.kelvin, rules.keeps_energy) == (300.0, True)
