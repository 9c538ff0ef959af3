"""What is said of a rollout: before it runs, and of what its windows cannot give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from egno_md.core.units import format_quantity
from egno_md.nn.card import DynamicsCard
from egno_md.nn.sampler_card import CORRECTED, STATEMENT
from egno_md.propagate.summary import Description, Drawn, rounded
from egno_md.propagate.totals import Totals
from egno_md.spec import propagate as spec

DECORRELATION = 0.2
"""ps: velocities forget in about this time, and with them what a start frame can tell."""


def describe(protocol: spec.PropagateProtocol, window_ps: float) -> Description:
    """What is known of a rollout before it runs.

    Args:
        protocol: how it is run.
        window_ps: what a window of its source counts for.
    """
    is_nve = isinstance(protocol.boundary, spec.NoThermostat)
    ensemble = "NVE"
    if not isinstance(protocol.boundary, spec.NoThermostat):
        ensemble = "NVT" if protocol.boundary.barostat is None else "NPT"
    description = Description(
        policy=_policy(protocol),
        ensemble=ensemble,
        kelvin=None if is_nve else protocol.temperature,
        replicas=protocol.replicas,
        window_ps=window_ps,
        timestep=protocol.timestep,
    )
    match protocol.source:
        case spec.SamplerSource() as source:
            return replace(description, statement=STATEMENT, drawn=_drawn(protocol, source))
        case spec.MetropolisSource() as source:
            return replace(
                description, statement=CORRECTED, is_faster_than_md=False, drawn=_moves(source)
            )
        case _:
            return description


def _policy(protocol: spec.PropagateProtocol) -> str:
    """How windows are judged and corrected, in a word."""
    match protocol.judge:
        case spec.NoJudge():
            return "off"
        case spec.EnergyJudge(strict=True) | spec.ShapeJudge(strict=True):
            return "strict"
        case _:
            usual = {"sampler": "redraw", "exact": "monitor"}
            if protocol.correct is None:
                return usual.get(protocol.source.kind, "fallback")
            return protocol.correct.kind


def _drawn(
    protocol: spec.PropagateProtocol, source: spec.SamplerSource
) -> Callable[[Totals], Drawn]:
    every = 0 if protocol.refine is None else protocol.refine.every or 0

    def describe_draws(totals: Totals) -> Drawn:
        return Drawn(
            statement=STATEMENT,
            corrected=False,
            refine_every=every,
            draw_steps=source.steps,
            draw_solver=source.solver,
            redraws=totals.redraws,
            refinement_shift_nm=rounded(totals.refinement_displacement.mean, 4),
        )

    return describe_draws


def _moves(source: spec.MetropolisSource) -> Callable[[Totals], Drawn]:
    def describe_moves(totals: Totals) -> Drawn:
        return Drawn(
            statement=CORRECTED,
            corrected="metropolis",
            refine_every=0,
            draw_steps=source.steps,
            draw_solver=source.solver,
            acceptance=rounded(totals.moves_accepted.mean, 4),
            moves_weighed=rounded(totals.moves_weighed.mean, 4),
            windows_drawn=totals.windows_drawn,
            correction=source.model_dump(mode="json"),
        )

    return describe_moves


def caveat(card: DynamicsCard) -> str:
    """What a deterministic operator of long windows cannot give; empty for short ones."""
    length = card.window.length
    if length <= DECORRELATION:
        return ""
    return (
        f"This operator is deterministic and its windows of {format_quantity(length, 'time')} are "
        "longer than velocities remember: trained on squared errors it predicts the mean of what "
        "may follow, so fluctuations collapse. Neither kinetics nor widths of distributions can "
        "be read from this rollout; use a sampler for those."
    )
