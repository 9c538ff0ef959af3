"""Integrity of molecules: chirality, peptide bonds, clashes, broken bonds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.sparse import csr_array

from egno_md.compare.catalogue import entry
from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, not_available
from egno_md.compare.observable import INDISTINGUISHABLE, Observable, Stability
from egno_md.compare.observables.ramachandran import outlier_shares
from egno_md.compare.record import Probe, Record
from egno_md.compare.statistics import MEAN
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.geometry.bonded import marked
from egno_md.geometry.images import near_pairs

Array = np.ndarray

BROKEN = 0.05
"""nm; a bond that deviates by more is broken (Fu et al. 2023)."""
CLASH_OVERLAP = 0.04
"""nm (Chen et al. 2010)."""
CLASH_FRAMES = 2000
RADII = {6: 0.170, 7: 0.155, 8: 0.152, 9: 0.147, 15: 0.180, 16: 0.180, 17: 0.175, 35: 0.185}
"""Van der Waals radii by atomic number, nm (Bondi 1964, J. Phys. Chem. 68, 441)."""
OTHER_RADIUS = 0.20
PS_PER_NS = 1e3


def clash_count(
    positions: Float[Array, "atoms 3"],
    system: System,
    near: csr_array,
    box: Array | None = None,
) -> int:
    """Pairs of heavy atoms that overlap by 0.04 nm or more, four or more bonds apart.

    Args:
        positions: nm.
        system: whose atoms they are.
        near: which atoms are up to three bonds apart.
        box: vectors as rows, where an atom meets the nearest image of another.
    """
    heavy = np.flatnonzero(system.atomic_numbers > 1)
    numbers = system.atomic_numbers[heavy]
    radii = np.array([RADII.get(int(z), OTHER_RADIUS) for z in numbers])
    x = np.asarray(positions, np.float64)[heavy]
    pairs, vectors = near_pairs(x, x, 2 * radii.max() - CLASH_OVERLAP, box)
    once = pairs[:, 0] < pairs[:, 1]
    (i, j), distance = pairs[once].T, np.linalg.norm(vectors[once], axis=-1)
    polar = np.isin(numbers, (7, 8))
    close = (distance <= radii[i] + radii[j] - CLASH_OVERLAP) & ~(polar[i] & polar[j])
    return int((~marked(near, heavy[i[close]], heavy[j[close]])).sum())


def probes(context: Context) -> list[Probe]:
    """Handedness, peptide bonds, clashes, backbone torsions."""
    system, peptide, stereo = context.system, context.peptide, context.stereochemistry
    measurements = []
    if len(stereo.centres):

        def inverted(part: Trajectory) -> Mapping[str, Array]:
            return {"inverted": stereo.inverted(context.start, part.positions).mean(axis=1)}

        measurements.append(Probe({"inverted": "series"}, inverted, width=24 * system.n_atoms))
    if len(stereo.peptides):

        def cis(part: Trajectory) -> Mapping[str, Array]:
            return {"cis": stereo.cis(part.positions).mean(axis=1)}

        measurements.append(Probe({"cis": "series"}, cis, width=8 * system.n_atoms))
    if peptide is not None and len(peptide.ramachandran):
        measurements.append(
            Probe(
                {"outliers": "series"},
                lambda p: {"outliers": outlier_shares(system, peptide, p.positions)},
                width=8 * system.n_atoms,
            )
        )
    if _may_clash(context):
        per = 1000.0 / system.n_atoms

        def clashes(part: Trajectory) -> Mapping[str, Array]:
            frames = zip(part.positions, context.boxes(part), strict=True)
            each = [clash_count(x, system, context.bonds_apart, box) for x, box in frames]
            return {"clashes": per * np.array(each, dtype=float)}

        measurements.append(Probe({"clashes": "series"}, clashes, context.needs_box, CLASH_FRAMES))
    return measurements


def _may_clash(context: Context) -> bool:
    heavy = np.flatnonzero(context.system.atomic_numbers > 1)
    return context.bonds_apart[heavy][:, heavy].nnz < len(heavy) ** 2


def findings(_: Context, bench: Bench) -> Findings:
    """How often molecules are damaged, and how soon."""
    reasons = {
        "Inverted centres": ("inverted", "no atom has four different neighbours."),
        "Cis peptides": ("cis", "no peptide bond."),
        "Ramachandran outliers": ("outliers", "no residue has both φ and ψ."),
        "Clashes": ("clashes", "no two heavy atoms are four bonds apart."),
        "Largest bond deviation": ("bond deviation", "the topology has no bonds."),
    }
    results = Findings()
    for name, (quantity, reason) in reasons.items():
        no_images = bench.pair.no_images() if name == "Clashes" else None
        if no_images or quantity not in bench.reference.series:
            results += not_available(no_images or reason, name)
        else:
            results += Findings((bench.scalar(name, quantity, MEAN),))
    if "bond deviation" not in bench.reference.series:
        return results + not_available("the topology has no bonds.", "Stability time")
    if reason := bench.pair.no_kinetics():
        return results + not_available(reason, "Stability time", "Bond breaking rate")
    return results + Findings((breaking_rate(stability(bench)),))


def stability(bench: Bench) -> Stability:
    """How long the chains of both sides stayed unbroken."""
    reference, rollout = (_lifetimes(r) for r in bench.records)
    return Stability(BROKEN, *reference, *rollout)


def _lifetimes(record: Record) -> tuple[tuple[float, ...], tuple[bool, ...]]:
    spacing = record.survey.spacing or 0.0
    times, broken = [], []
    for chain in record.series["bond deviation"]:
        late = np.flatnonzero(chain > BROKEN)
        broken.append(bool(len(late)))
        times.append(float(spacing * (late[0] if len(late) else len(chain) - 1)))
    return tuple(times), tuple(broken)


def breaking_rate(lifetimes: Stability) -> Observable:
    """Breaks per nanosecond of both sides.

    Given k breaks in all, those of the rollout are binomial with its share of
    the time where both rates are equal (Przyborowski and Wilenski 1940).
    """
    listing = entry("Bond breaking rate")
    breaks = sum(lifetimes.reference_broken), sum(lifetimes.rollout_broken)
    spans = [max(sum(s), 1e-9) / PS_PER_NS for s in (lifetimes.reference_ps, lifetimes.rollout_ps)]
    rates = [b / s for b, s in zip(breaks, spans, strict=True)]
    p_value = 1.0
    if sum(breaks):
        share = spans[1] / sum(spans)
        p_value = float(stats.binomtest(breaks[1], sum(breaks), share).pvalue)
    low = [stats.chi2.ppf(0.025, 2 * b) / 2 / s if b else 0.0 for b, s in zip(breaks, spans, strict=True)]  # fmt: skip
    high = [stats.chi2.ppf(0.975, 2 * b + 2) / 2 / s for b, s in zip(breaks, spans, strict=True)]
    below = np.hypot(rates[1] - low[1], high[0] - rates[0])
    above = np.hypot(high[1] - rates[1], rates[0] - low[0])
    delta = rates[1] - rates[0]
    return Observable(
        name=listing.name,
        unit=listing.unit,
        reference=rates[0],
        rollout=rates[1],
        difference=delta,
        interval=(float(delta - below), float(delta + above)),
        noise_floor=0.0,
        verdict=INDISTINGUISHABLE,
        definition=listing.definition,
        group=listing.group,
        source=listing.source,
        p_value=p_value,
    )
