"""How many Fourier modes the temporal convolutions need, and the spectrum of the motion."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from egno_md.paper.stress.equivariance import CHARGES
from egno_md.paper.stress.lab import Lab, Training, decode, squared_errors


def needs(lab: Lab) -> list[Training]:
    """Every model with every number of modes."""
    return [t for modes in lab.protocol.modes.counts for t in lab.trainings(CHARGES, modes)]


def measure(lab: Lab) -> dict[str, Any]:
    """Errors by number of modes, the choice that the rule makes, and the spectrum of the truth."""
    windows = lab.data(CHARGES).data.test
    counts = lab.protocol.modes.counts
    errors: dict[tuple[str, int], list[np.ndarray]] = {}
    for training in needs(lab):
        positions = decode(lab.operator(training), windows).positions.numpy()
        by_window = squared_errors(positions, windows.future_positions)
        errors.setdefault((training.model, training.modes), []).append(by_window)
    power = share_above(windows.future_positions - windows.positions[:, None])
    rows, chosen = [], {}
    for model in lab.protocol.models:
        # (seeds, windows) of A-MSE
        runs = [np.stack([e.mean(1) for e in errors[model, i]]) for i in counts]
        pick, behind = smallest_as_good(runs)
        chosen[model] = counts[pick]
        for index, modes in enumerate(counts):
            rows.append(
                {
                    "model": model,
                    "modes": modes,
                    "a_mse": float(runs[index].mean()),
                    "f_mse": float(np.mean([e[:, -1] for e in errors[model, modes]])),
                    "behind_best": behind[index][0],
                    "standard_error": behind[index][1],
                    "power_above": float(power[min(modes, len(power) - 1)]),
                }
            )
    return {"points": lab.protocol.points, "seeds": len(lab.seeds), "chosen": chosen, "rows": rows}


def smallest_as_good(
    runs: list[Float[np.ndarray, "seeds windows"]],
) -> tuple[int, list[tuple[float, float]]]:
    """The first whose error is within one standard error of the best one's.

    The rule of Breiman et al. 1984, on differences by window, since all are
    measured on the same windows; seeds add their scatter where there are several.

    Returns:
        Its index, and for each how far it is behind the best with the standard error.
    """
    best = int(np.argmin([r.mean() for r in runs]))
    behind = []
    for run in runs:
        difference = run - runs[best]
        variance = difference.mean(0).var(ddof=1) / difference.shape[1]
        if len(run) > 1:
            variance += difference.mean(1).var(ddof=1) / len(run)
        behind.append((float(difference.mean()), float(np.sqrt(variance))))
    return next(i for i, (d, error) in enumerate(behind) if d <= error), behind


def share_above(
    displacements: Float[np.ndarray, "windows points atoms 3"],
) -> Float[np.ndarray, " counts"]:
    """Share of the power of displacements from the start above the first I modes, from I = 0 on."""
    points = displacements.shape[1]
    power = np.square(np.abs(np.fft.rfft(displacements, axis=1))).mean((0, 2, 3))
    twice = np.full(len(power), 2.0)
    twice[0] = 1.0
    if points % 2 == 0:
        twice[-1] = 1.0
    power *= twice
    return 1 - np.concatenate([[0.0], np.cumsum(power)]) / power.sum()
