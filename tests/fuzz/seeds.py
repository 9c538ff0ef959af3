"""Valid files of every kind that is read, and the command that reads each."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np

from egno_md.core.system import System
from egno_md.data.store import Store
from egno_md.nn.bundle import save_bundle
from egno_md.spec.files import shipped
from tests.conftest import make_operator

TINY = [
    "--set", "network.layers=1", "--set", "network.hidden=8", "--set", "network.vectors=3",
    "--set", "optimisation.max_time=null", "--set", "optimisation.max_steps=2",
    "--set", "optimisation.validate_every=1",
]  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """One file, and a command that reads it.

    Attributes:
        file: relative to the folder of seeds.
        command: its words; ``{file}``, ``{here}`` and ``{out}`` stand for paths.
    """

    file: str
    command: tuple[str, ...]

    def words(self, here: Path, out: Path) -> list[object]:
        """The command on the files of `here`."""
        return [w.format(file=here / self.file, here=here, out=out) for w in self.command]


FORMAT_1 = Path(__file__).parents[1] / "unit" / "nn" / "bundles" / "format-1" / "operator"
OUT = ("--out", "{out}")
LOAD = ("load", "{file}", "--velocities", "none")
BUNDLE = ("evaluate", "{here}/bundle", "{here}/store", *OUT)
SEEDS = (
    Seed("bundle/model.safetensors", BUNDLE),
    Seed("bundle/card.json", ("card", "{here}/bundle")),
    Seed("bundle/card.json", BUNDLE),
    Seed("bundle-1/card.json", ("card", "{here}/bundle-1")),
    Seed("md17.npz", (*LOAD, *OUT)),
    Seed("store/manifest.json", BUNDLE),
    Seed("store/shards/segment-000-00000.h5", BUNDLE),
    Seed("store/shards/segment-000-00000.h5", (*LOAD, *OUT)),
    Seed("frames.pdb", (*LOAD, "--spacing", "1 fs", *OUT)),
    Seed("frames.dcd", (*LOAD, "--topology", "{here}/frames.pdb", "--spacing", "1 fs", *OUT)),
    Seed("atoms.psf", ("load", "{here}/frames.dcd", "--topology", "{file}", "--spacing", "1 fs",
                       "--velocities", "none", *OUT)),
    # the folder is taken, so that a protocol that is still valid moves nothing
    Seed("generate.yaml", ("generate", "ethanol/mmff94", "--protocol", "{file}", "--out",
                           "{here}/taken")),
    Seed("train.yaml", ("train", "{here}/store", "--protocol", "{file}", "--out", "{here}/taken")),
    Seed("system/system.yaml", ("generate", "{here}/system", "--out", "{here}/taken")),
    Seed("system/ethanol.pdb", ("generate", "{here}/system", "--out", "{here}/taken")),
    Seed("run/run.json", ("load", "{here}/md17.npz", "--velocities", "none", "--out", "{here}/run",
                          "--resume")),
    Seed("train-run/metrics.csv", ("report", "{here}/train-run", *OUT)),
)  # fmt: skip


def plant(root: Path, store: Store, ethanol: System) -> Path:
    """Write every seed below `root`."""
    root.mkdir(parents=True)
    shutil.copytree(store.root, root / "store")
    save_bundle(root / "bundle", make_operator(ethanol))
    shutil.copytree(FORMAT_1, root / "bundle-1")
    frames = ethanol.positions[None] + 1e-3 * np.arange(6)[:, None, None]
    np.savez(
        root / "md17.npz",
        R=frames * 10,
        E=np.zeros((6, 1)),
        F=np.zeros_like(frames),
        z=ethanol.atomic_numbers,
    )
    trajectory = mdtraj.Trajectory(frames.astype(np.float32), ethanol.topology)
    trajectory.save_pdb(str(root / "frames.pdb"))
    trajectory.save_dcd(str(root / "frames.dcd"))
    (root / "atoms.psf").write_text(_psf(ethanol))
    protocols, systems = shipped("protocols"), shipped("systems")
    shutil.copy(protocols / "generate" / "nve-300k.yaml", root / "generate.yaml")
    shutil.copy(protocols / "train" / "egno-8fs.yaml", root / "train.yaml")
    (root / "system").mkdir()
    for name in ("system.yaml", "ethanol.pdb"):
        shutil.copy(systems / "ethanol" / name, root / "system" / name)
    (root / "taken").mkdir()
    (root / "taken" / "thesis.tex").write_text("important")
    return root


def _psf(system: System) -> str:
    atoms = [
        f"{i + 1:8d} A    1    MOL  {a.name:<4} X    {0.1 * i:10.6f} {m:13.4f}           0"
        for i, (a, m) in enumerate(zip(system.topology.atoms, system.masses, strict=True))
    ]
    pairs = [f"{a + 1:8d}{b + 1:8d}" for a, b in system.bonds]
    lines = ["PSF", "", "       1 !NTITLE", " REMARKS seed", "", f"{len(atoms):8d} !NATOM", *atoms]
    return "\n".join([*lines, "", f"{len(pairs):8d} !NBOND: bonds", "".join(pairs), "", ""])
