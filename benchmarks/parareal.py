"""Parareal of ethanol (GFN2-xTB, NVE): iterations, deviation from serial, speed-up.

    python benchmarks/parareal.py ROOT

Slabs of 8 to 80 fs, starts at 300 K and 500 K, led by the shipped operator. One
process computes everything; what W workers would take is the makespan of the
very same jobs at the measured seconds of both propagators. Every run writes its
own folder under ROOT and is skipped when it is complete. The figures end in
`benchmarks/results/parareal.json`.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from egno_md import api as em
from egno_md.data.output import provenance
from egno_md.data.store import write_json

RESULTS = Path(__file__).resolve().parent / "results"
LENGTH_FS = 1000
CASES = [
    # (kelvin, seed, slab in fs, slabs in flight)
    *((kelvin, 1, 40, width) for width in (8, 16) for kelvin in (500, 300)),
    *((kelvin, 1, slab, 8) for slab in (80, 16, 24) for kelvin in (500, 300)),
    *((kelvin, 2, 40, 8) for kelvin in (500, 300)),
    (300, 1, 16, 32),
    (300, 1, 40, 4),
    (300, 1, 8, 8),
]
KEPT = [
    "length_ps", "slab_ps", "slabs", "width", "tolerance_nm", "iterations", "fine_calls",
    "coarse_calls", "largest_defect_nm", "forecast_deviation_nm", "sweeps", "cost",
    "modelled_speed_up", "verified",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    root = parser.parse_args().root
    runs = []
    for kelvin, seed, slab, width in CASES:
        changes = {
            "length": f"{math.ceil(LENGTH_FS / slab) * slab} fs",
            "slab": f"{slab} fs",
            "width": width,
            "when_it_does_not_pay": "continue",
        }
        protocol = em.protocol("parareal", f"nve-{kelvin}k", changes)
        folder = root / f"{kelvin}k-seed{seed}-slab{slab}-width{width}"
        done = em.parareal("ethanol", None, protocol, folder, seed=seed, verify=True, mode="resume")
        result = done.result
        runs.append({"kelvin": kelvin, "seed": seed} | {k: result[k] for k in KEPT})
        best = max(result["modelled_speed_up"].items(), key=lambda item: item[1])
        print(
            f"{kelvin} K, seed {seed}, {slab} fs, {width} in flight: {result['iterations']} "
            f"iterations for {result['slabs']} slabs, {result['verified']['deviation_nm']:.1e} nm "
            f"from serial, at best {best[1]:.2f}x on {best[0]} workers",
            flush=True,
        )
        write(runs)


def write(runs: list[dict]) -> None:
    RESULTS.mkdir(exist_ok=True)
    content = {
        "system": "ethanol, GFN2-xTB, NVE",
        "operator": "systems/ethanol/operators/egno-8fs-500k",
        "runs": runs,
        "provenance": {
            **provenance(),
            "seeds": "of the starts, in each run",
            "load": f"a shared machine; load average {os.getloadavg()[0]:.1f} at the end",
        },
    }
    write_json(RESULTS / "parareal.json", content)


if __name__ == "__main__":
    main()
