"""Results as rows and lines that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from egno_md.compare.observable import NOT_ENOUGH_DATA, Comparison, Observable
from egno_md.core.units import format_quantity
from egno_md.nn.bundle import ModelCard
from egno_md.nn.card import Card, DynamicsCard
from egno_md.nn.sampler_card import SamplerCard
from egno_md.propagate.protein_lines import cost_lines, protein_lines
from egno_md.propagate.summary import RolloutSummary

NAMES = {
    "operator": "operator",
    "persistence": "persistence",
    "ballistic": "ballistic",
    "half_a_tau_squared": "½aτ²",
}


def training_lines(summary: dict[str, Any], bundle: Path) -> list[str]:
    """How a training ended."""
    best = summary["validation"]
    errors = (
        f"flow matching loss {best['flow_loss']:.4f} (1 knows only widths)."
        if summary.get("mode") == "sampler"
        else f"F-MSE {best['f_mse']:.3g} Å², A-MSE {best['a_mse']:.3g} Å², velocity error "
        f"{best['velocity_error']:.1%} of thermal."
    )
    lines = [
        f"{summary['steps']:,} steps in {summary['seconds']:.0f} s, {summary['stopped']}. "
        f"Validation: {errors}",
        f"Operator: {bundle}",
    ]
    return [*lines, summary["statement"]] if "statement" in summary else lines


def card_lines(card: ModelCard) -> list[str]:
    """An operator's card as lines, with its limits."""
    match card:
        case DynamicsCard():
            rows = _dynamics_rows(card)
        case SamplerCard():
            rows = _sampler_rows(card)
    return [f"{name + ':':<21} {value}" for name, value in rows]


def _dynamics_rows(card: DynamicsCard) -> list[list[str]]:
    training, data, validity = card.training, card.training.get("data", {}), card.validity
    points = ", ".join(f"{t * 1e3:g}" for t in card.time_points)
    kelvin = _kelvin(card)
    rows = [
        ["system", f"{card.subject}, {_sizes(card)} atoms"],
        ["network", f"{card.network.kind}, {training.get('parameters', 0):,} parameters"],
        ["window ΔT", f"{card.window.length * 1e3:g} fs, decoded at {points} fs"],
        ["needs", "the force at a window's start" if card.uses_forces else "no forces"],
        ["potential", validity.potential or "unknown"],
        ["data", f"{data.get('frames', 0):,} frames at {kelvin}"],
    ]
    validation = training.get("validation")
    if validation:
        rows.append(["training", f"{training['steps']:,} steps, {training['seconds']:.0f} s"])
        rows.append(
            [
                "errors (validation)",
                f"velocity {validation['velocity_error']:.1%} of thermal, "
                f"F-MSE {validation['f_mse']:.3g} Å², A-MSE {validation['a_mse']:.3g} Å²",
            ]
        )
    limit = "its training temperature"
    if validity.kelvin is not None:
        limit = f"{1.1 * validity.kelvin:g} K"
    scope = "these elements and sizes" if card.one is None else "this system"
    rows.append(
        [
            "limits",
            f"{scope} and potential alone, up to {limit}; deterministic windows of "
            f"{card.window.length * 1e3:g} fs ({card.mode}); to be checked by an engine",
        ]
    )
    return rows


def _sampler_rows(card: SamplerCard) -> list[list[str]]:
    training, data = card.training, card.training.get("data", {})
    points = ", ".join(f"{t:g}" for t in card.time_points)
    kelvin = _kelvin(card)
    rows = [
        ["system", f"{card.subject}, {_sizes(card)} {card.atoms} atoms"],
        ["mode", "sampler"],
        ["network", f"{card.network.kind}, {training.get('parameters', 0):,} parameters"],
        ["window ΔT", f"{card.window.length:g} ps, drawn at {points} ps"],
        ["potential", card.validity.potential or "unknown"],
        ["data", f"{data.get('frames', 0):,} frames at {kelvin}"],
    ]
    if training.get("validation"):
        rows.append(["training", f"{training['steps']:,} steps, {training['seconds']:.0f} s"])
        loss = training["validation"]["flow_loss"]
        rows.append(["loss (validation)", f"{loss:.4f} of flow matching; 1 knows only widths"])
    rows.append(["limits", f"this system, potential and temperature alone. {card.statement}"])
    return rows


