"""Checks spread over processes give what one process gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from egno_md.core.state import Frame
from egno_md.md.build import load_system
from egno_md.md.engine import OpenMMEngine
from egno_md.md.pool import EnginePool


def test_workers_give_the_same_bits_as_one_process() -> None:
    built = load_system("ethanol")
    engine = OpenMMEngine(built, timestep=5e-4, kelvin=300.0, friction=1.0, seed=1)
    pool = EnginePool(built.spec, built.folder, engine.platform, 2)
    random = np.random.default_rng(0)
    rest = built.system.positions
    try:
        for _ in range(3):  # later rounds start from each replica's own density
            frames = {
                i: Frame(rest + 0.003 * random.standard_normal(rest.shape), np.zeros_like(rest))
                for i in range(3)
            }
            frames[3] = replace(frames[0], positions=np.zeros_like(rest))
            here, there = engine.evaluate_all(frames), pool.evaluate_all(frames)
            assert list(there) == [0, 1, 2, 3]
            for i in range(3):
                assert here[i].potential_energy == there[i].potential_energy
                np.testing.assert_array_equal(here[i].forces, there[i].forces)
            assert np.isnan(here[3].potential_energy)
            assert np.isnan(there[3].potential_energy)
        pool.forget()
    finally:
        pool.close()
