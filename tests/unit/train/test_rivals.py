"""Every kind of network trains on a store, is saved, loaded and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mdtraj
import pytest

from egno_md.core.errors import BundleMismatch, SpecError
from egno_md.data.store import Store
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.requirements import check_rolls_out
from egno_md.spec.files import validate
from egno_md.spec.train import TrainProtocol
from egno_md.train.errors import baselines, measure
from egno_md.train.evaluate import run_evaluate
from egno_md.train.run import run_train, window_datasets

SMALL = {"layers": 2, "hidden": 8}


def protocol(network: dict[str, Any], points: int, **more: Any) -> TrainProtocol:
    content = {
        "window": {"kind": "uniform", "length": "8 fs", "points": points},
        "network": network,
        "optimisation": {"max_steps": 4, "validate_every": 2, "batch_size": 4},
        "supervise_velocities": 0.0,
        **more,
    }
    return validate(content, TrainProtocol, "test")


@pytest.mark.parametrize(
    ("network", "points"),
    [
        ({"kind": "egnn", "readout": "sequential"}, 2),
        ({"kind": "egnn", "readout": "rolled"}, 4),
        ({"kind": "egnn", "readout": "blocks"}, 4),
        ({"kind": "eghno", "clusters": 3}, 4),
    ],
    ids=lambda value: "-".join(str(v) for v in value.values()) if isinstance(value, dict) else "",
)
def test_every_rival_trains_on_a_store(
    harmonic_store: Store,
    tmp_path: Path,
    network: dict[str, Any],
    points: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("egno_md.train.recipe.plot_training", lambda *_: None)
    spec = protocol({**SMALL, **network}, points)
    trained = run_train(harmonic_store.root, spec, tmp_path / "run", device="cpu")
    assert trained.summary["steps"] == 4
    again = WindowOperator.load(trained.bundle)
    assert again.card == trained.operator.card
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 3
    assert all(float(r.split(",")[4]) > 0 for r in rows[1:])


def test_the_linear_operator_is_solved_beats_ballistic_and_cannot_roll_out(
    harmonic_store: Store, tmp_path: Path
) -> None:
    spec = protocol({"kind": "linear"}, 4)
    trained = run_train(harmonic_store.root, spec, tmp_path / "run", device="cpu")
    assert trained.summary["steps"] == 0
    assert trained.summary["stopped"] == "solved by least squares"
    _, parts = window_datasets(harmonic_store, spec)
    windows = parts["train"]

    def linear(batch):
        return trained.operator(batch)

    ours = measure(linear, windows)
    straight = measure(baselines(trained.operator.bind(), windows)["ballistic"], windows)
    assert (ours.positions < straight.positions).all()
    with pytest.raises(BundleMismatch, match="predicts positions alone"):
        check_rolls_out(trained.operator.card)


def test_evaluation_shows_the_clusters_and_asks_for_no_other_time_points(
    harmonic_store: Store, tmp_path: Path
) -> None:
    spec = protocol({**SMALL, "kind": "eghn", "clusters": 3}, 1)
    trained = run_train(harmonic_store.root, spec, tmp_path / "run", device="cpu")
    result = run_evaluate(trained.bundle, harmonic_store.root, tmp_path / "e", device="cpu")
    assert result["zero_shot"]["available"] is False
    assert "fixed time points" in result["zero_shot"]["reason"]
    assert len(result["by_time"]) == 1
    assert result["a_mse"] == result["f_mse"]
    folder = tmp_path / "e" / "clusters"
    assert {p.name for p in folder.iterdir()} == {"clusters.pdb", "clusters.png", "clusters.svg"}
    lines = (folder / "clusters.pdb").read_text().splitlines()
    factors = {float(line[60:66]) for line in lines if line.startswith(("ATOM", "HETATM"))}
    assert factors <= {0.0, 1.0, 2.0}
    assert mdtraj.load_pdb(str(folder / "clusters.pdb")).n_atoms == 9


@pytest.mark.parametrize(
    ("network", "more", "message"),
    [
        ({"kind": "egnn"}, {}, "predicts the window's end alone, and the window has 4 points"),
        ({"kind": "eghn"}, {}, "Set window.points: 1, or a network"),
        ({"kind": "egnn", "readout": "sequential", "layers": 2}, {}, "Set network.layers: 4"),
        (
            {"kind": "egnn", "readout": "rolled"},
            {"window": {"kind": "last", "length": "8 fs", "points": 4}},
            "Use window.kind: uniform",
        ),
        ({"kind": "linear"}, {"supervise_velocities": 1.0}, "Set supervise_velocities: 0.0"),
        ({"kind": "egno-published", "reads": "sequence"}, {}, "known to 'egno-md benchmark' only"),
    ],
)
def test_a_window_that_the_network_cannot_decode_is_refused(
    network: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        protocol(network, 4, **more)
    assert message in str(caught.value)
