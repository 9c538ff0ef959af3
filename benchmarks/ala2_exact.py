"""Alanine dipeptide by a corrected sampler: do its free energies come to OpenMM's?

    python benchmarks/ala2_exact.py ROOT [--data FOLDER] [--reference FOLDER]
        [--operator BUNDLE] [--windows 200] [--steps 5] [--seed 0]

Generates what is not given under ROOT: 40 ns of MD to learn from, an independent 40 ns, a
sampler trained by `sampler-40ps`. Then 64 replicas of the corrected sampler; three times as many
moves with uniform proposals, for which no network is needed; draws of the sampler without
correction; and 24 ns of MD on a flattened surface, which sees the rare basin hundreds of times
and shares nothing with the moves but the force field. Figures go to
`benchmarks/results/ala2_exact.json`. One thread, CPU.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.biased_md import KELVIN, kept  # noqa: E402
from benchmarks.sampler_runs import arguments, console, drawn, length, made, trained  # noqa: E402
from egno_md.api import propagate, protocol  # noqa: E402
from egno_md.compare.histograms import jensen_shannon  # noqa: E402
from egno_md.compare.observables.phi_psi import backbone_torsions, cells_of  # noqa: E402
from egno_md.compare.statistics import student_reach  # noqa: E402
from egno_md.core.units import BOLTZMANN  # noqa: E402
from egno_md.data.output import provenance  # noqa: E402
from egno_md.data.store import Store, write_json  # noqa: E402
from egno_md.geometry.peptide import find_peptide  # noqa: E402
from egno_md.spec.propagate import MetropolisSource  # noqa: E402

RESULTS = HERE / "results"
SYSTEM = "ala2/hmr"
REPLICAS = 64
BIASED, PARTS = 12_000.0, 2
"""ps on the flattened surface in each of its independent parts, and how many of those."""
UNIFORM = 3
"""Times as many moves without a network."""
BURN = 0.2
"""Share of a corrected chain, which starts where MD has been, that is not counted."""
BLOCKS = 16
BINS = 36
SHOWN = 12.0
"""kJ/mol, up to which free energies along φ and ψ are compared."""
THERMAL = BOLTZMANN * KELVIN

Array = np.ndarray
Region = Callable[[Array], Array]

REGIONS: dict[str, Region] = {
    "alpha R": lambda a: _is_helical(a) & ~_is_left(a),
    "beta and PII": lambda a: ~_is_helical(a) & ~_is_left(a),
    "left-handed": lambda a: _is_left(a),
}
"""The basins of the map. φ near 180° is the rim of β, though it is above 0."""


def _is_helical(angles: Array) -> Array:
    return (angles[:, 1] > np.radians(-120)) & (angles[:, 1] < np.radians(50))


def _is_left(angles: Array) -> Array:
    return (angles[:, 0] > 0) & (angles[:, 0] < np.radians(120))


@dataclass(frozen=True, eq=False)
class Sample:
    """Frames in independent blocks.

    Attributes:
        blocks: angles of each, radians.
        weights: of each frame.
    """

    blocks: list[Array]
    weights: list[Array]

    @classmethod
    def of(cls, chains: list[Array]) -> Sample:
        """Unweighted chains: one block each, or several of one or two long ones."""
        each = max(BLOCKS // len(chains), 1)
        blocks = [b for c in chains for b in np.array_split(c, each)]
        return cls(blocks, [np.ones(len(b)) for b in blocks])

    def share(self, region: Region) -> dict[str, Any]:
        """Of a region, with a 95% interval by jackknife over blocks, and its free energy.

        What was never visited has neither: blocks without it say nothing of how rare it is.
        """
        inside = np.array(
            [
                w[region(b)].sum() if len(b) else 0.0
                for b, w in zip(self.blocks, self.weights, strict=True)
            ]
        )
        value, error = _ratio(inside, np.array([w.sum() for w in self.weights]))
        reach = float(student_reach(np.array([error]), len(inside) - 1)[0])
        visits = sum(
            int((np.diff(region(b).astype(int), prepend=0) > 0).sum()) for b in self.blocks
        )
        energy = -THERMAL * np.log(value / (1 - value)) if 0 < value < 1 else None
        return {
            "share": value,
            "standard_error": error if visits else None,
            "interval": [max(value - reach, 0.0), min(value + reach, 1.0)] if visits else None,
            "visits": visits,
            "free_energy_kj_mol": energy,
            "free_energy_error": None if energy is None else THERMAL * error / value / (1 - value),
        }

    def map(self) -> Array:
        """Probability of every cell."""
        cells = np.concatenate([cells_of(b, BINS) for b in self.blocks])
        found = np.bincount(cells, np.concatenate(self.weights), BINS**2)
        return found / found.sum()

    def profile(self, axis: int) -> Array:
        """Free energy along φ (0) or ψ (1), kJ/mol, its lowest point at 0."""
        table = self.map().reshape(BINS, BINS).sum(1 - axis)
        with np.errstate(divide="ignore"):
            return -THERMAL * np.log(table / table.max())


def _ratio(parts: Array, wholes: Array) -> tuple[float, float]:
    """A ratio of sums and its standard error, by jackknife."""
    count = len(parts)
    left = (parts.sum() - parts) / (wholes.sum() - wholes)
    error = np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())
    return float(parts.sum() / wholes.sum()), float(error)


def main() -> None:
    """Run what is missing, measure, write."""
    given = arguments(__doc__, windows=200, steps=5)
    torch.set_num_threads(1)
    data = given.data or made(SYSTEM, given.root / "data", given.seed + 11)
    reference = given.reference or made(SYSTEM, given.root / "reference", given.seed + 12)
    operator = given.operator or trained("sampler-40ps", given.root / "operator", data, given.seed)
    settings = {
        "corrected": (given.windows, {}),
        "uniform proposals": (UNIFORM * given.windows, {"source.uniform": 1.0}),
    }
    runs = {
        name: moved(given.root / name.split()[0], operator, data, given, *chosen)
        for name, chosen in settings.items()
    }
    free = drawn(
        SYSTEM, given.root / "uncorrected", operator, data, given.seed,
        {"refine.every": 1, "length": length(operator, 40), "replicas": REPLICAS},
    )  # fmt: skip
    rough = np.concatenate([a for _, chains in runs.values() for a in chains])
    peptide = find_peptide(Store(data).system())
    assert peptide is not None
    atoms = peptide.ramachandran[0]
    flat = kept(given.root / "biased", SYSTEM, rough, atoms, BIASED, given.seed + 13, PARTS)
    samples = {
        "MD on a flattened surface": weighted(flat),
        "MD, learned from": Sample.of(phi_psi(Store(data))),
        "MD, independent": Sample.of(phi_psi(Store(reference))),
        **{n: Sample.of([c[int(BURN * len(c)) :] for c in cs]) for n, (_, cs) in runs.items()},
        "uncorrected, refined ends": Sample.of(phi_psi(free[1])),
    }
    summaries = {n: s for n, (s, _) in runs.items()} | {"uncorrected, refined ends": free[0]}
    write_json(RESULTS / "ala2_exact.json", results(samples, summaries, given))


def moved(
    folder: Path,
    operator: Path,
    data: Path,
    given: argparse.Namespace,
    windows: int,
    changes: dict[str, Any],
) -> tuple[dict[str, Any], list[Array]]:
    """Corrected chains: the summary, and φ, ψ of every window's end."""
    spec = protocol("propagate", "sampler-exact-300k")
    assert isinstance(spec.source, MetropolisSource)
    span = f"{windows * spec.source.dynamics:g} ps"
    settings = {"length": span, "replicas": REPLICAS, "source.steps": given.steps} | changes
    done = propagate(
        SYSTEM, operator, protocol("propagate", "sampler-exact-300k", settings), folder,
        start=data, seed=given.seed, mode="resume", progress=console(folder),
    )  # fmt: skip
    return done.summary.to_json(), phi_psi(done.store)


