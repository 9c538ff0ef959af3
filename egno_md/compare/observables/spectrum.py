"""The vibrational spectrum and the velocity autocorrelation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.fft import next_fast_len
from scipy.optimize import linear_sum_assignment
from scipy.signal import find_peaks, periodogram

from egno_md.compare.blocks import Blocks, BlockSums
from egno_md.compare.findings import Bench, Findings, floor, not_available, observable, profile
from egno_md.compare.histograms import Measure, compare_histograms
from egno_md.compare.observable import Series
from egno_md.compare.observables.thermal import peculiar_velocities
from egno_md.compare.sides import Survey
from egno_md.compare.statistics import Estimate, estimate_together
from egno_md.core.state import Trajectory

Array = np.ndarray

SEGMENT = 1.0
"""ps; resolution is about its inverse, 33 per cm, times 1.5 for the window."""
WAVENUMBER = 33.35640951981521
"""1/cm in one 1/ps."""
STEP = 4.0
HIGHEST = 4000.0
"""1/cm."""
COARSEST = 0.0042
"""ps between frames, to see stretches of bonds with hydrogen (3900/cm) without aliasing."""
COARSEST_CONSTRAINED = 0.0084
PADDING = 4
SMALLEST_PEAK = 0.02
"""Prominence as a share of the highest peak."""
APART = 60.0
"""1/cm, within which a peak of the rollout may belong to one of the reference."""
VACF_POINTS = 100
VACF_LENGTH = 0.2
"""ps drawn."""

EDGES = np.arange(0.0, HIGHEST + STEP, STEP)
HALF_L1 = Measure("½ ∫|Δ|", lambda p, q: np.abs(p - q).sum(axis=-1) / 2)


def no_spectrum(survey: Survey, name: str) -> str | None:
    """Why a side has no spectrum; None where it has one."""
    spacing = survey.spacing
    limit = COARSEST_CONSTRAINED if survey.side.system.has_constraints else COARSEST
    if spacing is None:
        return f"the frames of the {name} are not evenly spaced in time."
    if spacing > limit:
        return (
            f"frames of the {name} are {1e3 * spacing:g} fs apart; bonds need {1e3 * limit:g} fs "
            "or less. Store more frames (propagate: save: points)."
        )
    if max(survey.spans) < SEGMENT:
        return f"no chain of the {name} is {SEGMENT:g} ps long."
    return None


def power(velocities: Float[Array, "frames atoms 3"], masses: Array, spacing: float) -> Array:
    """Mass-weighted power spectrum of one segment on the common grid, ``(bins,)``.

    A segment of Welch's method (1967, IEEE Trans. Audio Electroacoust. 15, 70); its unit
    is left open.
    """
    n = len(velocities)
    padded = int(next_fast_len(PADDING * n, real=True) or PADDING * n)
    frequencies, each = periodogram(
        velocities,
        1 / spacing,
        "hann",
        padded,
        detrend=False,  # type: ignore[arg-type]
        scaling="spectrum",
        axis=0,
    )
    spectrum = each.sum(axis=-1) @ masses
    spectrum[1 : (padded + 1) // 2] /= 2  # negative frequencies are no part of it
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    return np.interp(centres, frequencies * WAVENUMBER, spectrum, right=0.0)


class SpectrumCollector:
    """Averages spectra of half-overlapping segments of one side."""

    name = "spectrum"

    def __init__(self, survey: Survey) -> None:
        system = survey.side.system
        assert survey.spacing is not None
        self.system, self.spacing = system, survey.spacing
        self.frames = round(SEGMENT / self.spacing)
        self.sums = BlockSums()
        self.buffer = np.empty((0, system.n_atoms, 3))

    def begin(self) -> None:
        """A new chain begins."""
        self.sums.begin()
        self.buffer = self.buffer[:0]

    def add(self, part: Trajectory) -> None:
        """Consecutive frames."""
        self.buffer = np.concatenate([self.buffer, peculiar_velocities(self.system, part)])
        while len(self.buffer) >= self.frames:
            segment = self.buffer[: self.frames]
            self.sums.add(power(segment, self.system.masses, self.spacing)[None])
            self.buffer = self.buffer[self.frames // 2 :]

    def finish(self) -> Blocks | None:
        """The spectra."""
        if not any(len(c) for c, _ in self.sums.chains):
            return None
        return self.sums.finish()


def spectrum_collectors(survey: Survey) -> list[SpectrumCollector]:
    """One, where the side allows."""
    if "velocities" in survey.lacking or no_spectrum(survey, "") is not None:
        return []
    return [SpectrumCollector(survey)]


def findings(bench: Bench) -> Findings:
    """Spectrum, peaks, and the velocity autocorrelation."""
    names = ("Vibrational spectrum", "Vibrational peaks", "Velocity decorrelation time")
    pair = bench.pair
    reason = (
        pair.missing("velocities")
        or pair.no_masses()
        or pair.no_kinetics()
        or no_spectrum(pair.reference, "reference")
        or no_spectrum(pair.rollout, "rollout")
    )
    if reason:
        return not_available(reason, *names)
    spacings = [s.spacing or 0.0 for s in (pair.reference, pair.rollout)]
    nyquist = WAVENUMBER / (2 * max(spacings))
    bins = min(int(nyquist / STEP), len(EDGES) - 1)
    blocks = [Blocks(b.counts, b.sums[:, :bins], b.chain) for b in bench.sums("spectrum")]
    both = (blocks[0], blocks[1])
    edges = EDGES[: bins + 1]
    bands = np.repeat(np.eye(8), -(-bins // 8), axis=0)[:bins]
    spectrum = compare_histograms("Vibrational spectrum", edges, both, bands, HALF_L1, bench)
    return (
        Findings(distributions=(spectrum,))
        + _peaks(both, bands, bench)
        + _autocorrelation(both, bands, bench)
    )


def peak_bins(spectrum: Array) -> Array:
    """Bins of the peaks of a spectrum."""
    prominence = SMALLEST_PEAK * spectrum.max()
    bins, _ = find_peaks(spectrum, prominence=prominence, distance=round(APART / 2 / STEP))
    return bins


def peak_positions(spectra: Array, bins: Array) -> Array:
    """Positions ``(..., peaks)`` near the given bins, 1/cm, of spectra ``(..., bins)``."""
    reach = round(APART / 4 / STEP)
    positions = []
    for b in bins:
        low, high = max(b - reach, 1), min(b + reach, spectra.shape[-1] - 2)
        top = low + spectra[..., low : high + 1].argmax(axis=-1)
        left, middle, right = (
            np.log(np.maximum(np.take_along_axis(spectra, (top + k)[..., None], -1)[..., 0], 1e-300))
            for k in (-1, 0, 1)
        )  # fmt: skip
        curve = left - 2 * middle + right
        shift = np.where(curve < 0, (left - right) / (2 * np.where(curve < 0, curve, -1.0)), 0.0)
        positions.append((top + 0.5 + np.clip(shift, -0.5, 0.5)) * STEP)
    return np.stack(positions, axis=-1)


def matched_peaks(reference: Array, rollout: Array) -> tuple[Array, Array]:
    """Bins of peaks of both spectra that belong together, one to one."""
    a, b = peak_bins(reference), peak_bins(rollout)
    apart = STEP * np.abs(a[:, None] - b[None, :])
    i, j = linear_sum_assignment(np.minimum(apart, 2 * APART))
    near = apart[i, j] <= APART
    return a[i[near]], b[j[near]]


def _peaks(blocks: tuple[Blocks, Blocks], bands: Array, bench: Bench) -> Findings:
    name = "Vibrational peaks"
    bins = matched_peaks(blocks[0].mean, blocks[1].mean)
    if not len(bins[0]):
        return not_available("no peak of the reference lies within 60/cm of one's.", name)
    sides = [
        _estimate(b, lambda m, at=at: peak_positions(m, at), bands, bench)
        for b, at in zip(blocks, bins, strict=True)
    ]
    extents = bench.extents([len(b) for b in blocks])
    labels = tuple(f"{p:.0f}/cm" for p in sides[0].value)
    noise_floor = floor(blocks[0], lambda m: peak_positions(m, bins[0]))
    return Findings(profiles=(profile(name, labels, sides, extents, noise_floor),))


def _estimate(
    blocks: Blocks, value: Callable[[Array], Array], bands: Array, bench: Bench
) -> Estimate:
    return estimate_together(blocks, value, blocks.split(blocks.each @ bands), bench.generator)


def autocorrelation(spectra: Array, lags: Array) -> Array:
    """Normalised velocity autocorrelation ``(..., lags)`` at lags in ps, of spectra."""
    frequencies = (np.arange(spectra.shape[-1]) + 0.5) * STEP / WAVENUMBER
    waves = np.cos(2 * np.pi * frequencies[:, None] * lags)
    correlation = spectra @ waves
    return correlation / np.maximum(spectra.sum(axis=-1, keepdims=True), 1e-300)


def first_zero(spectra: Array) -> Array:
    """First lag at which the autocorrelation is zero, ps, ``(..., 1)``."""
    lags = np.linspace(0.0, SEGMENT / 2, 1001)
    values = autocorrelation(spectra, lags)
    crossed = values <= 0
    at = np.where(crossed.any(axis=-1), crossed.argmax(axis=-1), len(lags) - 1)[..., None]
    before, after = (np.take_along_axis(values, np.maximum(at - k, 0), -1) for k in (1, 0))
    step = lags[1]
    fraction = before / np.maximum(before - after, 1e-300)
    return (at - 1 + np.clip(fraction, 0, 1)) * step


def _autocorrelation(blocks: tuple[Blocks, Blocks], bands: Array, bench: Bench) -> Findings:
    lags = np.linspace(0.0, VACF_LENGTH, VACF_POINTS)
    curves = [tuple(autocorrelation(b.mean, lags).tolist()) for b in blocks]
    times = tuple(lags.tolist())
    series = Series("Velocity autocorrelation", "", times, curves[0], times, curves[1])
    sides = [_estimate(b, first_zero, bands, bench) for b in blocks]
    extents = bench.extents([len(b) for b in blocks])
    noise_floor = float(floor(blocks[0], first_zero)[0])
    one = observable("Velocity decorrelation time", sides, extents, noise_floor)
    return Findings(observables=(one,), series=(series,))