def _kelvin(card: Card) -> str:
    kelvin = card.validity.kelvin
    return "unknown" if kelvin is None else f"{kelvin:g} K"


def _sizes(card: Card) -> str:
    least, most = card.validity.sizes
    return f"{least}" if least == most else f"{least} to {most}"


def evaluation_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Position (Å) and velocity (% of thermal) errors by predictor and time."""
    times = [f"{r['time'] * 1e3:g} fs" for r in result["by_time"]]
    columns = ["error after", *(f"{t}: Å" for t in times), *(f"{t}: v %" for t in times)]
    rows = []
    for key, name in NAMES.items():
        if result["by_time"][0]["position_rmse"][key] is None:
            continue
        x = [f"{r['position_rmse'][key]:.4f}" for r in result["by_time"]]
        v = [f"{100 * r['velocity_error'][key]:.1f}" for r in result["by_time"]]
        rows.append([name, *x, *v])
    return columns, rows


def rollout_lines(summary: RolloutSummary, out: Path) -> list[str]:
    """A rollout in a few sentences."""
    s = summary
    events = ", ".join(f"{n} {k}" for k, n in s.events.items() if n)
    mode = "refined means" if s.caveat else s.mode
    lines = [
        f"{s.simulated_ps:g} ps in {s.windows} windows of {format_quantity(s.window_ps, 'time')} "
        f"({mode}, {s.ensemble}, policy {s.policy}): {events or 'no window'}",
    ]
    if s.temperature_mean is not None:
        elements = ", ".join(f"{k} {v:.0f}" for k, v in s.temperature_by_element.items())
        aim = "" if s.temperature_target is None else f", target {s.temperature_target:g} K"
        lines.append(f"Temperature {s.temperature_mean:.1f} K ({elements}){aim}")
    if s.energy_error_std is not None:
        lines.append(
            f"Energy error per window {s.energy_error_mean:.3g} ± {s.energy_error_std:.3g} kJ/mol; "
            f"largest bond deviation {s.largest_bond_deviation * 10:.2f} Å"
        )
    lines += protein_lines(s)
    if s.trajectory_drift is not None:
        lines.append(f"Total energy drifts by {s.trajectory_drift:+.3g} kJ/mol/ps")
    if s.speed_up is None:
        return [*lines, *_corrected_lines(s), *_ending(s, out)]
    lines.append(
        f"{s.rollout_ns_per_day:.3g} ns/day net of every check and repair, reference MD "
        f"{s.reference_ns_per_day:.3g} ns/day in the same run: {s.speed_up:.2f}×"
    )
    if s.statement is not None:
        return [*lines, *_sampler_lines(s), *_ending(s, out)]
    lines += cost_lines(s)
    if s.windows and s.events["exact"] == s.windows:
        spent = ", ".join(f"{part} {t:.1f} s" for part, t in s.seconds.items() if t >= 0.05)
        lines.append(f"This is MD itself, with the costs of a loop over windows: {spent}")
    elif s.speed_up < 1 and s.windows:
        lines.append(
            f"That is slower than MD: {s.fallback_share:.0%} of the windows were done by MD after "
            "the operator's were rejected. Train a better operator, or run MD."
            if s.fallback_share
            else "That is slower than MD. Use longer windows, or run MD."
        )
    return [*lines, *_ending(s, out)]


def _ending(summary: RolloutSummary, out: Path) -> list[str]:
    stopped = [f"Stopped: {reason} ({count}×)" for reason, count in summary.stopped.items()]
    return [*stopped, f"Frames, events and summary: {out}"]


def _corrected_lines(summary: RolloutSummary) -> list[str]:
    spent, moves = summary.seconds, max(summary.windows, 1)
    parts = {"network": "network", "dynamics": "MD", "checks": "energies", "output": "output"}
    costs = ", ".join(f"{name} {spent[part]:.1f} s" for part, name in parts.items())
    return [
        f"Acceptance {summary.acceptance or 0.0:.1%} of {summary.windows:,} moves, "
        f"{summary.windows_drawn:,} windows drawn for them; {1e3 * spent['total'] / moves:.3g} ms "
        f"a move, of {spent['total']:.1f} s: {costs}",
        summary.statement or "",
    ]


def _sampler_lines(summary: RolloutSummary) -> list[str]:
    every = summary.refine_every or 0
    refined = {0: "no window refined", 1: "every window's end refined"}.get(
        every, f"every {every} windows' end refined"
    )
    parts = ("network", "lift", "checks", "refinement", "fallback", "output")
    spent = ", ".join(f"{p} {summary.seconds[p]:.1f} s" for p in parts)
    return [
        f"{refined}, {summary.redraws} windows drawn again; of {summary.seconds['total']:.1f} "
        f"s: {spent}",
        summary.statement or "",
    ]


def parareal_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Speed-up by number of workers."""
    rows = [[w, f"{gain:.2f}"] for w, gain in result["modelled_speed_up"].items()]
    return ["workers", "speed-up"], rows


