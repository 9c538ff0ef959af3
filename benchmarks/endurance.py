"""A long rollout of a small system: whether memory stays flat.

    python benchmarks/endurance.py OUT [--windows 100000]

An untrained operator of one layer moves ethanol without checks, so that a window costs
next to nothing and everything around it is exercised: recording, flushing, reporting.
Resident memory is read every twenty windows; the slope is that of a line through what comes
after the first tenth. Figures go to `benchmarks/results/endurance.json`.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from egno_md import api as em
from egno_md.core.progress import Values
from egno_md.data.output import provenance
from egno_md.data.store import write_json
from egno_md.md.build import load_system
from egno_md.nn.bundle import save_bundle
from egno_md.nn.card import DynamicsCard, OneSystem, Scales, Validity
from egno_md.nn.operator import WindowOperator
from egno_md.spec.network import Egno

RESULTS = Path(__file__).resolve().parent / "results" / "endurance.json"
SYSTEM, WINDOW = "ethanol/mmff94", 8
"""Name, and fs a window."""
MIB = 2.0**20


class Memory:
    """Listens to a rollout and reads how much memory is resident."""

    def __init__(self) -> None:
        self.windows: list[float] = []
        self.resident: list[float] = []
        self.page = resource.getpagesize()

    def update(self, done: float, total: float, values: Values = "") -> None:  # noqa: ARG002
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.windows.append(done)
        self.resident.append(pages * self.page / MIB)

    def note(self, text: str) -> None:
        pass


def make_bundle(folder: Path) -> Path:
    """An untrained operator whose windows are almost straight lines."""
    system = load_system(SYSTEM).system
    torch.manual_seed(0)
    validity = Validity.of_one(OneSystem.of(system), kelvin=500.0)
    card = DynamicsCard(
        network=Egno(kind="egno", layers=1, hidden=4, vectors=3, force_channel=False),
        time_points=tuple(WINDOW * 1e-3 * (p + 1) / 4 for p in range(4)),
        vocabulary=validity.elements,
        validity=validity,
        scales=Scales(
            length=0.1,
            velocity=1.7,
            acceleration=600.0,
            position_residual=1e-4,
            velocity_residual=1e-2,
        ),
    )
    save_bundle(folder, WindowOperator(card).eval())
    return folder


def run(out: Path, windows: int) -> dict[str, Any]:
    """One rollout, and its memory."""
    out.mkdir(parents=True, exist_ok=True)
    memory = Memory()
    changes = {
        "length": f"{windows * WINDOW} fs",
        "judge": {"kind": "none"},
        "correct": None,
        "boundary": {"kind": "langevin", "friction": "5 /ps"},
        "equilibration": "10 fs",
        "record.reference_steps": 10,
    }
    begun = time.perf_counter()
    em.propagate(
        SYSTEM,
        make_bundle(out / "bundle"),
        em.protocol("propagate", "nvt-500k", changes),
        out / "rollout",
        progress=memory,
    )
    done, resident = np.array(memory.windows), np.array(memory.resident)
    late = done > 0.1 * windows
    slope = np.polyfit(done[late], resident[late], 1)[0]
    tenths = [resident[done <= q * windows][-1] for q in np.arange(1, 11) / 10]
    return {
        "windows": windows,
        "seconds": round(time.perf_counter() - begun, 1),
        "MiB after each tenth": [round(float(m), 1) for m in tenths],
        "MiB per 1000 windows": round(float(slope) * 1000, 4),
        "growth after the first tenth": round(float(tenths[-1] / tenths[0] - 1), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--windows", type=int, default=100_000)
    given = parser.parse_args()
    found = run(given.out, given.windows)
    write_json(RESULTS, {"provenance": provenance(), "memory": found})
    print(found)


if __name__ == "__main__":
    main()
