from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from egno_md.compare import histograms
from egno_md.compare.blocks import from_pairs, from_series
from egno_md.compare.observable import Stability
from egno_md.compare.observables import integrity, kinetics, slow, spectrum, states
from egno_md.compare.sides import Side, survey
from egno_md.core.state import Trajectory

from .conftest import BUTANE


def oscillating(system, wavenumbers, spacing=0.002, frames=3000, seed=0) -> Trajectory:
    """Each atom on springs of the given wavenumbers, 1/cm, in x, y and z."""
    generator = np.random.default_rng(seed)
    omega = 2 * np.pi * np.array(wavenumbers) / spectrum.WAVENUMBER
    times = spacing * np.arange(frames)
    phase = generator.uniform(0, 2 * np.pi, (system.n_atoms, 3))
    angle = times[:, None, None] * omega + phase
    amplitude = 0.02 / omega
    return Trajectory(BUTANE + amplitude * np.cos(angle), times, -amplitude * omega * np.sin(angle))


def collected(system, trajectory):
    side = survey(Side(system, [trajectory]), "it")
    (collector,) = spectrum.spectrum_collectors(side)
    collector.begin()
    for start in range(0, len(trajectory), 700):
        collector.add(trajectory.slice(start, start + 700))
    return collector.finish()


def test_peaks_lie_at_the_springs_wavenumbers(system):
    blocks = collected(system, oscillating(system, (500.0, 1043.0, 2950.0)))
    bins = spectrum.peak_bins(blocks.mean)
    found = spectrum.peak_positions(blocks.mean, bins)
    np.testing.assert_allclose(found, (500.0, 1043.0, 2950.0), atol=2.0)


def test_shifted_peaks_are_matched_one_to_one_and_strangers_are_not(system):
    a = collected(system, oscillating(system, (500.0, 1043.0, 2950.0)))
    b = collected(system, oscillating(system, (512.0, 1700.0, 2930.0), seed=1))
    one, two = spectrum.matched_peaks(a.mean, b.mean)
    shift = spectrum.peak_positions(b.mean, two) - spectrum.peak_positions(a.mean, one)
    np.testing.assert_allclose(shift, (12.0, -20.0), atol=3.0)


def test_a_stranger_among_the_peaks_does_not_shift_the_others():
    bins = np.arange(1000)

    def peaks(*centres):
        return sum(np.exp(-(((bins - c) / 5.0) ** 2)) for c in centres)

    one, two = spectrum.matched_peaks(peaks(230, 272, 305), peaks(209, 230, 272))
    assert one.tolist() == two.tolist() == [230, 272]


def test_the_velocity_autocorrelation_of_a_spring_is_a_cosine(system):
    blocks = collected(system, oscillating(system, (1000.0, 1000.0, 1000.0)))
    quarter = spectrum.WAVENUMBER / 1000.0 / 4
    assert spectrum.first_zero(blocks.mean)[0] == pytest.approx(quarter, rel=0.01)
    lags = np.array([0.0, 2 * quarter])
    np.testing.assert_allclose(spectrum.autocorrelation(blocks.mean, lags), [1, -1], atol=0.02)


def test_frames_too_far_apart_have_no_spectrum_and_it_says_why(system):
    side = survey(Side(system, [oscillating(system, (500.0,) * 3, spacing=0.008)]), "it")
    assert "8 fs apart" in spectrum.no_spectrum(side, "rollout")
    assert spectrum.spectrum_collectors(side) == []


def test_a_diffusing_angle_decorrelates_at_its_diffusion_constant():
    generator = np.random.default_rng(0)
    diffusion, spacing = 0.5, 0.05  # 1/ps, ps
    steps = np.sqrt(2 * diffusion * spacing) * generator.normal(size=(2, 40_000))
    chains = list(np.cumsum(steps, axis=1))
    features, lags = kinetics.lagged(chains, 10.0, spacing)
    found = kinetics.decorrelation_time(from_series(features).mean, lags)
    assert found[0] == pytest.approx(1 / diffusion, rel=0.1)


def test_tica_timescales_are_deeptimes():
    from deeptime.decomposition import TICA

    generator = np.random.default_rng(1)
    hidden = np.stack(
        [lfilter([1], [1, -p], generator.normal(size=20_000)) for p in (0.99, 0.9, 0.5)], axis=1
    )
    x = hidden @ generator.normal(size=(3, 3))
    lag = 5
    found = slow.timescales(slow.covariances([x], lag).mean, 3, float(lag))
    expected = TICA(lagtime=lag).fit(x).fetch_model().timescales()
    np.testing.assert_allclose(found, expected[:3], rtol=0.02)
    np.testing.assert_allclose(found[0], -1 / np.log(0.99), rtol=0.25)


