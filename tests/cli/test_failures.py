"""What the machine refuses is said in one line; what a scheduler ends is saved."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from egno_md.cli.failures import explain
from egno_md.core.system import System
from egno_md.data.store import Store, StoreWriter
from egno_md.nn.bundle import save_bundle
from egno_md.propagate.record import load_state
from egno_md.propagate.rollout import run_propagate
from egno_md.registry import protocol
from egno_md.spec.network import Egno
from tests.cli.test_errors import fails
from tests.conftest import Listener, make_operator


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "out/a.h5"),
            "out/a.h5: no space is left",
        ),
        (OSError(errno.EROFS, "Read-only file system", "out"), "read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "permission denied"),
        (RuntimeError("PytorchStreamWriter failed writing file data/1"), "as on a full disk"),
        (RuntimeError("CUDA out of memory."), None),
        (MemoryError(), "memory of this machine"),
        (RecursionError(), "nested too deeply"),
        (ValueError("a bug"), None),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), None),
    ],
)
def test_a_failure_of_the_machine_is_explained(error: Exception, words: str | None) -> None:
    message = explain(error)
    assert message is None if words is None else words in (message or "")


def test_a_full_disk_is_one_line_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "shard.h5")

    monkeypatch.setattr(StoreWriter, "append", full)
    message = fails(
        "generate", "ethanol/mmff94", "--set", "sampling.segments=1", "--set",
        "equilibration='1 fs'", "--out", tmp_path / "out",
    )  # fmt: skip
    assert "no space is left" in message
    assert "--resume" in message


class Scheduler(Listener):
    """Asks the process to end at the first sign of progress."""

    def update(self, done: float, total: float, values: object = "") -> None:
        if done < total:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_rollout_that_is_asked_to_end_finishes_its_window_and_goes_on_to_the_bit(
    tmp_path: Path, ethanol: System
) -> None:
    save_bundle(
        tmp_path / "bundle",
        make_operator(ethanol, Egno(kind="egno", layers=1, hidden=8, force_channel=False)),
    )
    changes = {
        "length": "400 fs",
        "equilibration": "2 fs",
        "record.reference_steps": 10,
        "judge": {"kind": "none"},
        "correct": None,
    }
    spec = protocol("propagate", "nvt-500k", changes)

    def run(name: str, listener: Listener, mode: str = "new") -> Path:
        run_propagate(
            "ethanol", tmp_path / "bundle", spec, tmp_path / name, mode=mode, progress=listener
        )
        return tmp_path / name

    whole = run("whole", Listener())
    with pytest.raises(KeyboardInterrupt):
        run("ended", Scheduler())
    state = load_state(tmp_path / "ended")
    assert state is not None
    assert 0 < state.windows < 50
    ended = run("ended", Listener(), "resume")
    for ours, theirs in zip(Store(ended), Store(whole), strict=True):
        np.testing.assert_array_equal(ours.positions, theirs.positions)
