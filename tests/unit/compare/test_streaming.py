from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from egno_md.compare.comparison import Reference
from egno_md.compare.reading import Choice, read_side
from egno_md.compare.run import run_compare
from egno_md.compare.sides import Side, survey
from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory
from egno_md.data.store import StoreWriter, new_manifest

from .conftest import BUTANE

WITHIN = 120e6
"""Bytes by which peak memory may differ between a file and one ten times as long: the
readers' and the allocator's pieces, far below the longer file's 144 MB of positions twice over."""


def written(folder: Path, toy, suffix: str, seed: int, frames: int = 400) -> Path:
    generator = np.random.default_rng(seed)
    x = BUTANE + 0.004 * generator.normal(size=(frames, 5, 3))
    trajectory = mdtraj.Trajectory(x.astype(np.float32), toy.topology, time=0.5 * np.arange(frames))
    path = folder / f"side{seed}.{suffix}"
    trajectory.save(str(path))
    trajectory[0].save_pdb(str(folder / "top.pdb"))
    return path


@pytest.mark.filterwarnings("ignore:.*netCDF4")  # MDTraj's own, on writing
@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "h5", "nc", "pdb"])
def test_files_of_other_programs_are_read_as_they_are(suffix, tmp_path, toy):
    path = written(tmp_path, toy, suffix, 0)
    side = read_side(path, Choice(topology=tmp_path / "top.pdb"))
    found = survey(side, "it")
    assert found.frames == 400
    np.testing.assert_allclose(side.system.positions, found.sample[0], atol=1e-3)
    assert side.has_times == (suffix not in ("dcd", "pdb"))
    assert found.spacing == (pytest.approx(0.5) if side.has_times else None)


def test_files_of_two_formats_are_compared(tmp_path, toy):
    choice = Choice(topology=Path(tmp_path / "top.pdb"))
    a, b = (read_side(written(tmp_path, toy, s, k), choice) for k, s in enumerate(("dcd", "xtc")))
    found = Reference(a).compare(b)
    assert (found.reference_sampling.frames, found.rollout_sampling.frames) == (400, 400)
    radius = next(o for o in found.observables if o.name == "Radius of gyration")
    assert radius.verdict == "indistinguishable"


def test_a_spacing_gives_times_to_files_without(tmp_path, toy):
    path = written(tmp_path, toy, "dcd", 0)
    side = read_side(path, Choice(topology=tmp_path / "top.pdb", spacing=0.2))
    found = Reference(side)
    assert side.has_times
    assert found.record.survey.spacing == pytest.approx(0.2)


def test_parts_give_the_numbers_of_the_whole(toy, sample_of):
    """Up to the correction of widths, whose count of samples depends on the stretches."""
    whole = sample_of(0, frames=500)

    class Parts:
        def __iter__(self):
            return (whole.slice(i, i + 37) for i in range(0, 500, 37))

    other = Side(toy, [sample_of(1, frames=500)])
    one = Reference(Side(toy, [whole])).compare(other)
    two = Reference(Side(toy, [Parts()])).compare(other)
    for a, b in zip(one.judged, two.judged, strict=True):
        np.testing.assert_allclose(b.reference, a.reference, rtol=2e-3, atol=1e-7)


def test_a_selection_and_a_stride_choose_what_is_compared(tmp_path, toy):
    path = written(tmp_path, toy, "xtc", 0)
    choice = Choice(tmp_path / "top.pdb", selection="element C or element O", stride=4)
    side = read_side(path, choice)
    parts = [p for chain in side.parts() for p in chain]
    assert side.system.elements == ("C", "C", "O", "C")
    assert sum(map(len, parts)) == 100
    assert parts[0].times[1] == pytest.approx(2.0)


def test_the_energy_of_a_selection_is_not_that_of_the_whole(tmp_path, harmonic_store):
    side = read_side(harmonic_store.root, Choice(selection="not element H"))
    first = next(next(side.parts()))
    assert first.positions.shape[1] == 3
    assert first.potential_energy is None
    assert side.system.degrees_of_freedom == 6


@pytest.mark.parametrize(
    ("selection", "message"),
    [("resname WAT", "names none"), ("atom the first", "MDTraj's language")],
)
def test_a_selection_without_atoms_is_refused(tmp_path, toy, selection, message):
    path = written(tmp_path, toy, "xtc", 0)
    with pytest.raises(DataError, match=message):
        read_side(path, Choice(tmp_path / "top.pdb", selection=selection))