def two_states(p: float, q: float, frames: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    draws = generator.uniform(size=frames)
    found = np.zeros(frames, dtype=np.int32)
    for t in range(1, frames):
        leave = draws[t] < (p, q)[found[t - 1]]
        found[t] = 1 - found[t - 1] if leave else found[t - 1]
    return found


def test_implied_timescale_of_two_states_is_exact():
    p, q = 0.01, 0.02
    counts = states.count_matrix([two_states(p, q, 200_000)], 5, 2)
    found = states.implied_timescales(counts, 5.0)
    assert found[0] == pytest.approx(-1 / np.log(1 - p - q), rel=0.1)
    assert found[1] == 0.0


def test_metastable_states_their_occupancies_and_fluxes_are_those_of_the_chain():
    p, q = 0.01, 0.02
    chain = two_states(p, q, 60_000)
    generator = np.random.default_rng(2)
    x = np.stack([2.0 * chain - 1.0, np.zeros(len(chain))], axis=1)
    x += 0.2 * generator.normal(size=x.shape)
    found = states.find_states([x], lag=5)
    assert found.memberships.shape[1] == 2
    (assigned,) = found.assign([x])
    macro = found.memberships.argmax(axis=1)[assigned]
    first = macro[np.argmin(chain)]
    share = (macro == first).mean()
    assert share == pytest.approx((chain == 0).mean(), abs=0.01)
    assert share == pytest.approx(q / (p + q), abs=0.05)
    sequence = states.core_sequence(assigned, found.memberships)
    crossed = states.transitions(sequence, [(0, 1), (1, 0)]).sum(axis=0)
    expected = (np.diff(chain) == 1).sum()
    np.testing.assert_allclose(crossed, expected, rtol=0.02, atol=1)


def test_free_energy_differences_are_those_of_the_populations():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.8, 0.2, 0.0])
    weight, ratio = (p + q)[:2] / 2, np.log(p[:2] / q[:2])
    expected = (weight * np.abs(ratio - (weight * ratio).sum())).sum()
    assert histograms.free_energy_difference(p, q) == pytest.approx(expected)
    assert histograms.free_energy_difference(p, p) == 0.0


def test_breaking_rates_are_compared_by_the_exact_test():
    whole, broken = (False,) * 4, (True, False, False, False)
    held = Stability(0.05, (20.0,) * 4, whole, (3.0, 20.0, 20.0, 20.0), broken)
    found = integrity.breaking_rate(held)
    assert found.rollout == pytest.approx(1 / 0.063)
    assert found.p_value == pytest.approx(63 / 143)  # the one break fell on the rollout
    many = Stability(0.05, (20.0,) * 4, whole, (1.0,) * 4, (True,) * 4)
    assert integrity.breaking_rate(many).p_value == pytest.approx((4 / 84) ** 4)


def test_components_solve_the_generalised_eigenproblem_with_unit_variance():
    generator = np.random.default_rng(0)
    x = np.cumsum(generator.normal(size=(4000, 4)), axis=0) * 0.05
    x -= 0.9 * np.concatenate([x[:1], x[:-1]])
    now, later = x.T @ x / len(x), (x[:-3].T @ x[3:] + x[3:].T @ x[:-3]) / 2 / len(x)
    values, vectors = slow.decomposed(now, later)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(later @ vectors, now @ vectors * values, atol=1e-6)
    np.testing.assert_allclose(vectors.T @ now @ vectors, np.eye(4), atol=1e-5)
    largest = np.abs(vectors).argmax(axis=0)
    assert (vectors[largest, np.arange(4)] > 0).all(), "the sign is no accident"


def test_what_does_not_move_has_components_that_mean_nothing():
    values, vectors = slow.decomposed(np.zeros((4, 4)), np.zeros((4, 4)))
    assert np.abs(values).max() < 1e-12
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("frames", [500, 333])
def test_a_segment_has_the_power_of_its_windowed_transform(frames):
    generator, spacing = np.random.default_rng(0), 0.002
    v, masses = generator.normal(size=(frames, 3, 3)), np.array([1.0, 12.0, 16.0])
    window = np.sin(np.pi * np.arange(frames) / frames) ** 2
    wavenumbers = (spectrum.EDGES[1:] + spectrum.EDGES[:-1]) / 2
    found = spectrum.power(v, masses, spacing)
    turns = wavenumbers[:60, None] / spectrum.WAVENUMBER * spacing * np.arange(frames)
    waves = np.exp(-2j * np.pi * turns)
    amplitudes = np.einsum("wf,fax->wax", waves, window[:, None, None] * v)
    expected = np.einsum("wax,a->w", np.abs(amplitudes) ** 2, masses)
    shape = expected / expected.sum()
    assert np.abs(found[:60] / found[:60].sum() - shape).max() < 0.05 * shape.max()


def test_sums_over_pairs_of_frames_are_those_of_whole_chains():
    generator = np.random.default_rng(0)
    chains = [generator.normal(size=(n, 2)) for n in (50, 3, 31)]
    blocks = from_pairs(chains, 5, 8, lambda x: (x[:-5] * x[5:]).sum(axis=0))
    expected = sum((c[:-5] * c[5:]).sum(axis=0) for c in chains if len(c) > 5)
    np.testing.assert_allclose(blocks.sums.sum(axis=0), expected)
    assert blocks.counts.sum() == 45 + 26
    assert blocks.chain.tolist() == sorted(blocks.chain.tolist())
    assert set(blocks.chain) == {0, 1}, "a chain shorter than the lag has no pairs"
