"""Policies: one word for a judge and what a bad window gets."""

from __future__ import annotations

from typing import Literal, get_args

from egno_md.spec import propagate as spec

Policy = Literal["off", "monitor", "refine", "fallback", "strict"]
"""off: no judge; monitor: judge, and stop when broken; refine: refine the ends of bad windows;
fallback: replace what does not hold by MD; strict: fallback at half the tolerances, but for
contacts. Of samplers all but off mean drawing again, and then MD."""

POLICIES: tuple[str, ...] = get_args(Policy)


def policy_members(
    policy: Policy, judge: spec.Judge, correct: spec.Correct | None
) -> tuple[spec.Judge, spec.Correct | None]:
    """A judge, and what its bad windows get, as a policy has them.

    Args:
        policy: in a word.
        judge: whose tolerances are kept.
        correct: is kept where it is what the policy means.
    """
    if policy == "off":
        return spec.NoJudge(kind="none"), None
    if not isinstance(judge, spec.NoJudge):
        judge = judge.model_copy(update={"strict": policy == "strict"})
    match policy:
        case "monitor":
            return judge, spec.Monitor(kind="monitor")
        case "refine":
            return judge, spec.Repair(kind="refine")
        case _:
            is_kept = isinstance(correct, spec.Fallback)
            return judge, correct if is_kept else spec.Fallback(kind="fallback")


def with_policy(protocol: spec.PropagateProtocol, policy: Policy) -> spec.PropagateProtocol:
    """The protocol with `judge` and `correct` as a policy has them."""
    is_drawn = isinstance(protocol.source, spec.SamplerSource)
    judge = protocol.judge
    if isinstance(judge, spec.NoJudge):
        judge = spec.ShapeJudge(kind="shape") if is_drawn else spec.EnergyJudge(kind="energy")
    judge, correct = policy_members(policy, judge, protocol.correct)
    if is_drawn and policy != "off":
        is_kept = isinstance(protocol.correct, spec.Redraw)
        correct = protocol.correct if is_kept else spec.Redraw(kind="redraw")
    return protocol.model_copy(update={"judge": judge, "correct": correct})
