"""Findings of the stress questions, as sentences that a user can act on; every figure is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]
Titles = Mapping[str, str]

NOTICED = 1e-3
"""Residual from which a broken symmetry shows beside an operator's own error of a few percent."""
WORSE = 1.5
"""Factor from which collisions are called costly."""
NOTHING = 1e-6
"""Share of power that is none."""
BETTER = 1.05
"""Factor from which one way of decoding is called better than another."""


def findings(answers: Mapping[str, Mapping[str, Any]], titles: Titles) -> dict[str, list[str]]:
    """Sentences by question.

    Args:
        answers: what each question's `measure` returned.
        titles: of the models, by name.
    """
    return {name: SAYS[name](answer, titles) for name, answer in answers.items()}


def of_equivariance(answer: Mapping[str, Any], titles: Titles) -> list[str]:
    """How large an angle or a distance may be."""
    sentences = []
    for model, title in titles.items():
        rows = [r for r in answer["rows"] if r["model"] == model]
        turns = [r for r in rows if r["symmetry"].startswith("rotation")]
        shifts = sorted(
            (r for r in rows if r["symmetry"] == "translation"), key=lambda r: r["amount"]
        )
        single, double = (max(r[p] for r in turns) for p in ("float32", "float64"))
        residuals = (
            f"(largest residual {single:.1e} of the move in float32, {double:.1e} in float64)"
        )
        sentences.append(
            f"{title}: rotations by any angle up to and including π commute with the operator to "
            f"rounding {residuals}: no augmentation by rotations is needed."
            if single < NOTICED
            else f"{title}: rotations do not commute with the operator {residuals}: rotate training "
            "data, or compute in float64."
        )
        far = next((r for r in shifts if r["float32"] >= NOTICED), None)
        if far is not None:
            sentences.append(
                f"{title}: {far['amount']:g} system sizes from the origin a float32 window is off "
                f"by {far['float32']:.1e} of the move, of which rounding the positions alone makes "
                f"{far['float32_input']:.1e} (float64: {far['float64']:.1e}): centre positions in "
                "double precision before a call, or stay within "
                f"{_before([r['amount'] for r in shifts], far['amount'])} sizes."
            )
        elif shifts:
            sentences.append(
                f"{title}: up to {shifts[-1]['amount']:g} system sizes from the origin a float32 "
                f"window is off by at most {max(r['float32'] for r in shifts):.1e} of the move: "
                "positions need no centring."
            )
    return sentences


def of_resolution(answer: Mapping[str, Any], titles: Titles) -> list[str]:
    """Whether to decode other time points, or to interpolate between the trained ones."""
    sentences = []
    home_points = str(answer["trained_points"])
    for model, title in titles.items():
        rows = {r["points"]: r for r in answer["rows"] if r["model"] == model}
        if home_points not in rows:
            continue
        home = rows[home_points]["f_mse"]
        others = {n: r for n, r in rows.items() if n != home_points}
        if not others:
            continue
        name, worst = max(others.items(), key=lambda item: item[1]["f_mse"])
        ratio = worst["f_mse"] / home
        better = [n for n, r in others.items() if r["a_mse"] > BETTER * r["a_mse_by_spline"]]
        worse = [n for n, r in others.items() if r["a_mse_by_spline"] > BETTER * r["a_mse"]]
        text = (
            f"{title}, trained at P = {home_points} (F-MSE {home:.2g}): asked for other time points, its "
            f"error at ΔT is at worst {ratio:.3g} times that ({name} points)"
        )
        if better and not worse:
            gain = max(r["a_mse"] / r["a_mse_by_spline"] for r in others.values())
            text += (
                f"; a cubic spline through the trained points is better for {_and(better)} points (up "
                f"to {gain:.3g} times in A-MSE) and never worse: decode at the trained points and "
                "interpolate."
            )
        elif better:
            text += (
                f"; a cubic spline through the trained points is better for {_and(better)} points, "
                f"asking is better for {_and(worse)}."
            )
        elif worse:
            text += "; a cubic spline through the trained points is nowhere better: ask directly."
        else:
            text += "; a cubic spline through the trained points is as good: take either."
        sentences.append(text)
    return sentences


