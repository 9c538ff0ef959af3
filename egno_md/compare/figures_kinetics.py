"""Figures of spectra and of free energies along slow components."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from egno_md.compare.observable import Comparison, Distribution, Profile
from egno_md.compare.style import LINES, REFERENCE, colour, item_named
from egno_md.core.plotting import new_figure

Comparisons = Sequence[Comparison]

TICA = "Free energy along TICA"


def spectrum_figure(comparisons: Comparisons) -> Figure | None:
    """Spectra with the reference's peaks, and the velocity autocorrelation."""
    spectra = [item_named(c.distributions, "Vibrational spectrum") for c in comparisons]
    shown = [(i, c) for i, c in enumerate(comparisons) if spectra[i] is not None]
    if not shown:
        return None
    figure = new_figure(8.2, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=[2.2, 1])
    first: Distribution = spectra[shown[0][0]]
    left.stairs(first.reference, first.edges, fill=True, color=REFERENCE, alpha=0.2)
    left.stairs(first.reference, first.edges, color=REFERENCE, baseline=None, label="reference")
    for i, c in shown:
        d = spectra[i]
        label = f"{c.label} (½∫|Δ| = {d.distance:.2f})"
        left.stairs(
            d.rollout, d.edges, color=colour(i), ls=LINES[i % 4], baseline=None, label=label
        )
    _mark_peaks(left, shown[0][1])
    left.set(xlabel="wavenumber  /  cm⁻¹", ylabel="vibrational density  /  cm", yticks=[])
    left.set_ylim(0, 1.3 * left.get_ylim()[1])
    left.set_xlim(0, first.edges[-1])
    left.legend(loc="upper right")
    series = item_named(shown[0][1].series, "Velocity autocorrelation")
    right.axhline(0, color=REFERENCE, lw=0.6)
    right.plot(1e3 * np.array(series.reference_times), series.reference, color=REFERENCE)
    for i, c in shown:
        s = item_named(c.series, "Velocity autocorrelation")
        right.plot(1e3 * np.array(s.rollout_times), s.rollout, color=colour(i), ls=LINES[i % 4])
    right.set(xlabel="lag  /  fs", ylabel="velocity autocorrelation")
    return figure


def _mark_peaks(axes: Axes, comparison: Comparison) -> None:
    peaks: Profile | None = item_named(comparison.profiles, "Vibrational peaks")
    if peaks is None:
        return
    top, last = axes.get_ylim()[1], -np.inf
    for place in sorted(peaks.reference):
        axes.plot([place, place], [1.01 * top, 1.05 * top], color=REFERENCE, lw=0.8, clip_on=False)
        if place > 60 and place - last > 130:  # labels that do not touch
            axes.text(place, 1.07 * top, f"{place:.0f}", fontsize=6.5, ha="center", rotation=90,
                      va="bottom")  # fmt: skip
            last = place


def free_energy_figure(comparisons: Comparisons) -> Figure | None:
    """F = -ln p along the slowest components of the reference."""
    names = [d.name for d in comparisons[0].distributions if d.name.startswith(TICA)]
    if not names:
        return None
    figure = new_figure(3.6 * len(names) + 0.6, 3.0)
    panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, names, strict=True):
        for i, c in enumerate(comparisons):
            d = item_named(c.distributions, name)
            if i == 0:
                axes.plot(*_energies(d, d.reference), color=REFERENCE, label="reference", lw=2)
            label = f"{c.label} (mean |ΔF| {d.distance:.2f})"
            axes.plot(*_energies(d, d.rollout), color=colour(i), ls=LINES[i % 4], label=label)
        axes.set_xlabel(f"independent component {name.rsplit(' ', 1)[1]}  /  standard deviations")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.35 * (high - low))
        axes.legend(loc="upper center", fontsize=7.5)
    panels[0].set_ylabel("free energy  /  k$_B$T")
    return figure


def _energies(d: Distribution, density: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    p = np.array(density)
    edges = np.array(d.edges)
    energy = np.where(p > 0, -np.log(np.where(p > 0, p, 1.0)), np.nan)
    return (edges[1:] + edges[:-1]) / 2, energy - np.nanmin(energy)
