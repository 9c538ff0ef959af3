"""Every observable of a reference and a rollout of one system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from egno_md.compare import catalogue
from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings
from egno_md.compare.observable import NOT_ENOUGH_DATA, Comparison
from egno_md.compare.observables import (
    efficiency,
    energetics,
    integrity,
    kinetics,
    slow,
    spectrum,
    states,
)
from egno_md.compare.record import Probe, Record, record
from egno_md.compare.sides import Side, Survey, check_same_atoms, survey
from egno_md.compare.verdicts import settle
from egno_md.core.errors import DataError

Watch = Callable[[int], None]

FEWEST_FRAMES = 4
"""Fewest frames of a reference: two in each half, whose difference is the noise floor."""


class Topic(Protocol):
    """A module of `observables` that measures frame by frame."""

    def probes(self, context: Context) -> list[Probe]:
        """The quantities to measure in every frame."""
        ...

    def findings(self, context: Context, bench: Bench) -> Findings:
        """The results from the records of both sides."""
        ...


def topics() -> list[Topic]:
    """Every topic that measures frame by frame, in the order of the catalogue."""
    names = dict.fromkeys(e.topic for e in catalogue.catalogue())
    modules = [import_module(f"egno_md.compare.observables.{name}") for name in names]
    return [cast("Topic", m) for m in modules if hasattr(m, "probes")]


class Reference:
    """A reference, measured once and compared with any number of rollouts.

    Args:
        side: the dynamics to reproduce.
        watch: called with the number of frames read so far, in each of two passes.

    Raises:
        DataError: fewer than four frames, or positions that are not finite.
    """

    def __init__(self, side: Side, watch: Watch | None = None) -> None:
        self.context = Context(survey(side, "the reference", watch))
        if self.context.survey.frames < FEWEST_FRAMES:
            raise DataError(
                f"the reference holds {self.context.survey.frames} frames; a comparison needs at "
                f"least {FEWEST_FRAMES}. Run it for longer, or store more frames."
            )
        self.topics = topics()
        self.probes: list[Probe] = [p for t in self.topics for p in t.probes(self.context)]
        self.record = self._measure(self.context.survey, watch)

    def _measure(self, survey: Survey, watch: Watch | None) -> Record:
        probes = [*self.probes, *energetics.kinetic_probes(survey)]
        return record(survey, probes, spectrum.spectrum_collectors(survey), watch)

    @cached_property
    def components(self) -> slow.Components | None:
        """The slowest components of the reference's torsions; None without torsions or times."""
        spacing = self.record.survey.spacing
        if spacing is None or not len(self.context.followed):
            return None
        return slow.find_components(self.context, self.record.series["followed"], spacing)

    def compare(
        self, rollout: Side, *, label: str = "rollout", seed: int = 0, watch: Watch | None = None
    ) -> Comparison:
        """Compare a rollout with the reference.

        Observables that cannot be computed from the data of both sides are
        listed with the reason. Verdicts are made over all observables together (see
        `egno_md.compare.verdicts.settle`).

        Args:
            rollout: the same atoms in the same order.
            label: name of the rollout in tables and figures.
            seed: of the bootstrap; each group of observables has its own stream.
            watch: called with the number of frames read so far, in each of two passes.

        Raises:
            DataError: different atoms, no frames, or positions that are not finite.
        """
        check_same_atoms(self.context.system, rollout.system, "the reference", label)
        measured = self._measure(survey(rollout, label, watch), watch)
        streams = iter(np.random.default_rng(seed).spawn(len(self.topics) + 4))

        def bench() -> Bench:
            return Bench(self.record, measured, next(streams))

        results = sum((t.findings(self.context, bench()) for t in self.topics), Findings())
        results += spectrum.findings(bench()) + kinetics.findings(self.context, bench())
        timescales, projected = slow.findings(self.context, bench(), self.components)
        results += timescales
        last = bench()
        results += states.findings(self.components, projected, last)
        rates, missing = efficiency.efficiency(self.context, last)
        results += missing
        has_bonds = "bond deviation" in measured.series and last.pair.no_kinetics() is None
        comparison = Comparison(
            label=label,
            system=self.context.system.name,
            reference_sampling=self.record.survey.sampling,
            rollout_sampling=measured.survey.sampling,
            observables=results.observables,
            profiles=results.profiles,
            distributions=results.distributions,
            series=results.series,
            unavailable=results.unavailable,
            mode=rollout.mode,
            exact=results.exact,
            stability=integrity.stability(last) if has_bonds else None,
            efficiency=rates,
        )
        return _with_notes(settle(comparison))


def compare(reference: Side, rollout: Side, *, label: str = "rollout", seed: int = 0) -> Comparison:
    """Compare one rollout with a reference; see `Reference.compare`."""
    return Reference(reference).compare(rollout, label=label, seed=seed)


def _with_notes(comparison: Comparison) -> Comparison:
    notes = []
    torsions = [d for d in comparison.distributions if d.name.startswith("Torsion")]
    slowly = [d for d in torsions if d.verdict == NOT_ENOUGH_DATA]
    if slowly:
        notes.append(
            f"{len(slowly)} of {len(torsions)} torsions moved too rarely to be judged. Mean "
            "angles, bond lengths and energies depend on the basins visited, so that some "
            "differences below may be differences of sampling, not of dynamics. Compare longer "
            "trajectories to tell."
        )
    if comparison.mode == "sampler":
        notes.append(
            "The rollout is a sampler: it draws from an ensemble and does not move in physical "
            "time, so that kinetics are not compared."
        )
    return replace(comparison, notes=tuple(notes))