def phi_psi(store: Store) -> list[Array]:
    """Of the one residue, radians."""
    system = store.system()
    return [backbone_torsions(system, t.positions)[:, 0] for t in store]


def weighted(flat: Array) -> Sample:
    """MD on the flattened surface, weighed back."""
    weights = np.exp((flat[:, 2] - flat[:, 2].max()) / THERMAL)
    return Sample(np.array_split(flat[:, :2], BLOCKS), np.array_split(weights, BLOCKS))


def results(
    samples: dict[str, Sample], summaries: dict[str, dict[str, Any]], given: argparse.Namespace
) -> dict[str, Any]:
    """Everything measured; the flattened surface is what the others are held against."""
    truth = samples["MD on a flattened surface"]
    keys = (
        "statement", "corrected", "acceptance", "moves_weighed", "windows_drawn", "correction",
        "draw_steps", "replicas", "windows", "window_ps", "seconds", "reference_ns_per_day",
    )  # fmt: skip
    return {
        "machine": provenance(),
        "seed": given.seed,
        "rollouts": {n: {k: s[k] for k in keys if k in s} for n, s in summaries.items()},
        "populations": {
            n: {r: sample.share(region) for r, region in REGIONS.items()}
            for n, sample in samples.items()
        },
        "against the flattened surface": {
            n: {
                "frames": sum(map(len, sample.blocks)),
                "map_distance": float(jensen_shannon(sample.map(), truth.map())),
                **{
                    f"{name}_profile_rms_kj_mol": apart(sample.profile(i), truth.profile(i))
                    for i, name in enumerate(("phi", "psi"))
                },
            }
            for n, sample in samples.items()
        },
    }


def apart(a: Array, b: Array) -> float:
    """Root mean square difference of two profiles where the second is low, up to a constant."""
    low = (b < SHOWN) & np.isfinite(a)
    difference = a[low] - b[low]
    weight = np.exp(-b[low] / THERMAL)
    shift = np.average(difference, weights=weight)
    return float(np.sqrt(np.mean((difference - shift) ** 2)))


if __name__ == "__main__":
    main()
