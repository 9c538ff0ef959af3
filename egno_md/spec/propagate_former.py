"""`propagate` protocols of egno-md 0.1, in today's form."""

from __future__ import annotations

from typing import Any

RENAMED = {
    "thermostat": "boundary",
    "pressure": "boundary.barostat.pressure",
    "barostat_every": "boundary.barostat.every",
    "policy": "judge and correct (--policy sets both)",
    "check_every": "judge.every",
    "tolerances": "judge.tolerances",
    "refinement": "refine",
    "refine_every": "refine.every",
    "retry_prefix": "correct.retry_prefix",
    "save": "record.save",
    "reference_steps": "record.reference_steps",
    "draws": "source.steps, source.solver and correct.redraws",
    "correction": "source with kind: metropolis",
}
"""Where today's form says what keys of egno-md 0.1 said."""

MODERN_KEYS = frozenset({"source", "judge", "correct", "refine", "boundary", "record"})
SHAPE_TOLERANCES = ("force", "bond", "contact", "atom")


def modern_form(content: dict[str, Any]) -> dict[str, Any] | None:
    """A protocol with the 24 keys of egno-md 0.1 in today's form.

    Args:
        content: keys and values of the file.

    Returns:
        Keys and values that say the same; None where the content has no former key, or today's
        keys beside them.
    """
    if RENAMED.keys().isdisjoint(content) or not MODERN_KEYS.isdisjoint(content):
        return None
    old = {k: v for k, v in content.items() if k in RENAMED}
    draws, correction = _keys(old, "draws"), _keys(old, "correction")
    is_sampler = bool(draws or correction)
    flow = {k: v for k, v in draws.items() if k in ("steps", "solver")}
    if correction:
        source = {**correction, "kind": "metropolis", **flow}
    else:
        source = {"kind": "sampler", **flow} if is_sampler else {"kind": "operator"}
    policy = _policy(old)
    new: dict[str, Any] = {"source": source, "judge": _judge(old, policy, is_sampler=is_sampler)}
    if policy != "off":
        new["correct"] = _correct(old, policy, draws, is_sampler=is_sampler)
    every = old.get("refine_every")
    if every is not None or (policy == "refine" and "refinement" in old):
        new["refine"] = {**({"every": every} if every else {}), **_keys(old, "refinement")}
    new["boundary"] = _boundary(old)
    record = {k: old[k] for k in ("save", "reference_steps") if k in old}
    if record:
        new["record"] = record
    kept = {k: v for k, v in content.items() if k not in RENAMED}
    first = {k: kept.pop(k) for k in ("length", "temperature", "timestep") if k in kept}
    return {**first, **new, **kept}


def _keys(old: dict[str, Any], name: str) -> dict[str, Any]:
    value = old.get(name)
    return dict(value) if isinstance(value, dict) else {}


def _policy(old: dict[str, Any]) -> str:
    policy = old.get("policy", "fallback")
    return "off" if policy is False else str(policy)  # YAML reads a bare off as false


def _judge(old: dict[str, Any], policy: str, *, is_sampler: bool) -> dict[str, Any]:
    if policy == "off":
        return {"kind": "none"}
    judge: dict[str, Any] = {"kind": "shape" if is_sampler else "energy"}
    if not is_sampler and "check_every" in old:
        judge["every"] = old["check_every"]
    if policy == "strict":
        judge["strict"] = True
    tolerances = _keys(old, "tolerances")
    if is_sampler:
        tolerances = {k: v for k, v in tolerances.items() if k in SHAPE_TOLERANCES}
    if tolerances:
        judge["tolerances"] = tolerances
    return judge


def _correct(
    old: dict[str, Any], policy: str, draws: dict[str, Any], *, is_sampler: bool
) -> dict[str, Any]:
    if is_sampler:
        return {"kind": "redraw", **{k: v for k, v in draws.items() if k == "redraws"}}
    if policy in ("monitor", "refine"):
        return {"kind": policy}
    retry = {"retry_prefix": True} if old.get("retry_prefix") else {}
    return {"kind": "fallback", **retry}


def _boundary(old: dict[str, Any]) -> dict[str, Any]:
    boundary = _keys(old, "thermostat")
    if old.get("pressure") is not None:
        every = {"every": old["barostat_every"]} if "barostat_every" in old else {}
        boundary["barostat"] = {"pressure": old["pressure"], **every}
    return boundary
