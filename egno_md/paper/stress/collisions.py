"""Bouncing hard spheres beside soft ones, and beside spheres that pass through each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from egno_md.paper.stress.lab import Case, Lab, Training, decode, squared_errors

REPULSIONS = ("hard", "soft", "none")


def cases(lab: Lab) -> list[Case]:
    """The same spheres with three kinds of contact."""
    return [Case(f"spheres-{r}", r, lab.protocol.spheres.length) for r in REPULSIONS]


def needs(lab: Lab) -> list[Training]:
    """Every model on every kind of contact."""
    return [t for case in cases(lab) for t in lab.trainings(case)]


def measure(lab: Lab) -> dict[str, Any]:
    """F-MSE of windows with and without contact, beside that of x + vτ: medians over seeds."""
    errors: dict[tuple[str, str], list[np.ndarray]] = {}
    rows = []
    for training in needs(lab):
        windows = lab.data(training.case).data.test
        end = decode(lab.operator(training), windows).positions.numpy()[:, -1:]
        key = (training.model, training.case.name)
        errors.setdefault(key, []).append(
            squared_errors(end, windows.future_positions[:, -1:])[:, 0]
        )
    for case in cases(lab):
        case_data = lab.data(case)
        windows, contacts = case_data.data.test, case_data.contacts
        assert contacts is not None
        straight = windows.positions + windows.velocities * case.length
        baseline = squared_errors(straight[:, None], windows.future_positions[:, -1:])[:, 0]
        for model in lab.protocol.models:
            by_seed = np.stack(errors[model, case.name])
            row: dict[str, Any] = {"model": model, "contact": case.kind}
            row["windows_that_touch"] = float(contacts.mean())
            for name, subset in {"all": slice(None), "touch": contacts, "miss": ~contacts}.items():
                if not len(baseline[subset]):
                    continue
                error = float(np.median(by_seed[:, subset].mean(1)))
                row[f"f_mse_{name}"] = error
                row[f"over_ballistic_{name}"] = error / float(baseline[subset].mean())
            rows.append(row)
    return {"length": lab.protocol.spheres.length, "rows": rows}
