"""Windows from short to far past the velocity decorrelation time."""

from __future__ import annotations

from typing import Any

import numpy as np

from egno_md.paper.stress.lab import Case, Lab, Training, decode


def rungs(lab: Lab) -> list[tuple[float, Case]]:
    """ΔT in decorrelation times, and the data of that length."""
    return [
        (m, Case(f"ladder-{m:g}", "hard", m * lab.memory)) for m in lab.protocol.ladder.multiples
    ]


def needs(lab: Lab) -> list[Training]:
    """Every model at every length."""
    return [t for _, case in rungs(lab) for t in lab.trainings(case)]


def measure(lab: Lab) -> dict[str, Any]:
    """Errors at ΔT over those without information, and the share of the fluctuations predicted.

    Without information on the start but its centre of mass, the best prediction
    puts every sphere there, and the error is the variance of positions about it.
    With partial information the error is smaller, and the variance of the best
    prediction falls short of the true variance by that error.
    """
    rows = []
    for multiple, case in rungs(lab):
        windows = lab.data(case).data.test
        true = windows.future_positions[:, -1]
        displacements = true - windows.positions
        for model in lab.protocol.models:
            runs = []
            for training in lab.trainings(case):
                if training.model != model:
                    continue
                end = decode(lab.operator(training), windows).positions.numpy()[:, -1]
                runs.append(
                    {
                        "over_nothing": _power(end - true) / _power(_centred(true)),
                        "spread": _power(_centred(end)) / _power(_centred(true)),
                        "displacement_variance": _power(end - windows.positions)
                        / _power(displacements),
                    }
                )
            row = {k: float(np.median([run[k] for run in runs])) for k in runs[0]}
            head = {"model": model, "multiple": multiple, "length": case.length}
            rows.append(head | row)
    return {
        "decorrelation_time": lab.memory,
        "definition": "the last time at which the velocity autocorrelation of hard spheres "
        "exceeds 1/e in magnitude",
        "rows": rows,
    }


def _centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(1, keepdims=True)


def _power(values: np.ndarray) -> float:
    return float(np.square(values, dtype=np.float64).mean())
