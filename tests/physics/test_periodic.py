"""Water boxes and constrained molecules through data, training and windows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from egno_md.core.state import Frame
from egno_md.core.units import kinetic_energy, temperature
from egno_md.data.store import Store
from egno_md.geometry.images import lattice_vectors
from egno_md.md.build import BuiltSystem, load_system
from egno_md.md.engine import NVE, NVT, OpenMMEngine
from egno_md.md.generate.run import run_generate
from egno_md.spec.files import find_protocol, read_spec, shipped
from egno_md.spec.generate import GenerateProtocol
from egno_md.spec.train import TrainProtocol
from egno_md.train.run import run_train
from tests.cli.test_verbs import egno

SINGLE = 2e-6
"""nm: float32 of positions in a store."""

TINY = {
    "network.layers": 1,
    "network.hidden": 8,
    "network.vectors": 3,
    "network.cutoff": "0.28 nm",
    "optimisation.max_time": None,
    "optimisation.max_steps": 40,
    "optimisation.validate_every": 20,
}
SHORT = {
    "equilibration": "50 fs",
    "sampling.segments": 10,
    "sampling.segment_length": "8 fs",
    "sampling.decorrelation": "5 fs",
}


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny data and a barely trained operator of 216 flexible waters."""
    root = tmp_path_factory.mktemp("water")
    path = find_protocol("generate", "water-nve-300k")
    run_generate("waterbox", read_spec(path, GenerateProtocol, SHORT), root / "data", seed=1)
    train = read_spec(find_protocol("train", "egno-water-4fs"), TrainProtocol, TINY)
    run_train(root / "data", train, root / "operator", device="cpu")
    return root


def are_continuous(frames: np.ndarray, largest: float) -> bool:
    return bool(np.abs(np.diff(frames, axis=0)).max() < largest)


def test_generated_water_is_unwrapped_and_carries_its_box(water: Path) -> None:
    store = Store(water / "data")
    assert store.system().box is not None
    for chain in store:
        assert chain.box is not None
        assert chain.box.shape == (9, 3, 3)
        assert are_continuous(chain.positions, 0.02)
        total = chain.potential_energy + kinetic_energy(chain.velocities, store.masses)
        assert np.ptp(total) < 0.002 * store.manifest.degrees_of_freedom * 2.5
    first = mdtraj.load(str(next((water / "data").rglob("*.h5"))))
    np.testing.assert_allclose(first.unitcell_lengths, 1.87, atol=1e-4)


@pytest.mark.parametrize(("policy", "windows"), [("fallback", 6), ("monitor", 2)])
def test_a_water_box_propagates_through_checked_windows(
    water: Path, tmp_path: Path, policy: str, windows: int
) -> None:
    """Forty steps of training: without a fallback such an operator lasts few windows."""
    out = tmp_path / policy
    result = egno(
        "propagate", "waterbox",
        "--operator", water / "operator" / "bundle",
        "--protocol", "nvt-300k",
        "--length", f"{4 * windows} fs",
        "--policy", policy,
        "--set", "judge.tolerances.force='1e7 kJ/mol/nm'",
        "--start", water / "data",
        "--set", "record.reference_steps=10",
        "--out", out, "--json",
    )  # fmt: skip
    summary = json.loads(result.stdout)
    assert "seconds" in json.dumps(summary)
    frames = Store(out).chain("replica-000")
    assert len(frames) == windows
    assert frames.box is not None
    assert np.isfinite(frames.positions).all()
    assert np.isfinite(frames.potential_energy).all()
    assert are_continuous(frames.positions, 0.05)
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert len(events) == windows
    assert all(e["energy_error"] is not None for e in events)
    if policy == "fallback":
        kept = [e for e in events if e["kind"] == "accept"]
        assert all(abs(e["energy_error"]) < 0.2 * 2.5 * 1941 for e in kept)


def test_volume_moves_between_windows_change_the_box_of_later_frames(
    water: Path, tmp_path: Path
) -> None:
    out = tmp_path / "npt"
    egno(
        "propagate", "waterbox",
        "--operator", water / "operator" / "bundle",
        "--protocol", "npt-300k",
        "--set", "boundary.barostat.every=1",
        "--set", "judge.tolerances.energy=0.01",
        "--length", "40 fs",
        "--start", water / "data",
        "--set", "record.reference_steps=10",
        "--out", out, "--quiet",
    )  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    assert summary["ensemble"] == "NPT"
    assert 0.9 < summary["density_g_per_ml"] < 1.1
    assert summary["seconds"]["barostat"] > 0
    frames = Store(out).chain("replica-000")
    volumes = np.linalg.det(frames.box)
    assert len(np.unique(volumes.round(6))) > 1
    assert (np.abs(volumes / volumes[0] - 1) < 0.2).all()
    assert are_continuous(frames.positions, 0.1)