def parareal_lines(result: dict[str, Any], out: Path) -> list[str]:
    """A parareal run in a few sentences."""
    cost = result["cost"]
    lines = [
        f"{result['length_ps']:g} ps in {result['slabs']} slabs of {result['slab_ps'] * 1e3:g} fs: "
        f"{result['iterations']} iterations, {result['fine_calls']} exact and "
        f"{result['coarse_calls']} surrogate slabs",
        f"A slab takes {cost['fine_seconds']:.3g} s exactly, {cost['coarse_seconds']:.3g} s with "
        f"the surrogate ({cost['coarse_over_fine']:.2f}); {result['workers']} workers took "
        f"{result['seconds']:.3g} s, {result['measured_speed_up']:.2f}× serial",
        f"Deviation from serial: {result['forecast_deviation_nm']:.2g} nm forecast, tolerance "
        f"{result['tolerance_nm']:g} nm",
    ]
    if "verified" in result:
        deviations = result["verified"]
        lines.append(
            f"Beside the serial run: {deviations['deviation_nm']:.2g} nm at most; the serial run beside "
            f"itself with a warm potential: {deviations['warm_potential_deviation_nm']:.2g} nm"
        )
    if result["serial_from_slab"] is not None:
        lines.append(f"It did not pay: serial from slab {result['serial_from_slab']} on")
    lines.append(f"Frames and numbers: {out}")
    return lines


def comparison_table(comparisons: tuple[Comparison, ...]) -> tuple[list[str], list[list[str]]]:
    """Scalar observables of the reference and of every rollout, with verdicts."""
    columns = ["observable", "reference", "noise floor"]
    for comparison in comparisons:
        columns += [comparison.label, "verdict"]
    rows = []
    for observable in comparisons[0].observables:
        unit = f" ({observable.unit})" if observable.unit else ""
        row = [
            observable.name + unit,
            f"{observable.reference:.4g}",
            f"{observable.noise_floor:.2g}",
        ]
        for comparison in comparisons:
            row += _against(comparison.observables, observable.name)
        rows.append(row)
    return columns, rows


def _against(observables: tuple[Observable, ...], name: str) -> list[str]:
    one = next((o for o in observables if o.name == name), None)
    if one is None:
        return ["-", "not available"]
    interval = ""
    if one.interval is not None:
        interval = f" [{one.interval[0]:+.2g}, {one.interval[1]:+.2g}]"
    return [f"{one.rollout:.4g}{interval}", _verdict(one)]


def _verdict(one: Observable) -> str:
    """The verdict, with the length it needs or that the difference is negligible."""
    if one.verdict == NOT_ENOUGH_DATA and one.needed_ps is not None:
        return f"{one.verdict} ({one.needed_ps[1]:.2g} ps would do)"
    return f"{one.verdict}, but negligible" if one.is_negligible else one.verdict
