"""Time points an operator was never trained at, by interpolated time positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from egno_md.paper.stress.equivariance import CHARGES
from egno_md.paper.stress.lab import Lab, Training, decode, squared_errors
from egno_md.paper.stress.spec import FINE_POINTS
from egno_md.paper.task import TaskWindows


def needs(lab: Lab) -> list[Training]:
    """Operators with one training resolution."""
    return lab.trainings(CHARGES)


def measure(lab: Lab) -> dict[str, Any]:
    """Errors at every set of time points, decoded directly and by a spline of the trained ones."""
    question, case = lab.protocol.resolution, lab.data(CHARGES)
    windows, length = case.data.test, case.data.task.time_points[-1]
    assert case.fine is not None
    sets = {str(p): np.arange(1, p + 1) * (FINE_POINTS // p) for p in question.points}
    if question.uneven:
        sets[f"{len(question.uneven)} uneven"] = np.array(question.uneven)
    training_frames = np.round(np.array(case.data.task.time_points) / length * FINE_POINTS).astype(
        int
    )
    runs_by_row: dict[tuple[str, str], list[dict[str, float]]] = {}
    for training in needs(lab):
        operator = lab.operator(training)
        path = _spline(windows, case.data.task.time_points, decode(operator, windows).positions)
        for name, frames in sets.items():
            times = frames * (length / FINE_POINTS)
            true = case.fine[:, frames - 1]
            direct = squared_errors(decode(operator, windows, list(times)).positions.numpy(), true)
            spline = squared_errors(path(times), true)
            is_training_point = np.isin(frames, training_frames)
            runs_by_row.setdefault((training.model, name), []).append(
                {
                    "a_mse": direct.mean(),
                    "f_mse": direct[:, -1].mean(),
                    "a_mse_at_trained_points": direct[:, is_training_point].mean()
                    if is_training_point.any()
                    else np.nan,
                    "a_mse_by_spline": spline.mean(),
                }
            )
    rows = [
        {"model": model, "points": name}
        | {k: float(np.median([run[k] for run in runs])) for k in runs[0]}
        | {"a_mse_by_seed": [float(run["a_mse"]) for run in runs]}
        for (model, name), runs in runs_by_row.items()
    ]
    return {
        "trained_points": lab.protocol.points,
        "uneven_64ths": list(question.uneven),
        "rows": rows,
    }


def _spline(windows: TaskWindows, times: tuple[float, ...], positions: Any) -> Any:
    """Through the start frame, with its velocity, and every decoded frame.

    Returns:
        A function of times that gives positions ``(windows, times, atoms, 3)``.
    """
    start, decoded = windows.positions[:, None], np.asarray(positions)
    knots: Float[np.ndarray, "windows knots atoms 3"] = np.concatenate([start, decoded], axis=1)
    ends = ((1, windows.velocities), "not-a-knot")
    return CubicSpline(np.array([0.0, *times]), knots, axis=1, bc_type=ends)  # type: ignore[arg-type]