def test_openmm_pressure_keeps_coordinates_continuous_and_nve_closed() -> None:
    built = load_system("waterbox-rigid")
    engine = OpenMMEngine(
        built, timestep=0.001, kelvin=300, friction=5, seed=3, pressure=1.0, barostat_every=1
    )
    engine.start()
    # far from home: OpenMM would wrap every molecule that it moves
    frame = engine.read()
    box = frame.box
    assert box is not None
    shift = np.random.default_rng(4).integers(-2, 3, (216, 3))[built.system.molecules] @ box
    engine.load(Frame(frame.positions + shift, frame.velocities, box=box))
    before = engine.read().positions
    npt = engine.run(30, 10, ensemble=NVT)
    assert len(np.unique(np.linalg.det(npt.box).round(9))) > 1, "volumes change"
    assert are_continuous(np.concatenate([before[None], npt.positions]), 0.15)
    nve = engine.run(4, 2, ensemble=NVE)
    assert np.ptp(np.linalg.det(nve.box)) < 1e-12


def test_projection_restores_water_and_keeps_momentum() -> None:
    built = load_system("waterbox-rigid")
    engine = OpenMMEngine(built, timestep=0.001, kelvin=300, friction=5, seed=3)
    frame, masses = engine.start(), built.system.masses
    assert built.system.degrees_of_freedom == 3 * 648 - 3 * 216 - 3
    assert built.system.atom_freedom.sum() == pytest.approx(built.system.degrees_of_freedom)
    random = np.random.default_rng(5)
    x = frame.positions + 0.002 * random.standard_normal(frame.positions.shape)
    v = frame.velocities + 0.1 * random.standard_normal(frame.positions.shape)
    projected = engine.project(Frame(x, v, box=frame.box))
    assert projected is not None
    pairs = built.system.constraints
    bonds = projected.positions[pairs[:, 0]] - projected.positions[pairs[:, 1]]
    wanted = np.linalg.norm(frame.positions[pairs[:, 0]] - frame.positions[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(np.linalg.norm(bonds, axis=1), wanted, rtol=1e-4)
    along = projected.velocities[pairs[:, 0]] - projected.velocities[pairs[:, 1]]
    assert np.abs((along * bonds).sum(1)).max() < 1e-5
    np.testing.assert_allclose(masses @ projected.velocities, masses @ v, atol=1e-3)
    np.testing.assert_allclose(masses @ projected.positions, masses @ x, atol=1e-3)
    assert engine.project(Frame(x * np.nan, v, box=frame.box)) is None


@pytest.fixture
def rigid_ala2(tmp_path: Path) -> BuiltSystem:
    """Alanine dipeptide with constrained bonds to hydrogens, in a user's own folder."""
    folder = tmp_path / "ala2-rigid"
    shutil.copytree(shipped("systems") / "ala2", folder)
    text = (folder / "system.yaml").read_text()
    (folder / "system.yaml").write_text(text.replace("constraints: none", "constraints: h-bonds"))
    return load_system(str(folder))


def test_constrained_molecules_are_generated_trained_and_propagated(
    rigid_ala2: BuiltSystem, tmp_path: Path
) -> None:
    system = rigid_ala2.system
    hydrogens = int((system.atomic_numbers == 1).sum())
    assert len(system.constraints) == hydrogens
    assert system.degrees_of_freedom == 3 * 22 - hydrogens - 3
    data = {"timestep": "1 fs", "sampling.timestep": "1 fs", "sampling.frame_spacing": "1 fs"}
    short = SHORT | data | {"sampling.segment_length": "24 fs"}
    path = find_protocol("generate", "nve-300k")
    protocol = read_spec(path, GenerateProtocol, short)
    run_generate(str(rigid_ala2.folder), protocol, tmp_path / "data", seed=2)
    tiny = {k: v for k, v in TINY.items() if k != "network.cutoff"}
    train = read_spec(
        find_protocol("train", "egno-4fs"), TrainProtocol, tiny | {"optimisation.max_steps": 60}
    )
    run_train(tmp_path / "data", train, tmp_path / "operator", device="cpu")
    out = tmp_path / "out"
    egno(
        "propagate", rigid_ala2.folder,
        "--operator", tmp_path / "operator" / "bundle",
        "--protocol", "nvt-300k",
        "--set", "timestep='1 fs'",
        "--length", "48 fs",
        "--policy", "fallback",
        "--start", tmp_path / "data",
        "--quiet",
        "--set", "record.save=points",
        "--set", "judge.tolerances.bond='9 nm'",
        "--out", out,
    )  # fmt: skip
    frames = Store(out).chain("replica-000")
    assert len(frames) == 48
    pairs = system.constraints
    lengths = np.linalg.norm(
        frames.positions[:, pairs[:, 0]] - frames.positions[:, pairs[:, 1]], axis=2
    )
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=SINGLE)
    r = frames.positions[:, pairs[:, 0]] - frames.positions[:, pairs[:, 1]]
    v = frames.velocities[:, pairs[:, 0]] - frames.velocities[:, pairs[:, 1]]
    assert np.abs((r * v).sum(2)).max() < 1e-4
    summary = json.loads((out / "summary.json").read_text())
    assert summary["seconds"]["constraints"] > 0
    assert summary["events"]["accept"] > 0


@pytest.mark.slow
def test_our_volume_moves_and_openmm_agree_on_the_density_of_water(tmp_path: Path) -> None:
    """The rollout's barostat with exact dynamics in between, against OpenMM's own."""
    from egno_md.md.barostat import MonteCarloBarostat

    built = load_system("waterbox-rigid")
    system, steps, blocks = built.system, 25, 1200
    theirs = OpenMMEngine(
        built, timestep=0.002, kelvin=300, friction=5, seed=1, pressure=1.0, barostat_every=steps
    )
    ours = OpenMMEngine(built, timestep=0.002, kelvin=300, friction=5, seed=2)
    theirs.start()
    frame = ours.start()
    barostat = MonteCarloBarostat.of(ours.evaluate, system.molecules, 300, 1.0, 1.87**3)
    random = np.random.default_rng(3)
    volumes: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(blocks):
        theirs.skip(steps)
        volumes["theirs"].append(float(np.linalg.det(theirs.read().box)))
        ours.load(frame)
        ours.skip(steps)
        frame, _ = barostat.attempt(ours.read(), random)
        volumes["ours"].append(float(np.linalg.det(frame.box)))
    density = {k: 216 * 18.015 / 602.214 / np.mean(v[200:]) for k, v in volumes.items()}
    assert density["theirs"] == pytest.approx(0.995, abs=0.012)
    assert density["ours"] == pytest.approx(density["theirs"], abs=0.012)


@pytest.mark.slow
def test_elements_of_rigid_water_have_the_temperature_of_the_whole() -> None:
    from egno_md.propagate.check import temperature_by_element

    built = load_system("waterbox-rigid")
    engine = OpenMMEngine(built, timestep=0.002, kelvin=300, friction=20, seed=1)
    engine.start()
    engine.skip(500)
    kelvins = {"H": [], "O": [], "all": []}
    for _ in range(150):
        engine.skip(20)
        v = engine.read().velocities
        for name, kelvin in temperature_by_element(built.system, v).items():
            kelvins[name].append(kelvin)
        kinetic = float(kinetic_energy(v, built.system.masses))
        kelvins["all"].append(float(temperature(kinetic, built.system.degrees_of_freedom)))
    for name, values in kelvins.items():
        assert np.mean(values) == pytest.approx(300, abs=6), name


def test_lattice_shifts_leave_the_engine_energy_alone() -> None:
    built = load_system("waterbox")
    engine = OpenMMEngine(built, timestep=0.0005, kelvin=300, friction=5, seed=3)
    x, box = built.system.positions, built.system.box
    assert box is not None
    shift = np.random.default_rng(6).integers(-3, 4, (216, 3))[built.system.molecules] @ box
    np.testing.assert_allclose(lattice_vectors(shift, box), shift, atol=1e-9)
    still = np.zeros_like(x)
    plain = engine.evaluate(Frame(x, still, box=box)).potential_energy
    moved = engine.evaluate(Frame(x + shift, still, box=box)).potential_energy
    assert moved == pytest.approx(plain, rel=1e-5)
