"""One word for a judge and what a bad window gets."""

from __future__ import annotations

from typing import Any

import pytest

from egno_md.propagate.describe import describe
from egno_md.propagate.policy import POLICIES, Policy, with_policy
from egno_md.spec.propagate import PropagateProtocol

BASE: dict[str, Any] = {
    "length": "1 ps",
    "temperature": "300 K",
    "timestep": "1 fs",
    "boundary": {"kind": "langevin", "friction": "1 /ps"},
}
TIGHT = {"bond": "0.01 nm"}


def chosen(policy: Policy, **members: Any) -> tuple[Any, Any]:
    protocol = PropagateProtocol.model_validate(BASE | members)
    changed = with_policy(protocol, policy)
    others = {"judge": protocol.judge, "correct": protocol.correct}
    assert changed.model_copy(update=others) == protocol, "nothing else is touched"
    return changed.judge, changed.correct


def test_the_policies_are_those_of_old() -> None:
    assert POLICIES == ("off", "monitor", "refine", "fallback", "strict")


@pytest.mark.parametrize(
    ("policy", "correct", "strict"),
    [("monitor", "monitor", False), ("refine", "refine", False), ("fallback", "fallback", False),
     ("strict", "fallback", True)],
)  # fmt: skip
@pytest.mark.parametrize("strict_before", [False, True])
def test_a_policy_sets_strictness_and_corrector_and_keeps_tolerances(
    policy: Policy, correct: str, strict: bool, strict_before: bool
) -> None:
    before = {"kind": "energy", "every": 3, "strict": strict_before, "tolerances": TIGHT}
    judge, corrector = chosen(policy, judge=before, correct={"kind": "monitor"})
    assert (judge.kind, judge.every, judge.tolerances.bond) == ("energy", 3, 0.01)
    assert judge.strict is strict
    assert corrector.kind == correct


@pytest.mark.parametrize("source", ["operator", "sampler"])
def test_off_is_neither_judge_nor_corrector(source: str) -> None:
    judge, correct = chosen("off", source={"kind": source}, correct={"kind": "monitor"})
    assert (judge.kind, correct) == ("none", None)


@pytest.mark.parametrize("policy", ["monitor", "refine", "fallback", "strict"])
def test_all_but_off_bring_a_judge_back(policy: Policy) -> None:
    judge, _ = chosen(policy, judge={"kind": "none"})
    assert judge.kind == "energy"
    drawn, correct = chosen(policy, judge={"kind": "none"}, source={"kind": "sampler"})
    assert (drawn.kind, correct.kind) == ("shape", "redraw")


@pytest.mark.parametrize("policy", ["fallback", "strict"])
def test_a_fallback_keeps_what_it_says_of_prefixes(policy: Policy) -> None:
    _, correct = chosen(policy, correct={"kind": "fallback", "retry_prefix": True})
    assert correct.retry_prefix


@pytest.mark.parametrize("policy", ["monitor", "refine", "fallback", "strict"])
def test_of_samplers_all_but_off_mean_drawing_again(policy: Policy) -> None:
    judge, correct = chosen(
        policy,
        source={"kind": "sampler"},
        judge={"kind": "shape", "tolerances": TIGHT},
        correct={"kind": "redraw", "redraws": 7},
    )
    assert (judge.kind, judge.tolerances.bond) == ("shape", 0.01)
    assert judge.strict is (policy == "strict")
    assert (correct.kind, correct.redraws) == ("redraw", 7)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("source", ["operator", "sampler"])
def test_a_rollout_is_described_by_the_policy_it_was_given(policy: Policy, source: str) -> None:
    protocol = PropagateProtocol.model_validate(BASE | {"source": {"kind": source}})
    said = describe(with_policy(protocol, policy), 0.5).policy
    drawn = {"off": "off", "strict": "strict"}
    assert said == (drawn.get(policy, "redraw") if source == "sampler" else policy)