def of_collisions(answer: Mapping[str, Any], titles: Titles) -> list[str]:
    """The cost of impulsive contacts compared with smooth ones."""
    sentences = []
    for model, title in titles.items():
        rows = {r["contact"]: r for r in answer["rows"] if r["model"] == model}
        hard, soft = rows["hard"], rows["soft"]
        if not {"f_mse_touch", "f_mse_miss"} <= set(hard):
            sentences.append(
                f"{title}: {hard['windows_that_touch']:.0%} of the windows hold a bounce, which leaves "
                "none to compare with: change spheres.length."
            )
            continue
        ratio = hard["f_mse_touch"] / hard["f_mse_miss"]
        text = (
            f"{title}: a bounce within the window makes the error {ratio:.3g} times that of windows "
            f"without ({hard['over_ballistic_touch']:.0%} of the error of x + vτ is left, "
            f"{hard['over_ballistic_miss']:.1%} without)"
        )
        if "f_mse_touch" in soft and "f_mse_miss" in soft:
            smooth = soft["f_mse_touch"] / soft["f_mse_miss"]
            text += f"; soft repulsion of the same range {smooth:.3g} times"
        if "f_mse_miss" in rows["none"] and "f_mse_touch" in rows["none"]:
            crossing = rows["none"]["f_mse_touch"] / rows["none"]["f_mse_miss"]
            text += f", spheres that pass through each other {crossing:.3g} times"
        text += (
            ": keep ΔT well below the time between impulsive contacts, or leave such windows to MD."
            if ratio > WORSE
            else ": impulsive contacts need no special care at this ΔT."
        )
        sentences.append(text)
    return sentences


def of_ladder(answer: Mapping[str, Any], titles: Titles) -> list[str]:
    """Largest ΔT at which a deterministic window is informative."""
    sentences = []
    for model, title in titles.items():
        rows = [r for r in answer["rows"] if r["model"] == model]
        last = rows[-1]
        unpredictable = [r for r in rows if r["over_nothing"] > 0.5]
        text = (
            f"{title}: at {last['multiple']:g} velocity decorrelation times the error is "
            f"{last['over_nothing']:.0%} of knowing nothing, and predicted positions vary by "
            f"{last['spread']:.0%} of the true variance about the centre"
        )
        if unpredictable:
            longest = _before([r["multiple"] for r in rows], unpredictable[0]["multiple"])
            text += (
                f"; more than half of what there is to know is lost from {unpredictable[0]['multiple']:g} on: "
                f"use deterministic windows of at most {longest} decorrelation times, and longer ones "
                "for samples only, with their fluctuations restored."
            )
        else:
            text += ": windows of every length tried still carry most of the dynamics."
        sentences.append(text)
    return sentences


def of_modes(answer: Mapping[str, Any], titles: Titles) -> list[str]:
    """How many Fourier modes to keep, and an estimate from the data alone."""
    sentences = []
    for model, title in titles.items():
        rows = {r["modes"]: r for r in answer["rows"] if r["model"] == model}
        chosen = answer["chosen"][model]
        best = min(rows.values(), key=lambda r: r["a_mse"])
        least, row = rows[min(rows)], rows[chosen]
        gain = least["a_mse"] / best["a_mse"]
        sentences.append(
            f"{title}: I = {chosen} is the smallest within one standard error of the best "
            f"(I = {best['modes']}, A-MSE {best['a_mse']:.3g}; I = {min(rows)} {gain:.3g} times that): "
            f"set network.modes: {chosen}, which leaves {row['power_above']:.1%} of the displacement "
            "power above the modes that are kept."
        )
    most = max(answer["chosen"].values())
    power = next(r["power_above"] for r in answer["rows"] if r["modes"] == most)
    if most == 0:
        sentences.append(
            "No operator needs its temporal convolutions here: network.modes: 0 saves their cost."
        )
    elif power > NOTHING:
        sentences.append(
            "A first guess from trajectories alone: the smallest I that leaves at most "
            f"{power:.1%} of the displacement power above it, here I = {most}."
        )
    if answer["seeds"] == 1:
        sentences.append(
            "Standard errors are over test windows of one seed; --seeds 3 --resume takes the scatter "
            "of training in."
        )
    return sentences


def _before(amounts: Sequence[float], amount: float) -> str:
    """The largest amount below another, in words."""
    below = [a for a in amounts if a < amount]
    return f"{max(below):g}" if below else f"less than {amount:g}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


SAYS: Mapping[str, Callable[[Mapping[str, Any], Titles], list[str]]] = {
    "equivariance": of_equivariance,
    "resolution": of_resolution,
    "collisions": of_collisions,
    "ladder": of_ladder,
    "modes": of_modes,
}
