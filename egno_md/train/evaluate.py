"""`evaluate`: held-out errors, baselines, symmetries, other resolutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from egno_md.core.errors import WindowMismatch
from egno_md.core.progress import Progress, Silent
from egno_md.core.selection import reduce_system
from egno_md.core.window import Window
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import Store, write_json
from egno_md.data.windows import WindowDataset, split_stretches
from egno_md.nn.clusters import cluster_assignment
from egno_md.nn.decode import Start
from egno_md.nn.device import resolve_device
from egno_md.nn.eghn import HierarchicalNetwork
from egno_md.nn.operator import BoundOperator, WindowOperator
from egno_md.nn.symmetry import equivariance_residuals
from egno_md.spec.network import decodes_any_time
from egno_md.spec.train import DATA_MEMORY, Split
from egno_md.train.clusters_plot import write_clusters
from egno_md.train.errors import baselines, measure, measure_errors, start_of
from egno_md.train.evaluation_plot import plot_evaluation
from egno_md.train.losses import SquaredErrors
from egno_md.train.run import Cutter


def run_evaluate(
    bundle: Path | str,
    data: Path | str,
    out: Path | str,
    *,
    part: str = "test",
    seed: int = 0,
    device: str = "auto",
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure an operator on frames it has not seen.

    Args:
        bundle: of the operator.
        data: a store of the same system. The split is that of the training
            protocol, so that on the training store `test` is really held out.
        out: for `evaluation.json` and figures; and the clusters of a hierarchical
            network at ΔT, as a PDB file and a picture.
        part: ``test``, ``validation``, ``train`` or ``all``.
        seed: of the random rotations.
        device: ``auto``, ``cpu`` or ``gpu``.
        mode: see `run_folder`.
        progress: receives updates and notes.
    """
    progress, out = progress or Silent(), Path(out)
    operator = WindowOperator.load(bundle)
    store = Store(Path(data))
    # errors on data of another potential are a legitimate question
    bound = operator.bind(replace(store.system(), potential=""))
    request = {
        "operator": operator.card.model_dump(mode="json"),
        "data": store.identity,
        "part": part,
        "seed": seed,
    }
    target = resolve_device(device)
    with run_folder(out, "evaluate", request, mode, [store.root, Path(bundle)], progress) as run:
        if run.is_complete:
            return run.record["summary"]
        split = Split.model_validate(operator.card.training.get("protocol", {}).get("split", {}))
        stretches = store.stretches
        with_forces = operator.card.uses_forces or all(s.has_forces for s in stretches)
        cutter = Cutter.of(store, operator.card.atoms, with_forces, DATA_MEMORY)

        def cut(window: Window) -> WindowDataset:
            if part == "all":
                return cutter(stretches, window)
            span = window.offsets(cutter.spacing)[-1]
            return cutter(split_stretches(stretches, split, span)[part], window)

        windows = cut(operator.card.window)
        progress.note(f"{len(windows):,} windows of part '{part}'")
        fingerprint = operator.card.training.get("data", {}).get("fingerprint")
        if part == "test" and fingerprint != store.identity["fingerprint"]:
            progress.note(
                "These are not the data the operator was trained on: --part all uses more."
            )
        operator.to(target)
        errors = {"operator": measure_errors(bound, windows)}
        errors |= {k: measure(f, windows) for k, f in baselines(bound, windows).items()}
        sample = start_of(windows[windows.spread(16, 3000)])
        result = {
            "system": operator.card.subject,
            "data": request["data"],
            "part": part,
            "windows": errors["operator"].windows,
            "f_mse": errors["operator"].f_mse,
            "a_mse": errors["operator"].a_mse,
            "by_time": _by_time(errors, operator.card.window),
            "zero_shot": _zero_shot(bound, cut),
        }
        operator.cpu()
        result["equivariance"] = equivariance_residuals(bound, sample, np.random.default_rng(seed))
        write_json(out / "evaluation.json", result)
        plot_evaluation(result, out / "figures")
        if isinstance(operator.network, HierarchicalNetwork):
            first = sample.positions[:1]
            shares = cluster_assignment(bound, Start(first, sample.velocities[:1]))[0, -1]
            topology = reduce_system(store.system(), operator.card.atoms).topology
            write_clusters(topology, first[0].numpy(), shares, out / "clusters")
        run.finish(summary=result)
        return result


def _by_time(errors: dict[str, SquaredErrors], window: Window) -> list[dict[str, Any]]:
    names = ("operator", "persistence", "ballistic", "half_a_tau_squared")
    columns = ("position_rmse", "velocity_error")
    values = {n: {key: getattr(e, key) for key in columns} for n, e in errors.items()}
    return [
        {"time": time}
        | {k: {n: values[n][k][i] if n in errors else None for n in names} for k in columns}
        for i, time in enumerate(window.time_points)
    ]


def _zero_shot(operator: BoundOperator, cut: Callable[[Window], WindowDataset]) -> dict[str, Any]:
    """Twice the time points, by interpolated time positions."""
    if not decodes_any_time(operator.card.network):
        kind = operator.card.network.kind
        return {"available": False, "reason": f"kind: {kind} decodes fixed time points"}
    points = torch.tensor((0.0, *operator.card.time_points), dtype=torch.float64)
    midpoints = torch.stack([(points[:-1] + points[1:]) / 2, points[1:]], dim=1).reshape(-1)
    window = Window(tuple(midpoints.tolist()))
    try:
        windows = cut(window)
    except WindowMismatch:
        return {"available": False, "reason": "the frames are too far apart for twice the points"}
    errors = measure_errors(operator, windows)
    return {
        "available": True,
        "points": window.points,
        "f_mse": errors.f_mse,
        "a_mse": errors.a_mse,
        "by_time": [
            {"time": t, "position_rmse": x, "velocity_error": v}
            for t, x, v in zip(
                window.time_points, errors.position_rmse, errors.velocity_error, strict=True
            )
        ],
    }