def test_stores_tell_their_thermostat_their_mode_and_their_cost(harmonic_store, tmp_path):
    import shutil

    root = shutil.copytree(harmonic_store.root, tmp_path / "copy")
    summary = {"mode": "sampler", "ensemble": "NVT", "seconds": {"total": 12.5}}
    (root / "summary.json").write_text(json.dumps(summary))
    side = read_side(root)
    assert (side.kelvin, side.mode, side.seconds) == (500.0, "sampler", 12.5)
    assert read_side(root, mode="dynamics").mode == "dynamics"


def test_numbers_and_json_say_the_same(tmp_path, toy, monkeypatch):
    monkeypatch.setattr("egno_md.compare.run.draw_figures", lambda *_: ())
    paths = [written(tmp_path, toy, "xtc", seed) for seed in (0, 1)]
    result = run_compare(paths[0], [paths[1]], tmp_path / "out", topology=tmp_path / "top.pdb")
    with (tmp_path / "out" / "numbers.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    scalars = {r["observable"]: r for r in rows if not r["member"]}
    for o in result.comparisons[0].observables:
        assert float(scalars[o.name]["rollout_value"]) == pytest.approx(o.rollout)
        assert scalars[o.name]["verdict"] == o.verdict
    members = [r for r in rows if r["observable"] == "Bond length, mean"]
    assert len(members) == 4


PEAK = """
import resource, sys
from egno_md.compare.comparison import Reference
from egno_md.compare.reading import Choice, read_side
from pathlib import Path
a, b, top = map(Path, sys.argv[1:])
choice = Choice(topology=top, spacing=1.0)
Reference(read_side(a, choice)).compare(read_side(b, choice))
# what getrusage says begins with the process that started this one
status = Path("/proc/self/status")
if status.exists():
    print(int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_file(tmp_path):
    """Ten times the frames, the same memory: 12 MB and 120 MB of alanine dipeptide."""
    from egno_md.md.build import load_system

    system = load_system("ala2").system
    mdtraj.Trajectory(system.positions, system.topology).save_pdb(str(tmp_path / "top.pdb"))
    peaks = []
    for frames in (45_000, 450_000):
        paths = []
        for seed in (0, 1):
            generator = np.random.default_rng(seed)
            paths.append(tmp_path / f"{frames}-{seed}.dcd")
            with mdtraj.formats.DCDTrajectoryFile(str(paths[-1]), "w") as file:
                for _ in range(0, frames, 5000):
                    noise = generator.normal(scale=0.005, size=(5000, system.n_atoms, 3))
                    file.write((10 * (system.positions + noise)).astype(np.float32))
        command = [sys.executable, "-c", PEAK, *map(str, paths), str(tmp_path / "top.pdb")]
        peaks.append(
            int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        )
    series = 8 * 2 * 450_000 * 20  # the scalar series, which are kept
    assert peaks[1] - peaks[0] < series + WITHIN


def test_trajectories_in_memory_are_sides_too(toy):
    x = np.tile(BUTANE, (10, 1, 1)) + 0.001 * np.arange(10)[:, None, None]
    side = Side(toy, [Trajectory(x, np.arange(10.0))])
    assert Reference(side).record.survey.frames == 10


def test_a_shard_of_a_store_has_the_masses_of_its_manifest(tmp_path, ala2):
    writer = StoreWriter(tmp_path, new_manifest(ala2, "generate", 0.1), ala2.topology)
    x = np.tile(ala2.positions, (5, 1, 1))
    box = np.tile(3.0 * np.eye(3), (5, 1, 1))
    writer.append(Trajectory(x, 0.1 * np.arange(5), np.zeros_like(x), box=box), "chain")
    path = tmp_path / "shards" / "chain-00000.h5"
    side = read_side(path)
    np.testing.assert_array_equal(side.system.masses, ala2.masses)
    np.testing.assert_allclose(side.system.box, 3.0 * np.eye(3))
    assert (side.system.degrees_of_freedom, side.has_masses) == (51, True)
    alone = read_side(path.rename(tmp_path / "alone.h5"))
    assert (alone.system.degrees_of_freedom, alone.has_masses) == (63, False)
    np.testing.assert_allclose(alone.system.box, 3.0 * np.eye(3))


def test_a_selection_of_a_rigid_molecule_knows_no_degrees_of_freedom(tmp_path, ala2):
    writer = StoreWriter(tmp_path, new_manifest(ala2, "generate", 0.1), ala2.topology)
    writer.append(Trajectory(ala2.positions[None], np.zeros(1)), "chain")
    assert read_side(tmp_path).has_freedom
    assert not read_side(tmp_path, Choice(selection="not element H")).has_freedom
