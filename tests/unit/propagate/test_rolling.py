from __future__ import annotations

from egno_md.propagate.rolling import Pace, choose_pace


def test_refined_windows_of_large_systems_are_saved_often() -> None:
    assert choose_pace(9, None) == Pace(500, 20)
    assert choose_pace(166, 1) == Pace(301)
    assert choose_pace(3341, 1) == Pace(14)
    assert choose_pace(3341, 10) == Pace(149)
    assert choose_pace(10**6, 1) == Pace(1)
