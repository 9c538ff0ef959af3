"""Where the time of a rollout goes."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import get_args

from egno_md.propagate.clocks import Clock, Clocks


def test_a_clock_charges_its_own_time_even_to_what_fails() -> None:
    clocks = Clocks()
    with clocks.charge("checks"):
        time.sleep(0.01)
    before = clocks.seconds["checks"]
    with suppress(KeyError), clocks.charge("checks"):
        time.sleep(0.01)
        raise KeyError
    assert clocks.seconds["checks"] >= before + 0.01
    assert 0.02 <= clocks.seconds["checks"] < 1.0
    assert sum(clocks.seconds.values()) == clocks.seconds["checks"]


def test_seconds_of_an_earlier_run_go_on_with_clocks_it_did_not_have() -> None:
    clocks = Clocks()
    clocks.restore({"network": 2.0})
    assert clocks.seconds == dict.fromkeys(get_args(Clock), 0.0) | {"network": 2.0}
    with clocks.charge("network"):
        pass
    assert clocks.seconds["network"] >= 2.0
