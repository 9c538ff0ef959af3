"""The published tables and what belongs to them, as they stand on the page of results.

    python benchmarks/published.py ROOT [--tables nbody mocap ...] [--data DIR] [--workers N]

Every run writes its own folder under ROOT and is skipped when it is complete, so that an
interrupted table goes on. The rows end in `benchmarks/results/NAME.json`, the figure in
`docs/assets/NAME.png`. DIR has, in folders or not, the files that are not generated: `subject09_run.npz`,
`subject35_walk20.npz`, `md17_ethanol_first2000.npz`, and `adk` with one PSF and one DCD file.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from egno_md import api as em
from egno_md.data.store import write_json

HERE = Path(__file__).resolve().parent
RESULTS, FIGURES = HERE / "results", HERE.parent / "docs" / "assets"
SPATIAL = "egno,egno-schnet,egno-painn,egno-tfn,egno-se3,egno-segnn"
OURS = (
    "egno-md,egno-md-no-reversal,egno-md-no-velocities,egno-md-no-couplings,egno-md-squared,"
    "egno-md-direct,egno-md-all-positive,egno-md-no-modes"
)
ABLATION = "egno-our-recipe,egno-ii-our-recipe,egno-iii-our-recipe,egno-iv-our-recipe"
LONG = "egno-our-recipe,egnn-our-recipe"
MD17 = "egno-md,egno,egnn,egnn-s,linear"
WALK = {"data.subject": "walk", "models.egno-md.network.projections": "soft"}
"""One validation window has a joint four times as fast as any in training: a glitch."""

DFT = {"data.length": "40 fs", "data.train": 500, "data.validation": 200, "data.test": 200}

ADK = "egno-md,egnn,egno,eghn,eghno"
SMOKE = {"max_time": "10 min", "evaluate_every": 1} | {
    f"models.{name}.steps.batch_size": 1 for name in ADK.split(",")
}
"""Of 49 windows: as many steps as a smoke test has time for."""


@dataclass(frozen=True)
class Table:
    """One run of `egno-md benchmark`.

    Attributes:
        protocol: shipped name.
        models: rows.
        epochs: budget of each.
        seeds: how many.
        data: file or folder under DIR; None where the data are generated.
        molecule: whose MD at 500 K is generated for it, instead of data.
        settings: changes to the protocol.
    """

    protocol: str
    models: str
    epochs: int
    seeds: int = 3
    data: str | None = None
    molecule: str | None = None
    settings: dict[str, object] = field(default_factory=dict)


TABLES = {
    "nbody": Table("nbody", "egno-md,egno,egnn,egnn-s,linear", 100),
    "nbody_paper_recipe": Table("nbody", "egno-paper", 100, seeds=1),
    "nbody_ablation": Table("nbody", ABLATION, 300),
    "nbody_ours": Table("nbody", OURS, 50, seeds=1),
    "nbody_spatial": Table("nbody", SPATIAL, 10, seeds=1),
    "nbody_1000": Table("nbody", "egno-md", 100, settings={"data.train": 1000}),
    "nbody_10000": Table("nbody", "egno-md", 80, settings={"data.train": 10000}),
    "nbody_long": Table("nbody", LONG, 300),
    "nbody_long_1000": Table("nbody", LONG, 300, settings={"data.train": 1000}),
    "nbody_long_10000": Table("nbody", LONG, 100, settings={"data.train": 10000}),
    "mocap": Table("mocap", "egno-md", 200, data="subject09_run.npz"),
    "mocap_60": Table("mocap", "egno-md,egno,egnn,linear", 60, seeds=1, data="subject09_run.npz"),
    "mocap_walk": Table("mocap", "egno-md", 60, data="subject35_walk20.npz", settings=WALK),
    "md17_ethanol": Table("md17", MD17, 100, molecule="ethanol"),
    "md17_aspirin": Table("md17", MD17, 100, molecule="aspirin"),
    "md17_ethanol_dft": Table(
        "md17", "egno-md-ballistic," + MD17, 100, data="md17_ethanol_first2000.npz", settings=DFT
    ),
    "adk": Table("adk", ADK, 4, seeds=1, data="adk", settings=SMOKE),
}
SEGMENTS = {"ethanol": 4, "aspirin": 3}
"""Of 7.5 ps, of each of two replicas."""


def main() -> None:
    """Run the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    for name in given.tables:
        run(name, TABLES[name], given.root, given.data, given.workers)


def run(name: str, table: Table, root: Path, folder: Path, workers: int) -> None:
    """One table, its JSON and its figure."""
    data = next(folder.rglob(table.data), folder / table.data) if table.data else None
    if table.molecule:
        data = make_dynamics(table.molecule, root / table.molecule)
    changes = {"epochs": table.epochs, **table.settings}
    out = root / name
    content = em.benchmark(
        em.protocol("benchmark", table.protocol, changes),
        out,
        models=table.models.split(","),
        seeds=range(table.seeds),
        data=data,
        workers=workers,
        mode="resume",
    )
    write_json(RESULTS / f"{name}.json", content)
    shutil.copyfile(out / "benchmark.png", FIGURES / f"{name}.png")
    for row in content["rows"]:
        print(f"{name}: {row['title']}: F-MSE {row['f_mse']}, seeds {row['f_mse_by_seed']}")


def make_dynamics(molecule: str, out: Path) -> Path:
    """MD at 500 K with GFN2-xTB, without angular momentum, as MD17's trajectories have none."""
    spans = {"sampling.segments": SEGMENTS[molecule], "replicas": 2}
    protocol = em.protocol("generate", "nve-500k-at-rest", spans)
    return em.generate(molecule, protocol, out, seed=41, mode="resume").root


if __name__ == "__main__":
    main()
